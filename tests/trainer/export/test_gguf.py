"""GGUF files: what is written (by gguf's own reader), and the logits of llama.cpp where llama-cpp-python is there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from jacorpus.errors import CheckError
from tests.trainer.export import tiny
from trainer.export import export

CONFIGS = {
    "plamo2": tiny.plamo2(window=128),
    "plamo2-full": tiny.plamo2(layers=(tiny.layer("mamba"), tiny.layer("full", rope_base=500.0)) * 2),
    "plamo2-untied": tiny.plamo2(window=128, tied=False, vocab_size=99),
    "plamo3": tiny.plamo3(window=20),
    "plamo3-full": tiny.plamo3(layers=(tiny.layer("full", rope_base=500.0),) * 2),
    "plamo3-window": tiny.plamo3(layers=(tiny.layer("window", 20, rope_base=500.0),) * 2),
}


def test_norms_are_whole_and_a_is_negative(tmp_path: Path) -> None:
    from gguf import GGUFReader

    model = tiny.model_of(tiny.plamo2())
    summary = export(model, tmp_path / "m.gguf", "gguf", dtype="bf16", context_length=40)
    assert list(summary["files"]) == ["m.gguf"]
    reader = GGUFReader(tmp_path / "m.gguf")
    found = {tensor.name: tensor for tensor in reader.tensors}
    state = dict(model.named_parameters())
    expected = {
        "token_embd.weight": None,
        "output_norm.weight": state["final_norm.weight"] + 1,
        "blk.0.attn_norm.weight": state["layers.0.pre_mixer_norm.weight"] + 1,
        "blk.0.post_attention_norm": state["layers.0.post_mixer_norm.weight"] + 1 / 5,
        "blk.1.post_ffw_norm": state["layers.1.post_mlp_norm.weight"] + 1 / 5**1.5,
        "blk.0.ssm_a": -torch.exp(state["layers.0.mixer.A_log"]),
        "blk.0.ssm_conv1d.weight": state["layers.0.mixer.conv_weight"][:, 0],
        "blk.0.ssm_dt.bias": state["layers.0.mixer.dt_bias"],
        "blk.0.ssm_b_norm": state["layers.0.mixer.B_norm_weight"],
        "blk.1.attn_q_norm.weight": state["layers.1.mixer.q_weight"],
    }
    for name, value in expected.items():
        kind = found[name].tensor_type.name
        assert kind == ("BF16" if value is None else "F32"), name
        if value is not None:
            assert np.array_equal(found[name].data, value.detach().numpy()), name
    assert len(found) == 2 + 2 * 17 + 2 * 10
    heads = reader.fields["plamo2.attention.head_count_kv"]
    assert [int(heads.parts[i][0]) for i in heads.data] == [0, 2, 0, 2]


def test_folders_and_refusals(tmp_path: Path) -> None:
    assert list(export(tiny.model_of(tiny.plamo3()), tmp_path / "out", "gguf")["files"]) == ["model.gguf"]
    with pytest.raises(CheckError, match="convert_hf_to_gguf"):
        export(tiny.model_of(tiny.llama()), tmp_path / "b", "gguf")
    with pytest.raises(CheckError, match="ignores plamo2 windows"):
        export(tiny.model_of(tiny.plamo2()), tmp_path / "b", "gguf", context_length=41)
    summary = export(tiny.model_of(tiny.plamo2()), tmp_path / "b", "gguf", context_length=41, allow={"window"})
    assert summary["allowed"] == ["window"]


READ = """
import sys
import numpy as np
from llama_cpp import Llama
model = Llama(sys.argv[1], n_ctx=256, n_batch=128, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False,
              type_k=0, type_v=0)
tokens = [int(word) for word in sys.argv[3].split()]
model.eval(tokens)
found = [np.array(model.scores[: len(tokens)])]
greedy = []
for _ in range(64):
    greedy.append(int(np.argmax(model.scores[model.n_tokens - 1])))
    model.eval(greedy[-1:])
np.savez(sys.argv[2], logits=found[0], greedy=np.array(greedy))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_llama_cpp_computes_the_same(name: str, tmp_path: Path) -> None:
    """In a process of its own, with a limit: a file llama.cpp misreads can make it crash or never come back."""
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
    model, tokens = tiny.model_of(CONFIGS[name]), tiny.prompt(60, 1)
    export(model, tmp_path / "m.gguf", "gguf", dtype="fp32", context_length=128)
    words = " ".join(map(str, tokens[0].tolist()))
    command = [sys.executable, "-c", READ, str(tmp_path / "m.gguf"), str(tmp_path / "found.npz"), words]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    found = np.load(tmp_path / "found.npz")
    ours = tiny.logits_of(model, tokens)[0]
    torch.testing.assert_close(torch.tensor(found["logits"]), ours, rtol=0, atol=1e-4)
    assert found["greedy"].tolist() == tiny.greedy(model, tokens, 64)[0].tolist()
