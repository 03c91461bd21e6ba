"""Where two tokenizers first cut a text differently, and why.

Not a list of properties: the first difference is found, and each rule by which two tokenizers can part is tried on
it (does one put a space before the text? what did the normalizers make of it? does a pattern cut there? is the piece
in both vocabularies? what do both ways score in both models?). The first rule that holds is named, with what was
looked up. Properties that differ are listed beside it, whether or not they matter here.

a and b may be two files, the fast path and the library of one file, or a file and its conversion. Where both number
their pieces alike ids are compared, else the bytes that tokens stand for. Text is first read with special strings as
plain text; where that shows no difference, as the original libraries read it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tokenizer_lab.causes import choosing, cutting, reading
from tokenizer_lab.causes.place import Cause, Place, numbered_alike, places, quoted, shown
from tokenizer_lab.corpus import Domain
from tokenizer_lab.tokenizer import SpecialText, Tokenizer, list_buffers
from tokenizer_lab.verify import differing

RULES: tuple[Callable[[Place], Cause | None], ...] = (
    reading.specials,
    reading.unknown,
    reading.prefix,
    reading.white_space,
    reading.normalizer,
    cutting.pattern,
    choosing.vocabulary,
    choosing.scores,
    choosing.algorithm,
    choosing.merges,
)
"""Tried in this order: from the text that is read to the pieces that are taken."""

PREFIX = "dummy prefix"
BEHIND = 20
"""Differences behind a dummy prefix that are looked at for one of another cause."""

CAUSES = (
    "specials",
    "byte fallback",
    "unknown run",
    PREFIX,
    "white space",
    "normalizer",
    "unicode version",
    "pattern",
    "regex dialect",
    "vocabulary",
    "tie",
    "float precision",
    "scores",
    "algorithm",
    "merges",
    "unexplained",
)

PROBES = (
    "吾輩は猫である。名前はまだ無い。",
    "The quick brown fox isn't here; they'll pay 1234567 yen at 12:30.",
    " leading space,  two  spaces,\ttab　ideographic space and trailing ",
    "first\n\nsecond\r\n    indented\n",
    "ｶﾞｷﾞ Ｆｕｌｌ ① ㈱ ﬁ ½ か\u3099 が",
    "𠮷野家で😀👨‍👩‍👧を見た",
    "\ufeff▁<0x41> <s></s><unk><pad><|endoftext|>",
    "def f(x):\n\treturn x ** 2  # 二乗",
    "한국어와 中文 и русский",
)
"""Texts that are tried where none is given: one for each habit that sets tokenizers apart."""


@dataclass(frozen=True)
class Difference:
    """The first difference in a text and its cause. then: the first one of another cause behind a dummy prefix, which
    would hide all others."""

    place: Place
    cause: Cause
    then: "Difference | None" = None

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        before, after = self.place.around()
        return {
            "cause": self.cause.name,
            "rule": self.cause.rule,
            "evidence": self.cause.evidence,
            "special_text": self.place.special_text,
            "bytes": [self.place.start, self.place.end],
            "before": before,
            "text": shown(self.place.raw),
            "after": after,
            "a": [token.as_json() for token in self.place.a.tokens],
            "b": [token.as_json() for token in self.place.b.tokens],
            "then": self.then.as_json() if self.then else None,
        }


def explain(a: Tokenizer, b: Tokenizer, text: str, alike: bool | None = None) -> Difference | None:
    """The first difference between ``a`` and ``b`` in a text, with its cause; None where they are equal.

    alike: whether ids may be compared (looked up where None).
    """
    alike = numbered_alike(a, b) if alike is None else alike
    for special_text in ("text", "ids"):
        found = places(a, b, text, special_text, alike)  # type: ignore[arg-type]
        first = next(found, None)
        if first is None:
            continue
        cause = _cause(first)
        if cause.name != PREFIX:
            return Difference(first, cause)
        others = ((place, _cause(place)) for place in islice(found, BEHIND))
        then = next((Difference(*other) for other in others if other[1].name != PREFIX), None)
        return Difference(first, cause, then)
    return None


def _cause(place: Place) -> Cause:
    for rule in RULES:
        cause = rule(place)
        if cause:
            return cause
    tried = ", ".join(rule.__name__.replace("_", " ") for rule in RULES)
    differ = traits_that_differ(place.a.tokenizer, place.b.tokenizer)
    traits = "; ".join(f"{name}: {x} / {y}" for name, (x, y) in differ.items()) or "none"
    return Cause("unexplained", f"no rule accounts for it; tried {tried}", [f"traits that differ: {traits}"])


def why(a: Tokenizer, b: Tokenizer, text: str) -> str:
    """One sentence on the first difference, for ``tokenizer verify``."""
    found = explain(a, b, text)
    if found is None:
        return "equal"
    sides = " against ".join(quoted(t.piece for t in side.tokens) for side in (found.place.a, found.place.b))
    return f"{found.cause.name}: {found.cause.rule} (bytes {found.place.start}-{found.place.end}: {sides})"


def traits_that_differ(a: Tokenizer, b: Tokenizer) -> dict[str, tuple[Any, Any]]:
    """Trait -> (value in a, value in b), for those that are not the same; None where a side does not have it."""
    names = dict.fromkeys([*a.traits, *b.traits])
    values = {name: (a.traits.get(name), b.traits.get(name)) for name in names}
    return {name: pair for name, pair in values.items() if pair[0] != pair[1]}


@dataclass
class Summary:
    """A corpus, by the cause of the first difference of each document.

    causes: cause -> documents. then: of those that begin with a dummy prefix, the cause of the first other difference
    -> documents. first: cause -> the first difference with it. unread: documents that differ and were
    not looked into, beyond the limit. lost: records that could not be read.
    """

    documents: int = 0
    differ: int = 0
    unread: int = 0
    causes: dict[str, int] = field(default_factory=dict)
    then: dict[str, int] = field(default_factory=dict)
    first: dict[str, Difference] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``. Shares are of all documents."""
        share = {name: number / self.documents for name, number in self.causes.items()} if self.documents else {}
        return {
            "documents": self.documents,
            "differ": self.differ,
            "not_looked_into": self.unread,
            "causes": self.causes,
            "behind_a_dummy_prefix": self.then,
            "shares": share,
            "first": {name: difference.as_json() for name, difference in self.first.items()},
            "lost_records": self.lost,
        }


