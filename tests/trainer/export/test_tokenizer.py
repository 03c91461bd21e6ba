"""The tokenizer of an export gives the ids the model was trained on."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.errors import InputError
from tests.small import prose
from tests.trainer.export import tiny
from tokenizer_lab.save.bpe import save_bpe
from tokenizer_lab.save.unigram import save_unigram
from tokenizer_lab.tokenizer import open_tokenizer
from tokenizer_lab.training.bpe import train as train_bpe
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram import train
from trainer.export import export
from trainer.export.tokenizer import plamo2_vocabulary, write_tokenizer
from trainer.load import load_pretrained

NO_IDS: dict[str, int | None] = {}
TEXTS = [prose(999), "", "山 川\n\n  犬", "鬱は語彙にない", "abc\t12345 円", "▁a\x00<0x41>", "かは\u3099"]


@pytest.fixture(scope="module")
def unigram(tmp_path_factory) -> dict[str, Path]:
    texts = pa.array([prose(i) for i in range(200)], pa.large_string())
    return save_unigram(train(texts, Training(vocab_size=600)), tmp_path_factory.mktemp("unigram"))


@pytest.fixture(scope="module")
def bpe(tmp_path_factory) -> dict[str, Path]:
    texts = pa.array([prose(i) for i in range(200)], pa.large_string())
    settings = Training(algorithm="byte-bpe", vocab_size=500, pattern="cl100k")
    return save_bpe(train_bpe(texts, settings), tmp_path_factory.mktemp("bpe"))[0]


def ids_of(path: Path) -> list[list[int]]:
    return open_tokenizer(path).encode(pa.array(TEXTS, pa.large_string())).to_pylist()


@pytest.mark.parametrize("form", ["huggingface", "sentencepiece", "plamo2"])
def test_every_unigram_form_reaches_transformers(form: str, unigram: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    model = tiny.model_of(tiny.plamo2(vocab_size=640))
    summary = export(model, tmp_path / "out", "hf", tokenizer=unigram[form])
    assert summary["notes"] == []
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert theirs(TEXTS)["input_ids"] == ids_of(unigram["huggingface"])
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token, theirs.unk_token) == ("<s>", "</s>", "<pad>", "<unk>")
    assert theirs.decode(theirs(TEXTS[0])["input_ids"]) == TEXTS[0]
    table = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (table["bos_token_id"], table["eos_token_id"], table["pad_token_id"]) == (1, 2, 3)
    for name, other in unigram.items():
        assert (tmp_path / "out" / other.name).read_bytes() == other.read_bytes(), name
    assert load_pretrained(tmp_path / "out")[0] == model.config


def test_byte_pairs_are_copied_and_have_no_gguf_form(bpe: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    export(tiny.model_of(tiny.llama(vocab_size=512)), tmp_path / "out", "hf", tokenizer=bpe["huggingface"])
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs(TEXTS)["input_ids"] == ids_of(bpe["huggingface"])
    assert not (tmp_path / "out" / "tokenizer.jsonl").exists()
    with pytest.raises(InputError, match="byte-bpe, no Unigram"):
        plamo2_vocabulary(bpe["huggingface"], 512, NO_IDS)
    with pytest.raises(InputError, match="give the tokenizer"):
        write_tokenizer(bpe["tiktoken"], tmp_path, 512, NO_IDS)
    with pytest.raises(InputError, match="no Unigram"):
        write_tokenizer(Path("byte"), tmp_path, 512, NO_IDS)


def test_ids_by_role_can_be_given(unigram: dict[str, Path], tmp_path: Path) -> None:
    ids, _ = write_tokenizer(unigram["plamo2"], tmp_path, 600, {"eos": 4})
    assert ids == {"bos": 1, "eos": 4, "pad": 3}
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["eos_token"] == "<|im_end|>"
    with pytest.raises(InputError, match="600 ids and the model 599"):
        write_tokenizer(unigram["plamo2"], tmp_path, 599, NO_IDS)


def test_the_vocabulary_for_llama_cpp(unigram: dict[str, Path]) -> None:
    found = plamo2_vocabulary(unigram["huggingface"], 603, {"eos": None})
    assert found.tokens[-3:] == [b"[PAD1]", b"[PAD2]", b"[PAD3]"]
    assert found.types[-3:] == [5, 5, 5]
    assert found.tokens[5] == b"<0x00>"
    assert found.types[:6] == [2, 3, 3, 3, 3, 6]
    assert found.ids == {"bos": 1, "eos": 2, "pad": 3, "unk": 0, "eot": 4}
    table = open_tokenizer(unigram["plamo2"]).vocabulary
    assert np.allclose(found.scores[:600], table.scores)
