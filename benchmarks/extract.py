"""Charset accuracy, extraction quality and speed on real pages: ``python -m benchmarks.extract``.

Charset: share of sound pages (by true charset) whose text is what the true charset gives, ours beside
resiliparse's detector, charset_normalizer (at most 40 pages a charset: it takes 4-10 ms a page) and
trafilatura's ``decode_file``. Extraction: precision, recall and F1 over runs of four tokens, as in the
article-extraction-benchmark of scrapinghub; a token is a word, in Japanese and Korean a character. Pages of
trafilatura have segments that must (not) be in the text: F1 over segments. Gold made by people: scrapinghub,
trafilatura, postlight; aozora is our own cleaner's, readability that extractor's.
Speed: MB of HTML a CPU second.
"""

import io
import json
import re
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import zstandard

from benchmarks.record import DATA, save
from jacorpus.extract import fast, quality
from jacorpus.extract.charset import Decoded, decode
from jacorpus.schema import PAGE

WARC = DATA / "warc"
CODECS = {"us-ascii": "ascii", "euc-kr": "cp949"}
_IDEOGRAPHIC = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7a3"
_TOKEN = re.compile(f"[{_IDEOGRAPHIC}]|[^\\W_{_IDEOGRAPHIC}]+")


@dataclass
class Response:
    """A page: its line of the manifest, its body, the charset label of its header."""

    facts: dict[str, Any]
    body: bytes
    label: str | None


def lines(name: str) -> Iterator[dict[str, Any]]:
    with open(WARC / name, "rb") as file:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8"):
            yield json.loads(line)


