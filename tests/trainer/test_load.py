"""Folders of others: transformers' own Llama and Qwen 3, and PLaMo files made here, give the same logits here."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from jacorpus.errors import InputError
from tests.trainer.export import tiny
from trainer.export import export
from trainer.export.hf import write_safetensors
from trainer.load import load_model, load_pretrained

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 |= {"original_max_position_embeddings": 64}
SIZES = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 3}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2}
THEIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama-tied": ("Llama", {"tie_word_embeddings": True, "head_dim": 24}),
    "llama-scaled": ("Llama", {"rope_parameters": {"rope_theta": 5e5, **LLAMA3}}),
    "llama-heads": ("Llama", {"num_key_value_heads": 4, "rms_norm_eps": 1e-5}),
    "qwen3": ("Qwen3", {"head_dim": 32}),
    "qwen3-tied": ("Qwen3", {"tie_word_embeddings": True, "head_dim": 16}),
}


def theirs_of(name: str) -> Any:
    import transformers

    kind, change = THEIRS[name]
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **change})
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return model


@pytest.mark.parametrize("name", THEIRS)
def test_models_of_transformers(name: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    theirs, tokens = theirs_of(name), tiny.prompt(150)
    theirs.save_pretrained(tmp_path / "in", max_shard_size="40KB" if name == "llama" else "5GB")
    ours = load_model(tmp_path / "in")
    assert (ours.head is None) == theirs.config.tie_word_embeddings
    with torch.no_grad():
        logits = theirs(tokens).logits
    torch.testing.assert_close(tiny.logits_of(ours, tokens), logits, rtol=0, atol=1e-4)
    found = theirs.generate(tokens[:, :20], max_new_tokens=64, do_sample=False, eos_token_id=None)[:, 20:]
    assert torch.equal(tiny.greedy(ours, tokens[:, :20], 64), found)
    export(ours, tmp_path / "out", "hf", dtype="fp32")
    back = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    assert type(back) is type(theirs)
    with torch.no_grad():
        torch.testing.assert_close(back(tokens).logits, logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        *(tiny.plamo2(), tiny.plamo2(tied=False, vocab_size=99), tiny.plamo2(layers=(tiny.layer("window", 9),) * 3)),
        *(tiny.plamo3(), tiny.llama(rope_scaling=tiny.LLAMA3), tiny.qwen3(), tiny.odd()),
    ],
)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_we_export_comes_back(config: Any, dtype: str, tmp_path: Path) -> None:
    model = tiny.model_of(config)
    export(model, tmp_path / "out", "hf", dtype=dtype)
    found, state = load_pretrained(tmp_path / "out")
    if not config.has_mamba:  # sizes that nothing has
        unused = {
            name: getattr(found, name) for name in ("mamba_heads", "mamba_head_dim", "d_state", "d_conv", "dt_rank")
        }
        config = replace(config, **unused)
    assert found == config
    tolerance = 1e-7 if dtype == "fp32" else 1e-2
    for name, weight in model.named_parameters():
        torch.testing.assert_close(state[name].float(), weight.detach(), rtol=tolerance, atol=tolerance)
    half = load_model(tmp_path / "out", torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(tiny.model_of(tiny.plamo2()), tmp_path / "in", "hf", dtype="fp32")
    return tmp_path / "in"


def change(folder: Path, **fields: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


def test_shards_and_their_faults(folder: Path) -> None:
    whole = load_pretrained(folder)[1]
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    paths = write_safetensors(iter(tensors.items()), folder, most=60_000)
    assert len(paths) > 3
    assert all(torch.equal(tensor, whole[name]) for name, tensor in load_pretrained(folder)[1].items())
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    with pytest.raises(InputError, match=r"model-00002.*missing or damaged"):
        load_pretrained(folder)
    paths[1].unlink()
    with pytest.raises(InputError, match=r"model-00002.*missing or damaged"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]},
            "`mixtral`, architectures MixtralFor.*PLaMo 2,",
        ),
        ({"attention_bias": True}, "sets attention_bias"),
        ({"rope_scaling": {"type": "yarn", "factor": 2}}, "RoPE scaling `yarn` is not supported"),
        ({"intermediate_size": 81}, "has shape .160, 64., and config.json asks for .162, 64."),
        ({"num_hidden_layers": 6}, "no file holds the tensor model.layers.layers.4"),
        ({"num_hidden_layers": 2}, "no place in a plamo2 model, the first is model.layers.layers.2.mixer"),
        ({"tie_word_embeddings": False}, "no file holds lm_head.weight"),
        ({"num_attention_heads": 3}, "describes no model of ours: heads"),
    ],
)
def test_what_we_do_not_compute_is_named(folder: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_pretrained(change(folder, **fields))


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (tiny.plamo3(), {"rope_scaling_factor": 4}, "YaRN"),
        (tiny.llama(), {"hidden_act": "gelu"}, "hidden_act `gelu`"),
        (tiny.qwen3(), {"use_sliding_window": True}, "sliding windows"),
        (tiny.llama(), {"pretraining_tp": 2}, "pretraining_tp 2"),
    ],
)
def test_what_other_families_may_ask_for(config: Any, fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    export(tiny.model_of(config), tmp_path / "in", "hf")
    with pytest.raises(InputError, match=message):
        load_pretrained(change(tmp_path / "in", **fields))


def test_folders_that_are_none(folder: Path, tmp_path: Path) -> None:
    table = json.loads((folder / "config.json").read_text())
    del table["hidden_size_per_head"]
    (folder / "config.json").write_text(json.dumps(table))
    with pytest.raises(InputError, match="lacks the field 'hidden_size_per_head'"):
        load_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match="can't be read"):
        load_pretrained(folder)
    with pytest.raises(InputError, match=r"config.json can't be read"):
        load_pretrained(tmp_path / "nowhere")
    export(tiny.model_of(tiny.plamo2()), tmp_path / "bin", "hf")
    (tmp_path / "bin" / "model.safetensors").rename(tmp_path / "bin" / "pytorch_model.bin")
    with pytest.raises(InputError, match="convert it to safetensors"):
        load_pretrained(tmp_path / "bin")


def test_the_first_files_of_plamo_2(folder: Path) -> None:
    """They say model_type plamo and PlamoForCausalLM; a tied head may be in the file as well."""
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors")
    config, _ = load_pretrained(change(folder, model_type="plamo", architectures=["PlamoForCausalLM"]))
    assert config == tiny.plamo2()
