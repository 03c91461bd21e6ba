"""Japanese MT-bench: dialogs of two turns, answered offline, graded by a judge behind an OpenAI-style endpoint
(Zheng et al. 2023, arXiv 2306.05685). Questions and answers are local JSONL:

    {"id": "...", "category": "...", "utterances": [{"name": "user", "text": ...}, ...], "source": "japanese_mt_bench"}
    {"id": "...", "answers": ["to the first turn", "to the second"]}

A grade is the number in the judge's ``[[n]]``, 1 to 10; a reply without one is asked for again, then the turn counts
as not judged. Two models are compared twice, with places swapped: a verdict counts where both agree, else it is a tie.
Every reply is kept in a file, by model and messages: what was paid for is not asked again.
"""

import hashlib
import http.client
import json
import re
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacorpus.errors import InputError, JacorpusError
from jacorpus.shards import storage_errors
from trainer.evaluate.answering import written
from trainer.evaluate.items import Answers, Item
from trainer.evaluate.tasks import json_rows
from trainer.opened import Opened
from trainer.sampling import Sampling

if TYPE_CHECKING:
    from trainer.posttrain.chat import Chat

LICENCE = "Apache-2.0"
GRADE = re.compile(r"\[\[\s*(10|[1-9])(?:\.0)?\s*\]\]")
VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_GRADING = (
    "あなたは公平な審査員です。AIアシスタントの{which}回答を、役立つか、正しいか、詳しいか、日本語として自然かの点で評価し、"
    "短い理由のあとに1から10までの評点を [[5]] の形で書いてください。"
)
_COMPARING = (
    "あなたは公平な審査員です。二つのAIアシスタントAとBの対話を比べ、順序や長さに惑わされず、短い理由のあとに、"
    "Aが優れていれば [[A]]、Bが優れていれば [[B]]、同じくらいなら [[C]] と書いてください。"
)


@dataclass(frozen=True)
class Dialog:
    """turns: what the user says."""

    id: str
    category: str
    turns: tuple[str, ...]


@dataclass
class Judge:
    """A model behind ``url`` (.../v1). cache: JSONL of replies. timeout: seconds. attempts: requests for one reply.
    asked: requests made so far."""

    url: str
    model: str
    cache: Path
    timeout: float = 120.0
    attempts: int = 3
    key: str = ""
    asked: int = 0
    _known: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cache.is_file():
            lines = self.cache.read_bytes().split(b"\n")
            self._known = dict(json.loads(line) for line in lines[:-1])  # what follows the last line end was cut
            if lines[-1]:
                self.cache.write_bytes(b"\n".join([*lines[:-1], b""]))

    def ask(self, system: str, text: str, wanted: re.Pattern[str]) -> tuple[str, str] | None:
        """(what ``wanted`` found, the reply); None where no reply holds it. Raises JacorpusError where none came."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        problem, rubbish = "", False
        for attempt in range(self.attempts):
            key = hashlib.sha256(json.dumps([self.model, messages, attempt]).encode()).hexdigest()
            try:
                reply = self._known[key] if key in self._known else self._post(messages)
            except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
                problem = f"{type(error).__name__}: {error}"
                continue
            if key not in self._known:
                self._keep(key, reply)
            if found := wanted.findall(reply):
                return found[-1], reply
            rubbish = True
        if not rubbish:
            raise JacorpusError(
                f"the judge at {self.url} gave no reply ({problem}); what it said is kept, run it again"
            )
        return None

    def _post(self, messages: list[dict[str, str]]) -> str:
        body = json.dumps({"model": self.model, "messages": messages, "temperature": 0}).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", body, headers)
        self.asked += 1
        with urllib.request.urlopen(request, timeout=self.timeout) as answer:
            reply = json.loads(answer.read())["choices"][0]["message"]["content"]
        if not isinstance(reply, str):
            raise ValueError("the reply is no text")
        return reply

    def _keep(self, key: str, reply: str) -> None:
        self._known[key] = reply
        with storage_errors(self.cache):
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            with self.cache.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, reply], ensure_ascii=False) + "\n")


def read_dialogs(path: Path, limit: int | None = None) -> list[Dialog]:
    """The dialogs of source japanese_mt_bench of a file. Raises InputError where there is none."""
    found = []
    for where, row in json_rows(path):
        if row.get("source") == "japanese_mt_bench":
            try:
                turns = tuple(each["text"] for each in row["utterances"] if each["name"] == "user")
                found.append(Dialog(str(row["id"]), str(row.get("category", "")), turns))
            except (KeyError, TypeError) as error:
                raise InputError(f"{where}: no dialog ({error!r}); expected 'id' and 'utterances'") from error
    if not found:
        raise InputError(f"{path} has no dialog of source japanese_mt_bench; give the file that holds the questions")
    return found[:limit]


def read_replies(path: Path) -> dict[str, list[str]]:
    """id -> answers to its turns."""
    found = {}
    for where, row in json_rows(path):
        answers = row.get("answers")
        if not isinstance(answers, list) or not all(isinstance(each, str) for each in answers):
            raise InputError(f"{where}: no answers; expected {{'id', 'answers': [text, text]}}")
        found[str(row.get("id"))] = answers
    return found


def write_replies(
    opened: Opened, chat: "Chat", dialogs: Sequence[Dialog], max_tokens: int = 1024, seed: int = 0
) -> dict[str, list[str]]:
    """A model's answers to all turns, each after its own answers to the turns before."""
    from trainer.posttrain.chat import Turn

    found: dict[str, list[str]] = {dialog.id: [] for dialog in dialogs}
    options = Sampling(max_tokens, 0.0, seed=seed, stop_ids=(chat.stop_id,))
    for turn in range(max(len(dialog.turns) for dialog in dialogs)):
        asked = [dialog for dialog in dialogs if turn < len(dialog.turns)]
        prompts = []
        for dialog in asked:
            said = zip(dialog.turns, found[dialog.id], strict=False)
            before = [each for user, answer in said for each in (Turn("user", user), Turn("assistant", answer))]
            prompts.append(chat.prompt([*before, Turn("user", dialog.turns[turn])]))
        for dialog, (text, _) in zip(asked, written(opened, prompts, options), strict=True):
            found[dialog.id].append(text)
    return found


