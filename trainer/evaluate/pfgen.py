"""pfgen-bench: Japanese answers of about 100 characters, scored by n-grams against reference answers, without a judge
(Imajo et al. 2025, arXiv 2502.09316; data Apache-2.0). Questions, references and answers are local files.

A question has sets of reference answers (by their kind: R, P, S, T) and keywords. Of an answer a:

    d(g)           in how many references of a set n-gram g stands, for n = 1 .. 10
    discount(i)    1 up to 100 characters, then down to 0 at 150
    fluency        max over i of discount(i) * sum of d over the distinct n-grams of a[:i] / the mean of the same figure
                   over the references themselves; a is read up to 200 characters
    truthfulness   each character, brackets and commas aside, is worth min(1, 200 d / references), d of the likeliest
                   of the trigrams over it; the mean over a[:i] times discount(i), for the best i of 100 or more or
                   for all of a
    helpfulness    max over i of discount(i) times (1 - importance) of each keyword that a[:i] has not reached

Fluency and truthfulness are means over the sets. A score is the mean of the three; the board's figure is the mean of
all scores, each question with as many answers.

All n-grams of a question are counted together: texts laid end to end, and n-grams of length n numbered by sorting
pairs (number of the n-gram one shorter, next character) with their place. A text is bordered by ^ and $, which belong
to trigrams only.

Letters: P places of the text laid end to end, A texts, R references (they come first).
"""

import hashlib
import json
import lzma
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.errors import InputError
from trainer.evaluate.items import Answers, Item
from trainer.evaluate.tasks import json_rows

LICENCE = "Apache-2.0"
LONGEST, TRIGRAM, READ = 10, 3, 202
_ASIDE = np.array([ord(c) for c in "^$、。・「」『』（）【】［］〈〉《》"], np.uint32)


@dataclass(frozen=True)
class Question:
    """answers: kind -> references. keywords: {"t": regular expression}, {"and": [...]} or {"or": [...]}, perhaps with
    an ``importance``."""

    id: str
    text: str
    answers: Mapping[str, Sequence[str]]
    keywords: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Scores:
    """Rounded as the board's script has it."""

    fluency: float
    truthfulness: float
    helpfulness: float
    average: float


