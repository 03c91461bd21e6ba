"""Count tables against dictionaries, exact sources and real text."""

import io
import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError, RecipeError
from mixing.count_tables import CONCENTRATIONS, CountTables, MixedPredictions, PooledCounts, mixmin_em
from mixing.counting import Documents, TableSettings
from mixing.kernels.gram_trie import counts_naive, events_naive

VOCAB, EOS = 7, 6
M = (5.0, 2.0, 0.7)
MODES = ("counts", "predictions")
texts = st.lists(st.lists(st.integers(0, 5), max_size=12), max_size=5)


def documents(rows: list[list[int]], text_bytes: int | None = None) -> Documents:
    """Bytes of each document: three a token."""
    ids = np.array([t for row in rows for t in row], np.uint32)
    sizes = np.array([len(row) for row in rows], np.int64)
    return Documents(ids, np.concatenate([[0], np.cumsum(sizes)]), 3 * sizes if text_bytes is None else text_bytes)


def tables_of(train, held_out, eos: int | None = None, **options) -> CountTables:
    """Of rows, with fixed concentrations, so that every document is counted."""
    options = {"concentrations": M[: options.get("order", 3)], **options}
    train, held_out = ({name: documents(rows) for name, rows in one.items()} for one in (train, held_out))
    return CountTables.build(train, held_out, TableSettings(**options), vocab_size=VOCAB, eos_id=eos)


def drawn(seed: int, domains: int = 3, sets: int = 2) -> tuple[dict, dict]:
    """Corpora of domains with tastes of their own, and held-out sets."""
    draw = np.random.default_rng(seed)

    def rows(count: int, taste: np.ndarray) -> list[list[int]]:
        return [draw.choice(6, draw.integers(0, 25), p=taste).tolist() for _ in range(count)] + [[int(taste.argmax())]]

    tastes = draw.dirichlet(np.ones(6), domains)
    train = {f"d{i}": rows(6, taste) for i, taste in enumerate(tastes)}
    return train, {f"s{j}": rows(4, tastes[j % domains]) for j in range(sets)}


def model_naive(by_domain: list[list[list[int]]], rates: list[float], order: int, eos: int, m=M):
    """p(gram) by dictionaries, the counts of domains weighted by rates."""
    seen, followed = {}, {}
    for rows, rate in zip(by_domain, rates, strict=True):
        for kept, counts in zip((seen, followed), counts_naive(rows, [True] * len(rows), order, eos), strict=True):
            for gram, count in counts.items():
                kept[gram] = kept.get(gram, 0.0) + rate * count

    def p(gram: tuple[int, ...]) -> float:
        if not gram:
            return 1 / VOCAB
        weight = m[len(gram) - 1]
        return (seen.get(gram, 0) + weight * p(gram[1:])) / (followed.get(gram[:-1], 0) + weight)

    return p


def losses_naive(train, held_out, shares, order, eos, mixing) -> list[float]:
    """Bits per byte, event by event."""
    names = sorted(train)
    tokens = [sum(len(events_naive(row, True, order, eos)) for row in train[name]) for name in names]
    rows = [train[name] for name in names]
    if mixing == "counts":
        rates = [share * max(tokens) / max(n, 1) for share, n in zip(shares, tokens, strict=True)]
        p = model_naive(rows, rates, order, eos)
    else:
        alone = [model_naive([text], [1], order, eos) for text in rows]

        def p(gram):
            return math.fsum(share * one(gram) for share, one in zip(shares, alone, strict=True))

    found = []
    for name in sorted(held_out):
        events = [grams[-1] for row in held_out[name] for grams in events_naive(row, True, order, eos)]
        if events:
            found.append(-sum(math.log2(p(gram)) for gram in events) / sum(3 * len(row) for row in held_out[name]))
    return found


def mixtures(count: int, k: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.7), count)


