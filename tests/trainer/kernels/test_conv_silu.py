import pytest
import torch

from tests.trainer.kernels.twins import TOKENS, answers, assert_near, assert_twins, documents, draw
from trainer.documents import Documents
from trainer.kernels.conv_silu import conv_silu, conv_silu_naive, conv_silu_step

M, P = 3, 4
KINDS = ("one", "single", "borders", "mixed")


def naive(**given):  # type: ignore[no-untyped-def]
    """The twin; the state is for decoding and has no gradient."""
    y, state = conv_silu_naive(**given)
    return y, state.detach()


def inputs(tokens: int, taps: int = 4, rows: int = 2) -> dict[str, torch.Tensor]:
    return {"zx_BTM2P": draw((rows, tokens, M, 2 * P), 1), "w_C1S": draw((M * P, 1, taps), 2)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [*TOKENS, 2, 4])
def test_equals_its_twin(tokens: int, kind: str) -> None:
    assert_twins(conv_silu, naive, inputs(tokens), documents=documents(kind, 2, tokens))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [*TOKENS, 2, 4])
def test_with_what_came_before(tokens: int, kind: str) -> None:
    state = draw((2, M * P, 3), 3)
    given, docs = inputs(tokens), documents(kind, 2, tokens)
    wanted = answers(naive, given, documents=docs, state_BCS=state)
    found = answers(conv_silu, given, documents=docs, state_BCS=state)
    for name, value in wanted.items():
        assert_near(found[name], value, 1e-12, name)


@pytest.mark.parametrize("taps", [2, 3, 5])
def test_other_widths(taps: int) -> None:
    for tokens in (1, 2, 9):
        assert_twins(conv_silu, naive, inputs(tokens, taps), documents=documents("mixed", 2, tokens))


def test_is_torchs_convolution() -> None:
    given = inputs(11)
    y, _ = conv_silu(**given, documents=Documents.single(2, 11))
    x = given["zx_BTM2P"][..., P:].flatten(2).transpose(1, 2)
    wanted = torch.nn.functional.silu(torch.nn.functional.conv1d(x, given["w_C1S"], padding=3, groups=M * P)[..., :11])
    assert_near(y.flatten(2), wanted.transpose(1, 2), 1e-13)


def test_two_halves_equal_the_whole() -> None:
    given, docs = inputs(40), documents("mixed", 2, 40)
    whole, end = conv_silu(**given, documents=docs)
    for cut in (1, 2, 6, 8, 39):
        first, state = conv_silu(given["zx_BTM2P"][:, :cut], given["w_C1S"], Documents(docs.document_BT[:, :cut]))
        # what came before is of the second half's first document only where that document goes on
        goes_on = (docs.document_BT[:, cut] == docs.document_BT[:, cut - 1])[:, None, None]
        state = torch.where(goes_on, state, 0)
        second, last = conv_silu(
            given["zx_BTM2P"][:, cut:], given["w_C1S"], Documents(docs.document_BT[:, cut:]), state
        )
        assert_near(torch.cat((first, second), 1), whole, 1e-13, f"cut at {cut}")
        assert_near(last, end, 0, f"state, cut at {cut}")


def test_steps_equal_the_whole() -> None:
    given = inputs(9)
    whole, end = conv_silu(**given, documents=Documents.single(2, 9))
    state = torch.zeros(2, M * P, 3, dtype=torch.float64)
    for t in range(9):
        y, state = conv_silu_step(given["zx_BTM2P"][:, t], given["w_C1S"], state)
        assert_near(y, whole[:, t], 1e-13)
    assert torch.equal(state, end)


def test_z_is_left_alone() -> None:
    """Half of each head is z: it has no gradient from here."""
    found = answers(conv_silu, inputs(9), documents=Documents.single(2, 9))
    assert not found["d zx_BTM2P"][..., :P].any()
    assert found["d zx_BTM2P"][..., P:].any()


def test_documents_do_not_see_each_other() -> None:
    docs = Documents(torch.tensor([[0] * 5 + [1] * 2 + [2] * 6]))
    given = {name: value.float() for name, value in inputs(13, rows=1).items()}

    def tail(**g):  # type: ignore[no-untyped-def]
        return conv_silu(**g, documents=docs)[0][:, 7:]

    found = answers(tail, given)
    given["zx_BTM2P"][:, :7] *= 1e20
    again = answers(tail, given)
    for name in found:
        assert torch.equal(found[name], again[name]), name
    assert not again["d zx_BTM2P"][:, :7].any()


def test_gradcheck() -> None:
    zx, w = draw((1, 5, 2, 4), 1).requires_grad_(), draw((4, 1, 4), 2).requires_grad_()
    docs = Documents(torch.tensor([[0, 0, 0, 1, 1]]))
    assert torch.autograd.gradcheck(lambda zx, w: conv_silu(zx, w, docs)[0], (zx, w))


def test_bfloat16_gives_float32() -> None:
    given, docs = inputs(65), documents("mixed", 2, 65)
    zx, w = given["zx_BTM2P"].bfloat16(), given["w_C1S"].float()
    found = answers(conv_silu, {"zx_BTM2P": zx, "w_C1S": w}, documents=docs)
    wanted = answers(naive, {"zx_BTM2P": zx.double(), "w_C1S": w.double()}, documents=docs)
    assert found["output 0"].dtype == torch.float32
    for name, value in wanted.items():
        assert_near(found[name], value, 1e-2 if name == "d zx_BTM2P" else 2e-5, name)
