"""What each target refuses, and that it says why."""

from dataclasses import replace

import pytest

from tests.trainer.export import tiny
from trainer.config import ModelConfig
from trainer.export.guard import TARGETS, check, family_of, full_pattern, mamba_step

MIXED = (tiny.layer("mamba"), tiny.layer("window", 40), tiny.layer("mamba"), tiny.layer("full"))
SIZES = (tiny.layer("mamba"), tiny.layer("window", 40), tiny.layer("mamba"), tiny.layer("window", 9))

CASES: list[tuple[ModelConfig, int, dict[str, set[str]]]] = [
    (tiny.plamo2(), 40, {}),
    (tiny.plamo2(), 41, {"gguf": {"window"}, "mlx": {"window"}}),
    (tiny.plamo2(layers=MIXED), 41, {key: {"window"} for key in ("vllm", "gguf", "mlx")}),
    (tiny.plamo2(layers=MIXED), 40, {}),
    (tiny.plamo2(layers=SIZES), 10, {key: {"window"} for key in ("vllm", "gguf", "mlx")}),
    (tiny.plamo2(mlp="gelu"), 9, {key: {"mlp"} for key in ("vllm", "gguf", "mlx")}),
    (tiny.plamo2(qk_norm="shared"), 9, {key: {"qk_norm"} for key in ("vllm", "gguf", "mlx")}),
    (tiny.plamo2(post_norm=False), 9, {key: {"post_norm"} for key in ("vllm", "gguf", "mlx")}),
    (tiny.plamo2(rope_scaling=tiny.LLAMA3), 9, {key: {"rope_scaling"} for key in ("vllm", "gguf", "mlx")}),
    (tiny.plamo2(dt_rank=20), 9, {key: {"dt_rank"} for key in ("vllm", "gguf", "mlx")}),
    (tiny.plamo2(mamba_head_dim=8), 9, {key: {"mamba_head_dim"} for key in ("vllm", "gguf", "mlx")}),
    (tiny.plamo2(d_conv=3), 9, {key: {"d_conv"} for key in ("vllm", "gguf")}),
    (tiny.plamo2(norm_eps=1e-5), 9, {"mlx": {"norm_eps"}}),
    (
        tiny.plamo2(layers=(tiny.layer("mamba"), tiny.layer("full", rope_base=5e5)) * 2),
        9,
        {"mlx": {"rope_base"}},
    ),
    (
        tiny.plamo2(layers=(tiny.layer("mamba"), tiny.layer("full", rope_base=0.0)) * 2),
        9,
        {key: {"nope"} for key in ("vllm", "gguf", "mlx")},
    ),
    (tiny.plamo2(layers=(tiny.layer("mamba"),) * 2), 9, {key: {"pattern"} for key in ("vllm", "gguf", "mlx")}),
    (tiny.plamo2(layers=(tiny.layer("full"),) * 2), 9, {key: {"attention_only"} for key in ("vllm", "gguf")}),
    (
        tiny.plamo2(layers=(tiny.layer("mamba"), tiny.layer("full"), tiny.layer("mamba"), tiny.layer("full", d_ff=9))),
        9,
        {key: {"layer_sizes"} for key in ("vllm", "gguf", "mlx")},
    ),
    (tiny.plamo3(), 40, {}),
    (tiny.plamo3(), 41, {"mlx": {"window"}}),
    (
        tiny.plamo3(layers=(tiny.layer("full"), tiny.layer("full", rope_base=9.0))),
        9,
        {key: {"rope_base"} for key in ("vllm", "gguf", "mlx")},
    ),
    (tiny.llama(rope_scaling=tiny.LLAMA3), 9, {"gguf": {"converter"}}),
    (tiny.qwen3(), 9, {"gguf": {"converter"}}),
    (
        tiny.llama(layers=(tiny.layer("window", 4),)),
        9,
        {"gguf": {"converter"}, **{key: {"windows"} for key in ("vllm", "mlx")}},
    ),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_refusals(case: int) -> None:
    config, context, wanted = CASES[case]
    found = {target: check(config, target, context) for target in TARGETS}
    named = {target: {r.name for r in refusals} for target, refusals in found.items() if refusals}
    assert named == wanted
    for refusals in found.values():
        assert all(len(r.reason) > 40 and not r.reason.endswith(".") for r in refusals)


def test_families() -> None:
    families = {"plamo2": tiny.plamo2(), "plamo3": tiny.plamo3(), "llama": tiny.llama(), "qwen3": tiny.qwen3()}
    assert {name: family_of(config) for name, config in families.items()} == {name: name for name in families}
    assert family_of(tiny.odd()) == family_of(tiny.plamo2(layers=SIZES)) == "jacorpus"
    assert family_of(replace(tiny.plamo2(), post_norm=False)) == "jacorpus"


def test_patterns() -> None:
    kinds = {"m": tiny.layer("mamba"), "w": tiny.layer("window", 4), "f": tiny.layer("full")}

    def of(letters: str) -> ModelConfig:
        return tiny.plamo2(layers=tuple(kinds[letter] for letter in letters))

    steps = {"mwmw": 2, "mmwm": 4, "mfmwmf": 2, "mw": 2, "mmw": 4, "wm": None, "mm": None, "mwwm": None, "mmmw": 6}
    assert {letters: mamba_step(of(letters)) for letters in steps} == steps
    patterns = {"ff": 1, "wf": 2, "wwwf": 4, "www": 4, "fw": None, "wfwfw": 2, "f": 1, "w": 2}
    assert {letters: full_pattern(of(letters)) for letters in patterns} == patterns