def read_questions(folder: Path) -> list[Question]:
    """The files Q*.json of a folder. Raises InputError where there is none, or one is no question."""
    found = []
    for path in sorted(folder.glob("Q*.json")):
        try:
            row = json.loads(path.read_text("utf-8"))
            found.append(Question(row["question_id"], row["question"], row["answers"], row["keywords"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no question of pfgen-bench ({error!r}); copy it from its data/ again"
            ) from error
    if not found:
        raise InputError(f"{folder} holds no Q*.json; give the folder data/ of a copy of pfgen-bench")
    return found


def read_given(path: Path) -> dict[str, list[str]]:
    """question -> its answers, of JSONL (plain, .gz, .zst, .xz) with ``question`` and ``answer``."""
    opened = lzma.open(path) if path.suffix == ".xz" and path.is_file() else None  # noqa: SIM115, json_rows closes it
    found: dict[str, list[str]] = defaultdict(list)
    for where, row in json_rows(path, opened):
        if not isinstance(row.get("answer"), str) or not isinstance(row.get("question"), str):
            raise InputError(f"{where}: no stored answer; expected {{'question', 'answer'}}, both texts")
        found[row["question"]].append(row["answer"])
    return found


def prompts(folder: Path, asked: Sequence[Question], seed: int = 0, examples: int = 20) -> list[str]:
    """What a base model reads before each answer: other questions with their answers, in an order of the seed.

    Raises InputError where the folder has no questions.jsonl.
    """
    shown = {question: answers[0] for question, answers in read_given(folder / "questions.jsonl").items()}
    found = []
    for question in asked:
        others = [text for text in shown if text != question.text]
        others.sort(key=lambda text: hashlib.sha256(f"{seed} {question.id} {text}".encode()).digest())
        listed = "\n\n".join(f"Q: {text}\nA: {shown[text]}" for text in others[:examples])
        found.append(f"## 回答例\n{listed}\n\nQ: {question.text}\nA:")
    return found


def pfgen_answers(questions: Sequence[Question], given: Mapping[str, Sequence[str]]) -> Answers:
    """The items of task ``pfgen``: answers to one question are one unit of its interval.

    Raises InputError for an answer to no question, and where questions have different numbers of answers.
    """
    unknown = set(given) - {question.text for question in questions}
    if unknown:
        raise InputError(f"`{min(unknown)}` is no question of the folder; give the data the answers were made for")
    asked = [question for question in questions if given.get(question.text)]
    if len({len(given[question.text]) for question in asked}) > 1:
        raise InputError("pfgen: questions have different numbers of answers; answer each as often")
    items = []
    for question in asked:
        answers = given[question.text]
        for number, (answer, scores) in enumerate(zip(answers, score_answers(question, answers), strict=True)):
            meta = {"unit": question.id, **vars(scores)}
            items.append(Item(f"{question.id}-{number}", question.text, answer, "", scores.average, meta=meta))
    return Answers("pfgen", "score", LICENCE, items)


def score_answers(question: Question, answers: Sequence[str]) -> list[Scores]:
    """Scores of answers to one question."""
    sets = [_likeness(references, answers) for references in question.answers.values()]
    found = []
    for number, answer in enumerate(answers):
        fluency = [round(fluent[number] / len(sets), 6) for fluent, _ in sets]
        truth = [round(true[number] / len(sets), 6) for _, true in sets]
        helpful = round(helpfulness(question.keywords, answer[:200]), 5)
        average = round((sum(fluency) + sum(truth) + helpful) / 3, 5)
        found.append(Scores(round(sum(fluency), 6), round(sum(truth), 6), helpful, average))
    return found


def helpfulness(keywords: Iterable[Mapping[str, Any]], answer: str) -> float:
    """See the module."""
    worth = [1 - max(i - 100, 0) / 50 for i in range(min(len(answer), 150) + 1)]
    for keyword in keywords:
        for i in range(min(len(worth), _reached(keyword, answer))):
            worth[i] *= 1 - keyword.get("importance", 1.0)
    return max(worth)


def _reached(keyword: Mapping[str, Any], answer: str) -> int:
    """Characters read until a keyword is there; more than any answer has where it isn't."""
    if "t" in keyword:
        found = re.search(keyword["t"], answer)
        return found.end() if found else 9999
    last, parts = (max, keyword["and"]) if "and" in keyword else (min, keyword["or"])
    return last(_reached(part, answer) for part in parts)


def _likeness(references: Sequence[str], answers: Sequence[str]) -> tuple[list[float], list[float]]:
    """(fluency, truthfulness) of each answer beside one set of references."""
    texts = [f"^{text}$" for text in references] + [f"^{text}$"[:READ] for text in answers]
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    sizes = np.array([len(text) for text in texts])
    ends = np.cumsum(sizes)
    text_P = np.repeat(np.arange(len(texts)), sizes)
    gain_P, trigram_P = _counts(codes, text_P, ends, len(references))
    read_P = np.arange(len(codes)) - (ends - sizes)[text_P]  # characters of the text read so far
    best = _best(gain_P, read_P, ends - sizes, text_P)
    raw = [float(each) for each in best(1.0)[: len(references)]]
    fluent = best(sum(raw) / len(raw))[len(references) :]
    cover_P = np.maximum(trigram_P, np.maximum(_later(trigram_P, 1), _later(trigram_P, 2)))
    worth_P = np.minimum(1.0, cover_P / len(references) * 200.0)
    first = len(references)
    pieces = zip(ends[first:] - sizes[first:], ends[first:], strict=True)
    counts_P = ~np.isin(codes, _ASIDE)
    return fluent.tolist(), [_truth(worth_P[a:b], counts_P[a:b]) for a, b in pieces]


def _later(values: np.ndarray, by: int) -> np.ndarray:
    return np.concatenate([np.zeros(by, values.dtype), values[:-by]])


def _best(
    gain_P: np.ndarray, read_P: np.ndarray, starts: np.ndarray, text_P: np.ndarray
) -> Callable[[float], np.ndarray]:
    """Fluency of every text as a function of what it is divided by."""
    total_P = np.cumsum(gain_P)
    total_P -= (total_P[starts] - gain_P[starts])[text_P]
    weighted_P = total_P * (1 - np.maximum(read_P - 100, 0) / 50)
    return lambda baseline: np.maximum(np.maximum.reduceat(weighted_P / baseline, starts), 0.0)


def _truth(worth: np.ndarray, counts: np.ndarray) -> float:
    """Of one text; places as characters read."""
    places = np.flatnonzero(counts)
    if not len(places):
        return 0.0
    means = np.cumsum(worth[places]) / np.arange(1, len(places) + 1) * (1 - np.maximum(places - 100, 0) / 50)
    return max(0.0, float(means[places >= 100].max(initial=0.0)), float(means[-1]))


def _counts(codes: np.ndarray, text_P: np.ndarray, ends: np.ndarray, references: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 [P] each: sum of d over the n-grams that end at a place and stand there first in their text; d of the
    trigram that begins at a place.

    An n-gram that stands once is not followed: every longer one from its place stands once too, and has d = 1 if in a
    reference, else 0. ``more_P``: how many such n-grams come to end at a place, less those of the place before it.
    """
    text_P = text_P.astype(np.int32)
    last_P = ends[text_P] - 1  # place of the $
    inner_P = np.where(np.append(False, text_P[1:] == text_P[:-1]), last_P, 0)  # nothing begins at the ^
    bound = ends[references - 1]  # where the references end
    character_P = _numbered(codes)
    shift, width = len(codes).bit_length(), int(character_P.max()).bit_length()
    gain_P, trigram_P, more_P = (np.zeros(len(codes), np.int64) for _ in range(3))
    places, number_P = np.arange(len(codes)), character_P.copy()
    for n in range(1, LONGEST + 1):
        fits = places + (n - 1 if n <= TRIGRAM else n) <= last_P[places]
        places = places[fits]
        if not len(places):
            break
        key = number_P[places] if n == 1 else number_P[places] << width | character_P[places + n - 1]
        key = np.sort(key << shift | places)  # by n-gram, then by place
        places = key & ((1 << shift) - 1)
        key >>= shift
        new = np.append(True, key[1:] != key[:-1])
        group = np.cumsum(new) - 1
        number_P[places] = group
        text, referred, whole = text_P[places], places < bound, places + n - 1 < inner_P[places]
        fresh = whole & np.append(True, new[1:] | (text[1:] != text[:-1]) | ~whole[:-1])
        found = np.bincount(group[fresh & referred], minlength=int(group[-1]) + 1)
        gain_P[places[fresh] + n - 1] += found[group[fresh]]
        if n == TRIGRAM:
            trigram_P[places] = found[group]
        single = new & np.append(new[1:], True)
        at = places[single & whole & referred]
        more_P[at + n] += 1
        np.subtract.at(more_P, np.minimum(at + LONGEST, last_P[at]), 1)
        places = places[~single]
    return gain_P + np.cumsum(more_P), trigram_P


def _numbered(codes: np.ndarray) -> np.ndarray:
    """int64 [P]: characters numbered from 0."""
    there = np.zeros(int(codes.max()) + 1, bool)
    there[codes] = True
    numbers: np.ndarray = np.cumsum(there)[codes] - 1
    return numbers
