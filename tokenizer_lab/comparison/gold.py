"""Text that people cut into words: CoNLL-U files, and JSON Lines with ``sentences: [{words, pos}]``.

Legend: N documents.

CoNLL-U (universaldependencies.org/format): a document is a sentence, its text the comment ``# text``; the words of UD
Japanese are short units. Where MISC has ``LUWBILabel`` and ``BunsetuBILabel`` (B begins a unit, I goes on) the long
units and bunsetsu are read too. Multiword lines (``1-2``) and empty nodes (``1.1``) are no words. Sentences of one
``# newdoc`` are drawn together. ``# text_en`` is kept as the aligned English text.
JSON Lines: ``text`` is the words joined; a document is a line.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from jacorpus.sources import compression
from jacorpus.sources.paths import expand
from tokenizer_lab.comparison.encoded import Texts, Units

SHORT, LONG, BUNSETSU, JUMAN = "short unit", "long unit", "bunsetsu", "Juman word"
_LABELS = {"LUWBILabel": LONG, "BunsetuBILabel": BUNSETSU}
_COLUMNS = 10


@dataclass(frozen=True)
class Gold:
    """A gold file. english: the English translation of each document as a corpus of its own, None without."""

    texts: Texts
    english: Texts | None = None


@dataclass
class _Document:
    """spans: unit name -> (start, end) in bytes of the text."""

    text: str
    spans: dict[str, list[tuple[int, int]]]
    group: int
    english: str = ""


def read_gold(paths: Sequence[str]) -> list[Gold]:
    """Each file of the paths (globs, folders), sorted. Raises InputError for a file of neither kind."""
    return [_read(Path(file.uri)) for file in expand(list(paths), Path.cwd())]


def _read(path: Path) -> Gold:
    lines = _lines(path)
    first = next((line for line in lines if line.strip()), "")
    documents = list(_json_lines(path, lines) if first.startswith("{") else _conllu(path, lines))
    if not documents:
        raise InputError(f"{path} holds no gold segmentation; expected CoNLL-U, or JSON lines with `sentences`")
    name = f"{path.parent.name}/{path.name.partition('.')[0]}"
    names = [name for name in (SHORT, LONG, BUNSETSU, JUMAN) if any(name in d.spans for d in documents)]
    group = np.array([document.group for document in documents])
    texts = pa.array([document.text for document in documents], pa.large_string())
    units = {name: _units([document.spans.get(name, []) for document in documents]) for name in names}
    about = f"{path.name}, {len(documents):,} texts in {int(group.max()) + 1:,} documents"
    english = None
    if all(document.english for document in documents):
        other = pa.array([document.english for document in documents], pa.large_string())
        english = Texts(f"{name} (English)", other, group=group, about=about)
    return Gold(Texts(name, texts, units, group, about), english)


def _lines(path: Path) -> list[str]:
    with open(path, "rb") as stream:
        kind = compression.kind_of(stream.read(6))
        stream.seek(0)
        try:
            return b"".join(compression.pieces(stream, kind)).decode("utf-8-sig").split("\n")
        except (compression.Damaged, UnicodeDecodeError) as error:
            raise InputError(f"{path} can't be read: {error}; expected UTF-8, perhaps compressed") from error


def _units(spans: Sequence[list[tuple[int, int]]]) -> Units:
    flat = np.array([span for own in spans for span in own], np.int64).reshape(-1, 2)
    offsets = np.cumsum([0, *map(len, spans)]).astype(np.int64)
    return Units(offsets, np.ascontiguousarray(flat[:, 0]), np.ascontiguousarray(flat[:, 1]))


def _json_lines(path: Path, lines: Sequence[str]) -> Iterator[_Document]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            words = [str(word) for sentence in record["sentences"] for word in sentence["words"]]
            text = record["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} line {number}: expected `text` and `sentences: [{{words}}]` ({error})") from error
        if "".join(words) != text:
            raise InputError(f"{path} line {number}: the words joined are not the text")
        ends = np.cumsum([0, *(len(word.encode()) for word in words)]).tolist()
        yield _Document(text, {JUMAN: list(pairwise(ends))}, number - 1)


@dataclass
class _Sentence:
    """Lines of one sentence, gathered."""

    text: str = ""
    english: str = ""
    words: list[str] = field(default_factory=list)
    misc: list[dict[str, str]] = field(default_factory=list)


def _conllu(path: Path, lines: Sequence[str]) -> Iterator[_Document]:
    sentence, group = _Sentence(), -1
    for number, line in enumerate([*lines, ""], 1):
        line = line.rstrip("\r")
        if line.startswith("# newdoc") or (group < 0 and line):
            group += 1
        if line.startswith("#"):
            key, _, value = line[1:].partition("=")
            if key.strip() == "text":
                sentence.text = value.strip()
            elif key.strip() == "text_en":
                sentence.english = value.strip()
        elif line.strip():
            _word(path, number, line, sentence)
        elif sentence.words:
            yield _document(path, number, sentence, group)
            sentence = _Sentence()


def _word(path: Path, number: int, line: str, sentence: _Sentence) -> None:
    columns = line.split("\t")
    if len(columns) != _COLUMNS:
        raise InputError(f"{path} line {number}: {len(columns)} columns where CoNLL-U has {_COLUMNS}")
    if columns[0].isdigit():
        sentence.words.append(columns[1])
        sentence.misc.append(dict(pair.split("=", 1) for pair in columns[9].split("|") if "=" in pair))


def _document(path: Path, number: int, sentence: _Sentence, group: int) -> _Document:
    """The words found in the text, one behind the other."""
    spaced = [("" if misc.get("SpaceAfter") == "No" else " ") for misc in sentence.misc]
    text = sentence.text or "".join(w + s for w, s in zip(sentence.words, spaced, strict=True)).strip()
    spans, at = [], 0
    for word in sentence.words:
        start = text.find(word, at)
        if start < 0 or text[at:start].strip():
            raise InputError(f"{path}: the sentence that ends at line {number} does not hold `{word}` in its place")
        at = start + len(word)
        spans.append((len(text[:start].encode()), len(text[:at].encode())))
    found = {SHORT: spans}
    for label, name in _LABELS.items():
        if all(label in misc for misc in sentence.misc):
            found[name] = _merged(spans, [misc[label] for misc in sentence.misc])
    return _Document(text, found, group, sentence.english)


def _merged(spans: Sequence[tuple[int, int]], labels: Sequence[str]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for (start, end), label in zip(spans, labels, strict=True):
        if label == "B" or not merged:
            merged.append((start, end))
        else:
            merged[-1] = (merged[-1][0], end)
    return merged
