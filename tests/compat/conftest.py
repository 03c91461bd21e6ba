"""A tiny hybrid (Mamba, window and full attention) as `trainer.export` writes it, with a tokenizer and a chat template.

Letters: B rows, T tokens, V vocabulary.
"""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small import prose
from tests.trainer.export import tiny
from trainer.export import export
from trainer.export.hf import write_chat

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIALS = ("<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
BARS = {torch.float32: 2e-6, torch.float64: 1e-12}
"""Largest difference of two logits that should be equal: in float32 times the largest logit, where that is over 1."""


def assert_equal_logits(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Within the bar of their type; returns the largest difference."""
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    size = max(1.0, float(wanted.abs().max())) if wanted.dtype == torch.float32 else 1.0
    off = float((found - wanted).abs().max())
    assert off <= BARS[wanted.dtype] * size, f"{off:.3g} apart, bar {BARS[wanted.dtype] * size:.3g}"
    return off


@pytest.fixture(autouse=True, scope="session")
def remote_code_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Where transformers copies remote code to and imports it from: one temporary folder for all tests, the one of
    tests/trainer/export too."""
    modules = pytest.importorskip("transformers.dynamic_module_utils", reason="needs the package transformers")
    torch.set_num_threads(1)
    folder = tmp_path_factory.getbasetemp() / "remote_code"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules, "HF_MODULES_CACHE", str(folder))
        yield


def write_tokenizer(path: Path) -> Path:
    """A byte-level BPE tokenizer of 400 ids; the ids of ``SPECIALS`` are 0 to 4."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        [prose(i) for i in range(40)],
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=[*SPECIALS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made.save(str(path))
    return path


@pytest.fixture(scope="session")
def hybrid() -> tiny.Model:
    """Our own model, of all three kinds of layers; 190 thousand weights."""
    kinds = tiny.layer("mamba"), tiny.layer("window", 9), tiny.layer("mamba"), tiny.layer("full")
    return tiny.model_of(tiny.plamo2(layers=kinds, vocab_size=400)).requires_grad_(False)


@pytest.fixture(scope="session")
def folder(hybrid: tiny.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of ``hybrid`` in float32."""
    place = tmp_path_factory.mktemp("hybrid")
    tokenizer = write_tokenizer(place / "tokenizer.json")
    export(hybrid, place / "export", "hf", tokenizer=tokenizer, dtype="fp32", context_length=512)
    write_chat(place / "export", {"name": "chatml", "template": TEMPLATE, "stop_id": SPECIALS.index("<|im_end|>")})
    return place / "export"


def open_export(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The export in transformers."""
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=dtype).eval()


def open_tokenizer(folder: Path) -> Any:
    """The export's tokenizer in transformers."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=True)


def conversations(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows of ``messages`` of two turns, of different lengths."""
    rows = []
    for i in range(first, first + count):
        turns = [prose(3 * i, 1)[: 6 + i % 5], prose(3 * i + 1, 1)[: 4 + 3 * (i % 4)]]
        roles = "user", "assistant"
        rows.append({"messages": [{"role": r, "content": c} for r, c in zip(roles, turns, strict=True)]})
    return rows