@settings(max_examples=60)
@given(
    st.lists(texts, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=2),
    st.integers(1, 3), st.sampled_from([None, EOS]), st.sampled_from(MODES), st.integers(0, 99),
)  # fmt: skip
def test_losses_are_those_of_dictionaries(train, held_out, order, eos, mixing, seed):
    """Empty documents, one-token ones, domains that share no gram with the held-out set: all are drawn."""
    train = {f"d{i}": rows for i, rows in enumerate(train)}
    held_out = {f"s{j}": rows for j, rows in enumerate(held_out)}
    if not any(map(any, train.values())) or not any(map(any, held_out.values())):
        with pytest.raises(InputError, match="token"):
            tables_of(train, held_out, eos, order=order)
        return
    found = tables_of(train, held_out, eos, order=order).surrogate(mixing)
    shares = mixtures(1, len(train), seed)[0] * 0.9
    wanted = losses_naive(train, held_out, shares, order, -1 if eos is None else eos, mixing)
    assert found.losses(shares).tolist() == pytest.approx(wanted, rel=1e-12)


def test_a_domain_without_any_gram_of_the_held_out_set():
    train = {"a": [[0, 1, 0, 1, 1]], "b": [[4, 5, 4]], "empty": [[], []]}
    held_out = {"s": [[0, 1, 1]]}
    for mixing in MODES:
        found = tables_of(train, held_out).surrogate(mixing)
        for shares in np.eye(3):
            losses, slope = found.gradient(shares)
            assert losses.tolist() == pytest.approx(losses_naive(train, held_out, shares, 3, -1, mixing))
            assert np.isfinite(slope).all()
        assert found.losses(np.eye(3)[2])[0] == pytest.approx(math.log2(VOCAB) / 3)  # knows nothing


def test_chances_of_all_tokens_add_up_to_one():
    train, _ = drawn(3)
    held_out = {"s": [[2, 1], *([2, 1, x] for x in range(VOCAB))]}
    for mixing in MODES:
        found = tables_of(train, held_out).surrogate(mixing)
        bits = found.document_losses(np.array([0.2, 0.5, 0.3]), "s")[0]
        assert math.fsum(2 ** (bits[0] - bits[1:])) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("mixing", MODES)
@pytest.mark.parametrize("eos", [None, EOS])
def test_gradient_is_that_of_finite_differences(mixing, eos):
    found, step = tables_of(*drawn(1, 4), eos).surrogate(mixing), 1e-5
    for shares in [*mixtures(5, 4) * 0.98 + 0.005, np.array([0.1, 0.2, 0.1, 0.3])]:
        losses, slope = found.gradient(shares)
        assert losses.tolist() == found.losses(shares).tolist()
        for i in range(4):
            to = np.eye(4)[i] * step
            rise = (found.losses(shares + to) - found.losses(shares - to)) / (2 * step)
            assert slope[:, i].tolist() == pytest.approx(rise.tolist(), rel=1e-5, abs=1e-7)


def test_mixed_predictions_are_convex_and_fall_in_every_share():
    found = tables_of(*drawn(2, 4), EOS).surrogate("predictions")
    assert found.convex
    assert not tables_of(*drawn(2, 4)).surrogate().convex
    for one, other in zip(mixtures(200, 4, 1), mixtures(200, 4, 2), strict=True):
        middle = found.losses((one + other) / 2)
        assert (middle <= (found.losses(one) + found.losses(other)) / 2 + 1e-12).all()
    assert (found.gradient(mixtures(1, 4)[0])[1] < 0).all()
    half = np.full(4, 0.125)
    events = sum(one.events for one in found.tables.held_out[:1])
    size = found.tables.held_out[0].document_bytes.sum()
    assert (found.losses(half) - found.losses(2 * half))[0] == pytest.approx(events / size)  # a bit an event


def test_pooled_single_tokens_are_convex():
    found = tables_of(*drawn(5, 4), order=1).surrogate("counts")
    for one, other in zip(mixtures(100, 4, 1), mixtures(100, 4, 2), strict=True):
        middle = found.losses((one + other) / 2)
        assert (middle <= (found.losses(one) + found.losses(other)) / 2 + 1e-12).all()


def test_at_a_vertex_the_mixture_is_the_domain_alone():
    train, held_out = drawn(4)
    tables = tables_of(train, held_out, EOS)
    for i, name in enumerate(sorted(train)):
        vertex = np.eye(3)[i]
        alone = tables_of({name: train[name]}, held_out, EOS)
        single = alone.surrogate("counts").losses(np.ones(1))
        assert tables.surrogate("predictions").losses(vertex) == pytest.approx(single, rel=1e-13)
        as_many = replace(tables.settings, tokens=float(tables.tokens[i]))
        assert replace(tables, settings=as_many).surrogate("counts").losses(vertex) == pytest.approx(single, rel=1e-13)


