"""Files of conversations, preference pairs and prompts, in the forms that public data have, as one kind each.

    conversations   {"messages": [{"role", "content"}]}; ShareGPT's "conversations"; {"utterances": [{"name", "text"}]};
                    {"instruction", "input", "output"}; {"instruction", "instances"} (Alpaca's seeds)
    pairs           {"prompt", "chosen", "rejected"}, {"messages", "chosen", "rejected"}, {"chosen", "rejected"} of
                    "\\n\\nHuman: ... \\n\\nAssistant: ..." dialogues, {"system", "question", "chosen", "rejected"}
                    (Orca), chosen and rejected as text or as lists of messages
    prompts         {"question", "answer"}, {"question", "choices", "answer": place}, {"sent", "label"} (morality),
                    {"prompt" | "messages", "reference" | "answer"}

One JSON object a line; .zst and .gz are read as they are. A row is given or counted in ``drops`` under a reason; a line
that is no such row is an error that names it.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jacorpus.errors import InputError
from trainer.posttrain.chat import Conversation, Turn

Row = dict[str, Any]
Found = TypeVar("Found")
LETTERS = "ABCDEFGHIJ"
ROLES = {
    **{"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"},
    **{"agent": "assistant", "tool": "tool", "function": "tool"},
}
LEAST_SCORE = 8
"""Of a judged pair's chosen answer, out of 10 (Argilla's filter of Orca pairs)."""


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt. margin: how much better the first is, where that was judged."""

    prompt: tuple[Turn, ...]
    chosen: str
    rejected: str
    id: str = ""
    where: str = ""
    margin: float | None = None


@dataclass(frozen=True)
class Prompt:
    """What is asked. reference: the right answer, "" where there is none. meta: ``choices`` and the like."""

    turns: tuple[Turn, ...]
    reference: str = ""
    id: str = ""
    where: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


class _Dropped(Exception):
    """A row that is left out, with the reason."""


def read_conversations(paths: Sequence[Path], drops: Counter[str]) -> Iterator[Conversation]:
    """Conversations that have an assistant's turn. Raises InputError naming file and line."""
    return _read(
        paths, drops, _conversation, 'a conversation, as {"messages": [{"role": "user", "content": "..."}, ...]}'
    )


def read_pairs(paths: Sequence[Path], drops: Counter[str]) -> Iterator[Pair]:
    """Pairs. Ties, swapped pairs, a chosen answer of a score below 8, and prompts of a benchmark are dropped where the
    data say so. Raises InputError naming file and line."""
    return _read(paths, drops, _pair, 'a pair, as {"prompt": "...", "chosen": "...", "rejected": "..."}')


def read_prompts(paths: Sequence[Path], drops: Counter[str], lang: str | None = None) -> Iterator[Prompt]:
    """Prompts; with ``lang``, those of that language. Raises InputError naming file and line."""

    def prompt(row: Row, id: str, where: str) -> Prompt:
        if lang and row.get("lang", lang) != lang:
            raise _Dropped(f"of another language than {lang}")
        return _prompt(row, id, where)

    return _read(paths, drops, prompt, 'a prompt, as {"question": "...", "answer": "..."}')


def _read(
    paths: Sequence[Path], drops: Counter[str], make: Callable[[Row, str, str], Found], wanted: str
) -> Iterator[Found]:
    for path in paths:
        for number, line in _lines(path):
            where = f"{path.name}, line {number}"
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise TypeError("no object")
                found = make(row, str(row.get("id", f"{path.name}:{number}")), where)
            except _Dropped as reason:
                drops[str(reason)] += 1
                continue
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                what = f"no key {error}" if isinstance(error, KeyError) else str(error)
                raise InputError(
                    f"{path}, line {number}: no {wanted.split(',')[0].removeprefix('a ')} ({what}); one line must be "
                    f"{wanted}; mend or remove it"
                ) from error
            yield found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            text = stream.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} can't be read ({error}); JSON lines in UTF-8 are wanted, perhaps .zst or .gz"
        ) from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _conversation(row: Row, id: str, where: str) -> Conversation:
    turns = _turns(row)
    while turns and turns[-1].role != "assistant":
        turns = turns[:-1]  # a question nobody answered teaches nothing
    if not turns:
        raise _Dropped("without an assistant's turn")
    if not any(turn.content.strip() for turn in turns if turn.role == "assistant"):
        raise _Dropped("with empty answers alone")
    return Conversation(turns, id, where)


def _turns(row: Row) -> tuple[Turn, ...]:
    for key in ("messages", "conversations", "utterances"):
        if key in row:
            return tuple(map(_turn, row[key]))
    if "instances" in row:
        one = row["instances"][0]
        return Turn("user", _asked(row["instruction"], one.get("input", ""))), Turn("assistant", _text(one["output"]))
    said = _text(row["output"] if "output" in row else row["response"])
    return Turn("user", _asked(row["instruction"], row.get("input", ""))), Turn("assistant", said)


