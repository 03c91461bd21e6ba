import pytest
import torch

from tests.trainer.kernels.twins import TOKENS, answers, assert_near, assert_twins, draw
from trainer.kernels import linear_ce as module
from trainer.kernels.linear_ce import linear_ce, linear_ce_naive

D, V = 6, 37


def inputs(tokens: int, seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"x_TD": draw((tokens, D), 1), "w_VD": draw((V, D), 2)}, torch.randint(0, V, (tokens,), generator=generator)


@pytest.mark.parametrize("tokens", TOKENS)
def test_equals_its_twin(tokens: int) -> None:
    given, targets = inputs(tokens)
    assert_twins(linear_ce, linear_ce_naive, given, targets_T=targets)


@pytest.mark.parametrize("keep", [0, 1 << 30])
@pytest.mark.parametrize("chunk", [1, 7, 64, 65])
def test_chunks_are_no_matter(chunk: int, keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(module, "KEEP_BYTES", keep)
    for tokens in (1, 64, 65, 130):
        given, targets = inputs(tokens)
        assert_twins(linear_ce, linear_ce_naive, given, targets_T=targets)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_made_again_are_those_kept(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: memory decides on speed alone."""
    monkeypatch.setattr(module, "CHUNK", 32)
    given, targets = inputs(130)
    given = {name: value.to(dtype) for name, value in given.items()}
    kept = answers(linear_ce, given, targets_T=targets)
    monkeypatch.setattr(module, "KEEP_BYTES", 0)
    again = answers(linear_ce, given, targets_T=targets)
    for name, value in kept.items():
        assert torch.equal(value, again[name]), name


def test_is_torchs_cross_entropy() -> None:
    given, targets = inputs(33)
    loss, lse = linear_ce(**given, targets_T=targets)
    logits = given["x_TD"] @ given["w_VD"].T
    assert_near(loss, torch.nn.functional.cross_entropy(logits, targets, reduction="none"), 1e-13)
    assert_near(lse, logits.logsumexp(-1), 1e-13)


def test_weights_and_z_loss_are_sums_outside() -> None:
    given, targets = inputs(33)
    weight = torch.rand(33, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weight[::5] = 0

    def total(operation):  # type: ignore[no-untyped-def]
        def run(**g):  # type: ignore[no-untyped-def]
            loss, lse = operation(**g, targets_T=targets)
            return (weight * (loss + 1e-2 * lse.square())).sum()

        return run

    found, wanted = answers(total(linear_ce), given), answers(total(linear_ce_naive), given)
    for name, value in wanted.items():
        assert_near(found[name], value, 1e-12, name)
    assert not found["d x_TD"][::5].any()


def test_one_answer_alone_has_its_gradient() -> None:
    given, targets = inputs(9)
    for which in (0, 1):
        found = answers(lambda which=which, **g: linear_ce(**g, targets_T=targets)[which], given)
        wanted = answers(lambda which=which, **g: linear_ce_naive(**g, targets_T=targets)[which], given)
        for name, value in wanted.items():
            assert_near(found[name], value, 1e-12, name)


def test_a_tied_weight_adds_up() -> None:
    """Used twice, as an embedding is: gradients of both uses are summed."""
    given, targets = inputs(9)
    weight = given["w_VD"].clone().requires_grad_()
    ids = torch.arange(9)
    linear_ce(weight[ids], weight, targets)[0].sum().backward()
    other = given["w_VD"].clone().requires_grad_()
    linear_ce_naive(other[ids], other, targets)[0].sum().backward()
    assert_near(weight.grad, other.grad, 1e-12)  # type: ignore[arg-type]


def test_backward_twice_gives_the_same() -> None:
    """Kept logits are not used up where the graph is."""
    given, targets = inputs(33)
    x, w = (value.clone().requires_grad_() for value in given.values())
    loss, _ = linear_ce(x, w, targets)
    first = torch.autograd.grad(loss.sum(), (x, w), retain_graph=True)
    second = torch.autograd.grad(loss.sum(), (x, w))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_gradcheck() -> None:
    x, w = draw((4, 3), 1).requires_grad_(), draw((5, 3), 2).requires_grad_()
    targets = torch.tensor([0, 4, 2, 2])
    assert torch.autograd.gradcheck(lambda x, w: linear_ce(x, w, targets), (x, w))


def test_large_logits_stay_finite() -> None:
    given, targets = inputs(9)
    given = {name: value.float() * 1e3 for name, value in given.items()}
    for name, value in answers(linear_ce, given, targets_T=targets).items():
        assert value.isfinite().all(), name


def test_bfloat16_with_float32_weights() -> None:
    """The loss and the sum of the head's gradient are float32; the head's gradient comes in the head's type."""
    given, targets = inputs(130)
    mixed = {"x_TD": given["x_TD"].bfloat16(), "w_VD": given["w_VD"].bfloat16().float()}
    found = answers(linear_ce, mixed, targets_T=targets)
    wanted = answers(linear_ce_naive, {n: v.double() for n, v in mixed.items()}, targets_T=targets)
    assert found["output 0"].dtype == found["d w_VD"].dtype == torch.float32
    for name, value in wanted.items():
        assert_near(found[name], value, 3e-2, name)


def peak_bytes(call) -> int:  # type: ignore[no-untyped-def]
    """Most memory of tensors alive at a time within a call."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    events = profiled.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def test_memory_is_an_eighth_of_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward, at a vocabulary far over the width, as heads are."""
    tokens, vocabulary = 4096, 4000
    monkeypatch.setattr(module, "CHUNK", 128)
    monkeypatch.setattr(module, "KEEP_BYTES", 0)
    x, w = draw((tokens, 8), 1).float(), draw((vocabulary, 8), 2).float()
    targets = torch.zeros(tokens, dtype=torch.int64)

    def run(operation):  # type: ignore[no-untyped-def]
        return lambda: operation(x.requires_grad_(), w.requires_grad_(), targets)[0].sum().backward()

    chunked, materialized = peak_bytes(run(linear_ce)), peak_bytes(run(linear_ce_naive))
    assert materialized >= 2 * 4 * tokens * vocabulary
    assert chunked <= materialized / 8


def test_compiles_whole() -> None:
    given, targets = inputs(9)
    compiled = torch.compile(linear_ce, fullgraph=True, backend="aot_eager")
    found, wanted = answers(compiled, given, targets_T=targets), answers(linear_ce, given, targets_T=targets)
    for name, value in wanted.items():
        assert_near(found[name], value, 1e-13, name)
