import pytest
import torch

from tests.trainer.kernels.twins import TOKENS, answers, assert_near, assert_twins, documents, draw
from trainer.documents import Documents
from trainer.kernels import attention as module
from trainer.kernels.attention import attention, attention_naive, attention_step

KINDS = ("one", "single", "borders", "mixed")
WINDOWS = (None, 1, 7, 63, 64, 1000)


def inputs(tokens: int, heads: int = 4, kv_heads: int = 2, rows: int = 2, size: int = 8) -> dict[str, torch.Tensor]:
    return {
        "q_BTHP": draw((rows, tokens, heads, size), 1, 2.0),
        "k_BTKP": draw((rows, tokens, kv_heads, size), 2),
        "v_BTKP": draw((rows, tokens, kv_heads, size), 3),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", TOKENS)
def test_equals_its_twin(tokens: int, kind: str) -> None:
    for window in WINDOWS:
        assert_twins(attention, attention_naive, inputs(tokens), documents=documents(kind, 2, tokens), window=window)


@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (4, 1), (4, 4), (6, 3)])
def test_groups_of_heads(heads: int, kv_heads: int) -> None:
    given = inputs(20, heads, kv_heads)
    assert_twins(attention, attention_naive, given, documents=documents("mixed", 2, 20), window=5)


@pytest.mark.parametrize("narrow", [0, 512])
@pytest.mark.parametrize("kind", ["one", "mixed"])
@pytest.mark.parametrize(("tokens", "window"), [(300, 3), (356, 100), (357, 100), (613, 256), (520, 1)])
def test_block_by_block(tokens: int, window: int, kind: str, narrow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows longer than a block and its window."""
    monkeypatch.setattr(module, "NARROW", narrow)
    given = inputs(tokens, 2, 1, rows=1, size=4)
    assert_twins(attention, attention_naive, given, documents=documents(kind, 1, tokens), window=window)


@pytest.mark.parametrize("narrow", [0, 512])
@pytest.mark.parametrize("block", [4, 16])
def test_any_block(block: int, narrow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(module, "NARROW_BLOCK", block)
    monkeypatch.setattr(module, "NARROW", narrow)
    for window in (1, 3, 4, 5, 17):
        given, docs = inputs(33), documents("mixed", 2, 33)
        assert_twins(attention, attention_naive, given, documents=docs, window=window)


def test_a_window_shows_itself_and_that_many_before() -> None:
    window, tokens = 3, 12
    q = k = torch.zeros(1, tokens, 1, tokens)
    v = torch.eye(tokens)[None, :, None]
    o = attention(q, k, v, Documents.single(1, tokens), window)[0, :, 0]
    for i in range(tokens):
        seen = range(max(0, i - window), i + 1)
        assert o[i].nonzero().flatten().tolist() == list(seen)
        torch.testing.assert_close(o[i, seen.start], torch.tensor(1 / len(seen)))


def test_keys_out_of_reach_change_nothing() -> None:
    """The key W back counts, the one before it does not: to the bit."""
    window, tokens, i = 7, 300, 290
    given, docs = {k: v.float() for k, v in inputs(tokens, 2, 1, 1).items()}, Documents.single(1, tokens)
    before = attention(*given.values(), docs, window)[:, i]
    for back, same in ((window, False), (window + 1, True)):
        changed = {name: value.clone() for name, value in given.items()}
        changed["k_BTKP"][:, i - back] += 50
        changed["v_BTKP"][:, i - back] += 1e6
        assert torch.equal(attention(*changed.values(), docs, window)[:, i], before) is same


@pytest.mark.parametrize("window", [None, 9])
def test_documents_do_not_see_each_other(window: int | None) -> None:
    docs = Documents(torch.tensor([[0] * 40 + [1] * 30]))
    given = {name: value.float() for name, value in inputs(70, rows=1).items()}
    found = answers(lambda **g: attention(**g, documents=docs, window=window)[:, 40:], given)
    for value in given.values():
        value[:, :40] *= -1e4
    again = answers(lambda **g: attention(**g, documents=docs, window=window)[:, 40:], given)
    for name in found:
        assert torch.equal(found[name], again[name])
        if name.startswith("d "):
            assert not found[name][:, :40].any()


def test_gradcheck() -> None:
    given = [value.requires_grad_() for value in inputs(5, 2, 1, rows=1, size=2).values()]
    docs = Documents(torch.tensor([[0, 0, 1, 1, 1]]))
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, docs, 1), given)


def test_takes_parts_of_a_tensor() -> None:
    whole = draw((2, 20, 8, 6), 5)
    q, k, v = whole.split((4, 2, 2), 2)
    docs = documents("mixed", 2, 20)
    assert_near(attention(q, k, v, docs, 4), attention_naive(q, k, v, docs, 4), 1e-13)


def test_bfloat16() -> None:
    given, docs = inputs(130), documents("mixed", 2, 130)
    for window in (None, 9):
        found = answers(attention, {n: v.bfloat16() for n, v in given.items()}, documents=docs, window=window)
        wanted = answers(
            attention_naive, {n: v.bfloat16().double() for n, v in given.items()}, documents=docs, window=window
        )
        for name, value in wanted.items():
            assert found[name].dtype == torch.bfloat16
            assert_near(found[name], value, 3e-2, name)


@pytest.mark.parametrize("window", [None, 1, 4, 63])
def test_steps_equal_the_whole(window: int | None) -> None:
    """Keys in a ring of W + 1 slots, written over as it turns."""
    tokens = 70
    q, k, v = inputs(tokens).values()
    wanted = attention_naive(q, k, v, Documents.single(2, tokens), window)
    slots = tokens if window is None else window + 1
    ring_k, ring_v = torch.full((2, slots, 2, 8), 7.0).double(), torch.full((2, slots, 2, 8), 7.0).double()
    seen = torch.zeros(2, slots, dtype=torch.bool)
    for t in range(tokens):
        ring_k[:, t % slots], ring_v[:, t % slots], seen[:, t % slots] = k[:, t], v[:, t], True
        assert_near(attention_step(q[:, t], ring_k, ring_v, seen), wanted[:, t], 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("window", [100, None])
def test_the_gpus_way_is_the_same_attention(window: int | None) -> None:
    """FlexAttention runs forward on a CPU too; its block masks are compiled once for all documents of a shape."""
    from trainer.kernels.attention import _flex

    tokens = 384
    for first in (60, 61):
        document = torch.zeros(2, tokens, dtype=torch.int32)
        document[:, first:], document[1, 200:] = 1, 2
        documents = Documents(document)
        generator = torch.Generator().manual_seed(first)
        q, k, v = (torch.randn(2, tokens, heads, 32, generator=generator) for heads in (4, 1, 1))
        turned = (each.transpose(1, 2) for each in (q, k, v))
        with torch.no_grad():
            o = _flex()(*turned, block_mask=documents.block_mask(window), enable_gqa=True)
        assert torch.allclose(o.transpose(1, 2), attention_naive(q, k, v, documents, window), atol=1e-5)