def graded(
    dialogs: Sequence[Dialog],
    replies: Mapping[str, Sequence[str]],
    judge: Judge,
    progress: Callable[[int], None] | None = None,
) -> tuple[Answers, int]:
    """(an item a judged turn, turns not judged). Raises InputError for a dialog without answers."""
    items, missing = [], 0
    for dialog in dialogs:
        answers = _of(replies, dialog)
        for turn in range(len(dialog.turns)):
            which = "最後の" if turn else ""
            found = judge.ask(_GRADING.format(which=which), _shown(dialog, answers[: turn + 1]), GRADE)
            if found is None:
                missing += 1
                continue
            meta: dict[str, Any] = {"unit": dialog.id, "category": dialog.category, "turn": turn + 1, "why": found[1]}
            items.append(
                Item(f"{dialog.id}-{turn + 1}", dialog.turns[turn], answers[turn], "", float(found[0]), meta=meta)
            )
        if progress:
            progress(1)
    return Answers("mt_bench", "grade", LICENCE, items), missing


def preferred(
    dialogs: Sequence[Dialog], first: Mapping[str, Sequence[str]], second: Mapping[str, Sequence[str]], judge: Judge
) -> Answers:
    """How often the second model is preferred: 1, 0, or 1/2 where the judge calls it even or contradicts itself."""
    items = []
    for dialog in dialogs:
        one, two = _shown(dialog, _of(first, dialog)), _shown(dialog, _of(second, dialog))
        said = [judge.ask(_COMPARING, f"## A\n{a}\n\n## B\n{b}", VERDICT) for a, b in ((one, two), (two, one))]
        verdicts = [found[0] if found else "C" for found in said]
        score = {("B", "A"): 1.0, ("A", "B"): 0.0}.get((verdicts[0], verdicts[1]), 0.5)
        meta = {
            "verdicts": verdicts,
            "agreed": verdicts[0] != verdicts[1] if "C" not in verdicts else verdicts == ["C", "C"],
        }
        items.append(Item(dialog.id, dialog.turns[0], "\n".join(_of(second, dialog)), "", score, meta=meta))
    return Answers("mt_bench_pairs", "preferred", LICENCE, items)


def _of(replies: Mapping[str, Sequence[str]], dialog: Dialog) -> Sequence[str]:
    found = replies.get(dialog.id, ())
    if len(found) < len(dialog.turns):
        raise InputError(f"dialog {dialog.id} has {len(found)} of {len(dialog.turns)} answers; answer every turn")
    return found


def _shown(dialog: Dialog, answers: Sequence[str]) -> str:
    pairs = zip(dialog.turns, answers, strict=False)
    return "\n\n".join(f"### 利用者\n{turn}\n\n### アシスタント\n{answer}" for turn, answer in pairs)
