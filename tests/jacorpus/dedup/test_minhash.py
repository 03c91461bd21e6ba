"""Near-duplicates: found, confirmed, and the same however the work is cut."""

import random
from pathlib import Path

import numpy as np
import pytest

from jacorpus.dedup.clusters import cluster_rows
from jacorpus.dedup.minhash import HUB_ROUNDS, Minhash, _Signatures
from jacorpus.stage import Dedup
from tests.jacorpus.dedup.texts import all_edges, documents, real_texts, sentences, signed


def _corpus(seed: int = 3) -> list[str]:
    """Sixty texts, every third with two light edits of itself further on, and some empty ones."""
    draw = random.Random(seed)
    texts = [sentences(draw, draw.randint(20, 60)) for _ in range(60)]
    edited = [text.replace("東京", "京都", 1) + "追記。" for text in texts[::3] for _ in range(2)]
    mixed = texts + edited + ["", "  ", "", "短い", "短い"]
    draw.shuffle(mixed)
    return mixed


def test_follows_the_protocol() -> None:
    assert isinstance(Minhash(), Dedup)
    assert Minhash().shape() == (28, 9)
    assert len(Minhash(bands=14, rows=8).signature_schema()) == 15
    assert "14 bands x 8 rows" in Minhash(bands=14, rows=8).estimate(1000)


def test_edges_do_not_depend_on_partitions_nor_on_batches(tmp_path: Path) -> None:
    stage = Minhash(k=64)
    batch = documents(_corpus())
    one = signed(stage, batch, tmp_path / "one")
    many = signed(stage, batch, tmp_path / "many", (1, 7, 40, 41, 90))
    expected = all_edges(stage, one, 1)
    assert len(expected) > 40
    for parts in (one, many):
        for partitions in (1, 2, stage.partitions(len(batch)), 61):
            assert all_edges(stage, parts, partitions) == expected


def test_light_edits_are_found_and_unlike_texts_are_not(tmp_path: Path) -> None:
    texts = _corpus()
    stage = Minhash()
    edges = all_edges(stage, signed(stage, documents(texts), tmp_path), 16)
    clusters = cluster_rows([stage.join(signed(stage, documents(texts), tmp_path), 0, 1)])
    for a, b in edges:
        assert texts[a][:40].replace("東京", "京都") == texts[b][:40].replace("東京", "京都")
    edited = {row for row, text in enumerate(texts) if text.endswith("追記。")}
    assert edited <= set(clusters.column("row").to_pylist())
    empty = {row for row, text in enumerate(texts) if not text.strip()}
    assert not empty & set(clusters.column("row").to_pylist())
    short = [row for row, text in enumerate(texts) if text == "短い"]
    assert (short[0], short[1]) in edges


def test_the_refused_find_a_hub_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """All documents in one bucket; rows are like each other when they have the same remainder modulo 12."""
    stage = Minhash(k=16, bands=1, rows=1)
    monkeypatch.setattr(_Signatures, "equal", lambda self, a, b: (a % np.uint64(12) == b % np.uint64(12)) * 16)
    nothing = _Signatures([], 16, "<u2")

    def edges_of(count: int) -> tuple[set[tuple[int, int]], bytes]:
        others = np.arange(1, count, dtype=np.uint64)
        table = stage._hubs(np.zeros_like(others), others, np.zeros(count - 1, np.int64), nothing)
        pairs = zip(table.column("a").to_pylist(), table.column("b").to_pylist(), strict=True)
        return set(pairs), table.schema.metadata[b"unresolved"]

    expected = {(hub, row) for hub in range(HUB_ROUNDS) for row in range(hub + 12, 60, 12)}
    assert edges_of(60) == (expected, str(60 - HUB_ROUNDS * 5).encode())
    # One that is left alone has been compared with every hub: it is no unresolved one.
    assert edges_of(9) == (set(), b"0")


def test_unverified_pairs_keep_their_estimate(tmp_path: Path) -> None:
    texts = _corpus()
    loose = Minhash(k=64, bands=64, rows=1, verify=False)
    edges = all_edges(loose, signed(loose, documents(texts), tmp_path), 3)
    assert min(edges.values()) < 0.5
    assert min(edges.values()) >= 0
    strict = Minhash(k=64, bands=64, rows=1)
    kept = all_edges(strict, signed(strict, documents(texts), tmp_path), 3)
    assert kept
    assert min(kept.values()) >= np.float32(0.7)


@pytest.mark.parametrize("scheme", ["oph", "datasketch", "datasketch-1"])
def test_schemes_find_the_same_easy_pairs(tmp_path: Path, scheme: str, real_data) -> None:
    texts = [text[:500] for text in real_texts(real_data, 20)]
    near = [text[:250] + "※" + text[250:] for text in texts if len(text) == 500]
    stage = Minhash(scheme=scheme, k=112)
    edges = all_edges(stage, signed(stage, documents(texts + near), tmp_path), 14)
    pairs = zip([row for row, text in enumerate(texts) if len(text) == 500], range(len(texts), 99), strict=False)
    assert set(pairs) <= set(edges)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "above 0"),
        ({"bands": 4}, "go together"),
        ({"bands": 40, "rows": 8}, "need 320 values, k is 256"),
        ({"n": 0}, "at least one character"),
    ],
)
def test_mistakes_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Minhash(**options)


def test_no_documents(tmp_path: Path) -> None:
    stage = Minhash()
    assert all_edges(stage, [], 16) == {}
    assert all_edges(stage, signed(stage, documents([]), tmp_path), 3) == {}
