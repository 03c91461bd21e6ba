"""The feed: every batch a pure function of its number, every document's tokens right, nothing of ``valid``."""

import json
import random
import shutil
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError
from tests.trainer.token_shards import VOCAB, numbered, token_folder
from tokenizer_lab.tokens import Tokens, open_tokens
from trainer.data import (
    Feed,
    RowArrays,
    Source,
    counts_of,
    text_bytes_per_token,
    valid_arrays,
    valid_batches,
)
from trainer.order import named_key
from trainer.plan import Phase, Plan
from trainer.stream import FEW, Stream, grouped

EOS = 0
DOMAINS = {
    "web": {"train": numbered(120, 1, seed=1), "valid": numbered(20, 40_000, seed=2)},
    "code": {"train": numbered(25, 10_000, seed=3, longest=90), "valid": numbered(9, 42_000, seed=4)},
    "tiny": {"train": [[20_001, 20_002], [], [20_003]]},
}
PINNED_DOMAINS = [2, 2, 1, 2, 2, 0, 2, 2, 0, 2, 2, 0]
PINNED_PLACES = [1285, 145, 2, 1653, 1717, 1051, 1077, 945, 779, 1509, 385, 619]
MIXTURE = {"web": 5, "code": 2, "tiny": 0.5}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Tokens:
    return token_folder(tmp_path_factory.mktemp("tokens") / "out", DOMAINS)


def plan_of(*, tokens: int = 4000, seq_len: int = 16, rows: int = 12, block: int = 0, **more) -> Plan:
    return Plan((Phase(tokens, more.pop("mixture", MIXTURE), seq_len, seq_len * rows, **more),), block)


def whole(documents: list[list[int]]) -> list[int]:
    return [token for document in documents for token in [*document, EOS]]


def joined(parts: list[RowArrays]) -> list[np.ndarray]:
    return [np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])]


