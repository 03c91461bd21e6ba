import json
from dataclasses import replace

import pytest

from jacorpus.errors import RecipeError
from trainer.config import LayerConfig, ModelConfig, RopeScaling

PAIR = (LayerConfig("mamba", 40), LayerConfig("window", 48, heads=4, kv_heads=2, window=6, rope_base=5e5))
CONFIG = ModelConfig(97, 32, PAIR, head_dim=8, mamba_heads=3, mamba_head_dim=8, d_state=5, dt_rank=4)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        replace(CONFIG, qk_norm="shared", post_norm=False, tied=False, mlp="gelu", norm_eps=1e-5),
        replace(CONFIG, rope_scaling=RopeScaling(8.0, 1.0, 4.0, 8192)),
        ModelConfig(10, 8, (LayerConfig("full", 4, heads=1, kv_heads=1, rope_base=0.0),), head_dim=3),
    ],
)
def test_round_trip_through_json(config: ModelConfig) -> None:
    again = ModelConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)
    assert again.parameters() == config.parameters()


@pytest.mark.parametrize(
    ("change", "near"),
    [
        (lambda t: t.update(d_modle=3), "d_model"),
        (lambda t: t["layers"][0].update(windw=3), "window"),
        (lambda t: t.update(rope_scaling={"facter": 2.0}), "factor"),
    ],
)
def test_unknown_keys_name_the_nearest(change, near: str) -> None:  # type: ignore[no-untyped-def]
    table = json.loads(json.dumps(CONFIG.to_dict()))
    change(table)
    with pytest.raises(RecipeError, match=near) as caught:
        ModelConfig.from_dict(table)
    assert "unknown key" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"mixer": "mambo", "d_ff": 4}, "mamba"),
        ({"mixer": "window", "d_ff": 4, "heads": 1, "kv_heads": 1}, "window"),
        ({"mixer": "window", "d_ff": 4, "heads": 1, "kv_heads": 1, "window": 0}, "window"),
        ({"mixer": "full", "d_ff": 4, "heads": 4, "kv_heads": 3}, "multiple"),
        ({"mixer": "full", "d_ff": 4}, "over 0"),
        ({"mixer": "full", "d_ff": 4, "heads": 1, "kv_heads": 1, "window": 3}, "no window"),
        ({"mixer": "full", "d_ff": 4, "heads": 1, "kv_heads": 1, "rope_base": -1.0}, "rope_base"),
    ],
)
def test_impossible_layers(arguments: dict, what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        LayerConfig(**arguments)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"layers": ()}, "at least one layer"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"d_model": -1}, "d_model"),
        ({"head_dim": 0}, "head_dim"),
        ({"head_dim": 7}, "even"),
        ({"mamba_heads": 0}, "mamba_heads"),
        ({"dt_rank": 0}, "dt_rank"),
        ({"d_conv": 1}, "d_conv"),
    ],
)
def test_impossible_models(change: dict, what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        replace(CONFIG, **change)


def test_odd_heads_without_rotation_or_attention() -> None:
    still = (PAIR[0], replace(PAIR[1], rope_base=0.0))
    assert replace(CONFIG, head_dim=7, layers=still).parameters()
    assert replace(CONFIG, head_dim=7, layers=PAIR[:1]).parameters()


def test_count_by_hand() -> None:
    width, d = 24, 32
    mamba = d * 2 * width + width * (10 + 4) + 4 * 3 + width * d + width * 4 + 3 * 3 + 4 + 5 + 5
    attention = (4 + 2 * 2) * 8 * d + 4 * 8 * d + (4 + 2) * 8
    mlps, norms = 3 * d * (40 + 48), 2 * 4 * d
    assert CONFIG.parameters() == 97 * d + mamba + attention + mlps + norms + d
    assert CONFIG.d_inner == width
