"""The two plain tokenizers."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from jacorpus.errors import InputError
from tests.strategies import japanese_texts
from tokenizer_lab.formats.plain import BYTES, characters, open_plain
from tokenizer_lab.tokenizer import Kind, list_buffers, open_tokenizer

TABLE_SHA256 = "20ec4df5dcca5139365af0daf79d65f2bf2cd4f90de0115f6cefd965afd03736"


@pytest.mark.parametrize("name", ["byte", "char"])
@settings(max_examples=60, deadline=None)
@given(texts=japanese_texts)
def test_decode_undoes_encode_and_places_cover_the_text(name: str, texts: list[str | None]) -> None:
    tokenizer = open_plain(name)
    array = pa.array(texts, pa.large_string())
    encoding = tokenizer.encode_with_offsets(array)
    raw = [(text or "").encode() for text in texts]
    assert encoding.tokens.equals(tokenizer.encode(array))
    assert tokenizer.decode(encoding.tokens).to_pylist() == raw
    rows = zip(raw, encoding.tokens, encoding.starts, encoding.ends, strict=True)
    for text, ids, starts, ends in rows:
        places = list(zip(starts.as_py(), ends.as_py(), strict=True))
        pieces = [tokenizer.vocabulary.token_bytes[i] for i in ids.as_py()]
        assert [text[a:b] for a, b in places] == pieces
        assert b"".join(pieces) == text


def test_what_char_holds() -> None:
    tokenizer = open_tokenizer("char")
    text = "日本語 ABC é 한국 这是 ｶﾞ 𠮟"  # the last: a kanji of JIS X 0213 beyond U+FFFF
    assert tokenizer.encode(pa.array([text]))[0].as_py() == [
        ord(c) if ord(c) < 0x80 else BYTES + characters().index(c) for c in text
    ]
    assert tokenizer.encode(pa.array(["😀"]))[0].as_py() == list("😀".encode())
    assert tokenizer.vocabulary.kinds[list("😀".encode())].tolist() == [Kind.BYTE] * 4
    assert tokenizer.vocabulary.kinds[ord("a")] == Kind.NORMAL


def test_the_table_is_the_same_on_every_machine() -> None:
    assert hashlib.sha256(characters().encode()).hexdigest() == TABLE_SHA256
    assert len(set(characters())) == open_plain("char").vocab_size - BYTES


def test_slices_and_unknown_ids() -> None:
    tokenizer = open_plain("byte")
    tokens = tokenizer.encode(pa.array(["ab", "cd", "", None, "e"]).slice(1))
    assert tokens.to_pylist() == [[99, 100], [], [], [101]]
    assert tokenizer.decode(tokens.slice(1)).to_pylist() == [b"", b"", b"e"]
    assert list_buffers(tokens.slice(3))[1].tolist() == [101]
    with pytest.raises(InputError, match="id 256 is beyond the vocabulary, whose ids end at 255"):
        tokenizer.decode(pa.array([[1, 256]], pa.large_list(pa.uint32())))
    assert tokenizer.fingerprint != open_plain("char").fingerprint
    with pytest.raises(InputError, match="did you mean `byte`"):
        open_plain("bytes")


def test_a_byte_is_its_own_id() -> None:
    every = np.arange(256).astype(np.uint8).tobytes()
    array = pa.array([every[:128].decode()], pa.large_string())
    assert open_plain("byte").encode(array)[0].as_py() == list(range(128))