def same(a: RowArrays, b: RowArrays) -> bool:
    return all((x == y).all() and x.dtype == y.dtype for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


def check_rows(made: RowArrays, following: dict[int, int], piece_len: int) -> None:
    """Everything a row says follows from its tokens. following: token -> the next of its document, or eos."""
    for row in range(len(made.domain_B)):
        tokens, document = made.tokens_BT[row].tolist(), 0
        for t, token in enumerate(tokens):
            if t and (tokens[t - 1] == EOS or t % piece_len == 0):
                document += 1
            assert made.document_BT[row, t] == document
            assert made.weight_BT[row, t] == (token != EOS)
            if token != EOS:
                assert made.targets_BT[row, t] == following[token]


FOLLOWING = {
    token: after
    for splits in DOMAINS.values()
    for documents in splits.values()
    for document in documents
    for token, after in zip(document, (*document[1:], EOS), strict=False)  # an empty document has none
}


@pytest.mark.parametrize("seq_len", [1, 2, 16, 64, 256])
@pytest.mark.parametrize("pieces", [(), ((2000, 1), (3000, 7))])
def test_targets_weights_and_documents_follow_from_the_text(tokens, seq_len, pieces):
    plan = plan_of(seq_len=seq_len, rows=9, pieces=pieces)
    feed = Feed(tokens, plan, 5)
    for step in range(0, plan.steps, max(1, plan.steps // 20)):
        made = feed.arrays(step)
        assert made.tokens_BT.shape == made.targets_BT.shape == (9, seq_len)
        check_rows(made, FOLLOWING, plan.piece_len(step))
        for domain, row in zip(made.domain_B, made.tokens_BT, strict=True):
            held = {token for document in DOMAINS[plan.domains[domain]]["train"] for token in document}
            assert set(row.tolist()) <= held | {EOS}


def test_a_row_is_what_lies_at_its_place(tokens):
    feed = Feed(tokens, plan_of(), 1)
    for step in (0, 3):
        made, (domain_B, place_B) = feed.arrays(step), feed.rows(step)
        for row, (domain, place) in enumerate(zip(domain_B, place_B, strict=True)):
            text = whole(DOMAINS[feed.plan.domains[domain]]["train"])
            expected = [text[(place + i) % len(text)] for i in range(17)]
            assert made.tokens_BT[row].tolist() == expected[:16]
            assert made.targets_BT[row].tolist() == expected[1:]


@given(st.data())
@settings(max_examples=150)
def test_a_stream_reads_any_stretch(tokens, data):
    """Across documents, shards and the end, copied either way."""
    domain = data.draw(st.sampled_from(sorted(DOMAINS)))
    stream, text = Stream(grouped(tokens)[domain, "train"], EOS), whole(DOMAINS[domain]["train"])
    assert stream.length == len(text)
    start, size = data.draw(st.integers(0, 2 * len(text))), data.draw(st.integers(0, len(text) + 50))
    ids, ends = np.full(size, -1), np.zeros(size, bool)
    stream.read(start, ids, ends)
    assert ids.tolist() == [text[(start + i) % len(text)] for i in range(size)]
    assert (ends == (ids == EOS)).all()


def test_long_documents_take_the_other_way_of_copying(tmp_path):
    documents = [list(range(1 + i, 400 + i)) for i in range(20)]
    stream = Stream(token_folder(tmp_path / "out", {"a": {"train": documents}}).shards, EOS)
    assert FEW < 400
    text, draw = whole(documents), random.Random(0)
    for _ in range(50):
        start, size = draw.randrange(len(text)), draw.randrange(1500)
        ids, ends = np.full(size, -1), np.zeros(size, bool)
        stream.read(start, ids, ends)
        assert ids.tolist() == [text[(start + i) % len(text)] for i in range(size)]
        assert (ends == (ids == EOS)).all()


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 12])
def test_any_split_into_ranks_gives_the_same_rows(tokens, ranks):
    feed, share = Feed(tokens, plan_of(), 3), 12 // ranks
    for step in (0, 7, 20):
        parts = [feed.arrays(step, range(r * share, (r + 1) * share)) for r in range(ranks)]
        assert same(RowArrays(*joined(parts)), feed.arrays(step))
    assert feed.arrays(0, range(5, 5)).tokens_BT.shape == (0, 16)


def test_steps_in_any_order_and_by_another_process_are_the_same(tokens):
    plan = plan_of()
    feed = Feed(tokens, plan, 3)
    forward = [feed.arrays(step) for step in range(plan.steps)]
    steps = list(range(plan.steps))
    random.Random(0).shuffle(steps)
    again = Feed(Tokens(tokens.folder, tokens.manifest, tokens.shards), Plan.from_dict(plan.to_dict()), 3)
    assert all(same(again.arrays(step), forward[step]) for step in steps)
    assert not all(same(a, Feed(tokens, plan, 4).arrays(step)) for step, a in enumerate(forward[:3]))


def test_the_bytes_of_a_batch_are_pinned(tokens):
    """Trained models depend on the order: it changes on purpose only, with the plan's format."""
    feed = Feed(tokens, plan_of(), 3)
    assert feed.rows(7)[0].tolist() == PINNED_DOMAINS
    assert feed.rows(7)[1].tolist() == PINNED_PLACES


def test_longer_and_appended_phases_change_no_earlier_batch(tokens):
    first = Phase(1000, MIXTURE, 16, 192)
    old = Plan((first, Phase(500, {"code": 1}, 32, 192)), 64)
    new = Plan((first, Phase(5000, {"code": 1}, 32, 192)), 64).extended(Phase(900, {"web": 1, "a": 0}, 64, 192))
    for step in range(old.steps):
        assert same(Feed(tokens, old, 1).arrays(step), Feed(tokens, new, 1).arrays(step))


@pytest.mark.parametrize(("size", "block"), [(100, 10), (103, 10), (10, 10), (19, 10), (1000, 1), (7, 3)])
def test_each_block_comes_once_an_epoch(size, block):
    @dataclass
    class Length:
        length: int

    source = Source(Length(size), block, named_key(1, "a"))  # type: ignore[arg-type]
    left_over = np.zeros(size, int)
    for epoch in range(60):
        places = source.places(np.arange(source.blocks * block) + epoch * source.blocks * block)
        had = np.bincount(places, minlength=size)
        assert had.max() == 1
        assert had.sum() == size // block * block
        left_over += had == 0
    assert left_over.max() < 60 * (0.2 + size % block / size)  # every token gets its turn


def test_a_domain_is_trained_whole_before_it_comes_again(tokens):
    plan = plan_of(tokens=100_000, seq_len=8, mixture={"web": 1}, block=8)
    feed, text = Feed(tokens, plan, 0), whole(DOMAINS["web"]["train"])
    epoch = len(text) // 8 // 12  # whole batches of the first
    places = np.concatenate([feed.rows(step)[1] for step in range(epoch)])
    covered = np.concatenate([(places + i) % len(text) for i in range(8)])
    assert len(set(covered.tolist())) == len(covered) >= len(text) - 8 * 13


def test_a_domain_shorter_than_a_block_goes_round(tokens):
    made = Feed(tokens, plan_of(mixture={"tiny": 1}, seq_len=64, rows=3), 0).arrays(0)
    assert set(made.tokens_BT.ravel().tolist()) == {20_001, 20_002, 20_003, EOS}
    check_rows(made, FOLLOWING, 64)


def test_the_mixture_is_less_than_a_row_off_at_every_step(tokens):
    plan = plan_of(tokens=60_000, seq_len=16, rows=5)
    feed, had = Feed(tokens, plan, 0), np.zeros(3)
    share = np.array([plan.phases[0].schedule.quotas[name] for name in plan.domains]) / 65536
    for step in range(plan.steps):
        had += np.bincount(feed.rows(step)[0], minlength=3)
        assert np.abs(had - (step + 1) * 5 * share).max() < 1


def test_valid_is_never_fed(tmp_path):
    poison = VOCAB - 1
    domains = {"a": {"train": numbered(50, 1), "valid": [[poison] * 30] * 40}}
    plan = plan_of(tokens=20_000, mixture={"a": 1}, seq_len=64)
    feed = Feed(token_folder(tmp_path / "out", domains), plan, 0)
    assert not any((feed.arrays(step).tokens_BT == poison).any() for step in range(plan.steps))


@pytest.mark.parametrize("domain", ["web", "code", "tiny"])
@pytest.mark.parametrize(("seq_len", "rows"), [(16, 3), (8, 1), (500, 2), (1, 7)])
def test_valid_has_each_target_once(tokens, domain, seq_len, rows):
    parts = list(valid_arrays(tokens, domain, seq_len, rows, number=2))
    documents = DOMAINS[domain].get("valid", [])
    if not documents:
        assert parts == []
        return
    assert {part.tokens_BT.shape for part in parts} == {(rows, seq_len)}
    made = RowArrays(*joined(parts))
    counted = made.weight_BT.ravel() > 0
    pairs = list(zip(made.tokens_BT.ravel()[counted], made.targets_BT.ravel()[counted], strict=True))
    assert pairs == [(token, FOLLOWING[token]) for document in documents for token in document]
    assert counted.sum() == counts_of(tokens, domain, "valid").tokens
    assert set(made.domain_B.tolist()) == {2}


def test_bytes_of_text(tokens):
    valid = DOMAINS["web"]["valid"]
    counts = counts_of(tokens, "web", "valid")
    assert (counts.documents, counts.tokens) == (20, sum(map(len, valid)))
    assert text_bytes_per_token(tokens, "web") == 3.0
    with pytest.raises(InputError, match="no valid text"):
        text_bytes_per_token(tokens, "tiny")
    with pytest.raises(InputError, match="did you mean `web`"):
        text_bytes_per_token(tokens, "wev")


def test_a_batch_is_the_same_memory_in_torch(tokens):
    torch = pytest.importorskip("torch")
    feed = Feed(tokens, plan_of(), 3)
    batch, made = feed.batch(2, range(1, 5)), feed.arrays(2, range(1, 5))
    kinds = {"tokens_BT": torch.int64, "targets_BT": torch.int64, "weight_BT": torch.float32}
    kinds |= {"document_BT": torch.int32, "domain_B": torch.int32}
    for name, kind in kinds.items():
        assert getattr(batch, name).dtype == kind
        assert getattr(batch, name).is_contiguous()
        assert (getattr(batch, name).numpy() == getattr(made, name)).all()
    assert len(list(valid_batches(tokens, "web", 16, 3))) == len(list(valid_arrays(tokens, "web", 16, 3)))


# What goes wrong is told


def copied(tokens: Tokens, folder: Path, **tokenizer) -> Tokens:
    shutil.copytree(tokens.folder, folder)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["tokenizer"] |= tokenizer
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return open_tokens(folder)


def test_wrong_domains_are_told(tokens, tmp_path):
    with pytest.raises(InputError, match="did you mean `web`"):
        Feed(tokens, plan_of(mixture={"wep": 1}), 0)
    for documents in ({"valid": [[1]]}, {"train": [[], []]}):
        folder = token_folder(tmp_path / str(len(documents.get("train", []))), {"a": documents})
        with pytest.raises(InputError, match="no tokens to train on"):
            Feed(folder, plan_of(mixture={"a": 1}), 0)


def test_missing_eos_and_vocabulary_are_told(tokens, tmp_path):
    without = copied(tokens, tmp_path / "none", eos_id=None)
    with pytest.raises(InputError, match="--eos"):
        Feed(without, plan_of(), 0)
    assert (Feed(without, plan_of(), 0, eos_id=49_999).arrays(0).tokens_BT == 49_999).any()
    with pytest.raises(InputError, match="eos_id = 50000"):
        Feed(without, plan_of(), 0, eos_id=50_000)
    Feed(tokens, plan_of(), 0).check_model(50_000)
    with pytest.raises(InputError, match="set vocab_size to 50,000 or more"):
        Feed(tokens, plan_of(), 0).check_model(49_999)
    small = copied(tokens, tmp_path / "small", vocab_size=10_050)
    with pytest.raises(InputError, match="damaged"):
        Feed(small, plan_of(tokens=50_000, rows=100), 0).arrays(0)


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_shards_are_told_when_read(tokens, tmp_path, damage):
    broken = copied(tokens, tmp_path / "broken")
    for path in (broken.folder / "shards").glob("web-train-*"):
        if damage == "missing":
            path.unlink()
        elif damage == "cut":
            path.write_bytes(path.read_bytes()[:-100])
        else:
            shutil.copy(broken.folder / "shards/tiny-train-00000.arrow", path)
    feed = Feed(broken, plan_of(), 0)  # reads none of them
    with pytest.raises(InputError, match=r"web-train-000.*encode the corpus again"):
        feed.arrays(0)


def test_wrong_rows_and_steps_are_told(tokens):
    feed = Feed(tokens, plan_of(), 0)
    for rows in (range(0, 13), range(-1, 3), range(0, 4, 2)):
        with pytest.raises(InputError, match="which has 12"):
            feed.batch(0, rows)
    with pytest.raises(InputError, match="not in the plan"):
        feed.batch(10**9)


def test_going_on_needs_the_same_data(tokens, tmp_path):
    feed = Feed(tokens, plan_of(), 0)
    saved = json.loads(json.dumps(feed.identity))
    feed.check_continues(saved, 5)
    for other, says in (
        (Feed(copied(tokens, tmp_path / "b", fingerprint="e" * 64), plan_of(), 0), "another tokenizer"),
        (Feed(tokens, plan_of(), 1), "set seed = 0"),
        (Feed(tokens, plan_of(), 0, eos_id=1), "set eos_id = 0"),
        (Feed(tokens, plan_of(seq_len=8), 0), "block"),
        (Feed(tokens, plan_of(rows=6), 0), "differs"),
    ):
        with pytest.raises(InputError, match=says):
            other.check_continues(saved, 5)
    manifest = {**tokens.manifest, "key": "x"}
    with pytest.raises(InputError, match="other token shards"):
        Feed(Tokens(tokens.folder, manifest, tokens.shards), plan_of(), 0).check_continues(saved, 5)


# Size


@dataclass(frozen=True)
class LargeShard:
    """64 M tokens in 64 thousand documents, made when they are read."""

    path: Path
    domain: str
    split: str
    documents: int = 1 << 16
    tokens: int = 1 << 26

    @cached_property
    def offsets(self) -> np.ndarray:
        return np.arange(self.documents + 1, dtype=np.int64) * 1024

    @cached_property
    def ids(self) -> np.ndarray:
        return np.broadcast_to(np.uint32(7), self.tokens)


def test_a_trillion_tokens_open_at_once():
    """1e12 tokens, 1e9 documents, 20 domains: resume at a late step. Takes some hundredths; the bar is 1 s."""
    names = [f"d{i:02d}" for i in range(20)]
    shards = tuple(LargeShard(Path(f"{i}.arrow"), names[i % 20], "train") for i in range(14_902))
    tokenizer = {"vocab_size": 100, "eos_id": 0, "fingerprint": "f"}
    manifest = {"key": "k", "domains": {name: {} for name in names}, "tokenizer": tokenizer}
    start = time.process_time()
    mixture = {name: 1.0 + i for i, name in enumerate(names)}
    plan = Plan((Phase(10**12, mixture, 4096, 1 << 22), Phase(10**11, {"d03": 1, "d07": 2}, 4096, 1 << 22)))
    feed = Feed(Tokens(Path("none"), manifest, shards), plan, 0)  # type: ignore[arg-type]
    made = [feed.arrays(step, range(0, 8)) for step in (plan.steps - 2, 123_456)]
    seconds = time.process_time() - start
    assert sum(shard.documents for shard in shards) > 9.7e8
    assert all(set(part.tokens_BT.ravel().tolist()) == {0, 7} for part in made)
    assert sum("offsets" in vars(shard) for shard in shards) <= 32  # what was not read was not opened
    assert seconds < 5  # far above what it takes


# Real text


def test_real_text_comes_back(real_data, tmp_path):
    """Documents of real text, encoded, fed, and put together again byte for byte."""
    import zstandard

    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.encode import EncodeOptions, encode_corpus

    with zstandard.open(real_data / "ja/docs.jsonl.zst", "rt", encoding="utf-8") as stream:
        lines = [line for _, line in zip(range(60), stream, strict=False)]
    (tmp_path / "in.jsonl").write_text("".join(lines), "utf-8")
    options = EncodeOptions(shard_tokens=50_000)
    tokens = encode_corpus(open_corpus([f"ja={tmp_path}/in.jsonl"]), "byte", tmp_path / "out", options)
    size = sum(shard.tokens + shard.documents for shard in tokens.shards)
    feed = Feed(tokens, Plan((Phase(size, {"ja": 1}, 512, 4096),)), 0, eos_id=tokens.vocab_size - 1)
    stream_, seen = feed.sources["ja"].stream, {}
    for step in range(feed.plan.steps):
        made, (_, place_B) = feed.arrays(step), feed.rows(step)
        for place, row in zip(place_B, made.tokens_BT, strict=True):
            seen |= {(place + i) % stream_.length: token for i, token in enumerate(row.tolist())}
    text = bytes(token if token < 256 else 10 for _, token in sorted(seen.items())).decode(errors="ignore")
    documents = [json.loads(line)["text"] for line in lines]
    assert len(seen) > 0.98 * stream_.length
    assert sum(document[:100] in text for document in documents) > 0.9 * len(documents)