def test_only_tokens_over_concentrations_matter():
    train, held_out = drawn(4)
    base = tables_of(train, held_out)
    scaled = tables_of(train, held_out, tokens=10.0 * base.tokens.max(), concentrations=tuple(10 * m for m in M))
    for shares in mixtures(5, 3):
        assert scaled.surrogate().losses(shares) == pytest.approx(base.surrogate().losses(shares), rel=1e-12)


@pytest.mark.parametrize("mixing", MODES)
def test_order_names_and_copies_of_domains_change_nothing(mixing):
    train, held_out = drawn(6)
    shares = np.array([0.5, 0.2, 0.3])
    found = tables_of(train, held_out).surrogate(mixing)
    back = [dict(reversed(one.items())) for one in (train, held_out)]
    assert tables_of(*back).surrogate(mixing).gradient(shares)[1].tolist() == found.gradient(shares)[1].tolist()
    renamed = {"z": train["d0"], "a": train["d1"], "m": train["d2"]}
    other = tables_of(renamed, held_out).surrogate(mixing)
    assert other.tables.domains == ("a", "m", "z")
    assert other.losses(shares[[1, 2, 0]]) == pytest.approx(found.losses(shares), rel=1e-12)
    copied = {"d0": train["d0"], "d0-copy": train["d0"], "d1": train["d1"], "d2": train["d2"]}
    split = tables_of(copied, held_out).surrogate(mixing)
    assert split.losses(np.array([0.4, 0.1, 0.2, 0.3])) == pytest.approx(found.losses(shares), rel=1e-12)


@pytest.mark.parametrize("mixing", MODES)
def test_saved_and_loaded_is_the_same(mixing, tmp_path):
    tables = tables_of(*drawn(7), EOS, mixing=mixing)
    tables.save(tmp_path / "new" / "t.npz")
    tables.save(tmp_path / "u.npz")
    assert (tmp_path / "new" / "t.npz").read_bytes() == (tmp_path / "u.npz").read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["t.npz"]
    back = CountTables.load(tmp_path / "new" / "t.npz")
    assert (back.domains, back.sets, back.vocab, back.settings) == (
        *(tables.domains, tables.sets, tables.vocab, tables.settings),
    )
    for shares in mixtures(3, 3):
        for one, other in ((back, tables), (back.surrogate().resampled(1), tables.surrogate().resampled(1))):
            one, other = (each.surrogate() if isinstance(each, CountTables) else each for each in (one, other))
            for a, b in zip(one.gradient(shares), other.gradient(shares), strict=True):
                assert a.tobytes() == b.tobytes()


