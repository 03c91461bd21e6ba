"""A finished output folder made up from our own sentences: every kind of fate, signal and part a report reads."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jacorpus.schema import AUDIT, CLUSTERS, SHARD

SENTENCES = (
    "朝の港には、夜のあいだに戻った小さな船が並んでいる。",
    "祖母は毎年、梅の実を塩と紫蘇で漬けていた。",
    "この関数は、与えられた文字列を行ごとに分けて返します。",
    "駅前の古い本屋が、今月いっぱいで店を閉めるという。",
    "測定した値は表のとおりで、誤差は小さい。",
    "雨が上がると、山の端に薄い虹がかかった。",
    "会議の議事録は、来週の月曜日までに共有します。",
    "猫は縁側で丸くなり、日が傾くまで動かなかった。",
)
RULES: tuple[dict[str, Any], ...] = (
    {"signal": "language.lang", "bound": {"in": ["ja", "en"]}, "reason": "language", "stage": "language"},
    {"signal": "text.chars", "bound": {"min": 200}, "reason": "too_short", "stage": "rules"},
    {"signal": "text.hiragana_ratio", "bound": {"min": 0.2}, "reason": "few_hiragana", "stage": "rules"},
    {
        "signal": "text.sentence_mean_chars",
        "bound": {"min": 12, "max": 90},
        "reason": "sentence_length",
        "stage": "rules",
    },
    {
        "signal": "text.dup_line_ratio",
        "bound": {"max": 0.3},
        "reason": "repeated_lines",
        "stage": "rules",
        "domains": ["web"],
    },
    {"signal": "text.top_2_ratio", "bound": {"max": 0.2}, "reason": "frequent_2_grams", "stage": "rules"},
    {
        "signal": "text.zlib_ratio",
        "bound": {"min": 0.05, "max": 0.75},
        "reason": "compression",
        "stage": "rules",
        "tier": "strict",
    },
    {"signal": "text.link_ratio", "bound": {"max": 0.4}, "reason": "links", "stage": "rules", "active": False},
)
STAGES = (
    ("extract", "extract.fast", {}),
    ("language", "language.detect", {"keep": ["ja", "en"]}),
    ("text", "signals.text", {}),
    ("rules", "rules.profile", {"profile": "swallow-v1"}),
    ("benchmarks", "decontaminate.ngrams", {"n": 13}),
    ("exact", "dedup.exact", {}),
    ("minhash", "dedup.minhash", {"threshold": 0.7, "bands": 14, "rows": 8}),
    ("pii", "redact.pii", {"kinds": ["phone", "email", "my_number"]}),
)
KINDS = {"signals": "signal", "dedup": "dedup", "redact": "write"}


@dataclass(frozen=True)
class Finished:
    """An output folder, and the texts a run would have kept under work/."""

    out: Path
    texts: Callable[[list[bytes]], dict[bytes, str]]
    by_id: dict[bytes, str]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return build(tmp_path_factory.mktemp("finished"), 600)


def build(out: Path, documents: int) -> Finished:
    """Writes the folder. documents: how many records; a few of each fate whatever the number."""
    draw = random.Random(7)
    rows = [_record(number, draw) for number in range(documents)]
    clusters = _deduplicate(rows)
    _write(out / "signals/part-00000.arrow", [row for row in rows if row["state"] != "failed"], None)
    _write(out / "audit/part-00000.arrow", rows, AUDIT)
    _write(out / "clusters/minhash.arrow", clusters, CLUSTERS)
    shards = []
    for domain in ("web", "wiki"):
        own = [row for row in rows if row["domain"] == domain and row["state"] == "kept"]
        _write(out / f"shards/{domain}-00000.arrow", own, SHARD)
        shards.append(
            {"path": f"shards/{domain}-00000.arrow", "domain": domain, "split": "train", "documents": len(own)}
        )
    (out / "manifest.json").write_text(json.dumps(_manifest(rows, clusters, shards)), "utf-8")
    (out / "run.json").write_text(json.dumps(_run()), "utf-8")
    texts = {row["id"]: row["text"] for row in rows}
    return Finished(out, lambda ids: {i: texts[i] for i in ids if i in texts}, texts)


def _text(number: int, draw: random.Random) -> str:
    kind = number % 12
    text = "\n".join(
        "".join(draw.choices(SENTENCES, k=draw.randint(2, 5))) for _ in range(int(draw.lognormvariate(1.6, 0.9)) + 1)
    )
    if kind == 3:
        return text + "\n" + "お問い合わせはこちら\nトップへ戻る\n" * draw.randint(10, 30)
    if kind == 5:
        return "ポイントカードキャンペーンセール " * draw.randint(8, 30)
    return "ｗｗ" * draw.randint(120, 300) if kind == 7 else text


def _record(number: int, draw: random.Random) -> dict[str, Any]:
    domain = "web" if number % 3 else "wiki"
    text = _text(number, draw)
    if number % 40 == 39:
        text = f"<b>& {number}</b>" + text
    row: dict[str, Any] = {
        "id": hashlib.sha256(f"{domain}{number}".encode()).digest()[:16],
        "domain": domain,
        "file": f"crawl-{number % 2:05}.warc.gz" if domain == "web" else "記事.jsonl.zst",
        "position": number * 4096,
        "url": f"https://www.example.jp/記事/{number}?page={number % 7}" if domain == "web" else None,
        "text": text,
        "lang": draw.choices(("ja", "en", "zh", "ko", None), (80, 8, 5, 2, 1))[0],
        "bytes": len(text.encode()),
        "split": "train",
        "cluster_size": 1,
        "weight": 1,
        "priority": 0,
        **dict.fromkeys(
            ("stage", "reason", "value", "detail", "failed_rules", "cluster", "kept_id", "timestamp", "meta")
        ),
    }
    row |= _signals(text, row["lang"], draw)
    if number % 25 == 11:
        reason, detail = draw.choice(
            (("charset", "bytes are neither UTF-8 nor Shift_JIS"), ("timeout", "extraction took over 10 CPU seconds"))
        )
        return row | {"state": "failed", "stage": "extract", "reason": reason, "detail": detail}
    return row | _decide(row, number)


def _signals(text: str, lang: str | None, draw: random.Random) -> dict[str, Any]:
    lines = [line for line in text.split("\n") if line]
    pairs = Counter(text[i : i + 2] for i in range(len(text) - 1))
    return {
        "language.lang": lang,
        "extract.charset": draw.choices(("utf-8", "shift_jis", "euc-jp"), (90, 8, 2))[0],
        "text.chars": len(text),
        "text.hiragana_ratio": sum("ぁ" <= c <= "ゖ" for c in text) / len(text),
        "text.sentence_mean_chars": len(text) / max(text.count("。"), 1) if draw.random() > 0.02 else None,
        "text.dup_line_ratio": 1 - len(set(lines)) / len(lines),
        "text.top_2_ratio": max(pairs.values()) / sum(pairs.values()),
        "text.zlib_ratio": draw.betavariate(8, 20),
        "benchmarks.benchmark": "jmmlu" if draw.random() < 0.03 else None,
    }


def _decide(row: dict[str, Any], number: int) -> dict[str, Any]:
    failed = [
        i
        for i, rule in enumerate(RULES)
        if rule.get("active", True)
        and row["domain"] in rule.get("domains", ["web", "wiki"])
        and _beyond(row.get(rule["signal"]), rule["bound"])
    ]
    bits = sum(1 << i for i in failed).to_bytes(2, "little")
    dropping = [i for i in failed if "tier" not in RULES[i]]
    if dropping:
        rule = RULES[dropping[0]]
        value = row[rule["signal"]]
        value = None if isinstance(value, str) else float(value)
        return {
            "state": "dropped",
            "stage": rule["stage"],
            "reason": rule["reason"],
            "value": value,
            "failed_rules": bits,
        }
    if number % 60 == 1:
        return {"state": "dropped", "stage": "benchmarks", "reason": "jcommonsenseqa", "failed_rules": bits}
    return {"state": "kept", "failed_rules": bits}


def _beyond(value: Any, bound: dict[str, Any]) -> bool:
    if value is None:
        return False
    return (
        value not in bound["in"]
        if "in" in bound
        else value < bound.get("min", value) or value > bound.get("max", value)
    )


def _deduplicate(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every few kept documents become copies, slightly changed, of the one before them."""
    kept, clusters = [row for row in rows if row["state"] == "kept"], []
    for first in range(0, len(kept) - 8, 9):
        members = kept[first : first + 2 + first // 9 % 6]
        keeper, cluster = members[0], min(row["id"] for row in members)
        for row in members:
            if row is not keeper:
                row["text"] = keeper["text"].replace("雨", "雪").replace("小さ", "大き", 1) + "（転載）" * (first % 2)
                row |= {
                    "state": "dropped",
                    "stage": "minhash",
                    "reason": "near_duplicate",
                    "cluster": cluster,
                    "kept_id": keeper["id"],
                    "snapshot": None,
                }
            similarity = None if row is keeper else 0.82
            clusters.append(
                {
                    "row": rows.index(row),
                    "id": row["id"],
                    "cluster_id": cluster,
                    "cluster_size": len(members),
                    "kept_id": keeper["id"],
                    "snapshot": None,
                    "similarity": similarity,
                }
            )
        keeper["cluster_size"] = len(members)
    return sorted(clusters, key=lambda row: row["row"])


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if schema is None:
        names = ["id", "domain", "priority", "bytes", *(name for name in rows[0] if "." in name)]
        types = {"id": pa.binary(16), "domain": pa.dictionary(pa.int32(), pa.string()), "text.chars": pa.int32()}
        schema = pa.schema([(name, types.get(name) or pa.array([row[name] for row in rows]).type) for name in names])
    table = pa.table({field.name: pa.array([row[field.name] for row in rows], field.type) for field in schema}, schema)
    with pa.ipc.new_file(path, schema) as writer:
        writer.write_table(table, max_chunksize=257)


def _manifest(
    rows: list[dict[str, Any]], clusters: list[dict[str, Any]], shards: list[dict[str, Any]]
) -> dict[str, Any]:
    states = Counter(row["state"] for row in rows)
    fates: Counter[tuple] = Counter()
    sizes: Counter[tuple] = Counter()
    for row in rows:
        fate = row["domain"], row["state"], row["stage"], row["reason"]
        fates[fate] += 1
        sizes[fate] += row["bytes"]
    domains = {
        domain: {"read": sum(n for fate, n in fates.items() if fate[0] == domain)}
        | {
            state: sum(n for fate, n in fates.items() if fate[:2] == (domain, state))
            for state in ("kept", "dropped", "failed")
        }
        | {"kept_bytes": sum(n for fate, n in sizes.items() if fate[:2] == (domain, "kept"))}
        for domain in ("web", "wiki")
    }
    rules = [
        {"index": i, "domains": None, "tier": None, "optional": False, "active": True, **rule}
        for i, rule in enumerate(RULES)
    ]
    found = {
        "clusters": len({row["cluster_id"] for row in clusters}),
        "documents": len(clusters),
        "largest": 7,
        "pairs": 2 * len(clusters),
    }
    return {
        "format": 2,
        "name": "ja-web 試作",
        "seed": 42,
        "bytes_per_token": 4.1,
        "counts": {"read": len(rows), **{state: states[state] for state in ("kept", "dropped", "failed")}},
        "bytes": {
            "read_text": sum(n for fate, n in sizes.items() if fate[1] != "failed"),
            "kept_text": sum(n for fate, n in sizes.items() if fate[1] == "kept"),
        },
        "skipped": {"warcinfo": 2, "request": 41, "blank": 3},
        "inputs": [
            {
                "source": "sources.warc",
                "domain": "web",
                "file": f"crawl-{i:05}.warc.gz",
                "bytes": 26_710_000,
                "digest": "00",
            }
            for i in (0, 1)
        ]
        + [{"source": "sources.jsonl", "domain": "wiki", "file": "記事.jsonl.zst", "bytes": 5_670_000, "digest": "00"}],
        "rules": rules,
        "stages": [
            {"label": label, "use": use, "kind": KINDS.get(use.split(".")[0], "transform"), "options": options}
            for label, use, options in STAGES
        ],
        "domains": domains,
        "fates": [
            {
                "domain": d,
                "state": state,
                "stage": stage,
                "reason": reason,
                "documents": n,
                "bytes": sizes[d, state, stage, reason],
            }
            for (d, state, stage, reason), n in fates.items()
        ],
        "dedup": [
            {
                "label": "minhash",
                "estimate": "14 bands of 8 rows: 0.2 GB of memory for 600 documents",
                **found,
            }
        ],
        "written": {"pii.phone": 12, "pii.email": 31, "pii.my_number": 0},
        "signals": [{"path": "signals/part-00000.arrow", "rows": len(rows) - states["failed"]}],
        "audit": [{"path": "audit/part-00000.arrow", "rows": len(rows)}],
        "clusters": [{"label": "minhash", "path": "clusters/minhash.arrow", "rows": len(clusters)}],
        "shards": shards,
    }


def _run() -> dict[str, Any]:
    phases = [
        {"kind": kind, "tasks": tasks, "reused": 0, "wall_s": wall, "cpu_s": cpu, "bytes": size}
        for kind, tasks, wall, cpu, size in (
            ("measure", 12, 41.2, 79.9, 59_090_000),
            ("cluster", 4, 0.8, 0.7, 9_000_000),
            ("decide", 1, 0.1, 0.1, 0),
            ("write", 2, 6.5, 11.8, 21_400_000),
        )
    ]
    return {
        "started": "2025-01-01T00:00:00Z",
        "finished": "2025-01-01T00:00:49Z",
        "host": "example",
        "workers": 2,
        "engine": "local",
        "phases": phases,
        "versions": {"numpy": "2.2.0"},
    }
