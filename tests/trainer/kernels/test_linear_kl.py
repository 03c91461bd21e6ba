import pytest
import torch

from tests.trainer.kernels.twins import TOKENS, answers, assert_near, assert_twins, draw
from trainer.kernels import linear_kl as module
from trainer.kernels.linear_kl import linear_kl, linear_kl_naive

V = 19


def inputs(tokens: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    student = {"x_TD": draw((tokens, 6), 1), "w_VD": draw((V, 6), 2)}
    return student, {"teacher_x_TE": draw((tokens, 9), 3), "teacher_w_VE": draw((V, 9), 4)}


def both(student: dict[str, torch.Tensor], teacher: dict[str, torch.Tensor], temperature: float) -> None:
    def cast(operation):  # type: ignore[no-untyped-def]
        def run(x_TD, w_VD):  # type: ignore[no-untyped-def]
            return operation(x_TD, w_VD, *(t.to(x_TD.dtype) for t in teacher.values()), temperature)

        return run

    assert_twins(cast(linear_kl), cast(linear_kl_naive), student)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("tokens", TOKENS)
def test_equals_its_twin(tokens: int, temperature: float) -> None:
    both(*inputs(tokens), temperature)


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_are_no_matter(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    both(*inputs(65), 1.0)


def test_is_torchs_divergence() -> None:
    student, teacher = inputs(9)
    log_q = (student["x_TD"] @ student["w_VD"].T).log_softmax(-1)
    log_p = (teacher["teacher_x_TE"] @ teacher["teacher_w_VE"].T).log_softmax(-1)
    wanted = torch.nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
    assert_near(linear_kl(**student, **teacher), wanted, 1e-13)


def test_no_divergence_from_itself() -> None:
    student, _ = inputs(9)
    found = answers(lambda **s: linear_kl(**s, teacher_x_TE=student["x_TD"], teacher_w_VE=student["w_VD"]), student)
    for name, value in found.items():
        assert_near(value, torch.zeros_like(value), 1e-14, name)


def test_the_teacher_learns_nothing() -> None:
    student, teacher = inputs(9)
    leaves = [value.requires_grad_() for value in (*student.values(), *teacher.values())]
    linear_kl(*leaves).sum().backward()
    assert [leaf.grad is not None for leaf in leaves] == [True, True, False, False]


def test_gradcheck() -> None:
    student, teacher = (draw((3, 2), 1), draw((4, 2), 2)), (draw((3, 2), 3), draw((4, 2), 4))
    assert torch.autograd.gradcheck(lambda x, w: linear_kl(x, w, *teacher, 1.5), [s.requires_grad_() for s in student])
