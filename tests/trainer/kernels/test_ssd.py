import pytest
import torch

from tests.trainer.kernels.twins import TOKENS, answers, assert_near, assert_twins, documents, draw
from trainer.kernels import ssd as module
from trainer.kernels.ssd import ssd, ssd_naive, ssd_step

M, P, N = 3, 4, 5
KINDS = ("one", "single", "borders", "mixed")


def inputs(tokens: int, rows: int = 2, heads: int = M, size: int = P, n: int = N) -> dict[str, torch.Tensor]:
    return {
        "x_BTMP": draw((rows, tokens, heads, size), 1),
        "dt_BTM": draw((rows, tokens, heads), 2),
        "a_M": -torch.arange(1, heads + 1).double(),
        "b_BTN": draw((rows, tokens, n), 3),
        "c_BTN": draw((rows, tokens, n), 4),
        "d_M": draw((heads,), 5),
        "z_BTMP": draw((rows, tokens, heads, size), 6),
        "dt_bias_M": draw((heads,), 7) - 3,
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", TOKENS)
def test_equals_its_twin(tokens: int, kind: str) -> None:
    assert_twins(ssd, ssd_naive, inputs(tokens), start_BT=documents(kind, 2, tokens).start_BT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", TOKENS)
def test_with_a_state_before(tokens: int, kind: str) -> None:
    given = {**inputs(tokens), "state_BMPN": draw((2, M, P, N), 8)}
    assert_twins(ssd, ssd_naive, given, start_BT=documents(kind, 2, tokens).start_BT)


@pytest.mark.parametrize("tokens", TOKENS)
def test_known_to_hold_one_document(tokens: int) -> None:
    start = documents("one", 2, tokens).start_BT
    assert_twins(lambda **g: ssd(**g, one=True), ssd_naive, inputs(tokens), start_BT=start)
    given = {**inputs(tokens), "state_BMPN": draw((2, M, P, N), 8)}
    assert_twins(lambda **g: ssd(**g, one=True), ssd_naive, given, start_BT=start)


@pytest.mark.parametrize("chunk", [1, 2, 16, 128])
def test_any_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    for kind in KINDS:
        assert_twins(ssd, ssd_naive, inputs(37), start_BT=documents(kind, 2, 37).start_BT)


def test_two_halves_equal_the_whole() -> None:
    given, docs = inputs(130), documents("mixed", 2, 130)
    per_token = [name for name in given if "BT" in name]
    whole, end = ssd(**given, start_BT=docs.start_BT)
    for cut in (1, 63, 64, 65, 129):
        parts = [{**given, **{n: given[n][:, piece] for n in per_token}} for piece in (slice(cut), slice(cut, None))]
        first, state = ssd(**parts[0], start_BT=docs.start_BT[:, :cut])
        fresh = docs.start_BT[:, cut, None, None, None]
        second, last = ssd(**parts[1], start_BT=docs.start_BT[:, cut:], state_BMPN=torch.where(fresh, 0, state))
        assert_near(torch.cat((first, second), 1), whole, 1e-13, f"cut at {cut}")
        assert_near(last, end, 1e-13, f"state, cut at {cut}")


def test_steps_equal_the_whole() -> None:
    given = inputs(70)
    whole, end = ssd(**given, start_BT=documents("one", 2, 70).start_BT)
    state = torch.zeros(2, M, P, N, dtype=torch.float64)
    for t in range(70):
        now = {n.replace("BT", "B"): v[:, t] if "BT" in n else v for n, v in given.items()}
        y, state = ssd_step(**now, state_BMPN=state)
        assert_near(y, whole[:, t], 1e-13)
    assert_near(state, end, 1e-13)


@pytest.mark.parametrize("cut", [1, 40, 63, 64, 65, 100])
def test_documents_do_not_see_each_other(cut: int) -> None:
    """To the bit: the second document's answers, its state, and all gradients of them."""
    start = torch.zeros(1, 130, dtype=torch.bool)
    start[:, [0, cut]] = True
    given = {name: value.float() for name, value in inputs(130, rows=1).items()}
    per_token = [name for name in given if "BT" in name]

    def tail(**g):  # type: ignore[no-untyped-def]
        y, end = ssd(**g, start_BT=start)
        return y[:, cut:], end

    found = answers(tail, given)
    for name in per_token:
        given[name][:, :cut] = given[name][:, :cut] * -7 + 3
        if name in ("x_BTMP", "b_BTN", "c_BTN", "z_BTMP"):
            given[name][:, :cut] *= 1e4
    again = answers(tail, given)
    for name, value in found.items():
        assert torch.equal(value, again[name]), name
    for name in per_token:
        assert not again[f"d {name}"][:, :cut].any(), name


def test_packed_equals_apart() -> None:
    given = inputs(130, rows=1)
    per_token = [name for name in given if "BT" in name]
    start = torch.zeros(1, 130, dtype=torch.bool)
    start[:, [0, 50, 51, 110]] = True
    whole, end = ssd(**given, start_BT=start)
    for first, last in ((0, 50), (50, 51), (51, 110), (110, 130)):
        part = {**given, **{n: given[n][:, first:last] for n in per_token}}
        y, state = ssd(**part, start_BT=start[:, first:last])
        assert_near(whole[:, first:last], y, 1e-13)
    assert_near(end, state, 1e-13)


@pytest.mark.parametrize("state", [False, True])
def test_gradcheck(state: bool) -> None:
    given = {name: value.requires_grad_() for name, value in inputs(5, 1, 2, 2, 2).items()}
    if state:
        given["state_BMPN"] = draw((1, 2, 2, 2), 8).requires_grad_()
    start = torch.tensor([[True, False, False, True, False]])

    def run(*values):  # type: ignore[no-untyped-def]
        return ssd(**dict(zip(given, values, strict=True)), start_BT=start)

    assert torch.autograd.gradcheck(run, list(given.values()))


def test_gradcheck_over_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    test_gradcheck(True)


def test_extreme_steps_stay_finite() -> None:
    """Steps that forget all, steps that keep all, and decays that differ by document."""
    given = {name: value.float() for name, value in inputs(130).items()}
    given["dt_BTM"] = given["dt_BTM"] * 200
    given["a_M"] = torch.tensor([-1e-3, -16.0, -300.0])
    start = documents("mixed", 2, 130).start_BT
    for name, value in answers(ssd, given, start_BT=start).items():
        assert value.isfinite().all(), name
    wide = {name: value.double() for name, value in given.items()}
    wanted = answers(ssd_naive, wide, start_BT=start)
    found = answers(ssd, wide, start_BT=start)
    for name, value in wanted.items():
        assert_near(found[name], value, 1e-9, name)


def test_takes_parts_of_a_tensor() -> None:
    """z and x as the halves of one projection, B and C of another: strides are no matter."""
    given = inputs(65)
    zx = torch.cat((given["z_BTMP"], given["x_BTMP"]), -1)
    bc = torch.cat((given["b_BTN"], given["c_BTN"]), -1)
    start = documents("mixed", 2, 65).start_BT

    def run(zx, bc, **rest):  # type: ignore[no-untyped-def]
        return ssd(x_BTMP=zx[..., P:], z_BTMP=zx[..., :P], b_BTN=bc[..., :N], c_BTN=bc[..., N:], **rest)

    rest = {n: v for n, v in given.items() if n not in ("x_BTMP", "z_BTMP", "b_BTN", "c_BTN")}
    found = answers(run, {"zx": zx, "bc": bc, **rest}, start_BT=start)
    wanted = answers(ssd_naive, given, start_BT=start)
    assert_near(found["output 0"], wanted["output 0"], 1e-12)
    assert_near(found["d zx"], torch.cat((wanted["d z_BTMP"], wanted["d x_BTMP"]), -1), 1e-12)
    assert_near(found["d bc"], torch.cat((wanted["d b_BTN"], wanted["d c_BTN"]), -1), 1e-12)


def test_only_what_is_asked_for_has_a_gradient() -> None:
    given, start = inputs(65), documents("mixed", 2, 65).start_BT
    wanted = answers(ssd_naive, given, start_BT=start)
    for name in given:
        leaf = given[name].clone().requires_grad_()
        y, end = ssd(**{**given, name: leaf}, start_BT=start)
        if end.requires_grad:
            total = (y * draw(y.shape, 0)).sum() + (end * draw(end.shape, 1)).sum()
        else:
            total = (y * draw(y.shape, 0)).sum()
        (gradient,) = torch.autograd.grad(total, leaf)
        assert_near(gradient, wanted[f"d {name}"], 1e-12, name)


def test_bfloat16_gives_float32_state() -> None:
    given = {name: value.float() for name, value in inputs(130).items()}
    for name in ("dt_BTM", "b_BTN", "c_BTN", "z_BTMP"):
        given[name] = given[name].bfloat16()
    start = documents("mixed", 2, 130).start_BT
    found = answers(ssd, given, start_BT=start)
    assert found["output 1"].dtype == torch.float32
    wanted = answers(ssd_naive, {n: v.double() for n, v in given.items()}, start_BT=start)
    for name, value in wanted.items():
        assert_near(found[name], value, 1e-2, name)
