"""Exported folders in transformers and mlx-lm: the same logits and the same 64 greedy tokens as our own model."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from jacorpus.errors import CheckError, InputError, RecipeError, StorageError
from tests.trainer.export import tiny
from trainer.export import export
from trainer.export.hf import write_safetensors
from trainer.load import load_model, load_pretrained

CONFIGS = {
    "plamo2": tiny.plamo2(),
    "plamo2-full": tiny.plamo2(
        layers=(tiny.layer("mamba"), tiny.layer("window", 40), tiny.layer("mamba"), tiny.layer("full"))
    ),
    "plamo2-untied": tiny.plamo2(tied=False, vocab_size=tiny.V + 3),
    "plamo2-attention": tiny.plamo2(layers=(tiny.layer("window", 9, rope_base=500.0),) * 2),
    "plamo3": tiny.plamo3(),
    "llama": tiny.llama(tied=False, rope_scaling=tiny.LLAMA3, vocab_size=tiny.V + 3),
    "qwen3": tiny.qwen3(),
    "jacorpus": tiny.odd(),
    "jacorpus-untied": tiny.odd(tied=False, qk_norm="shared", post_norm=False),
}


def opened(folder: Path, dtype: torch.dtype | str = torch.float32):
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=dtype).eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_transformers_computes_the_same(name: str, tmp_path: Path) -> None:
    model = tiny.model_of(CONFIGS[name])
    summary = export(model, tmp_path / "out", "hf", dtype="fp32")
    family = name.partition("-")[0]
    assert summary["family"] == family
    theirs = opened(tmp_path / "out")
    native = family in ("llama", "qwen3")
    assert type(theirs).__module__.startswith("transformers.models") == native
    tokens = tiny.prompt(100)
    with torch.no_grad():
        logits = theirs(tokens).logits
    torch.testing.assert_close(logits, tiny.logits_of(model, tokens), rtol=0, atol=1e-4)
    found = theirs.generate(tokens[:, :30], max_new_tokens=64, do_sample=False)[:, 30:]
    assert torch.equal(found, tiny.greedy(model, tokens[:, :30], 64))


@pytest.mark.parametrize("name", ["plamo2", "plamo3", "jacorpus"])
def test_padding_changes_nothing(name: str, tmp_path: Path) -> None:
    model = tiny.model_of(CONFIGS[name])
    export(model, tmp_path / "out", "hf", dtype="fp32")
    theirs, short = opened(tmp_path / "out"), tiny.prompt(30, 1)
    rows = torch.cat((torch.cat((torch.full((1, 20), 7), short), 1), tiny.prompt(50, 1, seed=5)))
    mask = torch.ones_like(rows)
    mask[0, :20] = 0
    with torch.no_grad():
        left = theirs(rows, attention_mask=mask).logits[0, 20:]
        right = theirs(rows[:1].roll(-20, 1), attention_mask=mask[:1].roll(-20, 1)).logits[0, :30]
    ours = tiny.logits_of(model, short)[0]
    torch.testing.assert_close(left, ours, rtol=0, atol=1e-4)
    torch.testing.assert_close(right, ours, rtol=0, atol=1e-4)
    found = theirs.generate(rows, attention_mask=mask, max_new_tokens=40, do_sample=False, pad_token_id=0)[:, 50:]
    assert torch.equal(found[:1], tiny.greedy(model, short, 40))
    assert torch.equal(found[1:], tiny.greedy(model, rows[1:], 40))


def test_pieces_beams_and_losses(tmp_path: Path) -> None:
    """A prompt in two calls, beam search, labels, and the forms of an answer."""
    model = tiny.model_of(CONFIGS["plamo2"])
    export(model, tmp_path / "out", "hf", dtype="fp32")
    theirs, tokens = opened(tmp_path / "out"), tiny.prompt(60)
    with torch.no_grad():
        whole = theirs(tokens, labels=tokens, output_hidden_states=True)
        first = theirs(tokens[:, :41])
        rest = theirs(tokens[:, 41:], past_key_values=first.past_key_values)
        embedded = theirs(inputs_embeds=theirs.get_input_embeddings()(tokens), return_dict=False)
        one = theirs(tokens, logits_to_keep=1, use_cache=False)
    torch.testing.assert_close(torch.cat((first.logits, rest.logits), 1), whole.logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(embedded[0], whole.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(one.logits[:, -1], whole.logits[:, -1], rtol=0, atol=1e-5)
    assert one.past_key_values is None
    assert len(whole.hidden_states) == 5
    expected = torch.nn.functional.cross_entropy(whole.logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    torch.testing.assert_close(whole.loss, expected)
    beams = theirs.generate(tokens, max_new_tokens=8, num_beams=3, do_sample=False)
    assert beams.shape == (2, 68)
    with pytest.raises(ValueError, match="59 columns for 0 \\+ 60"):
        theirs(tokens, attention_mask=torch.ones(2, 59))


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_narrow_types_keep_the_decay_wide(dtype: str, tmp_path: Path) -> None:
    model = tiny.model_of(CONFIGS["plamo2"])
    export(model, tmp_path / "out", "hf", dtype=dtype)
    table = json.loads((tmp_path / "out" / "config.json").read_text())
    assert table["torch_dtype"] == {"bf16": "bfloat16", "fp16": "float16"}[dtype]
    config, state = load_pretrained(tmp_path / "out")
    assert config == model.config
    assert torch.equal(state["layers.0.mixer.A_log"], model.layers[0].mixer.A_log)
    theirs, tokens = opened(tmp_path / "out", "auto"), tiny.prompt(60)
    assert theirs.model.layers.layers[0].mixer.A_log.dtype == torch.float32
    assert theirs.model.embed_tokens.weight.dtype == getattr(torch, table["torch_dtype"])
    with torch.no_grad():
        off = (theirs(tokens).logits - tiny.logits_of(model, tokens)).abs().mean()
    assert off < 0.05


def test_config_json_has_the_fields_of_the_published_one(tmp_path: Path) -> None:
    export(tiny.model_of(tiny.plamo2(window=2048)), tmp_path / "out", "hf", eos_id=2, bos_id=1, context_length=8192)
    table = json.loads((tmp_path / "out" / "config.json").read_text())
    wanted = {
        **{"architectures": ["Plamo2ForCausalLM"], "model_type": "plamo2", "hidden_size": 64, "num_hidden_layers": 4},
        **{"intermediate_size": 80, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size_per_head": 16},
        **{"mamba_num_heads": 8, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_step": 2, "mamba_chunk_size": 256},
        **{"attention_window_size": 2048, "sliding_window": 2048, "full_attention_idx": [], "mamba_enabled": True},
        **{"rms_norm_eps": 1e-6, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": True, "vocab_size": 96},
        **{"max_position_embeddings": 8192, "rope_theta": 10000.0, "torch_dtype": "bfloat16"},
    }
    assert {key: table[key] for key in wanted} == wanted
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert generation == {"bos_token_id": 1, "eos_token_id": 2}
    export(tiny.model_of(tiny.plamo2(window=2048)), tmp_path / "vllm", "vllm", context_length=8192)
    assert json.loads((tmp_path / "vllm" / "config.json").read_text())["sliding_window"] == 2049


def test_an_untied_head_is_padded_as_plamo_has_it(tmp_path: Path) -> None:
    model = tiny.model_of(CONFIGS["plamo2-untied"])
    rows = {}
    for target in ("hf", "mlx"):
        export(model, tmp_path / target, target, dtype="fp32", context_length=40)
        from safetensors.torch import load_file

        rows[target] = len(load_file(tmp_path / target / "model.safetensors")["lm_head.weight"])
        assert torch.equal(load_model(tmp_path / target).head.weight, model.head.weight)
        assert opened(tmp_path / target)(tiny.prompt(5)).logits.shape[-1] == 99
    assert rows == {"hf": 112, "mlx": 99}


def test_shards_have_an_index(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.full((10,), float(i)) for i in range(5)}
    paths = write_safetensors(iter(tensors.items()), tmp_path, most=90)
    assert [p.name for p in paths] == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 200}
    assert index["weight_map"]["t4"] == paths[2].name


def steady(config) -> tiny.Model:
    """A model whose time steps stay over 0.001, which mlx-lm takes for the least."""
    model = tiny.model_of(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("dt_bias"):
                weight.clamp_(min=-2.0)
            elif name.endswith("dt_proj.weight"):
                weight *= 0.3
    return model


MLX = {
    "plamo2": tiny.plamo2(window=128),
    "plamo2-full": tiny.plamo2(layers=(tiny.layer("mamba"), tiny.layer("full")) * 2),
    "plamo2-untied": tiny.plamo2(window=128, tied=False, vocab_size=tiny.V + 3),
    "plamo2-step": tiny.plamo2(layers=(*(tiny.layer("mamba"),) * 2, tiny.layer("full"), tiny.layer("mamba"))),
    "plamo3": tiny.plamo3(window=128),
    "llama": tiny.llama(rope_scaling=tiny.LLAMA3),
    "qwen3": tiny.qwen3(tied=False),
}


@pytest.mark.parametrize("name", MLX)
def test_mlx_lm_computes_the_same(name: str, tmp_path: Path) -> None:
    """mlx-lm's own models: an implementation that nobody here wrote."""
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import load_model as mlx_load

    model, tokens = steady(MLX[name]), tiny.prompt(60)
    export(model, tmp_path / "out", "mlx", dtype="fp32", context_length=128)
    theirs, _ = mlx_load(tmp_path / "out")
    logits = torch.tensor(np.array(theirs(mx.array(tokens.numpy()))))
    torch.testing.assert_close(logits, tiny.logits_of(model, tokens), rtol=0, atol=1e-4)
    cache, found, following = make_prompt_cache(theirs), [], mx.array(tokens.numpy())
    for _ in range(64):
        following = mx.argmax(theirs(following, cache=cache)[:, -1], -1)[:, None]
        found.append(np.array(following).astype(np.int64))
    assert np.array_equal(np.concatenate(found, 1), tiny.greedy(model, tokens, 64).numpy())


