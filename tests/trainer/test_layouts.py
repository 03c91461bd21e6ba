from typing import Any

import pytest

from jacorpus.errors import RecipeError
from trainer.config import RopeScaling
from trainer.layouts import LAYOUTS, model_from_table


def mixers(**table: Any) -> str:
    """First letters of the layers' mixers."""
    small = {"d_model": 64, "head_dim": 16}
    return "".join(layer.mixer[0] for layer in model_from_table({**small, **table}, 100).layers)


def test_patterns() -> None:
    assert mixers(layers=6) == "mwmwmw"
    assert mixers(layout="samba", layers=4) == "mwmw"
    assert mixers(layers=8, pattern=4) == "mmwmmmwm"
    assert mixers(layers=1) == "w"
    assert mixers(layers=3, pattern=6) == "mmw"
    assert mixers(layout="plamo3", layers=16) == "wwwwwwwfwwwwwwwf"
    assert mixers(layout="plamo3", layers=4, pattern=2) == "wfwf"
    for layout in ("attention", "llama", "qwen3"):
        assert mixers(layout=layout, layers=3) == "fff"


@pytest.mark.parametrize("step", [2, 3, 4, 6])
@pytest.mark.parametrize("layers", [1, 2, 3, 7, 12])
def test_plamo2s_rule(layers: int, step: int) -> None:
    """Mamba when i % step != step // 2; the last alone where there are no more than step // 2."""
    if layers <= step // 2:
        wanted = "m" * (layers - 1) + "w"
    else:
        wanted = "".join("w" if i % step == step // 2 else "m" for i in range(layers))
    assert mixers(layers=layers, pattern=step) == wanted


def test_lists_of_layers() -> None:
    entries = ["mamba", {"mixer": "window", "window": 7, "heads": 2, "d_ff": 99}, {"mixer": "full", "rope_base": 5e5}]
    config = model_from_table({"layers": entries, "repeat": 2, "d_model": 64, "head_dim": 16, "window": 5}, 100)
    assert "".join(layer.mixer[0] for layer in config.layers) == "mwfmwf"
    mamba, window, full = config.layers[:3]
    assert (window.window, window.heads, window.d_ff) == (7, 2, 99)
    assert (full.window, full.heads, full.rope_base) == (None, 4, 5e5)
    assert mamba.d_ff == 256
    assert config.layers[3:] == config.layers[:3]


def test_plamo_2_1b() -> None:
    """The published shapes follow from d_model."""
    config = model_from_table({"layout": "plamo2", "layers": 16, "d_model": 2048}, 100_000)
    attention = config.layers[1]
    assert (attention.heads, attention.kv_heads, config.head_dim, attention.d_ff) == (16, 1, 128, 8192)
    assert (config.mamba_heads, config.mamba_head_dim, config.d_state, config.dt_rank) == (32, 128, 64, 128)
    assert (attention.window, attention.rope_base, config.qk_norm, config.tied) == (2048, 10_000.0, "per_head", True)


def test_what_layouts_imply() -> None:
    made = {layout: model_from_table({"layout": layout, "layers": 8}, 100) for layout in LAYOUTS}
    assert {name: config.qk_norm for name, config in made.items()} == {
        **dict.fromkeys(("plamo2", "samba", "attention"), "per_head"),
        **dict.fromkeys(("plamo3", "qwen3"), "shared"),
        "llama": "none",
    }
    assert [name for name, config in made.items() if not config.post_norm] == ["llama", "qwen3"]
    windows, full = made["plamo3"].layers[0], made["plamo3"].layers[7]
    assert (windows.window, windows.rope_base, full.rope_base) == (128, 10_000.0, 150_000.0)
    assert made["llama"].layers[0].kv_heads == made["llama"].layers[0].heads


def test_what_is_written_wins() -> None:
    table = {
        **{"layout": "llama", "layers": 2, "d_model": 64, "head_dim": 16, "heads": 6, "kv_heads": 3, "d_ff": 10},
        **{"qk_norm": "per_head", "post_norm": True, "tied": False, "mlp": "gelu", "norm_eps": 1e-5},
        **{"rope_base": 5e5, "vocab_size": 128, "dt_rank": 3, "d_state": 9, "d_conv": 3},
        "rope_scaling": {
            **{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
            "original_max_position_embeddings": 8192,
        },
    }
    config = model_from_table(table, 100)
    layer = config.layers[0]
    assert (layer.heads, layer.kv_heads, layer.d_ff, layer.rope_base) == (6, 3, 10, 5e5)
    assert (config.qk_norm, config.post_norm, config.tied, config.mlp) == ("per_head", True, False, "gelu")
    assert (config.vocab_size, config.norm_eps) == (128, 1e-5)
    assert (config.dt_rank, config.d_state, config.d_conv) == (3, 9, 3)
    assert config.rope_scaling == RopeScaling(8.0, 1.0, 4.0, 8192)


@pytest.mark.parametrize(
    ("table", "near"),
    [
        ({"d_modle": 64}, "d_model"),
        ({"layout": "plamo22"}, "plamo2"),
        ({"layers": ["mamba", {"mixer": "window", "windo": 3}]}, "window"),
    ],
)
def test_unknown_keys_name_the_nearest(table: dict, near: str) -> None:
    with pytest.raises(RecipeError, match=f"`{near}`|{near}\\b"):
        model_from_table(table, 100)


@pytest.mark.parametrize(
    "table",
    [
        {"layers": 0},
        {"layers": True},
        {"layers": []},
        {"layers": ["mambo"]},
        {"layers": [{"d_ff": 3}]},
        {"layers": 4, "repeat": 2},
        {"d_model": 100},
        {"d_model": 0},
        {"d_model": "64"},
        {"window": 1.5},
        {"vocab_size": 50},
        {"qk_norm": "some"},
        {"tied": 1},
        {"norm_eps": -1.0},
        {"rope_base": "high"},
        {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
        {"rope_scaling": {"rope_type": "llama3", "factor": 2.0}},
        {"heads": 5, "kv_heads": 2},
    ],
)
def test_impossible_tables(table: dict) -> None:
    with pytest.raises(RecipeError):
        model_from_table({"d_model": 64, "head_dim": 16, "layers": 2, **table}, 100)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d_model", [64, 256, 512, 1024, 3072, 4096, 5120])
def test_any_width_gives_a_model(layout: str, d_model: int) -> None:
    config = model_from_table({"layout": layout, "layers": 4, "d_model": d_model}, 1000)
    for layer in config.layers:
        if layer.mixer != "mamba":
            assert layer.heads * config.head_dim == d_model
    assert config.mamba_heads * config.mamba_head_dim == 2 * d_model


@pytest.mark.parametrize(
    "table",
    [
        {"layers": [{"mixer": "full", "heads": "x"}]},
        {"layers": [{"mixer": "full", "d_ff": 0}]},
        {"layers": [{"mixer": "full", "rope_base": "a"}]},
        {"norm_eps": float("nan")},
        {"rope_base": float("inf")},
        {"rope_scaling": 3},
        {"rope_scaling": {**vars(RopeScaling(8.0, 1.0, 4.0, 512)), "factor": "a"}},
    ],
)
def test_values_of_another_kind_are_told(table: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"\[model\]"):
        model_from_table({"d_model": 64, "head_dim": 16, **table}, 100)


def test_the_samples_model_is_small_and_its_training_short() -> None:
    """What ``jacorpus demo`` ends with."""
    from pathlib import Path

    import jacorpus.recipes
    from jacorpus.recipe import load_tables
    from trainer.settings import settings_from_table

    tables = load_tables(Path(jacorpus.recipes.__file__).parent / "sample" / "recipe.toml")
    assert 2e6 < model_from_table(tables["model"], 1800).parameters() < 5e6
    assert settings_from_table(tables["train"]).tokens <= 1_000_000
