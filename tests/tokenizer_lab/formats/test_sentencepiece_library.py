"""SentencePiece models behind their library: the table, places in the text, decoding, damaged files."""

from pathlib import Path

import pyarrow as pa
import pytest

from jacorpus.errors import InputError
from tokenizer_lab.formats.sentencepiece_library import Library, read_proto
from tokenizer_lab.tokenizer import Kind, open_tokenizer

TEXTS = ["日本語𠮷のテスト  two spaces", "", "ＡＢＣ ㍿", " a", None, "𠮷𠮷", "が\u3099\n▁x"]
MODELS = ("llama2.tokenizer", "code10k_en20k_ja30k.ver2.1", "rinna.google_sp", "llm-jp-tokenizer-100k.ver3.0b1")


@pytest.mark.parametrize("name", MODELS)
def test_places_and_decoding(real_data: Path, name: str) -> None:
    path = real_data / "tokenizers" / f"{name}.model"
    library = Library(path, read_proto(path))
    texts = pa.array(TEXTS, pa.large_string())
    encoding = library.encode_with_offsets(texts)
    assert encoding.tokens.equals(library.encode(texts))
    decoded = library.decode(encoding.tokens).to_pylist()
    assert [d.decode() for d in decoded] == [library._processor.decode(row) for row in encoding.tokens.to_pylist()]
    rows = zip(TEXTS, encoding.tokens.to_pylist(), encoding.starts.to_pylist(), encoding.ends.to_pylist(), strict=True)
    for text, ids, starts, ends in rows:
        raw, at = (text or "").encode(), 0
        for id, start, end in zip(ids, starts, ends, strict=True):
            assert at <= start <= end <= len(raw)
            at = end
            if library.vocabulary.kinds[id] == Kind.BYTE:
                assert raw[start:end] == library.vocabulary.token_bytes[id]


def test_the_table(real_data: Path) -> None:
    vocabulary = open_tokenizer(real_data / "tokenizers/llama2.tokenizer.model").vocabulary
    assert vocabulary.specials == {"<s>": 1, "</s>": 2}
    assert vocabulary.unknown_id == 0
    assert vocabulary.token_bytes[3:5] == (b"\x00", b"\x01")
    assert vocabulary.token_bytes[vocabulary.pieces.index("▁the".encode())] == b" the"


def test_damaged_files(real_data: Path, tmp_path: Path) -> None:
    whole = (real_data / "tokenizers/rinna.google_sp.model").read_bytes()
    for name, content in {"cut": whole[:500_000], "head": whole[:3000]}.items():
        path = tmp_path / f"{name}.model"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"\.model"):
            open_tokenizer(path)
