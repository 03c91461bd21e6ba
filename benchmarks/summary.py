"""The table of all results: ``python -m benchmarks.summary`` writes results/SUMMARY.md out of results/*.json.

Benchmarks against rivals save rows that are ready for the table (``benchmarks.beside.compared``); of the others
this file takes the figures that a bar is about.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS

READY = (
    *("near_duplicates", "filters", "nfkc", "archive", "archive_fast", "what_if", "memory"),
    *(
        "unigram",
        "tokenizer_json",
        "byte_bpe",
        "train_bpe",
        "train_unigram",
        "extend",
        "encode_corpus",
        "feed",
        "trainer_cpu",
        "mixing_oracles",
        "count_tables",
        "regmix",
        "mix_plan",
        "posttrain_closed_forms",
        "posttrain_rl",
        "posttrain_weight",
        "japanese_verifier",
        "prune_distill",
        "pfgen_scoring",
    ),
)
Row = dict[str, Any]
GOLD_BY_PEOPLE = ("scrapinghub", "trafilatura", "postlight")


def loaded(name: str) -> dict[str, Any] | None:
    """A result file, or None."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return found or None


def row(what: str, bar: str, ours: object, rival: str | None, theirs: object, met: bool | None) -> Row:
    """A row without a ratio."""
    return {"what": what, "bar": bar, "ours": ours, "rival": rival, "theirs": theirs, "ratio": None, "met": met}


def dedup_quality(rows: list[Row]) -> Iterator[Row]:
    """Recall and precision on pairs, error of the estimate, families; of the default shape."""
    default = next(r for r in rows if r["measure"] == "pairs" and (r["k"], r["bands"], r["rows"]) == (256, 28, 9))
    bar = "recall >= .90, precision >= .98 at J >= .7"
    ours = f"{default['recall']:.3f}, {default['precision']:.3f}"
    met = default["recall"] >= 0.9 and default["precision"] >= 0.98
    yield row("near-duplicate pairs, exact J as truth, default", bar, ours, None, None, met)
    error = {(r["scheme"], r["k"]): r["rmse"] for r in rows if r["measure"] == "error of the estimate, all"}
    what = "RMSE of the estimated Jaccard, k = 128"
    yield row(what, "<= .0345", error["oph", 128], "datasketch", error["datasketch", 128], error["oph", 128] <= 0.0345)
    for r in rows:
        if r["measure"].startswith("families") and (r["k"], r["bands"]) == (256, 28):
            ours = f"{r['lost_non_duplicates']} of {r['documents']} documents"
            yield row(f"{r['measure']}: non-duplicates lost", "reported", ours, None, None, None)


def extract(rows: list[Row]) -> Iterator[Row]:
    """Charsets over all pages; F1 of both paths against gold made by people."""
    right = {r["tool"]: r for r in rows if r["part"] == "charset" and r["charset"] == "all"}
    share = {tool: r["right"] / r["pages"] for tool, r in right.items()}
    for tool in [tool for tool in share if tool != "jacorpus"]:
        ours, theirs = f"{share['jacorpus']:.2%}", f"{share[tool]:.2%}"
        met = share["jacorpus"] >= 0.995
        yield row("charset, sound pages decoded right", ">= 99.5 %", ours, tool, theirs, met)
    iso = {r["tool"]: r for r in rows if r["part"] == "charset" and r["charset"] == "iso-2022-jp"}
    ours = iso["jacorpus"]["right"] / iso["jacorpus"]["pages"]
    rival = "trafilatura decode_file"
    theirs = iso[rival]["right"] / iso[rival]["pages"]
    yield row("charset, ISO-2022-JP", "100 %", f"{ours:.1%}", rival, f"{theirs:.1%}", ours == 1)
    score = {(r["tool"], r["gold"]): r["f1"] for r in rows if r["part"] == "extraction"}
    for gold in GOLD_BY_PEOPLE:
        mine, theirs = score["extract.quality", gold], score["trafilatura", gold]
        yield row(f"F1 on {gold}, quality path", ">= trafilatura's", mine, "trafilatura", theirs, mine >= theirs)
    for gold in GOLD_BY_PEOPLE:
        mine, theirs = score["extract.fast", gold], score["resiliparse main_content", gold]
        yield row(f"F1 on {gold}, fast path", "printed", mine, "resiliparse main_content", theirs, None)


