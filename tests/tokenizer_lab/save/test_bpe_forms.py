"""BPE in its forms: the original libraries read them alike, and all of a text comes back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
import tiktoken
import tokenizers
from hypothesis import given, settings
from tiktoken.load import load_tiktoken_bpe

from jacorpus.errors import InputError
from tests.strategies import japanese_text
from tests.tokenizer_lab.training.test_unigram import documents
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.save.bpe import save_bpe
from tokenizer_lab.save.tiktoken import beside, save_ranks
from tokenizer_lab.tokenizer import Kind, open_tokenizer
from tokenizer_lab.training.bpe import train
from tokenizer_lab.training.bpe_model import BpeModel
from tokenizer_lab.training.settings import Training

MADE = {
    "bytes": Training(
        algorithm="byte-bpe", vocab_size=340, whole_characters=False, pattern="cl100k", reserved=2, multiple=8
    ),
    "whole": Training(algorithm="byte-bpe", vocab_size=500, pattern="none", digits="uncut", coverage=1.0, multiple=64),
    "characters": Training(algorithm="bpe", vocab_size=440, pattern="none", digits="uncut", coverage=1.0, multiple=64),
}
ODD = ["", " ", "\n\n  a", "<s></s><|unused_0|><|reserved_0|>", "▁a\x00<0x41>", "\ufeff鬱", "かは\u3099", "12345 円"]


@pytest.fixture(scope="module", params=MADE)
def made(request, tmp_path_factory) -> tuple[BpeModel, dict[str, Path], dict[str, str]]:
    folder = tmp_path_factory.mktemp(request.param)
    model = train(pa.array(documents(), pa.large_string()), MADE[request.param])
    return model, *save_bpe(model, folder)


def ids_of(model: BpeModel, files: dict[str, Path], texts: list[str]) -> dict[str, list[list[int]]]:
    """Ids by the library of each form, special strings as plain text."""
    found = {}
    library = tokenizers.Tokenizer.from_file(str(files["huggingface"]))
    library.encode_special_tokens = True
    found["huggingface"] = [library.encode(text).ids for text in texts]
    if "tiktoken" in files:
        ranks = load_tiktoken_bpe(str(files["tiktoken"]))
        engine = tiktoken.Encoding(
            "x", pat_str=PATTERNS[model.pattern], mergeable_ranks=ranks, special_tokens=model.specials()
        )
        found["tiktoken"] = [engine.encode_ordinary(text) for text in texts]
    if "sentencepiece" in files:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(files["sentencepiece"]))
        found["sentencepiece"] = [processor.encode(text) for text in texts]
    return found


def spelled(model: BpeModel, ids: list[int]) -> bytes:
    assert all(model.byte_ids.start <= id < model.first_merged + len(model.merges) for id in ids)
    return b"".join(model.tokens[id] for id in ids)


def test_libraries_agree_and_lose_nothing(made) -> None:
    model, files, _ = made
    texts = [*ODD, *documents(40, seed=5), "\n".join(ODD)]
    found = ids_of(model, files, texts)
    assert len(found) == 2
    assert len({str(ids) for ids in found.values()}) == 1
    for ids in found.values():
        assert [spelled(model, each) for each in ids] == [text.encode() for text in texts]


@settings(max_examples=100, deadline=None)
@given(japanese_text)
def test_libraries_agree_on_any_text(made, text) -> None:
    model, files, _ = made
    texts = [text, text + documents(1)[0] + text]
    found = ids_of(model, files, texts)
    assert len({str(ids) for ids in found.values()}) == 1
    assert spelled(model, found["huggingface"][1]).decode() == texts[1]


def test_forms_open_here_with_equal_ids(made) -> None:
    model, files, _ = made
    texts = pa.array([*ODD, *documents(20, seed=5)], pa.large_string())
    expected = ids_of(model, files, texts.to_pylist())["huggingface"]
    for name, path in files.items():
        tokenizer = open_tokenizer(path)
        assert tokenizer.format == name
        assert tokenizer.encode(texts).to_pylist() == expected
        assert tokenizer.vocab_size == len(model)
        for special, id in list(model.specials().items())[1:4]:
            assert tokenizer.vocabulary.specials[special] == id


def test_what_a_form_can_not_hold(made) -> None:
    model, files, missing = made
    assert {*files, *missing} == {"huggingface", "tiktoken", "sentencepiece"}
    assert ("parts of characters" in missing["sentencepiece"]) if model.algorithm == "byte-bpe" else missing["tiktoken"]
    if model.algorithm == "bpe":
        with pytest.raises(ValueError, match="no ranks"):
            save_ranks(model, Path("x"))


def test_equal_models_give_equal_bytes(made, tmp_path: Path) -> None:
    model, files, _ = made
    again, _ = save_bpe(model, tmp_path)
    assert [path.read_bytes() for path in again.values()] == [path.read_bytes() for path in files.values()]


def test_no_model_without_an_unknown_token(tmp_path: Path) -> None:
    wanted = replace(MADE["characters"], specials=(), vocab_size=420)
    model = train(pa.array(documents(), pa.large_string()), wanted)
    assert model.byte_ids.start == 0
    files, missing = save_bpe(model, tmp_path)
    assert list(files) == ["huggingface"]
    assert "first special token" in missing["sentencepiece"]


def test_unused_ids_never_come_out_of_text(made) -> None:
    model, files, _ = made
    unused = np.flatnonzero(model.kinds == Kind.UNUSED).tolist()
    assert unused == list(range(len(model) - len(unused), len(model)))
    assert len(unused) > 0
    library = tokenizers.Tokenizer.from_file(str(files["huggingface"]))
    for id in unused:
        assert not set(library.encode(model.tokens[id].decode()).ids) & set(unused)


def test_ranks_find_pattern_and_names_beside_them(tmp_path: Path) -> None:
    model = train(pa.array(documents(), pa.large_string()), MADE["bytes"])
    ranks = save_ranks(model, tmp_path / "tokenizer.tiktoken")
    assert open_tokenizer(ranks).traits["pattern"] == "cl100k"
    assert open_tokenizer(ranks, pattern="cl100k").fingerprint == open_tokenizer(ranks).fingerprint
    with pytest.raises(InputError, match="has the pattern cl100k"):
        open_tokenizer(ranks, pattern="gpt2")
    lines = ranks.read_bytes().splitlines(keepends=True)
    ranks.write_bytes(b"".join(lines[:300] + lines[301:]))
    with pytest.raises(InputError, match="no token of rank"):
        open_tokenizer(ranks)
    beside(ranks).write_text('{"pattern": "cl100k"}')
    with pytest.raises(InputError, match="keys pattern and specials"):
        open_tokenizer(ranks)
