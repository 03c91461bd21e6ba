"""A small corpus with known fates, made by the tests: lines of JSONL and the stages that judge them."""

import json
from pathlib import Path
from typing import Any

from jacorpus.engine.inline import Inline
from jacorpus.engine.local import Local
from jacorpus.recipe import recipe_from_tables
from jacorpus.run import run_recipe

WORDS = "山川海空町店道駅春夏秋冬朝昼夜花鳥風月雪雨本音色声手足目耳口心水火木金土日人子犬猫魚肉米茶酒"


def prose(seed: int, sentences: int = 12) -> str:
    """Japanese-looking text, different for each seed."""
    state = seed * 2654435761 % 2**32
    out = []
    for _ in range(sentences):
        picked = []
        for _ in range(6):
            state = (state * 1103515245 + 12345) % 2**31
            picked.append(WORDS[state % len(WORDS)] + WORDS[state // 977 % len(WORDS)])
        out.append("{}では{}が{}を見ながら、{}の{}と{}について話した。".format(*picked))
    return "".join(out)


def lines() -> list[bytes]:
    """60 documents, five of them near copies, two exact copies, three short, three broken lines, a blank one."""
    rows = [{"text": prose(i), "url": f"https://example.jp/{i}"} for i in range(60)]
    rows += [{"text": prose(i)[:-2] + "した！"} for i in range(5)]
    rows += [{"text": prose(7)}, {"text": prose(8)}]
    rows += [{"text": "短い。"}, {"text": ""}, {"text": "これも短い文。"}]
    encoded = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    encoded.insert(10, b'{"text": "broken')
    encoded.insert(20, b'{"title": "no text"}')
    encoded.insert(30, b'{"text": "bad \xff byte"}')
    encoded.insert(40, b"")
    return encoded


def write_corpus(folder: Path, files: int = 3) -> Path:
    """The lines spread over a few files."""
    folder.mkdir(parents=True, exist_ok=True)
    each = lines()
    for i in range(files):
        (folder / f"part-{i}.jsonl").write_bytes(b"\n".join(each[i::files]) + b"\n")
    return folder


STAGES: list[dict[str, Any]] = [
    {"use": "normalize.width"},
    {"use": "signals.text"},
    {"use": "rules.bounds", "rules": [{"signal": "text.chars", "min": 100, "reason": "short"}]},
    {"use": "dedup.exact"},
    {"use": "dedup.minhash"},
]


def tables(folder: Path, stages: list[dict[str, Any]] | None = None, **top: Any) -> dict[str, Any]:
    """Recipe tables over the corpus in ``folder``."""
    source = {"use": "sources.jsonl", "domain": "web", "paths": [str(folder / "*.jsonl")]}
    return {"name": "small", "source": [source], "stage": STAGES if stages is None else stages, **top}


def run_small(folder: Path, out: Path, workers: int = 0, **change: Any) -> dict[str, Any]:
    """Run the small recipe; returns the manifest. workers: 0 stays in this process."""
    recipe = recipe_from_tables(tables(folder, **change), folder, "small")
    return run_recipe(recipe, out, Local(workers) if workers else Inline())


def public_bytes(out: Path) -> dict[str, bytes]:
    """Every file that the determinism promise covers, by relative path."""
    files = [p for p in out.rglob("*") if p.is_file() and "work" not in p.relative_to(out).parts]
    skip = {"run.json", "report.html", "report.json"}
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(files) if p.name not in skip}
