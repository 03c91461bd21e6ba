"""How well near-duplicate detection estimates, finds and confirms: ``python -m benchmarks.dedup_quality``.

Pairs are made of real Japanese texts: one text is cut into blocks and a share of them, sometimes also single
characters, is replaced by foreign text, so that the exact Jaccard similarity of the character 5-grams spreads
evenly over .05-1. That exact value, over sets of strings, is the truth everything is measured against.
Families add what pairs cannot show: a closure that chains unlike texts together.

Legend: J exact Jaccard similarity; k values a signature.
"""

import io
import json
import random
import tempfile
from collections import defaultdict
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import zstandard

from benchmarks.record import DATA, save
from jacorpus.decide import Clusters, Members, keepers
from jacorpus.dedup.clusters import cluster_rows
from jacorpus.dedup.minhash import Minhash
from jacorpus.kernels.minhash import agreements, minhash
from jacorpus.kernels.ngrams import fold_naive
from jacorpus.stage import SignaturePart

PAIRS = 3800
SEEDS = (1, 2, 3)
FAMILIES = {2: 150, 5: 80, 20: 40}
LENGTHS = (60, 5000)


def real_texts(limit_chars: int = 6_000_000) -> list[str]:
    """Bodies of public-domain works, folded once so that exact sets and signatures see the same text."""
    texts, size = [], 0
    with (DATA / "ja/aozora.jsonl.zst").open("rb") as file:
        for line in io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file)):
            text = fold_naive(json.loads(line)["text"])
            if len(text) > 12_000:
                texts.append(text[:40_000])
                size += len(texts[-1])
            if size > limit_chars:
                break
    return texts


def grams(text: str) -> set[str]:
    """The set of character 5-grams."""
    return {text[i : i + 5] for i in range(max(len(text) - 4, min(len(text), 1)))}


def jaccard(left: set[str], right: set[str]) -> float:
    """Exact similarity."""
    return len(left & right) / len(left | right)


def passage(draw: random.Random, texts: list[str], length: int) -> str:
    """A piece of a random text."""
    text = draw.choice(texts)
    start = draw.randrange(len(text) - length)
    return text[start : start + length]


def edited(draw: random.Random, texts: list[str], text: str, target: float) -> str:
    """The text with blocks replaced by foreign ones so that J comes out near target."""
    share = (1 - target) / (1 + target)
    block = draw.choice([15, 60, 200, len(text)])
    if block == len(text):  # one foreign run at the end
        kept = round(len(text) * (1 - share))
        return text[:kept] + passage(draw, texts, len(text) - kept + 1)[:-1]
    out = []
    for start in range(0, len(text), block):
        piece = text[start : start + block]
        out.append(passage(draw, texts, len(piece)) if draw.random() < share else piece)
    return "".join(out)


def make_pairs(draw: random.Random, texts: list[str]) -> list[tuple[str, str, float]]:
    """PAIRS pairs, as many in each twentieth of J in .05-1."""
    wanted = PAIRS // 19
    bins: dict[int, list[tuple[str, str, float]]] = defaultdict(list)
    while sum(len(found) for found in bins.values()) < 19 * wanted:
        length = int(np.exp(draw.uniform(*np.log(LENGTHS))))
        left = passage(draw, texts, length)
        right = edited(draw, texts, left, draw.uniform(0.03, 1))
        similarity = jaccard(grams(left), grams(right))
        place = min(int(similarity * 20), 19)
        if place > 0 and len(bins[place]) < wanted:
            bins[place].append((left, right, similarity))
    return [pair for place in sorted(bins) for pair in bins[place]]


def error_rows(pairs: list[tuple[str, str, float]]) -> list[dict[str, Any]]:
    """Root mean square error and bias of the estimate for several k, and for short texts."""
    left, right = (pa.array([pair[side] for pair in pairs], pa.large_string()) for side in (0, 1))
    truth = np.array([pair[2] for pair in pairs])
    sizes = np.array([len(pair[0]) for pair in pairs])
    rows = []
    for scheme, k in [("oph", 112), ("oph", 128), ("oph", 256), ("datasketch", 128), ("datasketch-1", 128)]:
        errors = np.concatenate(
            [
                agreements(*(minhash(side, k=k, seed=seed, scheme=scheme)[0] for side in (left, right))) / k - truth
                for seed in range(1, 6 if scheme == "oph" else 2)
            ]
        )
        for name, chosen in {"all": sizes > 0, "under 400 characters": sizes < 400}.items():
            part = errors[np.resize(chosen, len(errors))]
            rows.append(
                {
                    "measure": f"error of the estimate, {name}",
                    "scheme": scheme,
                    "k": k,
                    "rmse": round(float(np.sqrt(np.mean(part**2))), 5),
                    "bias": round(float(np.mean(part)), 5),
                    "theory": round(float(np.sqrt(np.mean(truth * (1 - truth)) / k)), 5),
                }
            )
    return rows


