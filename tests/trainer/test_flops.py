"""FLOPs per token against counts made by hand, and MFU."""

import dataclasses

import pytest

from trainer.config import LayerConfig, ModelConfig
from trainer.flops import Flops, flops_per_token, keys_seen, mfu, peak_flops

MAMBA = LayerConfig("mamba", 8192)
WINDOW = LayerConfig("window", 8192, 16, 1, 2048)
FULL = LayerConfig("full", 8192, 16, 1)


def plamo2_1b(attention: LayerConfig = WINDOW) -> ModelConfig:
    return ModelConfig(
        100_000, 2048, (MAMBA, attention) * 8, 128, mamba_heads=32, mamba_head_dim=128, d_state=64, dt_rank=128
    )


def test_the_1b_model_costs_what_was_counted_by_hand() -> None:
    work = flops_per_token(plamo2_1b(), 4096).work
    assert work.gemm == pytest.approx(7.75e9, rel=1e-3)
    assert work.attention == pytest.approx(0.35e9, rel=0.01)
    assert work.ssd == pytest.approx(0.059e9, rel=0.01)
    assert work.total == work.gemm + work.attention + work.ssd
    assert flops_per_token(plamo2_1b(), 32_768).work.attention == pytest.approx(0.46e9, rel=0.015)
    assert flops_per_token(plamo2_1b(FULL), 32_768).work.attention == pytest.approx(3.76e9, rel=1e-3)


def test_half_the_peak_of_an_h200_is_61_thousand_tokens_a_second() -> None:
    reached = mfu(61_400, flops_per_token(plamo2_1b(), 4096), peak_flops("NVIDIA H200"))
    assert reached == pytest.approx(0.5, abs=0.001)


def test_gemms_are_the_weights_that_are_multiplied() -> None:
    """All weights but norms, conv, A, D, biases and an untied embedding."""
    config = plamo2_1b()
    mamba = 4 * 4096 + 3 * 32 + 128 + 2 * 64
    attention = 17 * 128
    others = 2048 + 16 * 4 * 2048 + 8 * (mamba + attention)
    assert flops_per_token(config, 16).gemm == 2 * (config.parameters() - others)
    untied = dataclasses.replace(config, tied=False)
    assert flops_per_token(untied, 16).gemm == flops_per_token(config, 16).gemm
    plain = dataclasses.replace(config, mlp="gelu")
    assert flops_per_token(config, 16).gemm - flops_per_token(plain, 16).gemm == 2 * 16 * 2048 * 8192


@pytest.mark.parametrize(("T", "window"), [(1, None), (7, None), (7, 1), (7, 6), (7, 5), (7, 100), (300, 128)])
def test_keys_seen_are_those_the_mask_lets_through(T: int, window: int | None) -> None:
    back = T if window is None else window
    seen = sum(1 for i in range(T) for j in range(i + 1) if i - j <= back)
    assert keys_seen(T, window) == pytest.approx(seen / T)


def test_the_recurrence_is_linear_in_the_row_and_attention_is_not() -> None:
    short, long = (flops_per_token(plamo2_1b(FULL), T) for T in (4096, 8192))
    assert short.ssd == long.ssd
    assert long.attention == pytest.approx(2 * short.attention, rel=1e-3)
    assert flops_per_token(plamo2_1b(), 64).ssd < short.ssd


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA H20", None),
        ("AMD EPYC", None),
        ("cpu", None),
        (None, None),
    ],
)
def test_peaks_go_by_whole_words(name: str | None, peak: float | None) -> None:
    assert peak_flops(name) == peak


def test_no_peak_no_mfu() -> None:
    flops = Flops(2e9, 0, 0)
    assert mfu(1000, flops, None) is None
    assert peak_flops("NVIDIA H200", "fp32") is None
    assert mfu(1000, flops, 6e12, devices=2) == pytest.approx(0.5)
