"""``tokenizer.json`` through the library: what it adds is left out, and what it says of a text comes back whole."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings

from jacorpus.errors import InputError
from tests.strategies import japanese_text
from tests.tokenizer_lab.formats import json_files
from tokenizer_lab.formats.huggingface import read_content
from tokenizer_lab.formats.huggingface_library import Library, decoder_style
from tokenizer_lab.tokenizer import Kind, open_tokenizer

TEXTS = [*json_files.LINES[:5], "", " ", "  a  b ", "\n\n", "x</s>y<unk>", "𠮟😀\ufeff\x00z", "▁▁", "<0x41>"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("json")
    return {name: make(folder / f"{name}.json") for name, make in json_files.MAKERS.items()}


def opened(path: Path) -> Library:
    return Library(path, read_content(path))


@pytest.mark.parametrize("name", list(json_files.MAKERS))
def test_ids_and_decoding_are_the_library_s(files: dict[str, Path], name: str) -> None:
    library, ours = tokenizers.Tokenizer.from_file(str(files[name])), opened(files[name])
    tokens = ours.encode(pa.array(TEXTS, pa.large_string()), "ids")
    assert tokens.to_pylist() == [library.encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert [b.decode() for b in ours.decode(tokens).to_pylist()] == [library.decode(ids) for ids in tokens.to_pylist()]
    assert ours.vocab_size == library.get_vocab_size()
    assert ours.algorithm == {"byte_bpe": "byte-bpe", "llama_bpe": "bpe"}.get(name, name)


def test_decoding_of_added_tokens_and_byte_names(files: dict[str, Path], tmp_path: Path) -> None:
    """Marks in added tokens are spaces too, a prefix is put before those of normalized text, and the decoder makes
    bytes of names even where the model has no byte fallback."""
    content = json.loads(files["llama_bpe"].read_text("utf-8"))
    content["model"]["byte_fallback"] = False
    path = tmp_path / "a.json"
    for normalized in (False, True):
        size, flags = (
            len(content["model"]["vocab"]),
            dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False),
        )
        content["added_tokens"] = [{**flags, "id": size, "content": "x▁y", "normalized": normalized}]
        path.write_text(json.dumps(content), "utf-8")
        rows = [[size], [3 + 0x41, size, 3 + 0x42], [300, size]]
        decoded = opened(path).decode(pa.array(rows, pa.large_list(pa.uint32()))).to_pylist()
        library = tokenizers.Tokenizer.from_file(str(path))
        assert [text.decode() for text in decoded] == [library.decode(row) for row in rows]


def test_what_the_library_can_not_do_is_said(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = json.loads(files["unigram"].read_text("utf-8"))
    content["model"] |= {"unk_id": None, "byte_fallback": False}
    path.write_text(json.dumps(content), "utf-8")
    for encode in (opened(path).encode, opened(path).encode_with_offsets):
        with pytest.raises(InputError, match="can't encode such a text"):
            encode(pa.array(["\u0e01"], pa.large_string()))
    content = json.loads(files["byte_bpe"].read_text("utf-8"))
    content["model"]["continuing_subword_prefix"] = "##"  # the library cuts two letters off pieces of one, and panics
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(InputError, match="can't be read by tokenizers"):
        opened(path)


def test_decoders_are_known(files: dict[str, Path]) -> None:
    styles = {name: decoder_style(read_content(path)) for name, path in files.items()}
    assert styles == {
        "byte_bpe": "bytes",
        "unigram": "first token",
        "llama_bpe": "first space",
        "wordpiece": "other",
    }


@pytest.mark.parametrize("name", list(json_files.MAKERS))
def test_special_strings_are_plain_text(files: dict[str, Path], name: str) -> None:
    ours = opened(files[name])
    special = next(iter(ours.vocabulary.specials))
    texts = pa.array([f"吾輩{special}は", special], pa.large_string())
    control = set(ours.vocabulary.specials.values())
    if ours.vocabulary.unknown_id is not None:  # this one may well come out, for what can't be written
        control -= {ours.vocabulary.unknown_id}
    for ids in ours.encode(texts).to_pylist():
        assert not control & set(ids)
    if name != "wordpiece":
        assert ours.decode(ours.encode(texts)).to_pylist() == [text.encode() for text in texts.to_pylist()]
    assert all(ours.vocabulary.specials[special] in ids for ids in ours.encode(texts, "ids").to_pylist())


def test_text_without_specials_is_the_same_both_ways(files: dict[str, Path]) -> None:
    plain = pa.array([text for text in TEXTS if "<" not in text], pa.large_string())
    for path in files.values():
        assert opened(path).encode(plain).equals(opened(path).encode(plain, "ids"))


@pytest.mark.parametrize("name", ["byte_bpe", "unigram", "llama_bpe"])
@settings(max_examples=60, deadline=None)
@given(text=japanese_text)
def test_places_spell_the_text(files: dict[str, Path], name: str, text: str) -> None:
    ours = _once(files[name])
    encoding = ours.encode_with_offsets(pa.array([text], pa.large_string()))
    ids, starts, ends = (column[0].as_py() for column in (encoding.tokens, encoding.starts, encoding.ends))
    assert encoding.tokens.equals(ours.encode(pa.array([text], pa.large_string())))
    assert all(a <= b for a, b in zip(starts, ends, strict=True))
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    raw, pieces = text.encode(), [ours.vocabulary.token_bytes[i] for i in ids]
    if b"".join(pieces) in (raw, b" " + raw):
        assert b"".join(raw[a:b] for a, b in zip(starts, ends, strict=True)) == raw
        assert [raw[a:b] for a, b in zip(starts, ends, strict=True)][1:] == pieces[1:]


_OPEN: dict[Path, Library] = {}


def _once(path: Path) -> Library:
    if path not in _OPEN:
        _OPEN[path] = opened(path)
    return _OPEN[path]


def test_nothing_is_added(files: dict[str, Path], tmp_path: Path) -> None:
    content = json.loads(files["unigram"].read_text("utf-8"))
    mark: dict[str, Any] = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}, mark],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}},
    }
    content["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    path = tmp_path / "model" / "tokenizer.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content), "utf-8")
    text = pa.array(["吾輩は猫である。"], pa.large_string())
    tokenizer = open_tokenizer(path)
    assert tokenizer.encode(text, "ids").equals(opened(files["unigram"]).encode(text))
    assert tokenizer.name == "model"


def test_kinds(files: dict[str, Path]) -> None:
    vocabulary = opened(files["unigram"]).vocabulary
    assert vocabulary.kinds[:3].tolist() == [Kind.UNKNOWN, Kind.CONTROL, Kind.CONTROL]
    assert vocabulary.kinds[3 + 0x41] == Kind.BYTE
    assert vocabulary.token_bytes[3 + 0x41] == b"A"
    assert vocabulary.unknown_id == 0
    assert vocabulary.scores is not None
    assert vocabulary.scores.min() < 0
    assert opened(files["byte_bpe"]).vocabulary.pieces[1:4] == (b"!", b'"', b"#")


BESIDE = {
    '{"model_type": "llama", "hidden_size": 1}': "is the config.json of a model",
    '{"tokenizer_class": "LlamaTokenizer"}': "is a tokenizer_config.json",
    '{"a": 0, "b": 1}': "is a vocab.json",
    '{"bos_token": "<s>"}': "is a special_tokens_map.json",
    '{"weight_map": {}}': "is an index of weight files",
    '{"version": "1.0"}': "has no key model",
    '{"model": {"type": "BPE", ': "is no whole JSON",
    '{"model": {"type": "Phrase", "vocab": {"a": 0}}}': "model.type is 'Phrase'; expected one of BPE, Unigram",
    '{"model": {"type": "BPE", "vocab": {}, "merges": []}}': "model.vocab is empty",
    '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}': "can't be read by tokenizers",
    '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}, "pre_tokenizer": {"type": "ByteLevel", '
    '"add_prefix_space": false, "trim_offsets": true}}': "can't be read by tokenizers",
    '{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a"]]}}': "has parts of another form",
    '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [{"id": 1}]}': "has parts of another",
    '{"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", 0.0]]}}': "can't be read by tokenizers",
    '{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", "x"]]}}': "can't be read by tokenizers",
}


@pytest.mark.parametrize("number", range(len(BESIDE)))
def test_other_files_are_told_apart(tmp_path: Path, number: int) -> None:
    text, message = list(BESIDE.items())[number]
    path = tmp_path / "x.json"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=message) as error:
        open_tokenizer(path)
    assert str(path) in str(error.value)
    assert "tokenizer.json" in str(error.value) or "expected" in str(error.value)
