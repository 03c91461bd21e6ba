"""Every token is scored once, from enough context, and its score is that of the whole forward pass."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jacorpus.errors import RecipeError
from tests.trainer.opened_model import PAIR, random_model
from trainer.config import LayerConfig
from trainer.evaluate.scoring import Span, Windows, score

IDS = np.random.default_rng(0)


@given(st.integers(2, 80), st.integers(1, 70), st.integers(1, 20), st.data())
def test_windows_score_each_token_once_from_enough_context(length, first, context, data):
    overlap = data.draw(st.none() | st.integers(0, context - 1))
    cuts = Windows(context, overlap).cut(length, first)
    scored = [place for _, stop, start in cuts for place in range(start, stop)]
    assert scored == list(range(first, length))
    least = context // 2 if overlap is None else overlap
    for start, stop, begin in cuts:
        assert 0 <= start < begin < stop <= start + context + 1
        assert begin - start >= min(begin, max(1, least))
    if cuts and length <= context + 1:
        assert cuts == [(0, length, first)]
    if cuts and overlap == 0 and first == 1:  # as the feed cuts a document into rows
        assert [start for start, _, _ in cuts[:-1]] == [i * context for i in range(len(cuts) - 1)]


def naive(model, ids, first):
    logits = model.logits(model(torch.from_numpy(ids)[None, :-1]))[0].double()
    log = torch.log_softmax(logits, -1).numpy()
    picked = log[np.arange(len(ids) - 1), ids[1:]]
    return -picked[first - 1 :], log.argmax(-1)[first - 1 :] == ids[first:]


@pytest.mark.parametrize("batch_tokens", [1, 64, 8192])
def test_batched_scores_are_those_of_each_alone(batch_tokens):
    model = random_model(50).double()
    spans = [Span(IDS.integers(0, 50, n), first) for n, first in ((30, 1), (2, 1), (17, 9), (30, 29), (5, 5), (1, 1))]
    for span, found in zip(spans, score(model, spans, Windows(100), batch_tokens), strict=True):
        if len(span.ids) <= span.first:
            assert len(found.nats) == 0
            continue
        nats, hits = naive(model, span.ids, span.first)
        np.testing.assert_allclose(found.nats, nats, rtol=1e-10)
        np.testing.assert_array_equal(found.hits, hits)


@pytest.mark.parametrize("overlap", [0, 3, None])
def test_cut_documents_see_their_window_alone(overlap):
    model, ids, windows = random_model(50).double(), IDS.integers(0, 50, 41), Windows(12, overlap)
    wanted = [naive(model, ids[a:b], begin - a)[0] for a, b, begin in windows.cut(41, 1)]
    np.testing.assert_allclose(score(model, [Span(ids)], windows)[0].nats, np.concatenate(wanted), rtol=1e-10)


def test_a_window_layer_needs_no_more_than_its_reach():
    """With one attention layer of W keys, W tokens of overlap lose nothing."""
    layer = LayerConfig("window", 48, heads=2, kv_heads=1, window=6)
    model, ids = random_model(50, layers=(layer,)).double(), IDS.integers(0, 50, 60)
    whole = score(model, [Span(ids)], Windows(100))[0].nats
    np.testing.assert_allclose(score(model, [Span(ids)], Windows(20, 7))[0].nats, whole, rtol=1e-9)
    assert not np.allclose(score(random_model(50, layers=PAIR).double(), [Span(ids)], Windows(20, 0))[0].nats, whole)


def test_wrong_windows_are_named():
    with pytest.raises(RecipeError, match="context must be"):
        Windows(0)
    with pytest.raises(RecipeError, match="overlap must be"):
        Windows(8, 8)
