"""Six real domains as token shards, for benchmarks of mixing: ``OMP_NUM_THREADS=1 python -m benchmarks.mixing_domains
[FOLDER]``.

    ja-novels    Aozora works, a sample              ja-wiki      Wikipedia articles, the paragraphs of each joined
    ja-manuals   technical documentation, a sample   ja-instruct  instruction, input and output as one text
    en-manuals   technical documentation             en-novels    chapters of six novels

A document is the beginning of a work: its first 12,000 bytes (about 4,000 Japanese characters), to the last line break;
what follows is left out. ``corpus run`` draws the split ``valid`` by a hash of a document's id (of the lowest one among
its near-duplicates) and knows no works: pieces of one would land on both sides. So a work gives one document. Of works
with the same title and author (parts of a serial, old spellings), of versions of a page and of questions on the same
passage the first is taken; a page that both languages have is in one of the two manuals, as its code is the same in
both. Samples are the first by a hash of the name. Near-duplicates go from a Jaccard similarity of 0.5 on.

What still leaks: a held-out chapter has its people and places in common with the chapters of the same novel that are
trained on; authors have works on both sides; pages of a manual share boilerplate (of all 40-character strings in
held-out pages, white space aside, 16 % are in a trained-on page of the English and 5 % in one of the Japanese manuals,
2 to 4 % in one of the other manual; a third of the English ones is a generated catalog of data sets); a few passages
are asked about in two wordings (2 % of ja-instruct). Of the strings in novels and articles next to none return.
"""

import itertools
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import xxhash
import zstandard

from benchmarks.record import DATA
from cli.corpus import run_loaded
from jacorpus.engine.inline import Inline
from jacorpus.recipe import load_recipe
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import EncodeOptions, EncodeRun
from tokenizer_lab.train import train
from tokenizer_lab.training.settings import training_from_table

DOMAINS = ("en-manuals", "en-novels", "ja-instruct", "ja-manuals", "ja-novels", "ja-wiki")
DOCUMENT_BYTES = 12_000
SAMPLE_BYTES = 9_000_000  # of a domain that is a sample

BILINGUAL_IN_JA = 0.2
"""Share of the pages both languages have that is in the Japanese manuals; the rest is in the English ones."""

RECIPE = """\
name = "mixing-domains"
valid_ratio = 0.1
{sources}
[[stage]]
use = "dedup.exact"
[[stage]]
use = "dedup.minhash"
threshold = 0.5

[tokenizer]
algorithm = "unigram"
vocab_size = 4096
coverage = 0.99      # 1,250 characters get an id of their own, bytes write the rarest hundredth
budget_bytes = 24_000_000
weights = {{ {weights} }}
"""

Named = Iterable[tuple[str, str]]
"""Names of works and their texts; of one name, the first text is taken."""


def token_folder(work: Path) -> Path:
    """The folder of token shards of the six domains, made below ``work`` or found there unchanged.

    The tokenizer is trained again each time (3 s): the same text gives the same bytes, and its shards then stand.
    """
    return _steps(work, lambda _: None)


def _steps(work: Path, tell: Callable[[str], None]) -> Path:
    """What ``token_folder`` does; tell is called with the name of each step at its end."""
    for name in DOMAINS:
        lines = (json.dumps({"id": id, "text": text}, ensure_ascii=False) for id, text in documents(name))
        _write(work / f"{name}.jsonl", "\n".join(lines) + "\n")
    _write(work / "recipe.toml", recipe())
    tell("texts")
    loaded = load_recipe(work / "recipe.toml")
    run_loaded(loaded, work / "corpus", 1, "inline", quiet=True)
    tell("corpus run")
    corpus = open_corpus([str(work / "corpus")])
    train(corpus, training_from_table(loaded.later["tokenizer"]), work / "tokenizer", force=True)
    tell("tokenizer train")
    EncodeRun(corpus, work / "tokenizer", work / "tokens", EncodeOptions(), Inline()).execute()
    tell("tokenizer encode")
    return work / "tokens"


def recipe() -> str:
    """TOML: what is read, its dedup and split, and the one tokenizer, which learns from as much of each domain."""
    source = '\n[[source]]\nuse = "sources.jsonl"\ndomain = "{0}"\npaths = ["{0}.jsonl"]'
    weights = ", ".join(f"{name} = 1" for name in DOMAINS)
    return RECIPE.format(sources="\n".join(map(source.format, DOMAINS)), weights=weights)


