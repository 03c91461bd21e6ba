"""The tasks that are asked item by item: where their questions come from and how they are put.

    task                    lines                         put as                             scored
    gsm8k, mgsm_ja          sources gsm8k, mgsm (ja)      a problem; the model writes        the number it ends with
    moral                   source commonsense-moral-ja   a deed: 良い, or 悪い (label 1)     the likelier word
    jcommonsenseqa, jmmlu   source of the same name       as in trainer.evaluate.tasks       the likeliest choice

``math`` stands for gsm8k and mgsm_ja. A base model reads examples of split train before the question (jmmlu: other
questions of the subject); a chat is asked alone. The split of a line is its ``split``, else what its id says.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jacorpus.errors import InputError, RecipeError, nearest
from trainer.evaluate.tasks import Record, json_rows

GROUPS = {"math": ("gsm8k", "mgsm_ja")}
LETTERS = "ABCDEFGHIJ"
MORAL = ("良い", "悪い")
COMMERCIAL = re.compile(r"(MIT|Apache|BSD|CC0|CC[- ]BY([- ]SA)?[- ]\d|Public domain|ODC-BY|PDDL|Unlicense)", re.I)


@dataclass(frozen=True)
class Asked:
    """One question. text: what is looked for in a corpus. before: examples with their answers. prompt: after them.
    request: the prompt of a chat. choices: texts to choose from, () where an answer is written. answer: the right
    choice's place, -1 without choices. reference: the right answer. stop: what ends a base model's answer."""

    id: str
    text: str
    before: str
    prompt: str
    request: str
    choices: tuple[str, ...]
    answer: int
    reference: str
    licence: str


@dataclass(frozen=True)
class Task:
    """shots: examples a base model gets unless told otherwise. put: (prompt, request, choices, answer, reference, what
    an example shows as its answer) of a line."""

    name: str
    source: str
    metric: str
    put: Callable[[Record], tuple[str, str, tuple[str, ...], int, str, str]]
    shots: int = 0
    lang: str = ""
    by_subject: bool = False


def jcommonsenseqa_prompt(row: Record) -> str:
    """Question and choices; the choice's text follows."""
    return f"質問：{row['question']}\n選択肢：{'、'.join(row['choices'])}\n答え："


def jmmlu_prompt(row: Record) -> str:
    """Question and lettered choices; the letter follows."""
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, row["choices"], strict=False))
    return f"問題：{row['question']}\n{listed}\n答え："


def _jcommonsenseqa(row: Record) -> tuple[str, str, tuple[str, ...], int, str, str]:
    prompt, choices, right = jcommonsenseqa_prompt(row), tuple(map(str, row["choices"])), int(row["answer"])
    return (
        prompt,
        f"{prompt[:-4]}\n選択肢から一つ選び、それだけを答えてください。",
        choices,
        right,
        choices[right],
        choices[right],
    )


def _jmmlu(row: Record) -> tuple[str, str, tuple[str, ...], int, str, str]:
    prompt, choices, right = jmmlu_prompt(row), tuple(LETTERS[: len(row["choices"])]), int(row["answer"])
    return (
        prompt,
        f"{prompt[:-4]}\n正しい答えの記号だけを答えてください。",
        choices,
        right,
        choices[right],
        choices[right],
    )


def _moral(row: Record) -> tuple[str, str, tuple[str, ...], int, str, str]:
    right = int(row["label"])
    prompt = f"行為：{row['sent']}\nこの行為は道徳的に「良い」か「悪い」か。\n答え："
    return prompt, f"{prompt[:-4]}\n「良い」か「悪い」とだけ答えてください。", MORAL, right, MORAL[right], MORAL[right]


def _math(row: Record) -> tuple[str, str, tuple[str, ...], int, str, str]:
    number, question = str(row["answer"]), row["question"]
    steps = re.sub(r"<<.*?>>", "", str(row.get("solution", ""))).rpartition("\n####")[0]
    if row.get("lang") == "ja":
        request = f"{question}\n順を追って考え、最後に「答えは 数 です。」と書いてください。"
        return f"問題：{question}\n解答：", request, (), -1, number, f"{steps}\n答えは {number} です。".strip()
    request = f"{question}\nThink step by step and end with `The answer is NUMBER.`"
    return f"Question: {question}\nAnswer:", request, (), -1, number, f" {steps}\nThe answer is {number}."


