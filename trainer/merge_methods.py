"""Methods of merging: what becomes of one tensor of several models.

linear        sum w_i W_i / sum w_i
slerp         sin((1-t)O)/sin O W_1 + sin(tO)/sin O W_2, O the angle between the two as vectors, t the second's share
task          W0 + scale sum w_i T_i, with T_i = W_i - W0 (task arithmetic, arXiv 2212.04089)
ties          each T_i keeps its largest entries; the sign of their sum wins; mean of those that agree (2306.01708)
dare_linear   task, with entries of T_i dropped at random and the others made larger by 1 / (1 - drop) (2311.03099)
dare_ties     ties, with DARE's drop in place of the largest entries
stock         W0 + t mean(T_i), t = n c / (1 + (n - 1) c), c the mean cosine of two T_i (2403.19522)
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from jacorpus.errors import RecipeError, nearest

COLINEAR = 1e-6
"""Sine below which an arc is a line (or, of opposite vectors, no one arc): SLERP is linear there."""

Options = Mapping[str, float]
Draw = Callable[[int], Tensor]
"""Uniform numbers in the tensor's shape, by the number of a model."""


def linear(models: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean."""
    return _sum(models, weights) / sum(weights)


def slerp(models: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """On the arc from the first to the second, where their angle is divided as the weights say."""
    first, second = models
    share = weights[1] / sum(weights)
    size = (first.norm() * second.norm()).clamp(min=torch.finfo(first.dtype).tiny)
    angle = torch.acos(((first * second).sum() / size).clamp(-1, 1))
    if angle.sin() < COLINEAR:
        return torch.lerp(first, second, share)
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second) / angle.sin()


def trimmed(change: Tensor, density: float) -> Tensor:
    """The share ``density`` of entries of largest magnitude, the others 0."""
    count = max(1, round(density * change.numel()))
    least = change.abs().flatten().kthvalue(change.numel() - count + 1).values
    return torch.where(change.abs() >= least, change, 0)


def dropped(change: Tensor, drop: float, uniform: Tensor) -> Tensor:
    """DARE: entries whose ``uniform`` is below ``drop`` become 0, the others 1 / (1 - drop) of what they were."""
    return torch.where(uniform >= drop, change / (1 - drop), 0)


def agreeing_mean(changes: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """TIES: by entry, the weighted mean of those that have the sign of the weighted sum; 0 where that is 0."""
    sign = _sum(changes, weights).sign()
    total, size = torch.zeros_like(sign), torch.zeros_like(sign)
    for change, weight in zip(changes, weights, strict=True):
        agrees = (change.sign() == sign) & (sign != 0)
        total += torch.where(agrees, weight * change, 0)
        size += agrees * weight
    return total / size.masked_fill(size == 0, 1)


def stock_share(changes: Sequence[Tensor]) -> float:
    """Model stock's t. 0 where it is not defined: a change of 0, or a denominator of 0."""
    sizes, count = [float(change.norm()) for change in changes], len(changes)
    if not all(sizes):
        return 0.0
    pairs = itertools.combinations(range(count), 2)
    cosines = [float((changes[i] * changes[j]).sum()) / (sizes[i] * sizes[j]) for i, j in pairs]
    cosine = sum(cosines) / len(cosines)
    below = 1 + (count - 1) * cosine
    return count * cosine / below if abs(below) > 1e-12 else 0.0


def _sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = torch.zeros_like(tensors[0])
    for tensor, weight in zip(tensors, weights, strict=True):
        total.add_(tensor, alpha=weight)
    return total


def _ties(changes: list[Tensor], weights: Sequence[float], options: Options, draw: Draw) -> Tensor:
    return agreeing_mean([trimmed(change, options["density"]) for change in changes], weights)


def _dare(changes: list[Tensor], options: Options, draw: Draw) -> list[Tensor]:
    return [dropped(change, options["drop"], draw(number)) for number, change in enumerate(changes)]


@dataclass(frozen=True)
class Method:
    """What becomes of a tensor. change: of (changes, weights, options, draw); merge, where there is no base: of
    (tensors, weights). options: with defaults. divides: whether it divides by a sum of weights."""

    change: Callable[[list[Tensor], Sequence[float], Options, Draw], Tensor] | None = None
    merge: Callable[[Sequence[Tensor], Sequence[float]], Tensor] = linear
    options: dict[str, float] = field(default_factory=dict)
    divides: bool = False


METHODS = {
    "linear": Method(divides=True),
    "slerp": Method(merge=slerp, divides=True),
    "task": Method(lambda c, w, options, draw: _sum(c, w), options={"scale": 1.0}),
    "ties": Method(_ties, options={"density": 0.2, "scale": 1.0}),
    "dare_linear": Method(lambda c, w, o, draw: _sum(_dare(c, o, draw), w), options={"drop": 0.5, "scale": 1.0}),
    "dare_ties": Method(lambda c, w, o, d: agreeing_mean(_dare(c, o, d), w), options={"drop": 0.5, "scale": 1.0}),
    "stock": Method(lambda c, w, o, d: _sum(c, w) * stock_share(c)),
}
RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "density": (lambda value: 0 < value <= 1, "over 0, at most 1"),
    "drop": (lambda value: 0 <= value < 1, "0 or more, below 1"),
    "scale": (math.isfinite, "a finite number"),
}


def checked(
    method: str, count: int, weights: Sequence[float], base: bool, options: Mapping[str, Any]
) -> tuple[list[float], dict[str, float]]:
    """(weights, options) in full, of a merge of ``count`` models. Raises RecipeError for what has no meaning."""
    if method not in METHODS:
        raise RecipeError(f"no merge method `{method}`{nearest(method, METHODS)}; there are {', '.join(METHODS)}")
    how, found = METHODS[method], [float(weight) for weight in weights] or [1 / count] * count
    total = sum(found)
    if count < 2 or (method == "slerp" and count != 2):
        problem = f"takes two models{'' if method == 'slerp' else ' or more'}, got {count}"
    elif len(found) != count:
        problem = f"got {len(found)} weights for {count} models; give one a model, or none"
    elif not math.isfinite(total) or (how.divides and abs(total) < 1e-9):
        problem = f"divides by the sum of weights, which must be finite and not 0, got {total:g}"
    elif method.endswith("ties") and min(found) <= 0:
        problem = f"takes means of those that agree, so weights must be over 0, got {min(found):g}"
    elif method == "stock" and max(found) - min(found) > 1e-9:
        problem = "finds its share from the angles between models; leave weights out"
    elif how.change is not None and not base:
        problem = "needs the base that the models were trained from; name it as base"
    else:
        problem = next(filter(None, (_option(how, name, value) for name, value in options.items())), "")
    if problem:
        raise RecipeError(f"merge: {method} {problem}")
    found = [1 / count] * count if method == "stock" else found
    return found, {**how.options, **{name: float(value) for name, value in options.items()}}


def _option(how: "Method", name: str, value: Any) -> str:
    """What is wrong with an option."""
    if name not in how.options:
        return f"has no option `{name}`{nearest(name, how.options)}; it has: {', '.join(how.options) or 'none'}"
    fits, told = RANGES[name]
    good = isinstance(value, int | float) and not isinstance(value, bool) and fits(value)
    return "" if good else f"takes {name} {told}, got {value!r}"
