"""Character signals beside HojiChar's and datatrove's Japanese filters: ``python -m benchmarks.filters``.

Texts: the pieces of benchmarks.dedup, 5.4 kB each, without copies. Ours measures every document with every signal of
a profile, from Arrow in memory; rivals decide, and skip what follows once a filter drops a document. The row
``hojichar, with its lists`` has the same work on both sides: HojiChar's character rules and its five word lists.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.beside import compared, driver, facts, here, in_turns, need_peers
from benchmarks.dedup import corpus
from benchmarks.near_duplicates import CORPUS_MB, written
from benchmarks.record import DATA, save
from jacorpus.resolve import build
from jacorpus.rules.profile import load_profile
from jacorpus.signals.keywords import Keywords
from jacorpus.stage import Signal

LISTS = {
    "adult": "hojichar_adult_keywords_ja.txt",
    "adult_en": "hojichar_adult_keywords_en.txt",
    "ads": "hojichar_advertisement_keywords_ja.txt",
    "discrimination": "hojichar_discrimination_keywords_ja.txt",
    "ng": "ldnoobw_ja.txt",
}
BARS = {"swallow-v1": 70, "default": 100}
RIVALS = {"HojiChar, 13 filters": (30, 4.0), "datatrove, 3 Japanese filters": (200, 1.5)}
"""Smallest ratio wanted, MB given."""


def character_signals(profile: str) -> list[Signal]:
    """The signal stages of a profile that are neither costly nor about the address."""
    stages = []
    for table in load_profile(profile)["stage"]:
        options = {name: value for name, value in table.items() if name not in ("use", "label")}
        stages.append(build(table["use"], options, profile))
    return [s for s in stages if isinstance(s, Signal) and not s.costly and type(s).__name__ != "Url"]


def main() -> None:
    """Measure, print and save."""
    need_peers()
    texts = list(dict.fromkeys(corpus(0.3)))
    batch = pa.record_batch({"text": pa.array(texts, pa.large_string())})
    sets: dict[str, list[Signal]] = {name: character_signals(name) for name in BARS}
    lists = {name: str(DATA / "noisy" / "ngwords" / file) for name, file in LISTS.items()}
    sets["hojichar, with its lists"] = [*character_signals("hojichar"), Keywords(lists=lists)]
    with tempfile.TemporaryDirectory() as name:
        sizes = {who: sum(len(text.encode()) for text in texts) / 1e6 for who in sets}
        calls = {who: here(partial(measured, stages, batch)) for who, stages in sets.items()}
        for (who, (_, megabytes)), script in zip(RIVALS.items(), ("hojichar", "datatrove"), strict=True):
            path = Path(name) / f"{script}.jsonl"
            sizes[who] = written(texts[: round(len(texts) * megabytes / CORPUS_MB / 0.3)], path)
            calls[who] = driver(f"filters_{script}", path)
        answers = in_turns(calls)
    speed = {who: sizes[who] / answer["cpu_s"] for who, answer in answers.items()}
    save("filters", [*rows(speed), *facts(answers)], ["numpy", "numba", "pyarrow"])


def measured(stages: list[Signal], batch: pa.RecordBatch) -> int:
    """All signals of all documents; returns how many columns."""
    return sum(len(stage.measure(batch)) for stage in stages)


def rows(speed: dict[str, float]) -> list[dict[str, Any]]:
    """The summary's rows, MB of UTF-8 a CPU second."""
    made = []
    for profile, bar in BARS.items():
        what = f"all character signals of {profile}"
        made.append(compared(what, f">= {bar} MB/s", speed[profile], least=bar, unit="MB/s"))
        for rival, (least, _) in RIVALS.items():
            made.append(compared(what, f">= {least}x", speed[profile], rival, speed[rival], least, unit="MB/s"))
    same = "hojichar, with its lists"
    rival = "HojiChar, 13 filters"
    like = compared(f"character signals of {same}", "", speed[same], rival, speed[rival], unit="MB/s")
    return [*made, {**like, "met": None}]


if __name__ == "__main__":
    main()