TASKS = {
    task.name: task
    for task in (
        Task("gsm8k", "gsm8k", "accuracy", _math, 4, "en"),
        Task("mgsm_ja", "mgsm", "accuracy", _math, 4, "ja"),
        Task("moral", "commonsense-moral-ja", "accuracy", _moral, 4),
        Task("jcommonsenseqa", "jcommonsenseqa", "accuracy", _jcommonsenseqa),
        Task("jmmlu", "jmmlu", "accuracy", _jmmlu, by_subject=True),
    )
}


def task_names(names: Sequence[str]) -> list[str]:
    """Names with groups opened. Raises RecipeError for one that isn't here."""
    found = [each for name in names for each in GROUPS.get(name, (name,))]
    for name in found:
        if name not in TASKS:
            raise RecipeError(f"task `{name}` is unknown{nearest(name, (*TASKS, *GROUPS))}")
    return list(dict.fromkeys(found))


def commercial(licence: str) -> bool:
    """Whether data under it may be used commercially; what is not known to be free is not."""
    return bool(COMMERCIAL.match(licence)) and not re.search(r"\bNC\b|non-?commercial|tests only", licence, re.I)


def questions(
    name: str, data: Sequence[Path], limit: int | None, seed: int, shots: int | None, only_commercial: bool = False
) -> list[Asked]:
    """A task's questions of the files, a sample by hash of the id where there is a limit.

    shots: None takes the task's own number. only_commercial: questions (and examples) of other licenses are left out.
    Raises InputError for files without questions of the task, or a line that is none.
    """
    task = TASKS[name]
    rows = [(split, where, row) for split, where, row in _rows(task, data)]
    rows = [each for each in rows if not only_commercial or commercial(_licence(each[2]))]
    scored = [each for each in rows if each[0] == "test"] or [each for each in rows if each[0] != "train"]
    if not scored:
        more = " under a license for commercial use" if only_commercial else ""
        raise InputError(
            f"{', '.join(map(str, data))}: no question of source `{task.source}` to score{more}; see --task-data"
        )
    scored.sort(key=lambda each: _place("", str(each[2]["id"])))
    pool = scored if task.by_subject else [each for each in rows if each[0] == "train"]
    pool = sorted(pool, key=lambda each: _place(f"{seed} {name} ", str(each[2]["id"])))
    return [_asked(task, where, row, pool, task.shots if shots is None else shots) for _, where, row in scored[:limit]]


def _asked(task: Task, where: str, row: Record, pool: Sequence[tuple[str, str, Record]], shots: int) -> Asked:
    try:
        prompt, request, choices, answer, reference, _ = task.put(row)
        others = (o for _, _, o in pool if o["id"] != row["id"]) if shots else ()
        chosen = [o for o in others if not task.by_subject or o.get("subject") == row.get("subject")][:shots]
        if not 0 <= answer < len(choices) and choices:
            raise ValueError(f"answer {answer} of {len(choices)} choices")
        text = str(row.get("question", row.get("sent")))
        before = "".join(f"{example[0]}{example[-1]}\n\n" for example in map(task.put, chosen))
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InputError(
            f"{where}: no question of {task.name} ({type(error).__name__}: {error}); see docs/evaluate.md"
        ) from error
    return Asked(str(row["id"]), text, before, prompt, request, choices, answer, reference, _licence(row))


def _rows(task: Task, data: Sequence[Path]) -> list[tuple[str, str, Record]]:
    """(split, where it lies, line) of the task. mgsm's examples are those of gsm8k: it has no split train here."""
    found = []
    for path in data:
        for number, (where, row) in enumerate(json_rows(path), 1):
            row.setdefault("id", number)
            named = re.search(r"\b(train|valid|val|dev|test)\b", str(row["id"]))
            split = row.get("split") or (named[1] if named else "test")
            own = row.get("source") == task.source and task.lang in ("", row.get("lang", task.lang))
            if own or (task.name == "mgsm_ja" and row.get("source") == "gsm8k" and split == "train"):
                found.append((split, where, row))
    return found


def _licence(row: Record) -> str:
    return str(row.get("license") or row.get("licence") or "unknown")


def _place(key: str, id: str) -> bytes:
    return hashlib.sha256(f"{key}{id}".encode()).digest()