def language(rows: list[Row]) -> Iterator[Row]:
    """Accuracy on each set of texts against the best rival, and Japanese in short texts."""
    by_texts: dict[str, dict[str, Row]] = {}
    for r in rows:
        by_texts.setdefault(r["texts"], {})[r["method"]] = r
    for texts, methods in by_texts.items():
        ours = methods["language.detect"]["accuracy"]
        for rival in [method for method in methods if method != "language.detect"]:
            theirs = methods[rival]["accuracy"]
            bar = ">= best of the three" if texts == "lid" else ""
            yield row(f"language, accuracy on {texts}", bar, ours, rival, theirs, ours >= theirs if bar else None)
    short = by_texts["snippets 15"]["language.detect"]
    met = short["ja"] >= 0.95 and short["zh called ja"] <= 0.02
    values = f"{short['ja']:.3f}, {short['zh called ja']:.3f}"
    yield row("15 characters: recall of ja, zh called ja", ">= .95, <= .02", values, None, None, met)


def hostile_lines(rows: list[Row]) -> Iterator[Row]:
    """The worst of each tokenizer's lines of a million characters."""
    by_tokenizer: dict[str, list[Row]] = {}
    for r in rows:
        by_tokenizer.setdefault(r["what"].partition(": ")[0], []).append(r)
    for name, lines in by_tokenizer.items():
        what = f"{name}: {len(lines)} kinds of lines of 1M characters, the slowest; the steepest from 100k"
        ours = f"{max(r['ours'] for r in lines):.2f} s; {max(r['growth'] for r in lines):.1f}x"
        theirs = [r["theirs"] for r in lines if r["theirs"]]
        slowest = f"{max(theirs):.2f} s" if theirs else None
        yield row(what, "< 1 s; <= 15x", ours, lines[0]["rival"], slowest, all(r["met"] for r in lines))


def table_rows() -> Iterator[tuple[str, Row]]:
    """(benchmark, row)."""
    for name in READY:
        found = loaded(name)
        yield from ((name, r) for r in (found["rows"] if found else []) if "what" in r and "met" in r)
    for name, of in (
        ("dedup_quality", dedup_quality),
        ("extract", extract),
        ("language", language),
        ("hostile_lines", hostile_lines),
    ):
        found = loaded(name)
        if found:
            yield from ((name, r) for r in of(found["rows"]))


def shown(value: object, unit: str = "") -> str:
    """A cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        value = f"{value:,.0f}" if value >= 100 else f"{value:.4g}"
    return f"{value}{' ' + unit if unit else ''}"


def markdown() -> str:
    """The table with a line on each file."""
    lines = ["# Results", "", "Written by `python -m benchmarks.summary`; what each row means: `benchmarks/README.md`."]
    lines += ["Speeds are per core, by CPU seconds; ratio = ours / theirs, from one run in turns.", ""]
    lines += ["| What | Bar | Ours | Rival | Theirs | Ratio | Met |", "|---|---|---|---|---|---|---|"]
    names = []
    for name, r in table_rows():
        if name not in names:
            names.append(name)
        met = {True: "yes", False: "**no**", None: ""}[r["met"]]
        ratio = f"{r['ratio']:,.0f}x" if (r["ratio"] or 0) >= 10 else f"{r['ratio']:.2f}x" if r["ratio"] else ""
        unit = r.get("unit", "")
        cells = (r["what"], r["bar"], shown(r["ours"], unit), r["rival"] or "", shown(r["theirs"], unit), ratio, met)
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| File | Date | Machine | Commit | Versions |", "|---|---|---|---|---|"]
    for name in names:
        found = loaded(name)
        assert found is not None
        versions = ", ".join(f"{library} {number}" for library, number in all_versions(found).items())
        lines.append(f"| {name}.json | {found['date']} | {found['machine']} | {found['commit']} | {versions} |")
    return "\n".join(lines) + "\n"


def all_versions(found: dict[str, Any]) -> dict[str, str]:
    """Of ours and of the rivals, which answer with theirs."""
    versions = {name.lower(): number for name, number in found["versions"].items()}
    for r in found["rows"]:
        theirs = {name.lower(): number for name, number in r.get("versions", {}).items()}
        for name in theirs:
            same = versions.get(name, theirs[name]) == theirs[name]
            versions[name if same else f"{name} (rival's)"] = theirs[name]
    return versions


def write_summary() -> Path:
    """Write results/SUMMARY.md; returns its path."""
    path = RESULTS / "SUMMARY.md"
    path.write_text(markdown(), encoding="utf-8")
    return path


if __name__ == "__main__":
    print(write_summary())
