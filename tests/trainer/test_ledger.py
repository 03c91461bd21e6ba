"""The ledger: each document's stretches, from which the batches can be put together again."""

import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest

from jacorpus.errors import InputError, StorageError
from tests.trainer.token_shards import identity, numbered, token_folder
from trainer.data import Feed
from trainer.ledger import LEDGER, ledger, write_ledger
from trainer.plan import Phase, Plan

DOMAINS = {"a": {"train": numbered(60, 1)}, "b": {"train": numbered(9, 20_000, seed=5), "valid": [[40_000]]}}


@pytest.fixture(scope="module")
def feed(tmp_path_factory) -> Feed:
    tokens = token_folder(tmp_path_factory.mktemp("ledger") / "out", DOMAINS)
    return Feed(tokens, Plan((Phase(900, {"a": 3, "b": 1}, 16, 96), Phase(700, {"b": 1, "a": 1}, 64, 128))), 2)


def test_batches_are_put_together_from_the_ledger(feed):
    documents = {
        identity(domain, "train", i).hex(): (domain, [*document, 0])
        for domain, splits in DOMAINS.items()
        for i, document in enumerate(splits["train"])
    }
    table = ledger(feed, range(feed.plan.steps))
    assert table.schema == LEDGER
    rows: dict[tuple[int, int], list[int]] = {}
    for told in table.to_pylist():
        domain, text = documents[told["document"]]
        assert told["domain"] == domain
        assert told["shard"].startswith(f"{domain}-train-")
        assert told["length"] > 0
        stretch = text[told["offset"] : told["offset"] + told["length"]]
        assert len(stretch) == told["length"]
        rows.setdefault((told["step"], told["row"]), []).extend(stretch)
    for step in range(feed.plan.steps):
        for row, tokens in enumerate(feed.arrays(step).tokens_BT.tolist()):
            assert rows.pop((step, row)) == tokens
    assert not rows


def test_rows_of_a_rank_are_a_part_of_the_whole(feed):
    table = ledger(feed, range(1, 3))
    part = ledger(feed, range(1, 3), range(2, 5))
    mine = np.isin(table["row"].to_numpy(), [2, 3, 4])
    assert part.to_pylist() == table.filter(mine).to_pylist()
    assert ledger(feed, range(0)).num_rows == 0


def test_files_are_the_same_bytes_again(feed, tmp_path):
    path = write_ledger(feed, range(2, 5), tmp_path / "x/ledger")
    assert path.name == "ledger-000000002-000000004.parquet"
    assert pq.read_table(path).to_pylist() == ledger(feed, range(2, 5)).to_pylist()
    again = write_ledger(feed, range(2, 5), tmp_path / "y")
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_what_cannot_be_is_told(feed, tmp_path):
    with pytest.raises(InputError, match="not in the plan"):
        ledger(feed, range(feed.plan.steps + 1))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written"):
        write_ledger(feed, range(1), tmp_path / "file")
