"""The three forms of one Unigram model on held-out text: how often their ids differ, and which of the reasons it is.

PLaMo-2's form sums whole ticks (1e-4) from the end and takes the longest *first* piece of equally good splits. The
other two add floating-point scores from the beginning, and of equal sums keep the longest *last* piece. So two reasons
are to be expected, told apart here by adding up the ticks of both splits:

- ``tie``: both splits are worth the same number of ticks; either is right.
- ``drift``: the floats settled on a split worth less, by a few ticks: a running sum of thousands has no more digits
  for them (float32 in SentencePiece, so long lines; float64 in Hugging Face, so hardly ever).

Anything else would be a fault of a writer or a reader and is counted as ``unexplained``.
Documents are compared whole and line by line (lines are the unit SentencePiece is made for).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenizer_lab.tokenizer import Kind, Tokenizer, Vocabulary, list_buffers
from tokenizer_lab.training.unigram_model import TICKS
from tokenizer_lab.verify import differing

DRIFT_TICKS = 100
"""A split that is worth less by more than this a difference is no matter of rounding."""

EXACT = "plamo2"


@dataclass
class Counted:
    """texts, tokens: compared, tokens of the exact form. ties, drifts, unexplained: texts that differ, by reason."""

    texts: int = 0
    tokens: int = 0
    ties: int = 0
    drifts: int = 0
    unexplained: int = 0

    @property
    def differ(self) -> int:
        return self.ties + self.drifts + self.unexplained


@dataclass
class FormReport:
    """One form against the exact one. worst_ticks: what the worst drift costs. example: the first difference."""

    form: str
    engine: str
    lines: Counted = field(default_factory=Counted)
    documents: Counted = field(default_factory=Counted)
    worst_ticks: int = 0
    example: str = ""

    def as_json(self) -> dict[str, Any]:
        """For train.json and ``--json``."""
        return {**asdict(self), "sentence": self.sentence()}

    def sentence(self) -> str:
        """One line for people."""
        lines, documents = self.lines, self.documents
        head = f"{self.form} v {EXACT}: {lines.differ:,} of {lines.texts:,} lines differ"
        if not lines.differ and not documents.differ:
            return f"{head}, and no document"
        whole = f"{documents.differ:,} of {documents.texts:,} documents"
        return (
            f"{head} ({lines.ties:,} ties, {lines.drifts:,} float drift, {lines.unexplained:,} unexplained), {whole} "
            f"({documents.ties:,} ties, {documents.drifts:,} float drift, {documents.unexplained:,} unexplained), "
            f"the worst by {self.worst_ticks / TICKS:.4f} nats; {self.example}"
        )


def unigram_differences(forms: Mapping[str, Tokenizer], texts: pa.Array) -> list[FormReport]:
    """Reports of all forms but PLaMo-2's on documents, large_string [N]. forms: format name -> tokenizer."""
    exact = forms[EXACT]
    lines = pc.split_pattern(texts.cast(pa.large_string()), "\n").flatten()
    reports = []
    for name, form in forms.items():
        if name == EXACT:
            continue
        report = FormReport(name, form.engine)
        for unit, counted in ((lines, report.lines), (texts, report.documents)):
            _compare(exact, form, unit, counted, report)
        reports.append(report)
    return reports


def _compare(exact: Tokenizer, form: Tokenizer, texts: pa.Array, counted: Counted, report: FormReport) -> None:
    ours, theirs = exact.encode(texts), form.encode(texts)
    (starts, ids), (other_starts, other_ids) = list_buffers(ours), list_buffers(theirs)
    counted.texts, counted.tokens = len(texts), len(ids)
    ticks = _ticks(exact.vocabulary)
    for row in differing(ours, theirs).tolist():
        right = ids[starts[row] : starts[row + 1]]
        wrong = other_ids[other_starts[row] : other_starts[row + 1]]
        places = _places(exact.vocabulary, form.vocabulary, right, wrong)
        lost = int(ticks[right].sum() - ticks[wrong].sum()) if places else -1
        if lost == 0:
            counted.ties += 1
        elif 0 < lost <= DRIFT_TICKS * len(places):
            counted.drifts += 1
            report.worst_ticks = max(report.worst_ticks, lost)
        else:
            counted.unexplained += 1
        report.example = report.example or _example(exact.vocabulary, right, wrong, places)


def _ticks(vocabulary: Vocabulary) -> np.ndarray:
    """int64 [V]; byte tokens stand for characters that no piece holds, so every split has the same ones: 0."""
    assert vocabulary.scores is not None
    found = np.rint(vocabulary.scores * TICKS).astype(np.int64)
    found[vocabulary.kinds == Kind.BYTE] = 0
    return found


def _places(ours: Vocabulary, theirs: Vocabulary, right: np.ndarray, wrong: np.ndarray) -> list[tuple[int, int]]:
    """(first byte, last byte) of every stretch that is cut otherwise; none where the bytes are not the same."""
    ends, others = np.cumsum(ours.lengths[right]), np.cumsum(theirs.lengths[wrong])
    if not len(ends) or not len(others) or ends[-1] != others[-1]:
        return []
    common = np.intersect1d(ends, others)
    before = np.concatenate([[0], common[:-1]])
    only = np.setxor1d(ends, others)
    chosen = np.unique(np.searchsorted(common, only))
    return list(zip(before[chosen].tolist(), common[chosen].tolist(), strict=True))


def _example(vocabulary: Vocabulary, right: np.ndarray, wrong: np.ndarray, places: list[tuple[int, int]]) -> str:
    if not places:
        return "the tokens stand for other bytes"
    first, last = places[0]
    texts = []
    for ids in (right, wrong):
        ends = np.cumsum(vocabulary.lengths[ids])
        inside = ids[(ends > first) & (ends <= last)]
        pieces = "|".join(vocabulary.token_bytes[id].decode("utf-8", "replace") for id in inside)
        score = int(_ticks(vocabulary)[inside].sum()) / TICKS
        texts.append(f"{pieces!r} ({score:.4f})")
    return f"first: {texts[0]} there, {texts[1]} here"