def documents(domain: str) -> Iterator[tuple[str, str]]:
    """(name, beginning) of the works of a domain, each name once."""
    works = {"novels": novels, "manuals": manuals, "wiki": wiki, "instruct": instruct}
    language, kind = domain.split("-")
    first: dict[str, str] = {}
    for name, text in works[kind](language):
        first.setdefault(name, beginning(text))
    if domain not in ("ja-novels", "ja-manuals"):
        yield from first.items()
        return
    names = sorted(first, key=uniform)
    ends = itertools.accumulate(len(first[name].encode()) for name in names)
    yield from ((name, first[name]) for name, end in zip(names, ends, strict=True) if end <= SAMPLE_BYTES)


def novels(language: str) -> Named:
    """Japanese: works by title and author. English: chapters, which have nothing else to be told by than their id."""
    for row in rows("ja/aozora" if language == "ja" else "en/prose"):
        yield (f"{row['title']} / {row['author']}" if language == "ja" else row["id"]), row["text"]


def manuals(language: str) -> Named:
    """Pages; those that the other language has too stay in one of the two by a hash."""
    both = {row["align"] for row in rows("ja/docs")} & {row["align"] for row in rows("en/docs")}
    for row in rows(f"{language}/docs"):
        page = row["align"]
        if page not in both or language == ("ja" if uniform(f"both {page}") < BILINGUAL_IN_JA else "en"):
            yield page, row["text"]


def wiki(_: str) -> Named:
    """Articles: their paragraphs in order, equal ones once, without the questions on them."""
    articles: dict[str, dict[str, None]] = {}
    for row in sorted(rows("qa/squad_ja"), key=lambda row: [int(n) for n in re.findall(r"\d+", row["id"])]):
        articles.setdefault(row["title"], {})[row["text"].strip()] = None
    return [(title, "\n".join(paragraphs)) for title, paragraphs in articles.items()]


def instruct(_: str) -> Named:
    """Records, the first of those that ask about the same passage."""
    seen: set[str] = set()
    for row in rows("instruct/dolly_ja"):
        parts = [row[key].strip() for key in ("instruction", "input", "output")]
        if not parts[1] or parts[1] not in seen:
            seen.add(parts[1])
            yield row["id"], "\n\n".join(part for part in parts if part)


def rows(name: str) -> Iterator[dict[str, Any]]:
    """Records of a file of the data folder."""
    with zstandard.open(DATA / f"{name}.jsonl.zst", "rt", encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def beginning(text: str) -> str:
    """At most DOCUMENT_BYTES of a text, up to a line break where the second half of them has one."""
    data = text.strip().encode()
    if len(data) <= DOCUMENT_BYTES:
        return data.decode()
    stop = data.rfind(b"\n", DOCUMENT_BYTES // 2, DOCUMENT_BYTES)
    return data[: stop if stop >= 0 else DOCUMENT_BYTES].decode(errors="ignore")


def uniform(name: str) -> float:
    """A number in [0, 1) that only the name decides."""
    return xxhash.xxh3_64_intdigest(name.encode()) / 2**64


def _write(path: Path, content: str) -> None:
    """Leave a file alone that holds this already: what comes after it then stands too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != content:
        path.write_text(content, "utf-8")


def main() -> None:
    """Make the folder, and print the seconds of each step and what is in it."""
    start = time.perf_counter()

    def tell(step: str) -> None:
        nonlocal start
        print(f"{time.perf_counter() - start:7.1f} s  {step}", flush=True)
        start = time.perf_counter()

    tokens = _steps(Path(*sys.argv[1:2] or ["out/mixing-domains"]), tell)
    print(f"{'domain':12} split {'documents':>10} {'tokens':>10} {'bytes':>11} {'bytes a token':>14}")
    for domain, splits in json.loads((tokens / "manifest.json").read_text("utf-8"))["domains"].items():
        for split, counts in splits.items():
            size, number = counts["text_bytes"], counts["tokens"]
            print(f"{domain:12} {split} {counts['documents']:10,} {number:10,} {size:11,} {size / number:14.2f}")
    print(tokens)


if __name__ == "__main__":
    main()