def test_files_that_hold_no_tables_are_told(tmp_path):
    path = tmp_path / "t.npz"
    with pytest.raises(InputError, match=r"t\.npz"):
        CountTables.load(path)
    tables_of(*drawn(7)).save(path)
    whole = path.read_bytes()
    with (tmp_path / "other.npz").open("wb") as stream:
        np.savez(stream, a=np.arange(3))
    for wrong in (b"", b"no archive", whole[: len(whole) // 2], (tmp_path / "other.npz").read_bytes()):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match="counted again"):
            CountTables.load(path)


@pytest.mark.parametrize("mixing", MODES)
def test_a_bootstrap_counts_documents_as_drawn(mixing):
    train, held_out = drawn(8)
    held_out["s0"] += [[], [1, 2, 3]] * 5
    found = tables_of(train, held_out).surrogate(mixing)
    shares = np.array([0.3, 0.3, 0.4])
    again = found.resampled(5)
    assert again.losses(shares).tobytes() == found.resampled(5).losses(shares).tobytes()
    assert again.resampled(6).losses(shares).tobytes() == found.resampled(6).losses(shares).tobytes()
    assert again.losses(shares).tolist() != found.resampled(6).losses(shares).tolist()
    only = tables_of(train, {"s1": held_out["s1"]}).surrogate(mixing).resampled(5)
    assert only.losses(shares)[0] == pytest.approx(again.losses(shares)[1], rel=1e-12)
    for j, name in enumerate(found.sets):
        bits, size = found.document_losses(shares, name)
        assert len(bits) == found.documents(name) == len(held_out[name])
        assert bits.sum() / size.sum() == pytest.approx(found.losses(shares)[j], rel=1e-12)
        draws = again.draws[j]
        texts = np.array([bool(row) for row in held_out[name]])
        assert draws.sum() == texts.sum()
        assert not draws[~texts].any()
        assert (draws @ bits) / (draws @ size) == pytest.approx(again.losses(shares)[j], rel=1e-12)
    assert "s1 (5)" in found.notes[0]


def test_settings_cap_what_is_read():
    rows = [[1] * 40, [2] * 5, [3] * 30]
    tables = tables_of({"a": rows}, {"s": rows}, EOS, tokens_per_domain=50, events_per_set=20, events_per_document=12)
    assert tables.tokens.tolist() == [52]  # 40 and its end, 5 and its end, 5 of the next without
    one = tables.held_out[0]
    assert one.document_bytes.tolist() == [36, 15, 9]  # 12 tokens, 5, 3; three bytes each
    assert one.events == 12 + 6 + 3
    even = Documents(documents(rows).ids, documents(rows).offsets, 150)
    made = CountTables.build({"a": even}, {"s": even}, tables.settings, vocab_size=VOCAB, eos_id=EOS)
    assert made.held_out[0].document_bytes.tolist() == [24, 10, 6]  # two bytes a token, of all together
    assert made.tokens.tolist() == tables.tokens.tolist()
    assert CountTables.build({"a": even}, {"s": even}, tables.settings).vocab == 4


def test_a_shard_that_begins_within_its_tokens():
    """Offsets of a slice do not begin at 0."""
    rows = [[0, 1, 2], [3, 1, 2], [2, 2]]
    whole = documents(rows)
    part = Documents(whole.ids, whole.offsets[1:], whole.text_bytes[1:])
    options = TableSettings(concentrations=M)
    sliced = CountTables.build({"a": part}, {"s": part}, options, vocab_size=VOCAB)
    copied = CountTables.build({"a": documents(rows[1:])}, {"s": documents(rows[1:])}, options, vocab_size=VOCAB)
    assert sliced.surrogate().losses(np.ones(1)).tolist() == copied.surrogate().losses(np.ones(1)).tolist()


def test_concentrations_are_chosen_on_documents_kept():
    """A token here depends on the one before it, not on two: the chosen weights say so."""
    draw = np.random.default_rng(0)
    chain = draw.dirichlet(np.full(6, 0.3), 6)

    def rows(count: int) -> list[list[int]]:
        found = []
        for _ in range(count):
            row = [0]
            while len(row) < 40:
                row.append(int(draw.choice(6, p=chain[row[-1]])))
            found.append(row)
        return found

    train, held_out, heard = {"a": documents(rows(60))}, {"s": documents(rows(30))}, []
    tables = CountTables.build(train, held_out, TableSettings(), lambda *told: heard.append(told), vocab_size=VOCAB)
    assert heard == [("counting", 0, 1), ("counting", 1, 1)]
    assert tables.tokens[0] == 54 * 40  # a tenth is kept
    assert tables.concentrations.tolist() != list(CONCENTRATIONS)
    chosen = tables.surrogate().losses(np.ones(1))[0]
    assert tables.concentrations[2] > 100 * tables.concentrations[1]
    for other in (CONCENTRATIONS, tables.concentrations * [1, 300, 1], [*tables.concentrations[:2], 1.0]):
        assert chosen < replace(tables, concentrations=np.array(other)).surrogate().losses(np.ones(1))[0]
    few = CountTables.build({"a": documents([[1, 2, 3]])}, held_out, TableSettings(), vocab_size=VOCAB)
    assert few.concentrations.tolist() == list(CONCENTRATIONS)  # one document: none to keep


@pytest.mark.parametrize("seed", range(5))
def test_mixmin_em_recovers_a_known_mixture(seed):
    draw = np.random.default_rng(seed)
    sources = draw.dirichlet(np.full(30, 0.1), 5)
    truth = 0.8 * draw.dirichlet(np.ones(5)) + 0.04  # towards a weight of almost 0 it is slow
    found = mixmin_em(sources, truth @ sources, np.full(5, 0.2), 1000)
    assert np.abs(found - truth).sum() <= 1e-6


def test_mixmin_em_finds_the_least_loss_of_mixed_predictions():
    found = tables_of(*drawn(9, 3, 3), EOS).surrogate("predictions")
    target = np.array([0.6, 0.1, 0.3])
    predictions, weights = found.events(target)
    shares = mixmin_em(predictions, weights, np.full(3, 1 / 3), 3000)
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    losses, slope = found.gradient(shares)
    slope = target @ slope
    assert (slope - slope @ shares).min() > -1e-3 * abs(slope @ shares)  # no direction is much better
    assert target @ losses <= min(target @ found.losses(other) for other in mixtures(300, 3)) + 1e-9
    path = [target @ found.losses(mixmin_em(predictions, weights, np.full(3, 1 / 3), steps)) for steps in range(20)]
    assert all(after <= before + 1e-13 for before, after in pairwise(path))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"mixing": "count"}, "counts"), ({"order": 4}, "order"), ({"order": True}, "order"),
        ({"events_per_set": 0}, "events_per_set"), ({"tokens": -1}, "tokens"),
        ({"concentrations": [1.0]}, "each order"),
        ({"concentrations": [1, 0, 1]}, "above 0"), ({"concentrations": 3}, "list"), ({"ordr": 2}, "order"),
    ],
)  # fmt: skip
def test_wrong_settings_are_told(options, word):
    with pytest.raises(RecipeError, match=word):
        TableSettings.of(options)


