"""Kullback-Leibler divergence between two linear heads, for distillation: chunks of tokens, never all logits.

``kl_t = sum_v p_v (log p_v - log q_v)``, p the teacher's softmax, q the student's; gradients for the student alone.
"""

import torch
from torch.utils.checkpoint import checkpoint

CHUNK = 1024


def linear_kl_naive(
    x_TD: torch.Tensor, w_VD: torch.Tensor, teacher_x_TE: torch.Tensor, teacher_w_VE: torch.Tensor, temperature: float
) -> torch.Tensor:
    """[T], with all logits at once."""
    return _kl(x_TD, w_VD, teacher_x_TE, teacher_w_VE, temperature)


def _kl(
    x: torch.Tensor, w: torch.Tensor, teacher_x: torch.Tensor, teacher_w: torch.Tensor, temperature: float
) -> torch.Tensor:
    pairs = ((x, w), (teacher_x, teacher_w))
    logits = [a @ b.to(a.dtype).T for a, b in pairs]
    wide = [(each if each.dtype == torch.float64 else each.float()) / temperature for each in logits]
    log_q, log_p = (each.log_softmax(-1) for each in wide)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def linear_kl(
    x_TD: torch.Tensor,
    w_VD: torch.Tensor,
    teacher_x_TE: torch.Tensor,
    teacher_w_VE: torch.Tensor,
    temperature: float = 1.0,
) -> torch.Tensor:
    """KL of the student's distribution from the teacher's for each token, [T].

    x, w: the student's last hidden state and head; teacher_x, teacher_w: the teacher's, of any width, the same V.
    Logits of CHUNK tokens live at a time and are made again for the gradient.
    """
    teacher_x, teacher_w = teacher_x_TE.detach(), teacher_w_VE.detach()
    found = [
        checkpoint(_kl, x, w_VD, t, teacher_w, temperature, use_reentrant=False)
        for x, t in zip(x_TD.split(CHUNK), teacher_x.split(CHUNK), strict=True)
    ]
    return torch.cat(found)
