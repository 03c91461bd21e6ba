"""A new crawl against an index of old ones equals one run over all."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.decide import Clusters, Members, id_words, keepers
from jacorpus.dedup.clusters import cluster_rows
from jacorpus.dedup.exact import Exact
from jacorpus.dedup.minhash import Minhash
from jacorpus.dedup.snapshots import (
    INDEXED,
    Index,
    add_snapshot,
    matches,
    open_index,
    preferred,
    retractions,
)
from jacorpus.errors import InputError, RecipeError
from tests.jacorpus.dedup.texts import documents, sentences, signed

STAGE = Minhash(k=64)


def _indexed(texts: list[str], first: int, published: list[bool] | None = None) -> pa.Table:
    ids = [(1000 - first - number).to_bytes(16, "big") for number in range(len(texts))]
    sizes = [len(text.encode()) for text in texts]
    return pa.table([ids, published or [True] * len(texts), sizes, [0] * len(texts)], schema=INDEXED)


def _kept(clusters: pa.Table, documents: pa.Table) -> np.ndarray:
    row, root = (clusters.column(name).to_numpy().astype(np.int64) for name in ("row", "root"))
    words = id_words(documents.column("id").combine_chunks())[row]
    published = documents.column("published").to_numpy()
    priority = preferred(documents.column("priority").to_numpy(), published)[row]
    sizes = documents.column("bytes").to_numpy()[row]
    found = Clusters("minhash", row, root, np.zeros(len(row), np.int32), np.zeros(len(row), np.float32))
    return keepers(found, Members(words[:, 0], words[:, 1], sizes, priority), np.ones(len(documents), np.bool_))


@pytest.fixture
def crawls() -> list[list[str]]:
    """Three crawls; each later one has edits of texts of all crawls so far."""
    draw = random.Random(11)
    made: list[list[str]] = []
    for size in (40, 30, 30):
        before = [text for crawl in made for text in crawl]
        fresh = [sentences(draw, draw.randint(20, 40)) for _ in range(size)]
        made.append(fresh + [draw.choice(before or fresh) + "追記した。" for _ in range(10)])
    return made


def test_clusters_equal_those_of_a_joint_run(tmp_path: Path, crawls: list[list[str]]) -> None:
    index = Index(tmp_path / "index", ())
    for number, crawl in enumerate(crawls):
        parts = signed(STAGE, documents(crawl), tmp_path / f"run{number}", (7, 20))
        joined = index.joint(parts)
        clusters = cluster_rows(STAGE.join(joined, partition, 3) for partition in range(3))
        everything = [text for earlier in crawls[: number + 1] for text in earlier]
        together = signed(STAGE, documents(everything), tmp_path / f"all{number}")
        assert clusters == cluster_rows([STAGE.join(together, 0, 1)])
        assert len(clusters) > 10
        add_snapshot(tmp_path / "index", STAGE, "dedup.minhash", f"s{number}", parts, _indexed(crawl, index.rows))
        index = open_index(tmp_path / "index", STAGE, "dedup.minhash")
        assert index.rows == len(everything)
    assert index.names(np.array([0, 49, 50, 89, 90])) == ["s0", "s0", "s1", "s1", "s2"]
    assert len(index.documents()) == index.rows


def test_names_the_old_document_and_keeps_what_is_published(tmp_path: Path) -> None:
    draw = random.Random(2)
    left, right, other = (sentences(draw, 30) for _ in range(3))
    old = [other, left, sentences(draw, 30), right, other + "終わり。"]
    folder = tmp_path / "index"
    parts = signed(STAGE, documents(old), tmp_path / "old")
    add_snapshot(folder, STAGE, "m", "2023", parts, _indexed(old, 0, [True, True, True, True, False]))
    index = open_index(folder, STAGE, "m")
    new = [sentences(draw, 30), left + "とても長い追記。", other + "終わり。", "新しい。"]
    edges = [
        *(STAGE.join(index.joint(signed(STAGE, documents(new), tmp_path / "new")), p, 2) for p in range(2)),
        # A page that holds both makes two published documents one cluster.
        pa.table([[1, 3], [8, 8], [0.8, 0.9]], schema=STAGE.join([], 0, 1).schema),
    ]
    clusters = cluster_rows(edges)
    found = {
        row["row"]: (row["matched"], row["similarity"]) for row in matches(edges, clusters, index.rows).to_pylist()
    }
    assert set(found) == {1, 2, 3}
    assert found[1][0] == 1
    assert found[2][0] == 0  # the hub of its bucket
    assert found[3] == (3, pytest.approx(0.9))
    both = pa.concat_tables([index.documents(), _indexed(new, 5, [False] * 4)])
    kept = dict(zip(clusters.column("row").to_pylist(), _kept(clusters, both).tolist(), strict=True))
    assert kept[7] == kept[4] == kept[0] == 0
    stays = max((1, 3), key=lambda row: (len(old[row]), row))
    assert kept[6] == kept[8] == stays
    gone = retractions(clusters, _kept(clusters, both), both, index)
    assert gone.column("snapshot").to_pylist() == ["2023"]
    assert gone.column("id").to_pylist() == [(1000 - (4 - stays)).to_bytes(16, "big")]
    assert gone.column("kept_id").to_pylist() == [(1000 - stays).to_bytes(16, "big")]
    add_snapshot(folder, STAGE, "m", "2024", signed(STAGE, documents(new), tmp_path / "n"), _indexed(new, 5), gone)
    published = open_index(folder, STAGE, "m").documents().column("published").to_pylist()
    assert published == [row not in (4, 4 - stays) for row in range(9)]


def test_the_most_similar_old_document_is_named_wherever_its_edge_is() -> None:
    schema = STAGE.join([], 0, 1).schema
    tables = [
        pa.table([[0, 1, 3], [9, 9, 9], [0.8, 0.9, 0.7]], schema=schema),
        pa.table([[2], [9], [0.9]], schema=schema),
    ]
    for edges in (tables, tables[::-1]):
        rows = matches(edges, cluster_rows(edges), 5).to_pylist()
        assert rows == [{"row": 4, "matched": 1, "similarity": pytest.approx(0.9)}]


def test_a_chain_through_new_documents_names_the_first_old_one() -> None:
    edges = [pa.table([[2, 5], [5, 6], [0.8, 0.9]], schema=STAGE.join([], 0, 1).schema)]
    rows = matches(edges, cluster_rows(edges), 5).to_pylist()
    assert rows == [
        {"row": 0, "matched": 2, "similarity": pytest.approx(0.8)},
        {"row": 1, "matched": 2, "similarity": None},
    ]


@pytest.mark.parametrize(
    ("stage", "use", "message"),
    [
        (Minhash(k=128), "m", "k is 64 there and 128 here"),
        (Minhash(k=64, seed=9), "m", "seed is 1 there and 9 here"),
        (Minhash(k=64, fold=False), "m", "fold is True there and False here"),
        (Minhash(k=64, n=4), "m", "n is 5 there and 4 here"),
        (Minhash(k=64, scheme="datasketch"), "m", "scheme is 'oph' there and 'datasketch' here"),
        (Minhash(k=64, threshold=0.9), "m", "bands x rows is"),
        (Exact(), "e", "use is 'm' there and 'e' here"),
    ],
)
def test_other_signatures_are_refused(tmp_path: Path, stage, use: str, message: str) -> None:
    parts = signed(STAGE, documents(["文"]), tmp_path / "old")
    add_snapshot(tmp_path / "index", STAGE, "m", "a", parts, _indexed(["文"], 0))
    with pytest.raises(RecipeError, match=message):
        open_index(tmp_path / "index", stage, use)


def test_an_index_stays_whole(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(InputError, match="no signature index"):
        open_index(folder, STAGE, "m")
    parts = signed(STAGE, documents(["文", "章"]), tmp_path / "old")
    with pytest.raises(ValueError, match="1 documents for 2 signatures"):
        add_snapshot(folder, STAGE, "m", "a", parts, _indexed(["文"], 0))
    add_snapshot(folder, STAGE, "m", "a", parts, _indexed(["文", "章"], 0))
    with pytest.raises(RecipeError, match="already has a snapshot 'a'"):
        add_snapshot(folder, STAGE, "m", "a", parts, _indexed(["文", "章"], 0))
    assert open_index(folder, STAGE, "m").rows == 2
    file = folder / "a" / "signatures-00000.arrow"
    short = signed(STAGE, documents(["文"]), tmp_path / "short")[0].path.read_bytes()
    file.write_bytes(short)
    with pytest.raises(InputError, match="does not hold what"):
        open_index(folder, STAGE, "m")
    file.write_bytes(short[: len(short) // 2])
    with pytest.raises(InputError, match="missing or damaged"):
        open_index(folder, STAGE, "m")


def test_exact_and_url_stages_have_indexes_too(tmp_path: Path) -> None:
    stage = Exact(normalize=True)
    parts = signed(stage, documents(["文"]), tmp_path / "old")
    add_snapshot(tmp_path / "index", stage, "dedup.exact", "a", parts, _indexed(["文"], 0))
    index = open_index(tmp_path / "index", stage, "dedup.exact")
    edges = [stage.join(index.joint(signed(stage, documents(["新", "文 "]), tmp_path / "new")), 0, 1)]
    assert matches(edges, cluster_rows(edges), 1).to_pylist() == [{"row": 1, "matched": 0, "similarity": 1.0}]
    with pytest.raises(RecipeError, match="normalize is True there and False here"):
        open_index(tmp_path / "index", Exact(), "dedup.exact")
