"""SentencePiece models behind their library: the table, places in the text, decoding, damaged files."""

import signal
from pathlib import Path
from types import FrameType, SimpleNamespace

import pyarrow as pa
import pytest
from sentencepiece import SentencePieceProcessor
from sentencepiece import sentencepiece_model_pb2 as messages

from jacorpus.errors import InputError
from tokenizer_lab.formats.sentencepiece_library import Library, read_proto, read_vocabulary
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


def small_model(path: Path, squeezes: bool, pieces: tuple[tuple[str, float, int], ...] = ()) -> Path:
    proto = messages.ModelProto()  # type: ignore[attr-defined]
    proto.trainer_spec.model_type, proto.trainer_spec.byte_fallback = 1, True
    proto.normalizer_spec.remove_extra_whitespaces = squeezes
    known = (("<unk>", 0.0, Kind.UNKNOWN), ("<s>", 0.0, Kind.CONTROL), ("▁", -2.0, 1), ("▁▁", -3.0, 1), ("a", -1.0, 1))
    for piece, score, kind in (*known, *((f"<0x{b:02X}>", 0.0, 6) for b in range(256)), *pieces):
        proto.pieces.add(piece=piece, score=score, type=int(kind))
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("squeezes", [False, True])
def test_decoding_at_the_beginning_of_a_text(tmp_path: Path, squeezes: bool) -> None:
    """Marks of spaces are taken off there; the space of an unknown's surface and the byte of a space stay."""
    path = small_model(tmp_path / "small.model", squeezes)
    tokenizer, library = open_tokenizer(path), SentencePieceProcessor(model_file=str(path))
    unknown, control, mark, two, a, space = 0, 1, 2, 3, 4, 5 + ord(" ")
    rows: list[list[int]] = [[], [control], [mark], [mark, mark], [unknown, a], [mark, unknown], [space, a]]
    rows += [
        [mark, space],
        [control, mark, a],
        [mark, mark, a, mark],
        [two, a],
        [mark, two, a],
        [mark, control, mark, a],
    ]
    decoded = tokenizer.decode(pa.array(rows, pa.large_list(pa.uint32()))).to_pylist()
    assert [text.decode() for text in decoded] == [library.decode(row) for row in rows]


def test_a_denormalizer_is_the_library_s(tmp_path: Path, real_data: Path) -> None:
    proto = read_proto(real_data / "tokenizers/rinna.google_sp.model")
    proto.denormalizer_spec.precompiled_charsmap = proto.normalizer_spec.precompiled_charsmap
    path = tmp_path / "denormalizes.model"
    path.write_bytes(proto.SerializeToString())
    tokenizer, library = open_tokenizer(path), SentencePieceProcessor(model_file=str(path))
    rows = [[0, 500, 600], []]
    decoded = tokenizer.decode(pa.array(rows, pa.large_list(pa.uint32()))).to_pylist()
    assert [text.decode() for text in decoded] == [library.decode(row) for row in rows]
    assert "⁇" not in library.decode(rows[0])  # the charsmap writes it as ??


@pytest.mark.parametrize("piece", [("a", -1.0, 1), ("", -1.0, 1), ("b", float("nan"), 1), ("<unk2>", 0.0, 2)])
def test_what_the_library_refuses_does_not_open(tmp_path: Path, piece: tuple[str, float, int]) -> None:
    path = small_model(tmp_path / "wrong.model", False, (piece,))
    with pytest.raises(InputError, match=r"wrong\.model can't be read by sentencepiece"):
        open_tokenizer(path)


def test_ctrl_c_is_heard_while_a_table_is_read() -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    piece = SimpleNamespace(piece="a", type=int(Kind.NORMAL), score=0.0)
    model = SimpleNamespace(pieces=[piece] * 400_000)
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.08)
        with pytest.raises(KeyboardInterrupt):
            [read_vocabulary(model) for _ in range(9)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