def responses() -> Iterator[Response]:
    """Pages of the archive, transfer and content encoding removed."""
    from fastwarc import ArchiveIterator, WarcRecordType

    facts = lines("manifest.jsonl.zst")
    with open(WARC / "dev-00000.warc.gz", "rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
            headers, body = record.http_headers, record.reader.read()
            if (headers.get("Transfer-Encoding") or "").lower() == "chunked":
                body = dechunked(body)
            if (headers.get("Content-Encoding") or "").lower() in ("gzip", "deflate"):
                body = inflated(body)
            yield Response(next(facts), body, record.http_charset)


def dechunked(body: bytes) -> bytes:
    parts, at = [], 0
    while (end := body.find(b"\r\n", at)) >= 0 and (size := int(body[at:end].split(b";")[0] or b"0", 16)):
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size
    return b"".join(parts)


def inflated(body: bytes) -> bytes:
    for window in (47, -15):
        try:
            return zlib.decompressobj(window).decompress(body)
        except zlib.error:
            continue
    return body


def by_detector(body: bytes, _label: str | None) -> str:
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    return bytes_to_str(body, detect_encoding(body, max_len=len(body), from_html_meta=True) or "utf-8")


def by_normalizer(body: bytes, _label: str | None) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(body).best()
    return str(best) if best else ""


def by_trafilatura(body: bytes, _label: str | None) -> str:
    from trafilatura.utils import decode_file

    return decode_file(body)


def ours(body: bytes, label: str | None) -> str:
    result = decode(body, label)
    return result.text if isinstance(result, Decoded) else ""


DECODERS: dict[str, Callable[[bytes, str | None], str]] = {
    "jacorpus": ours,
    "resiliparse detect": by_detector,
    "trafilatura decode_file": by_trafilatura,
    "charset_normalizer": by_normalizer,
}


def charset_rows(pages: list[Response]) -> list[dict[str, Any]]:
    sound = [page for page in pages if page.facts["defect"] is None and page.facts["charset"]]
    rows = []
    for name, decoder in DECODERS.items():
        right: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        size, start = 0, time.process_time()
        for page in sound:
            charset = page.facts["charset"].rstrip("?")
            if name == "charset_normalizer" and seen[charset] >= 40:
                continue
            truth = page.body.decode(CODECS.get(charset, charset), "replace").removeprefix("\ufeff")
            right[charset] += decoder(page.body, page.label).removeprefix("\ufeff") == truth
            seen[charset] += 1
            size += len(page.body)
        seconds = time.process_time() - start
        rows += [
            {"part": "charset", "tool": name, "charset": charset, "right": right[charset], "pages": seen[charset]}
            for charset in seen
        ]
        total = {"right": right.total(), "pages": seen.total(), "mb_per_s": round(size / seconds / 1e6, 1)}
        rows.append({"part": "charset", "tool": name, "charset": "all", **total})
    return rows


def shingles(text: str) -> Counter[tuple[str, ...]]:
    tokens = _TOKEN.findall(text)
    return Counter(zip(*(tokens[i:] for i in range(4)), strict=False)) if len(tokens) > 3 else Counter([tuple(tokens)])


def overlap(gold: str, text: str) -> tuple[float, float]:
    """(precision, recall) over runs of four tokens, each counted as often as it stands."""
    wanted, found = shingles(gold), shingles(text)
    both = (wanted & found).total()
    return both / found.total(), both / wanted.total()


def squeezed(text: str) -> str:
    return "".join(text.split())


def score(cases: list[tuple[dict[str, Any], str]]) -> Iterator[dict[str, Any]]:
    """One row for each source of gold."""
    groups: defaultdict[str, list[tuple[dict[str, Any], str]]] = defaultdict(list)
    for gold, text in cases:
        groups[gold["source"]].append((gold, text))
    for source, group in sorted(groups.items()):
        kind = group[0][0]["kind"]
        if kind == "text":
            pairs = [overlap(gold["text"], text) for gold, text in group]
            precision, recall = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
        elif kind == "segments":
            precision, recall = segments(group)
        else:
            precision = recall = sum(squeezed(g["prefix"])[:40] in squeezed(t) for g, t in group) / len(group)
        f1 = 2 * precision * recall / (precision + recall)
        figures = {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}
        yield {"gold": source, "kind": kind, "pages": len(group), **figures}


def segments(group: list[tuple[dict[str, Any], str]]) -> tuple[float, float]:
    wanted = [squeezed(part) in squeezed(text) for gold, text in group for part in gold["with"]]
    unwanted = [squeezed(part) in squeezed(text) for gold, text in group for part in gold["without"]]
    return sum(wanted) / (sum(wanted) + sum(unwanted)), sum(wanted) / len(wanted)


def trafilatura_alone(page: Response) -> str:
    import trafilatura

    return trafilatura.extract(page.body) or ""


def resiliparse_alone(page: Response) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(by_detector(page.body, None), main_content=True)


EXTRACTORS: dict[str, Callable[[Response], str]] = {
    "extract.fast": lambda page: fast.extract(ours(page.body, page.label)).text,
    "extract.quality": lambda page: quality.extract(ours(page.body, page.label)).text,
    "trafilatura": trafilatura_alone,
    "resiliparse main_content": resiliparse_alone,
}


def extraction_rows(pages: list[Response]) -> list[dict[str, Any]]:
    gold = {row["uri"]: row for row in lines("gold.jsonl.zst")}
    cases = [(gold[p.facts["uri"]], p) for p in pages if p.facts["uri"] in gold and p.facts["defect"] is None]
    aozora = [case for case in cases if case[0]["source"] == "aozora"][::8]
    cases = [case for case in cases if case[0]["source"] != "aozora"] + aozora
    size = sum(len(page.body) for _, page in cases)
    rows = []
    for name, extractor in EXTRACTORS.items():
        extractor(cases[0][1])
        start = time.process_time()
        texts = [extractor(page) for _, page in cases]
        speed = round(size / (time.process_time() - start) / 1e6, 1)
        found = score([(gold, text) for (gold, _), text in zip(cases, texts, strict=True)])
        rows += [{"part": "extraction", "tool": name, **row} for row in found]
        rows.append({"part": "speed", "tool": f"{name}, pages with gold", "mb_per_s": speed})
    return rows


def stage_rows(pages: list[Response]) -> list[dict[str, Any]]:
    """The stage as the runner calls it, on every page of the archive, and what its libraries need of that."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    empty = {"domain": "web", "position": 0, "text": None, "meta": None, "url": None, "timestamp": None}
    records = [
        {**empty, "id": i.to_bytes(16, "big"), "body": p.body, "content_type": "text/html", "charset": p.label}
        for i, p in enumerate(pages)
    ]
    batches = [pa.RecordBatch.from_pylist(records[i : i + 256], PAGE) for i in range(0, len(records), 256)]
    texts = [ours(page.body, page.label) for page in pages]
    size = sum(len(page.body) for page in pages)
    calls: dict[str, Callable[[], Any]] = {
        "extract.fast, stage": lambda: [fast.Fast().apply(batch) for batch in batches],
        "resiliparse parse + main_content": lambda: [
            extract_plain_text(HTMLTree.parse(text), main_content=True) for text in texts
        ],
        "decode": lambda: [decode(page.body, page.label) for page in pages],
    }
    rows = []
    for name, call in calls.items():
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            call()
            best = min(best, time.process_time() - start)
        rows.append({"part": "speed", "tool": name, "mb_per_s": round(size / best / 1e6, 1)})
    return rows


def main() -> int:
    if not WARC.is_dir():
        print("real data absent", file=sys.stderr)
        return 1
    pages = list(responses())
    rows = [*stage_rows(pages), *charset_rows(pages), *extraction_rows(pages)]
    for row in rows:
        print(*(f"{value}" for value in row.values()), sep="\t")
    save("extract", rows, ["resiliparse", "trafilatura", "charset-normalizer", "lxml"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
