"""A model written is the model opened; what is missing or foreign is one sentence."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch

from jacorpus.errors import InputError, RecipeError
from tests.trainer.opened_model import random_model, tiny
from trainer.opened import open_model, save_model, save_tensors


def test_what_was_saved_comes_back(small_run, small_tokens):
    opened = open_model(small_run)
    assert (opened.step, opened.eos_id, opened.folder) == (7, small_tokens.eos_id, small_run)
    assert opened.need_tokenizer().fingerprint == small_tokens.manifest["tokenizer"]["fingerprint"]
    wanted = random_model(small_tokens.vocab_size).state_dict()
    found = opened.model.state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert not any(parameter.requires_grad for parameter in opened.model.parameters())


def test_a_later_save_keeps_what_else_the_config_says(tmp_path, small_tokens):
    (tmp_path / "config.json").write_text('{"train": {"seq_len": 64}}')
    entry = small_tokens.manifest["tokenizer"]
    save_model(tmp_path, random_model(entry["vocab_size"]), entry, 2, 10, small_tokens.folder)
    save_model(tmp_path, random_model(entry["vocab_size"], seed=1), step=20)
    about = json.loads((tmp_path / "config.json").read_text())
    assert about["train"] == {"seq_len": 64}
    opened = open_model(tmp_path)
    assert (opened.step, opened.eos_id) == (20, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors", "tokenizer"]


def test_a_rank_that_does_not_write_writes_nothing(tmp_path):
    save_model(tmp_path / "out", random_model(32), write=False)
    assert not (tmp_path / "out").exists()


def test_bf16_keeps_what_drives_the_state_wide(small_run):
    model = open_model(small_run, dtype=torch.bfloat16).model
    kinds = {name: parameter.dtype for name, parameter in model.named_parameters()}
    assert kinds["embed.weight"] == kinds["layers.0.mixer.dt_proj.weight"] == torch.bfloat16
    wide = {name.rpartition(".")[2] for name, kind in kinds.items() if kind == torch.float32}
    assert wide >= {"A_log", "dt_bias", "conv_weight", "q_weight", "weight"}
    assert kinds["layers.0.pre_mixer_norm.weight"] == torch.float32
    assert model.compute_dtype == torch.bfloat16


def test_a_model_without_tokenizer_opens_and_says_so(tmp_path):
    save_model(tmp_path, random_model(32))
    opened = open_model(tmp_path)
    assert opened.tokenizer is None
    with pytest.raises(InputError, match="holds no tokenizer"):
        opened.need_tokenizer()


def test_a_tokenizer_that_is_gone_or_another(tmp_path, small_run):
    run = shutil.copytree(small_run, tmp_path / "run")
    file = next((run / "tokenizer").iterdir())
    about = json.loads((run / "config.json").read_text())
    about["tokenizer"]["fingerprint"] = "0" * 64
    (run / "config.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="not the tokenizer that"):
        open_model(run)
    file.unlink()
    with pytest.raises(InputError, match=r"pieces\.model is gone"):
        open_model(run).need_tokenizer()


def test_what_is_no_model(tmp_path, small_run):
    with pytest.raises(InputError, match="is no folder"):
        open_model(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no model"):
        open_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="can't be read"):
        open_model(tmp_path)
    run = shutil.copytree(small_run, tmp_path / "run")
    (run / "model.safetensors").write_bytes(b"12345678")
    with pytest.raises(InputError, match="does not hold the weights"):
        open_model(run)
    (run / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"neither model\.safetensors nor a checkpoint"):
        open_model(run)


def test_weights_of_another_shape(tmp_path):
    save_model(tmp_path, random_model(32))
    about = json.loads((tmp_path / "config.json").read_text())
    about["model"] = tiny(48).to_dict()
    (tmp_path / "config.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=r"embed\.weight"):
        open_model(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there(small_run):
    with pytest.raises(RecipeError, match="no CUDA device"):
        open_model(small_run, "cuda")
    with pytest.raises(RecipeError, match="device nonsense is unknown"):
        open_model(small_run, "nonsense")


def test_an_export_answers_as_the_run_does(small_run, tmp_path):
    from trainer.export import export
    from trainer.generate import complete
    from trainer.sampling import Sampling

    opened = open_model(small_run)
    export(opened.model, tmp_path / "hf", "hf", eos_id=opened.eos_id, context_length=6, dtype="fp32")
    assert open_model(tmp_path / "hf").tokenizer is None
    shutil.copy(small_run / "tokenizer" / "pieces.model", tmp_path / "hf" / "tokenizer.model")
    exported = open_model(tmp_path / "hf")
    assert exported.eos_id == opened.eos_id
    options = Sampling(temperature=0, max_tokens=15)
    assert complete(exported, ["山では"], options) == complete(opened, ["山では"], options)


def test_a_description_of_another_kind_is_told(tmp_path: Path) -> None:
    for model in ("3", '{"layers": 3}'):
        (tmp_path / "config.json").write_text(f'{{"model": {model}}}')
        with pytest.raises(InputError, match="describes no model"):
            open_model(tmp_path)


def test_a_full_disk_keeps_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The safetensors library has an error of its own for it."""
    from safetensors import SafetensorError

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left") as told:
        save_tensors({}, tmp_path / "x", None)
    assert told.value.errno == errno.ENOSPC