def test_nothing_is_left_half_done(tmp_path: Path, monkeypatch) -> None:
    model, out = tiny.model_of(CONFIGS["plamo2"]), tmp_path / "out"
    export(model, out, "hf", eos_id=2)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="exists already"):
        export(model, out, "hf")
    with pytest.raises(RecipeError, match="did you mean `hf`"):
        export(model, tmp_path / "b", "hff")
    with pytest.raises(RecipeError, match="did you mean `bf16`"):
        export(model, tmp_path / "b", "hf", dtype="b16")
    with pytest.raises(RecipeError, match="did you mean `window`"):
        export(model, tmp_path / "b", "mlx", allow={"windows"})
    with pytest.raises(CheckError, match=r"\[window\]"):
        export(model, tmp_path / "b", "mlx")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(StorageError, match="disk is full"):
        export(model, out, "hf", force=True)
    assert sorted(p.name for p in tmp_path.rglob("*")) == before
    monkeypatch.undo()
    assert export(model, out, "hf", force=True)["files"].keys() >= {"config.json", "model.safetensors"}


def test_force_replaces_exports_alone(tmp_path: Path) -> None:
    model = tiny.model_of(CONFIGS["llama"])
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "model.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    for place in (run, tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError, match="is no export"):
            export(model, place, "hf", force=True)
    assert (run / "checkpoints").is_dir()
    export(model, tmp_path / "out", "hf")
    export(model, tmp_path / "out", "hf", force=True)


def test_weights_have_the_permissions_of_other_files(tmp_path: Path) -> None:
    export(tiny.model_of(CONFIGS["llama"]), tmp_path / "out", "hf")
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1


def test_a_context_has_tokens(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="over 0"):
        export(tiny.model_of(CONFIGS["llama"]), tmp_path / "out", "hf", context_length=-5)