def joined(stage: Minhash, texts: list[str]) -> pa.Table:
    """Edges of the stage over the texts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signatures.arrow"
        columns = stage.sign(pa.record_batch({"text": pa.array(texts, pa.large_string())}))
        with pa.ipc.new_file(str(path), stage.signature_schema()) as writer:
            writer.write(pa.record_batch(list(columns.values()), schema=stage.signature_schema()))
        return stage.join([SignaturePart(path, 0, len(texts))], 0, 1)


def pair_row(stage: Minhash, pairs: list[tuple[str, str, float]]) -> dict[str, Any]:
    """Recall and precision of edges against exact J, over pairs; mean over seeds."""
    texts = [text for pair in pairs for text in pair[:2]]
    sets = [grams(text) for text in texts]
    true = {(2 * i, 2 * i + 1) for i, pair in enumerate(pairs) if pair[2] >= stage.threshold}
    recalls, precisions = [], []
    for seed in SEEDS:
        edges = joined(replace(stage, seed=seed), texts)
        found = set(zip(edges.column("a").to_pylist(), edges.column("b").to_pylist(), strict=True))
        # Passages of one book can overlap by chance: a pair nobody made counts by its exact J like the others.
        right = sum(jaccard(sets[a], sets[b]) >= stage.threshold for a, b in found)
        recalls.append(len(found & true) / len(true))
        precisions.append(right / len(found))
    bands, rows = stage.shape()
    return {
        "measure": "pairs",
        "k": stage.k,
        "bands": bands,
        "rows": rows,
        "verified": stage.verify,
        "pairs": len(pairs),
        "true": len(true),
        "recall": round(float(np.mean(recalls)), 4),
        "precision": round(float(np.mean(precisions)), 4),
    }


def make_family(draw: random.Random, texts: list[str], size: int) -> list[str]:
    """A text and edits of it, or of an edit (a chain), between .4 and .97 alike."""
    members = [passage(draw, texts, int(np.exp(draw.uniform(*np.log((150, 4000))))))]
    while len(members) < size:
        parent = members[0] if draw.random() < 0.7 else draw.choice(members)
        members.append(edited(draw, texts, parent, draw.uniform(0.4, 0.97)))
    return members


def family_row(stage: Minhash, size: int, families: list[list[str]]) -> dict[str, Any]:
    """What clustering takes away from families, beside what the exact graph would take away."""
    texts = [text for family in families for text in family]
    sets = [grams(text) for text in texts]
    edges = joined(stage, texts)
    roots = cluster_rows([edges])
    rows = roots.column("row").to_numpy()
    root = roots.column("root").to_numpy()
    found = Clusters(
        "minhash", rows.astype(np.int64), root.astype(np.int64), root.astype(np.int32), rows.astype(np.float32)
    )
    length = np.array([len(texts[row].encode()) for row in rows], np.int64)
    members = Members(rows, rows, length, np.zeros(len(rows), np.int64))
    kept = keepers(found, members, np.ones(len(texts), np.bool_))
    root_of = dict(zip(rows.tolist(), roots.column("root").to_pylist(), strict=True))
    members = defaultdict(list)
    for row, root in root_of.items():
        members[root].append(row)
    removed = [(row, keeper) for row, keeper in zip(rows.tolist(), kept.tolist(), strict=True) if row != keeper]
    unlike_keeper = sum(jaccard(sets[row], sets[keeper]) < stage.threshold for row, keeper in removed)
    lost = sum(
        all(jaccard(sets[row], sets[other]) < stage.threshold for other in members[root_of[row]] if other != row)
        for row, _ in removed
    )
    true = [
        (a, b)
        for start in range(0, len(texts), size)
        for a, b in combinations(range(start, start + size), 2)
        if jaccard(sets[a], sets[b]) >= stage.threshold
    ]
    together = sum(root_of.get(a, a) == root_of.get(b, b + 0.5) for a, b in true)
    return {
        "measure": f"families of {size}",
        "k": stage.k,
        "bands": stage.shape()[0],
        "rows": stage.shape()[1],
        "verified": stage.verify,
        "documents": len(texts),
        "true_pairs": len(true),
        "true_pairs_in_one_cluster": round(together / max(len(true), 1), 4),
        "removed": len(removed),
        "removed_unlike_the_keeper": unlike_keeper,
        "lost_non_duplicates": lost,
        "unresolved": int((edges.schema.metadata or {}).get(b"unresolved", 0)),
    }


def main() -> None:
    """Measure, print and save."""
    draw = random.Random(20240601)
    texts = real_texts()
    pairs = make_pairs(draw, texts)
    rows = error_rows(pairs)
    stages = [
        Minhash(bands=14, rows=8, k=112, verify=False),
        Minhash(bands=14, rows=8, k=112),
        Minhash(bands=16, rows=8, k=128),
        Minhash(bands=25, rows=10, k=256),
        Minhash(),
    ]
    rows += [pair_row(stage, pairs) for stage in stages]
    for size, count in FAMILIES.items():
        families = [make_family(draw, texts, size) for _ in range(count)]
        rows += [family_row(stage, size, families) for stage in stages]
    for row in rows:
        print("  ".join(f"{name}={value}" for name, value in row.items()))
    print(save("dedup_quality", rows, ["numpy", "numba", "datasketch"]))


if __name__ == "__main__":
    main()