def test_wrong_data_and_shares_are_told():
    good, options = documents([[1, 2, 3]]), TableSettings()
    ids, offsets = good.ids, good.offsets
    for wrong in (
        Documents(ids, np.array([0, 4]), 9),
        Documents(ids, np.array([2, 1]), 9),
        Documents(ids, offsets, ids),
    ):
        with pytest.raises(InputError, match="`s`"):
            CountTables.build({"a": good}, {"s": wrong}, options)
    with pytest.raises(InputError, match="bytes"):
        CountTables.build({"a": good}, {"s": Documents(ids, offsets)}, options)
    with pytest.raises(InputError, match="vocabulary"):
        CountTables.build({"a": good}, {"s": good}, options, vocab_size=3)
    with pytest.raises(InputError, match="eos_id"):
        CountTables.build({"a": good}, {"s": good}, options, vocab_size=4, eos_id=4)
    tables = CountTables.build({"a": good, "b": good}, {"s": good}, options)
    for kind in (PooledCounts, MixedPredictions):
        for shares in ([1.0], [0.0, 0.0], [-0.1, 1.1], [math.nan, 1.0]):
            with pytest.raises(RecipeError, match="a, b"):
                kind(tables).losses(np.array(shares))
        with pytest.raises(RecipeError, match="did you mean"):
            kind(tables).document_losses(np.array([0.5, 0.5]), "sx")


def test_real_text_is_best_predicted_by_its_own_domain(real_data):
    """Japanese documentation of three projects, characters as tokens."""
    rows: dict[str, list[np.ndarray]] = {"php/doc-ja": [], "python/python-docs-ja": [], "rurema/doctree": []}
    with (real_data / "ja" / "docs.jsonl.zst").open("rb") as file:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8"):
            kept = next((name for name in rows if f'"repo": "{name}"' in line), None)
            if kept and len(rows[kept]) < 80:
                rows[kept].append(np.frombuffer(json.loads(line)["text"].encode("utf-32-le"), np.uint32))
    assert all(len(texts) == 80 for texts in rows.values())

    def of(texts: list[np.ndarray]) -> Documents:
        size = sum(len(text.tobytes().decode("utf-32-le").encode()) for text in texts)
        return Documents(np.concatenate(texts), np.concatenate([[0], np.cumsum([len(text) for text in texts])]), size)

    train, held_out = ({name: of(texts[at]) for name, texts in rows.items()} for at in (slice(16, 80), slice(16)))
    tables = CountTables.build(train, held_out, TableSettings(tokens_per_domain=100_000, events_per_set=5000))
    for mixing in MODES:
        found = tables.surrogate(mixing)
        table = np.array([found.losses(vertex) for vertex in np.eye(3)])  # [domain, set]
        assert (table.argmin(0) == np.arange(3)).all(), table
        assert (np.diag(table) > 0.3).all()
        assert (np.diag(table) < 4).all()
        even = found.losses(np.full(3, 1 / 3))
        assert (even < table.max(0)).all()