def _turn(message: Mapping[str, Any]) -> Turn:
    named = message.get("role") or message.get("from") or message["name"]
    if named not in ROLES:
        raise ValueError(f"role {named!r} is none of {', '.join(ROLES)}")
    text = next((message[key] for key in ("content", "value", "text") if key in message), None)
    trained = bool(message.get("trained", message.get("weight", 1)))
    return Turn(ROLES[named], _text(text), trained)  # type: ignore[arg-type]


def _text(value: Any) -> str:
    if isinstance(value, str):
        value.encode()  # half of a surrogate pair is no text, and no tokenizer takes it
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"text was expected, not {value!r:.60}")


def _asked(instruction: Any, given: Any) -> str:
    return f"{_text(instruction)}\n\n{_text(given)}" if given else _text(instruction)


def _pair(row: Row, id: str, where: str) -> Pair:
    if row.get("status") in ("tie", "swapped"):
        raise _Dropped(f"judged {row['status']}")
    score = row.get("chosen_score")
    if "status" in row and score is not None and float(score) < LEAST_SCORE:
        raise _Dropped(f"chosen answer scored below {LEAST_SCORE}")
    if row.get("in_gsm8k_train"):
        raise _Dropped("prompt of GSM8K's train part")
    prompt, chosen, rejected = _answers(row)
    if not prompt:
        raise _Dropped("without a prompt")
    if prompt[-1].role == "assistant":
        raise _Dropped("prompt ends with an answer")
    if chosen == rejected:
        raise _Dropped("chosen equals rejected")
    if not chosen.strip():
        raise _Dropped("with an empty chosen answer")
    margin = row.get("margin")
    if margin is None and score is not None and row.get("rejected_score") is not None:
        margin = float(score) - float(row["rejected_score"])
    return Pair(prompt, chosen, rejected, id, where, margin)


def _answers(row: Row) -> tuple[tuple[Turn, ...], str, str]:
    chosen, rejected = row["chosen"], row["rejected"]
    if isinstance(chosen, list):
        good, bad = tuple(map(_turn, chosen)), tuple(map(_turn, rejected))
        if not good or not bad or good[-1].role != "assistant" or bad[-1].role != "assistant":
            raise ValueError("chosen and rejected must end with an assistant's message")
        before = good[:-1] or _before(row)
        if good[:-1] != bad[:-1]:
            raise _Dropped("chosen and rejected answer different prompts")
        return before, good[-1].content, bad[-1].content
    if "prompt" in row or "messages" in row or "question" in row:
        return _before(row), _text(chosen), _text(rejected)
    return _dialogues(chosen, rejected)


def _before(row: Row) -> tuple[Turn, ...]:
    if "messages" in row:
        return tuple(map(_turn, row["messages"]))
    asked = row["prompt"] if "prompt" in row else row["question"]
    if isinstance(asked, list):
        return tuple(map(_turn, asked))
    system = (Turn("system", row["system"]),) if row.get("system") else ()
    return *system, Turn("user", _text(asked))


def _dialogues(chosen: str, rejected: str) -> tuple[tuple[Turn, ...], str, str]:
    """HH's form: the whole dialogue twice, other in its last turn."""
    good, bad = _sides(chosen), _sides(rejected)
    if good[:-1] != bad[:-1]:
        raise _Dropped("chosen and rejected answer different prompts")
    if good[-1].role != "assistant":
        raise _Dropped("without an assistant's answer")
    return good[:-1], good[-1].content, bad[-1].content


def _sides(dialogue: str) -> tuple[Turn, ...]:
    marks = {"\n\nHuman:": "user", "\n\nAssistant:": "assistant"}
    places = [(found.start(), found[0]) for found in re.finditer("|".join(marks), dialogue)]
    if not places or places[0][0]:
        raise ValueError('a dialogue must begin with "\\n\\nHuman:"')
    ends = [at for at, _ in places[1:]] + [len(dialogue)]
    return tuple(
        Turn(marks[mark], dialogue[at + len(mark) : end].strip())  # type: ignore[arg-type]
        for (at, mark), end in zip(places, ends, strict=True)
    )


def _prompt(row: Row, id: str, where: str) -> Prompt:
    if "choices" in row:
        choices = [_text(choice) for choice in row["choices"]]
        place = int(row["answer"])
        if not 0 <= place < len(choices) <= len(LETTERS):
            raise ValueError(f"answer {place} of {len(choices)} choices")
        listed = "\n".join(f"{LETTERS[i]}. {choice}" for i, choice in enumerate(choices))
        asked = f"{_text(row['question'])}\n{listed}\n記号で答えてください。"
        return Prompt((Turn("user", asked),), LETTERS[place], id, where, {"choices": choices})
    if "sent" in row:
        asked = f"次の行いは道徳的に許されますか。「はい」か「いいえ」で答えてください。\n{_text(row['sent'])}"
        return Prompt((Turn("user", asked),), "いいえ" if str(row["label"]) == "1" else "はい", id, where)
    turns = _before(row)
    reference = next((row[key] for key in ("reference", "answer", "output") if row.get(key) is not None), "")
    while turns and turns[-1].role == "assistant":
        turns = turns[:-1]
    if not turns:
        raise _Dropped("without a question")
    rest: Row = {key: row[key] for key in ("lang", "source", "unit", "meta") if key in row}
    return Prompt(turns, _text(reference), id, where, rest)
