"""Is the fast path exact? The same text through it and through the original library, ids compared.

What is claimed is equality for each line (text between LF): the unit SentencePiece was made for, and one on which
sums of scores stay short. Whole documents are compared too and reported apart: over some tens of thousands of
characters without a line end the rounding of a running sum may pick another of two nearly equal splits.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenizer_lab.corpus import Domain, nothing_in
from tokenizer_lab.tokenizer import Tokenizer, list_buffers

LONG_LINE_CHARS = 20_000
SHOWN = 20


@dataclass
class Checked:
    """Counts of one domain."""

    documents: int = 0
    documents_differ: int = 0
    lines: int = 0
    lines_differ: int = 0
    long_lines_differ: int = 0  # of lines_differ, those over LONG_LINE_CHARS
    bytes: int = 0
    tokens: int = 0


@dataclass
class Difference:
    """One text that the two sides cut otherwise. unit: line or document."""

    domain: str
    document: str
    unit: str
    text: str
    why: str = ""


@dataclass
class Verified:
    """The outcome. differences: the first SHOWN of lines, then of documents."""

    tokenizer: Tokenizer
    reference: str
    domains: dict[str, Checked] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
    compared: bool = True  # False where the library itself encodes: there is nothing to compare

    @property
    def lines_differ(self) -> int:
        return sum(checked.lines_differ for checked in self.domains.values())

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "tokenizer": self.tokenizer.name,
            "fingerprint": self.tokenizer.fingerprint,
            "engine": self.tokenizer.engine,
            "why_slow": self.tokenizer.why_slow,
            "reference": self.reference,
            "compared": self.compared,
            "equal": self.lines_differ == 0,
            "domains": {name: vars(checked) for name, checked in self.domains.items()},
            "differences": [vars(difference) for difference in self.differences],
            "lost_records": self.lost,
        }


Why = Callable[[Tokenizer, Tokenizer, str], str]
"""(fast, reference, text) -> one sentence on why they differ."""


def verify(
    tokenizer: Tokenizer,
    domains: Sequence[Domain],
    why: Why | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verified:
    """Compare the ids of ``tokenizer`` with those of its reference over every document of the domains.

    why: explains a difference; asked for those shown. progress: called with bytes done.
    Raises InputError where there is no document: nothing compared proves nothing.
    """
    reference = tokenizer.reference()
    outcome = Verified(tokenizer, tokenizer.reference_name, compared=reference is not None)
    for domain in domains:
        checked = outcome.domains.setdefault(domain.name, Checked())
        for batch in domain.documents():
            if reference is not None:
                _check(batch, tokenizer, reference, checked, outcome)
            size = int(pc.sum(pc.binary_length(batch["text"])).as_py() or 0)
            checked.documents += batch.num_rows
            checked.bytes += size
            if progress:
                progress(size)
        outcome.lost |= {f"{domain.name}/{place}": number for place, number in domain.lost.items()}
    if not any(checked.bytes for checked in outcome.domains.values()):
        raise nothing_in(domains)
    if why and reference is not None:
        for difference in outcome.differences:
            difference.why = why(tokenizer, reference, difference.text)
    return outcome


def _check(batch: pa.RecordBatch, fast: Tokenizer, slow: Tokenizer, checked: Checked, outcome: Verified) -> None:
    texts = batch["text"]
    split = pc.split_pattern(texts, "\n")
    lines, owner = split.flatten(), pc.list_parent_indices(split).to_numpy(zero_copy_only=False)
    ours = fast.encode(lines)
    wrong = differing(ours, slow.encode(lines))
    checked.lines += len(lines)
    checked.tokens += len(list_buffers(ours)[1])
    checked.lines_differ += len(wrong)
    for row in wrong:
        text = lines[int(row)].as_py()
        checked.long_lines_differ += len(text) > LONG_LINE_CHARS
        _note(outcome, batch, int(owner[row]), "line", text)
    whole = differing(fast.encode(texts), slow.encode(texts))
    checked.documents_differ += len(whole)
    for row in whole:
        _note(outcome, batch, int(row), "document", texts[int(row)].as_py())


def _note(outcome: Verified, batch: pa.RecordBatch, row: int, unit: str, text: str) -> None:
    if sum(difference.unit == unit for difference in outcome.differences) < SHOWN:
        id, domain = batch["id"][row].as_py().hex(), batch["domain"][row].as_py()
        outcome.differences.append(Difference(domain, id, unit, text))


def differing(a: pa.LargeListArray, b: pa.LargeListArray) -> np.ndarray:
    """int64 [D]: rows whose token lists differ."""
    (offsets_a, ids_a), (offsets_b, ids_b) = list_buffers(a), list_buffers(b)
    if np.array_equal(offsets_a, offsets_b):
        if np.array_equal(ids_a, ids_b):
            return np.zeros(0, np.int64)
        return np.unique(np.searchsorted(offsets_a, np.flatnonzero(ids_a != ids_b), "right") - 1)
    rows = _pairs(offsets_a, ids_a, offsets_b, ids_b)
    return np.fromiter((i for i, (x, y) in enumerate(rows) if not np.array_equal(x, y)), np.int64)


def _pairs(
    offsets_a: np.ndarray, ids_a: np.ndarray, offsets_b: np.ndarray, ids_b: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for i in range(len(offsets_a) - 1):
        yield ids_a[offsets_a[i] : offsets_a[i + 1]], ids_b[offsets_b[i] : offsets_b[i + 1]]