def summarize(
    a: Tokenizer,
    b: Tokenizer,
    domains: Sequence[Domain],
    limit: int = 500,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Count the documents that differ, by the cause of their first difference.

    limit: how many of those that differ are looked into, the first ones in the order of the corpus; the rest is
    counted as ``unread``. progress: called with bytes done.
    """
    found, alike = Summary(), numbered_alike(a, b)
    for domain in domains:
        for batch in domain.documents():
            rows = _differing(a, b, batch["text"], alike)
            found.documents += batch.num_rows
            found.differ += len(rows)
            for row in rows:
                if sum(found.causes.values()) >= limit:
                    found.unread += 1
                    continue
                difference = explain(a, b, batch["text"][row].as_py(), alike)
                name = difference.cause.name if difference else "unexplained"
                found.causes[name] = found.causes.get(name, 0) + 1
                if difference:
                    found.first.setdefault(name, difference)
                if difference and difference.then:
                    name = difference.then.cause.name
                    found.then[name] = found.then.get(name, 0) + 1
                    found.first.setdefault(name, difference.then)
            if progress:
                progress(int(pc.sum(pc.binary_length(batch["text"])).as_py() or 0))
        found.lost |= {f"{domain.name}/{place}": number for place, number in domain.lost.items()}
    found.causes, found.then = _by_number(found.causes), _by_number(found.then)
    return found


def _by_number(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _differing(a: Tokenizer, b: Tokenizer, texts: pa.Array, alike: bool) -> list[int]:
    """Rows that differ, read as plain text or, where they hold a special string, as the libraries read it."""
    rows = set(_pairwise(a, b, texts, "text", alike))
    names = sorted({name for side in (a, b) for name in side.vocabulary.specials})
    if names:
        found = re.compile("|".join(map(re.escape, names)))
        held = [row for row, text in enumerate(texts.to_pylist()) if row not in rows and found.search(text)]
        if held:
            rows |= {held[row] for row in _pairwise(a, b, texts.take(pa.array(held)), "ids", alike)}
    return sorted(rows)


def _pairwise(a: Tokenizer, b: Tokenizer, texts: pa.Array, way: SpecialText, alike: bool) -> list[int]:
    one, two = a.encode(texts, way), b.encode(texts, way)
    return differing(one, two).tolist() if alike else _unlike(a, b, one, two)


def _unlike(a: Tokenizer, b: Tokenizer, one: pa.LargeListArray, two: pa.LargeListArray) -> list[int]:
    """Rows whose tokens stand for other bytes, or for none where the other side has some."""
    (offsets_a, ids_a), (offsets_b, ids_b) = list_buffers(one), list_buffers(two)
    numbers: dict[bytes, int] = {}
    keys = []
    for tokenizer, ids in ((a, ids_a), (b, ids_b)):
        table = [numbers.setdefault(piece, len(numbers)) for piece in tokenizer.vocabulary.token_bytes]
        keys.append(pa.array(table, pa.uint32()).to_numpy()[ids])
    lists = [
        pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
        for offsets, values in ((offsets_a, keys[0]), (offsets_b, keys[1]))
    ]
    return differing(*lists).tolist()
