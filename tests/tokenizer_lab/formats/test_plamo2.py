"""PLaMo-2's form, with files made by hand: costs, ties, unknown characters, specials, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings

from jacorpus.errors import InputError
from tests.strategies import japanese_texts
from tokenizer_lab.formats.plamo2 import open_jsonl
from tokenizer_lab.tokenizer import Kind, Tokenizer, open_tokenizer

BYTES = [[f"<0x{b:02X}>", 0.0, "BYTE"] for b in range(256)]
HEAD: list[list[Any]] = [["<|unk|>", 0.0, "UNKNOWN"], ["<|eos|>", 0.0, "CONTROL"], *BYTES]
FIRST = len(HEAD)  # id of the first row that a test adds


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def opened(tmp_path: Path, *rows: list[Any]) -> Tokenizer:
    return open_tokenizer(written(tmp_path / "tokenizer.jsonl", [*HEAD, *rows]))


def ids(tokenizer: Tokenizer, text: str, special_text: Any = "text") -> list[int]:
    return tokenizer.encode(pa.array([text], pa.large_string()), special_text)[0].as_py()


def test_the_cheapest_way_and_the_longest_first_piece_of_a_tie(tmp_path: Path) -> None:
    rows = [["a", -1.0, "NORMAL"], ["b", -1.0, "NORMAL"], ["ab", -2.0, "NORMAL"], ["ba", -2.0, "NORMAL"]]
    tokenizer = opened(tmp_path, *rows)
    a, b, ab, ba = range(FIRST, FIRST + 4)
    assert ids(tokenizer, "ab") == [ab]  # a tie of ab and a b
    assert ids(tokenizer, "aba") == [ab, a]  # a tie of a ba and ab a: SentencePiece would end with the longest
    assert ids(opened(tmp_path, *rows[:2], ["ab", -2.0001, "NORMAL"]), "ab") == [a, b]
    assert ids(opened(tmp_path, *rows[:2], ["ab", -2.00004, "NORMAL"]), "ab") == [ab]  # less than a tick: a tie
    assert ids(opened(tmp_path, ["a", -0.00005, "NORMAL"], ["aa", -0.00005, "NORMAL"]), "a") == [FIRST]
    assert b != ba


def test_half_a_tick_goes_to_the_even_one(tmp_path: Path) -> None:
    rows = [["a", -1.0, "NORMAL"], ["b", -1.0, "NORMAL"]]
    ab = FIRST + 2
    assert -2.00005 * 1e4 == -20000.5
    assert ids(opened(tmp_path, *rows, ["ab", -2.00005, "NORMAL"]), "ab") == [ab]  # 20000, not 20001: a tie


def test_an_unknown_character_leaves_as_bytes(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, ["a", -1.0, "NORMAL"], ["日", -1500.0, "NORMAL"], ["月", None, "NORMAL"])
    assert ids(tokenizer, "a😀") == [FIRST, *(2 + b for b in "😀".encode())]
    assert ids(tokenizer, "日月") == [2 + b for b in "日月".encode()]  # costs more than the unknown; has no score
    encoding = tokenizer.encode_with_offsets(pa.array(["a😀"], pa.large_string()))
    assert encoding.ends.to_pylist() == [[1, 2, 3, 4, 5]]


def test_text_is_read_as_it_is(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, ["a", -1.0, "NORMAL"], [" ", -1.0, "NORMAL"], ["\ufeff", -1.0, "NORMAL"])
    assert ids(tokenizer, "\ufeff  a") == [FIRST + 2, FIRST + 1, FIRST + 1, FIRST]
    assert ids(tokenizer, "▁") == [2 + b for b in "▁".encode()]


def test_control_tokens_only_where_asked(tmp_path: Path) -> None:
    rows = [[c, -1.0, "NORMAL"] for c in "<|eos>unk"]
    tokenizer = opened(tmp_path, *rows)
    assert ids(tokenizer, "a<|eos|>", "ids")[-1] == 1
    assert ids(tokenizer, "<|unk|>", "ids") == [0]
    plain = ids(tokenizer, "<|eos|><|unk|>")
    assert min(plain) >= FIRST
    assert tokenizer.decode(pa.array([plain], pa.large_list(pa.uint32()))).to_pylist() == [b"<|eos|><|unk|>"]
    assert tokenizer.vocabulary.specials == {"<|unk|>": 0, "<|eos|>": 1}
    assert tokenizer.decode(pa.array([[1, FIRST]], pa.large_list(pa.uint32()))).to_pylist() == [b"<"]


def test_what_begins_like_a_byte_decodes_as_one(tmp_path: Path) -> None:
    tokenizer = opened(tmp_path, ["<0x41!", -1.0, "NORMAL"])
    assert ids(tokenizer, "<0x41!") == [FIRST]
    assert tokenizer.vocabulary.token_bytes[FIRST] == b"A"
    assert tokenizer.vocabulary.kinds[2:4].tolist() == [Kind.BYTE, Kind.BYTE]


@settings(max_examples=60, deadline=None)
@given(texts=japanese_texts)
def test_equal_to_the_twin_and_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str | None]) -> None:
    pieces = ["日本", "日", "本語", "語", "の", "です", " ", "か\u3099", "𠮷", "ab", "b", "a", "日本語の"]
    rows = [[piece, -1.0 - number / 8, "NORMAL", 0, 0] for number, piece in enumerate(pieces)]
    tokenizer = opened(tmp_path_factory.mktemp("plamo2"), *rows)
    twin = tokenizer.reference()
    assert twin is not None
    assert twin.reference() is None
    assert tokenizer.reference_name == twin.engine == "PLaMo-2 readable twin"
    array = pa.array(texts, pa.large_string())
    encoding = tokenizer.encode_with_offsets(array)
    assert encoding.tokens.equals(twin.encode(array))
    assert tokenizer.encode(array, "ids").equals(twin.encode(array, "ids"))
    assert tokenizer.decode(encoding.tokens).to_pylist() == [(text or "").encode() for text in texts]
    for text, tokens, starts, ends in zip(texts, encoding.tokens, encoding.starts, encoding.ends, strict=True):
        spelled = [tokenizer.vocabulary.token_bytes[i] for i in tokens.as_py()]
        raw = (text or "").encode()
        assert spelled == [raw[a:b] for a, b in zip(starts.as_py(), ends.as_py(), strict=True)]


WRONG: list[tuple[list[Any], str]] = [
    ([*HEAD, ["", -1.0, "NORMAL"]], "line 259: the token is empty"),
    ([*HEAD, ["a", "x", "NORMAL"]], "line 259: type 'NORMAL', score 'x'"),
    ([*HEAD, ["a", -1.0, "normal"]], "line 259: type 'normal'"),
    ([*HEAD, {"a": 1}], "line 259 is {"),
    ([*HEAD, ["a", -1000.0, "NORMAL"]], "a score of -1000.0 can't be used"),
    ([*HEAD, ["<0xZZ>", -1.0, "NORMAL"]], "line 259: '<0xZZ>' begins like a byte token"),
    (HEAD[:-1], "byte token <0xFF> is missing"),
    (BYTES, r"byte token <0x00> is line 1 \(id 0\)"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_is_refused(tmp_path: Path, number: int) -> None:
    rows, message = WRONG[number]
    with pytest.raises(InputError, match=message):
        open_jsonl(written(tmp_path / "x.jsonl", rows))


def test_broken_json(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for text in ('["a", -1.0\n', "[" * 100_000):
        path.write_text(text, "utf-8")
        with pytest.raises(InputError, match="line 1 is no JSON"):
            open_jsonl(path)
