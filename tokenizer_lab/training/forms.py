"""The forms of one trained tokenizer beside each other: do the files give equal ids, and where not, why?

The first form is what the others are compared with, document by document, as ``open_tokenizer`` reads them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tokenizer_lab.causes.place import shown
from tokenizer_lab.explain import explain
from tokenizer_lab.tokenizer import Tokenizer, list_buffers, open_tokenizer

EXPLAINED = 5
"""Documents that are looked into where two forms differ."""


@dataclass(frozen=True)
class FormDifference:
    """documents, tokens: compared, of the first form. differ: documents with other ids. more_tokens: how many more
    the other form gives. causes: cause -> documents of those looked into. rule, text: of the first one, ``a`` being the
    first form and ``b`` the other; empty where none was looked into."""

    first: str
    other: str
    documents: int
    tokens: int
    differ: int
    more_tokens: int
    causes: dict[str, int] = field(default_factory=dict)
    rule: str = ""
    text: str = ""

    def as_json(self) -> dict[str, Any]:
        """For train.json."""
        return dict(vars(self))


def open_forms(files: dict[str, Path]) -> dict[str, Tokenizer]:
    """Each form as the reader of its format has it."""
    return {name: open_tokenizer(path) for name, path in files.items()}


def compare_forms(forms: dict[str, Tokenizer], texts: pa.Array, explained: int = EXPLAINED) -> list[FormDifference]:
    """Every form but the first against the first, on documents, large_string [N]; a few that differ are explained."""
    (name, first), *others = forms.items()
    expected = first.encode(texts)
    return [_compared(name, first, expected, other, tokenizer, texts, explained) for other, tokenizer in others]


def _compared(
    name: str,
    first: Tokenizer,
    expected: pa.LargeListArray,
    other: str,
    tokenizer: Tokenizer,
    texts: pa.Array,
    explained: int,
) -> FormDifference:
    found = tokenizer.encode(texts)
    different = differing_documents(expected, found)
    causes: Counter[str] = Counter()
    rule = text = ""
    for document in islice(different, explained):
        difference = explain(first, tokenizer, texts[document].as_py() or "", True)
        cause = difference.cause.name if difference else "not seen in the document alone"
        causes[cause] += 1
        if difference and not rule:
            before, after = difference.place.around()
            rule, text = difference.cause.rule, before + shown(difference.place.raw) + after
    tokens = len(list_buffers(expected)[1])
    more = len(list_buffers(found)[1]) - tokens
    return FormDifference(name, other, len(texts), tokens, len(different), more, dict(causes), rule, text)


def differing_documents(a: pa.LargeListArray, b: pa.LargeListArray) -> Sequence[int]:
    """Rows whose token lists differ."""
    (starts_a, ids_a), (starts_b, ids_b) = list_buffers(a), list_buffers(b)
    return [
        row
        for row in range(len(a))
        if not np.array_equal(ids_a[starts_a[row] : starts_a[row + 1]], ids_b[starts_b[row] : starts_b[row + 1]])
    ]
