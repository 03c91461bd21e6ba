"""How much each part of a model does on real text: what pruning (trainer/prune.py) keeps is chosen by it.

Forward passes over calibration rows alone, no gradient (Minitron, arXiv 2407.14679; Mamba heads: arXiv 2504.11409):

    feed-forward unit   |its activation|, what down_proj reads
    head                length of its output, what o_proj or out_proj reads
    channel of D        |what a norm gives|, over all norms
    block of layers     how much the loss rises without it

Widths are averaged over a row's tokens, then squares are added over rows. A block is one period of the layers' pattern,
as [mamba, window]: without whole blocks the alternation stays.

Letters: B rows, T tokens of a row, D d_model, F feed-forward, H query heads, M Mamba heads, P head size.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from jacorpus.errors import InputError
from tokenizer_lab.tokens import Tokens
from trainer.batch import TokenBatch
from trainer.config import ModelConfig
from trainer.data import Feed, counts_of
from trainer.kernels.linear_ce import linear_ce
from trainer.model import Model, Norm
from trainer.settings import TrainSettings, plan_of

ROWS = 8
"""Of a calibration batch."""


@dataclass(frozen=True)
class Importance:
    """Scores, float64; the larger, the more a part does. ffn: by layer [F]. heads: by layer, [H] or [M]. hidden: [D].
    blocks: nats of loss, by block. energy: by norm's name [D], the mean square of what it reads. loss: of the model."""

    ffn: list[torch.Tensor]
    heads: list[torch.Tensor]
    hidden: torch.Tensor
    blocks: list[float]
    energy: dict[str, torch.Tensor]
    loss: float


def period_of(config: ModelConfig) -> int:
    """Layers of the shortest pattern of mixers that the model repeats."""
    mixers = [layer.mixer for layer in config.layers]
    count = len(mixers)
    return next(n for n in range(1, count + 1) if count % n == 0 and mixers == mixers[:n] * (count // n))


def calibration(tokens: Tokens, seq_len: int, amount: int, seed: int = 0) -> list[TokenBatch]:
    """Rows of the split train, all domains in proportion; the same for the same seed. amount: tokens, about."""
    weights = {name: float(counts_of(tokens, name, "train").tokens) for name in tokens.domains}
    weights = {name: size for name, size in weights.items() if size}
    if not weights:
        raise InputError(f"{tokens.folder} has no tokens of split train to calibrate on; encode more text")
    size = ROWS * seq_len
    settings = TrainSettings(tokens=max(amount, size), batch_tokens=size, seq_len=seq_len)
    plan = plan_of(settings, weights, int(sum(weights.values())))
    feed = Feed(tokens, plan, seed)
    return [feed.batch(step) for step in range(plan.steps)]


@torch.no_grad()
def measure(
    model: Model, batches: Sequence[TokenBatch], heard: Callable[[int], None] = lambda tokens: None
) -> Importance:
    """Importance of every part of a model. heard: of the tokens passed through, pass by pass."""
    device = model.embed.weight.device
    batches = [batch.to(device) for batch in batches]
    config, layers, period = model.config, list(model.layers), period_of(model.config)
    sums: dict[str, torch.Tensor] = {}
    with ExitStack() as hooks:
        _watch(model, sums, hooks)
        loss = _loss(model, layers, batches, heard)
    starts = range(0, len(layers), period)
    without = [layers[:first] + layers[first + period :] for first in starts]
    blocks = [_loss(model, rest, batches, heard) - loss for rest in without] if len(without) > 1 else [0.0]
    ends = ["out_proj" if layer.mixer == "mamba" else "o_proj" for layer in config.layers]
    given = [sums[name] for name in sums if name.endswith(":given")]
    return Importance(
        ffn=[sums[f"layers.{i}.mlp.down_proj"].sqrt() for i in range(len(layers))],
        heads=[sums[f"layers.{i}.mixer.{end}"].sqrt() for i, end in enumerate(ends)],
        hidden=torch.stack(given).sqrt().sum(0),
        blocks=blocks,
        energy={name.removesuffix(":read"): each for name, each in sums.items() if name.endswith(":read")},
        loss=loss,
    )


def _watch(model: Model, sums: dict[str, torch.Tensor], hooks: ExitStack) -> None:
    """Have modules add what they read or give to ``sums`` as the model goes."""

    def add(name: str, values_BTN: torch.Tensor, power: int) -> None:
        mean_BN = values_BTN.double().pow(power).mean(1)  # over tokens; over rows, squares of means
        sums[name] = sums.get(name, 0) + (mean_BN.square() if power == 1 else mean_BN).sum(0)

    def watched(name: str, size: int) -> Any:
        def reads(module: Any, inputs: Any) -> None:
            add(name, inputs[0].unflatten(-1, (-1, size)).norm(dim=-1), 1)

        return reads

    def norm(name: str) -> Any:
        def hears(module: Any, inputs: Any, output: torch.Tensor) -> None:
            add(f"{name}:read", inputs[0], 2)
            add(f"{name}:given", output.abs(), 1)

        return hears

    sizes = {"down_proj": 1, "o_proj": model.config.head_dim, "out_proj": model.config.mamba_head_dim}
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if last in sizes:
            hooks.callback(module.register_forward_pre_hook(watched(name, sizes[last])).remove)
        elif isinstance(module, Norm):
            hooks.callback(module.register_forward_hook(norm(name)).remove)


def _loss(model: Model, layers: list[Any], batches: Iterable[TokenBatch], heard: Callable[[int], None]) -> float:
    """Nats a token of the model with these layers alone."""
    nats = weight = 0.0
    for batch in batches:
        hidden = _walk(model, layers, batch)
        loss_N, _ = linear_ce(hidden.flatten(0, 1), model.head_weight, batch.targets_BT.flatten())
        nats += float((batch.weight_BT.flatten() * loss_N).sum(dtype=torch.float64))
        weight += float(batch.weight_BT.sum(dtype=torch.float64))
        heard(batch.tokens_BT.numel())
    return nats / max(weight, 1.0)


def _walk(model: Model, layers: list[Any], batch: TokenBatch) -> torch.Tensor:
    """Model.forward with every norm called as a module, for the kernel of two norms at once goes past them."""
    documents, post = batch.documents(), model.config.post_norm
    x = model._embedded(batch.tokens_BT)
    for layer in layers:
        layer.mixer.prepare(x, documents)
        branch = layer.mixer(layer.pre_mixer_norm(x), documents)
        x = x + (layer.post_mixer_norm(branch) if post else branch)
        branch = layer.mlp(layer.pre_mlp_norm(x))
        x = x + (layer.post_mlp_norm(branch) if post else branch)
    return model.final_norm(x)
