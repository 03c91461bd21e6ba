"""Speed and quality of redact.pii: ``python -m benchmarks.redact``.

Speed is measured on prose and on technical documentation, beside the plain way: the same patterns run by
``re`` over the whole folded text. Recall is that of seeded data of each kind, in several written forms and both
widths, between ordinary sentences; false alarms are hits in texts that were not seeded, counted per kind.
"""

import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard

from benchmarks.record import DATA, cpu_seconds, save
from jacorpus.kernels.digits import find_sites
from jacorpus.redact import pii
from jacorpus.redact.pii import DEFAULT, KINDS, Pii, my_number_check_digit

SEEDS = 400
_FULL = str.maketrans("0123456789-@.", "０１２３４５６７８９－＠．")


def texts_of(path: Path, column: str, limit: int) -> pa.Array:
    """The first texts of a JSONL.zst file, large_string."""
    with path.open("rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        return pa.array(
            [json.loads(line)[column] for line, _ in zip(lines, range(limit), strict=False)], pa.large_string()
        )


def plain(texts: list[str]) -> int:
    """The patterns without the byte scan; the number of raw matches (context and check digits not looked at)."""
    patterns = [pii._TEL, pii._PLUS81, pii._TWELVE, pii._CARD, pii._ACCOUNT, pii._IPV4, pii._EMAIL]
    found = 0
    for text in texts:
        view = pii._fold(text)
        found += sum(1 for pattern in patterns for _ in pattern.finditer(view))
    return found


def _luhn_complete(body: str) -> str:
    return next(body + str(d) for d in range(10) if pii.luhn(body + str(d)))


def seeded(kind: str, draw: random.Random) -> str:
    """One piece of personal data with the words that stand before it."""

    def digits(count: int, first: str = "0123456789") -> str:
        return draw.choice(first) + "".join(draw.choices("0123456789", k=count - 1))

    body = digits(11)
    mine = body + str(my_number_check_digit(body))
    card = _luhn_complete(draw.choice(["4", "51", "3530"]).ljust(15, "x").replace("x", digits(1)))
    area = draw.choice(["03", "06", "045", "0467", "04992"])
    exchange = digits(6 - len(area), "23456789")
    forms = {
        "email": [f"{draw.choice(['taro', 'h.suzuki', 'info-1'])}@mail{digits(2)}.{draw.choice(['co.jp', 'com'])}"],
        "credit_card": [card, "-".join(card[i : i + 4] for i in range(0, 16, 4))],
        "my_number": [f"マイナンバー：{mine}", f"個人番号 {mine[:4]}-{mine[4:8]}-{mine[8:]}"],
        "international": [f"+81-{digits(1, '39')}0-{digits(4)}-{digits(4)}", f"+81 3 {digits(4, '3456')} {digits(4)}"],
        "toll_free": [f"0120-{digits(3)}-{digits(3)}", f"0800-{digits(3)}-{digits(4)}"],
        "mobile": [f"0{digits(1, '789')}0-{digits(4)}-{digits(4)}", f"0{digits(1, '789')}0{digits(8)}"],
        "phone": [
            f"{area}-{exchange}-{digits(4)}",
            f"{area}({exchange}){digits(4)}",
            f"電話{area}{exchange}{digits(4)}",
        ],
        "bank": [f"青葉銀行 本店 普通 {digits(7)}", f"口座番号：{digits(7)}"],
        "postal": [f"〒{digits(3)}-{digits(4)}"],
        "ipv4": [f"{draw.randint(32, 99)}.{draw.randint(0, 255)}.{draw.randint(0, 255)}.{draw.randint(1, 254)}"],
        "address": [
            f"神奈川県横浜市中区本町{digits(1, '123')}-{digits(1, '123')}",
            f"大阪府大阪市北区{digits(1, '12')}丁目{digits(1, '12')}番",
        ],
    }
    text = draw.choice(forms[kind])
    return text.translate(_FULL) if draw.random() < 0.5 else text


def speed_rows() -> list[dict[str, Any]]:
    rows = []
    for name, limit in (("ja/aozora", 1500), ("ja/docs", 3000)):
        texts = texts_of(DATA / f"{name}.jsonl.zst", "text", limit)
        mb = texts.nbytes / 1e6
        scan, sites = cpu_seconds(lambda texts=texts: find_sites(texts))
        row: dict[str, Any] = {"texts": name, "mb": mb, "sites": len(sites), "scan_mb_s": mb / scan}
        for label, kinds in (("default", DEFAULT), ("all", KINDS)):
            row[f"{label}_mb_s"] = mb / cpu_seconds(lambda texts=texts, k=kinds: Pii(kinds=k).find(texts), 3)[0]
        strings = texts.slice(0, limit // 5)
        listed = strings.to_pylist()
        size = sum(len(text.encode()) for text in listed) / 1e6
        row["plain_re_mb_s"] = size / cpu_seconds(lambda listed=listed: plain(listed), 1)[0]
        rows.append(row)
    return rows


def recall_rows() -> list[dict[str, Any]]:
    draw = random.Random(0)
    rows = []
    for kind in KINDS:
        texts = [f"昨年の話です。{seeded(kind, draw)}、以上のとおり2024年に変わった。" for _ in range(SEEDS)]
        found = Pii(kinds=KINDS).find(pa.array(texts, pa.large_string()))
        hit = {document for document, _, _, which in found if which == kind}
        rows.append({"kind": kind, "seeded": SEEDS, "recall": len(hit) / SEEDS, "other_kinds": len(found) - len(hit)})
    return rows


def false_alarm_rows() -> list[dict[str, Any]]:
    rows = []
    for name, column in (
        ("ja/aozora", "text"),
        ("ja/docs", "text"),
        ("qa/squad_ja", "text"),
        ("instruct/dolly_ja", "output"),
    ):
        texts = texts_of(DATA / f"{name}.jsonl.zst", column, 20_000)
        hits = Counter(kind for _, _, _, kind in Pii(kinds=KINDS).find(texts))
        rows.append(
            {"texts": name, "documents": len(texts), "mb": texts.nbytes / 1e6, "hits": dict(sorted(hits.items()))}
        )
    return rows


def main() -> None:
    rows = [*speed_rows(), *recall_rows(), *false_alarm_rows()]
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))
    print(save("redact", rows, ["numpy", "numba", "pyarrow"]))


if __name__ == "__main__":
    main()
