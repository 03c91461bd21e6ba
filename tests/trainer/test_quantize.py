"""Weights in few bits: how far each is from what it was, what stays wide, and a folder that opens."""

import json
from pathlib import Path

import pytest
import torch

from jacorpus.errors import InputError, RecipeError
from tests.trainer.opened_model import random_model
from tokenizer_lab.tokens import Tokens
from trainer.generate import complete
from trainer.model import Model
from trainer.opened import CONFIG, open_model, save_tensors
from trainer.quantize import integers, packed, quantized, restored, save_quantized, unpacked
from trainer.sampling import Sampling


def uneven(rows: int = 24, columns: int = 128) -> torch.Tensor:
    """Groups of very different sizes, as outliers make them."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(rows, columns, generator=generator)
    by_row, by_column = torch.logspace(-1, 1, rows), torch.logspace(-3, 1, columns // 32)
    return weight * by_row[:, None] * by_column.repeat_interleave(32)


def test_pairs_of_integers_come_back() -> None:
    every = torch.arange(-8, 8, dtype=torch.int8).repeat(3, 1)
    assert packed(every).shape == (3, 8)
    assert packed(torch.tensor([[1, -2]], dtype=torch.int8)).tolist() == [[0b11100001]]
    assert torch.equal(unpacked(packed(every)), every)


@pytest.mark.parametrize(("bits", "group"), [(4, 32), (8, 128), (4, 8)])
def test_no_weight_is_off_by_more_than_half_a_step(bits: int, group: int) -> None:
    """By hand: a group's step is its largest weight over (2^bits - 1) / 2, so rounding costs half of it at most.

    Negative control: one step for the whole matrix is too coarse for its small groups."""
    pytest.importorskip("torchao", reason="needs the package torchao")
    weight = uneven()
    groups = weight.unflatten(1, (-1, group))
    step = groups.abs().amax(-1) / ((2**bits - 1) / 2)
    q, scale = integers(weight, bits, group)
    torch.testing.assert_close(scale, step, rtol=1e-6, atol=0)
    assert int(q.min()) >= -(2 ** (bits - 1))
    assert int(q.max()) < 2 ** (bits - 1)
    off = (q.float().unflatten(1, (-1, group)) * scale[..., None] - groups).abs().amax(-1)
    assert float((off / step).max()) <= 0.5 * (1 + 1e-4)

    coarse = weight.abs().max() / ((2**bits - 1) / 2)
    whole = (weight / coarse).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * coarse
    off = (whole.unflatten(1, (-1, group)) - groups).abs().amax(-1)
    assert float((off / step).max()) > 2


def test_the_state_path_keeps_16_bits(small_tokens: Tokens) -> None:
    pytest.importorskip("torchao", reason="needs the package torchao")
    model = random_model(small_tokens.vocab_size)
    found = quantized(model, 4)
    chosen = {name.removesuffix(".scale") for name in found if name.endswith(".scale")}
    assert {name.partition(".")[2].partition(".")[2] for name in chosen} == {
        *("mlp.gate_up_proj.weight", "mlp.down_proj.weight", "mixer.qkv_proj.weight", "mixer.o_proj.weight")
    }
    assert found["layers.0.mixer.in_proj.weight"].dtype == torch.bfloat16
    assert found["layers.0.mixer.A_log"].dtype == torch.float32
    assert found["embed.weight"].dtype == torch.bfloat16
    assert "embed.weight.int4" in quantized(model, 4, embeddings=True)
    with pytest.raises(RecipeError, match="8 or 4 bits"):
        quantized(model, 3)


@pytest.mark.parametrize(("bits", "most"), [(8, 0.01), (4, 0.2)])
def test_a_folder_opens_is_smaller_and_says_nearly_the_same(
    bits: int, most: float, small_run: Path, small_tokens: Tokens, tmp_path: Path
) -> None:
    pytest.importorskip("torchao", reason="needs the package torchao")
    before = open_model(small_run)
    facts = save_quantized(tmp_path / "q", before, bits, True, small_tokens)
    after = open_model(tmp_path / "q")
    assert facts["bytes"] == (tmp_path / "q/model.safetensors").stat().st_size
    assert facts["bytes"] < 0.8 * (small_run / "model.safetensors").stat().st_size / 2
    assert (after.step, after.eos_id, after.config) == (before.step, before.eos_id, before.config)
    assert json.loads((tmp_path / "q" / CONFIG).read_text())["quantization"]["bits"] == bits
    assert complete(after, ["山川"], Sampling(max_tokens=4, seed=0))[0].text is not None
    assert 0 < away(before.model, after.model) < most
    save_quantized(tmp_path / "again", before, bits, True, small_tokens)
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "q/model.safetensors").read_bytes()


def away(one: Model, other: Model) -> float:
    """Mean divergence of the next token's distributions, nats."""
    ids = torch.randint(one.config.vocab_size, (4, 24), generator=torch.Generator().manual_seed(0))
    log_p, log_q = (model.logits(model(ids)).log_softmax(-1) for model in (one, other))
    return float((log_p.exp() * (log_p - log_q)).sum(-1).mean())


def test_opening_needs_no_torchao(small_run: Path, tmp_path: Path) -> None:
    """A file made by hand: w = q * scale, of two groups in 4 bits and one in 8."""
    q4 = torch.tensor([[1, -2, 3, -8]], dtype=torch.int8)
    tensors = {"a.int4": packed(q4), "a.scale": torch.tensor([[0.5, 2.0]])}
    tensors |= {"b.int8": torch.tensor([[-128, 127]], dtype=torch.int8), "b.scale": torch.tensor([[0.25]])}
    found = restored({**tensors, "c": torch.ones(2, dtype=torch.bfloat16)})
    assert found["a"].tolist() == [[0.5, -1.0, 6.0, -16.0]]
    assert found["b"].tolist() == [[-32.0, 31.75]]
    assert found["c"].dtype == torch.float32
    plain = {"c": torch.ones(2, dtype=torch.float64)}
    assert restored(plain)["c"].dtype == torch.float64


def test_a_damaged_folder_is_one_sentence(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_bytes((small_run / CONFIG).read_bytes())
    save_tensors({"embed.weight.scale": torch.ones(2, 2)}, tmp_path / "model.safetensors", None)
    with pytest.raises(InputError, match="does not hold the weights"):
        open_model(tmp_path)
