"""The fast paths for ``tokenizer.json`` give the library's ids, and what they can't do goes to the library."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import japanese_text
from tests.tokenizer_lab.formats import json_files
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.formats.huggingface import Fast
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer
from tokenizer_lab.verify import verify

Content = dict[str, Any]
V21 = "llm-jp.code10k_en20k_ja30k.ver2.1.tokenizer.json"
FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)


def metaspace(**settings: Any) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        content["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", **settings}

    return change


def marked(prefix: dict[str, Any] | None) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        content["pre_tokenizer"] = None
        content["normalizer"] = {"type": "Sequence", "normalizers": [prefix, spaces] if prefix else [spaces]}

    return change


def bare(content: Content) -> None:
    content["pre_tokenizer"] = content["normalizer"] = None
    content["model"]["vocab"] = [[piece.replace("▁", " "), score] for piece, score in content["model"]["vocab"]]


def no_fallback(content: Content) -> None:
    content["model"]["byte_fallback"] = False


UNIGRAM: dict[str, Callable[[Content], None]] = {
    "as trained": lambda content: None,
    "always, whole": metaspace(prepend_scheme="always", split=False),
    "first": metaspace(prepend_scheme="first", split=True),
    "never": metaspace(prepend_scheme="never", split=True),
    "old style": metaspace(add_prefix_space=True),
    "prepend": marked({"type": "Prepend", "prepend": "▁"}),
    "regex prefix": marked({"type": "Replace", "pattern": {"Regex": r"(?<!\n)^"}, "content": "▁"}),
    "spaces alone": marked(None),
    "bare": bare,
    "no fallback": no_fallback,
}


@pytest.fixture(scope="module")
def unigrams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fast]:
    folder = tmp_path_factory.mktemp("unigram")
    trained = json_files.unigram(folder / "trained.json").read_text("utf-8")
    made = {}
    for name, change in UNIGRAM.items():
        content = json.loads(trained)
        change(content)
        made[name] = fast(folder / f"{name}.json", content)
    return made


def fast(path: Path, content: Content) -> Fast:
    path.write_text(json.dumps(content), "utf-8")
    tokenizer = open_tokenizer(path)
    assert isinstance(tokenizer, Fast), tokenizer.why_slow
    return tokenizer


def assert_equal(tokenizer: Tokenizer, array: pa.Array) -> None:
    library = tokenizer.reference()
    assert library is not None
    for way in ("text", "ids"):
        ours, theirs = tokenizer.encode(array, way), library.encode(array, way)  # type: ignore[arg-type]
        assert ours.to_pylist() == theirs.to_pylist()
    encoding = tokenizer.encode_with_offsets(array)
    assert encoding.tokens.equals(tokenizer.encode(array))
    for text, starts, ends in zip(array.to_pylist(), encoding.starts, encoding.ends, strict=True):
        size = len((text or "").encode())
        if size:
            assert starts[0].as_py() == 0
            assert ends[-1].as_py() == size
            assert starts.as_py()[1:] == ends.as_py()[:-1]


spaced = st.text(st.sampled_from("吾輩は猫 ▁\nab<s/>0x41𠮟"), max_size=40)
texts = st.lists(st.one_of(st.none(), japanese_text, spaced, st.sampled_from(json_files.LINES[:5])), max_size=6)


@pytest.mark.parametrize("name", list(UNIGRAM))
@settings(max_examples=25, deadline=None)
@given(texts=texts)
def test_unigram(unigrams: dict[str, Fast], name: str, texts: list[str | None]) -> None:
    assert_equal(unigrams[name], pa.array(texts, pa.large_string()))


def test_special_strings_and_byte_names(unigrams: dict[str, Fast]) -> None:
    array = pa.array(["吾輩は</s>猫<s>", " </s>", "<0x41><0xE5>", "<unk>", "", None, "x<unk>y"], pa.large_string())
    for tokenizer in unigrams.values():
        tokenizer.by_library = 0
        assert_equal(tokenizer, array)
        assert tokenizer.by_library == 4  # of the encoding with special ids


def test_places(unigrams: dict[str, Fast]) -> None:
    encoding = unigrams["prepend"].encode_with_offsets(pa.array(["a 𠮟", "猫"], pa.large_string()))
    assert encoding.starts.to_pylist()[1][0] == 0
    assert encoding.ends.to_pylist()[0][-4:] == [3, 4, 5, 6]


def test_added_tokens_go_to_the_library(unigrams: dict[str, Fast], tmp_path: Path) -> None:
    content = json.loads(json_files.unigram(tmp_path / "a.json").read_text("utf-8"))
    size = len(content["model"]["vocab"])
    content["added_tokens"] += [
        {"id": size, "content": "猫である", **FLAGS},
        {"id": size + 1, "content": "\n\n", **FLAGS},
    ]
    tokenizer = fast(tmp_path / "b.json", content)
    array = pa.array(["吾輩は猫である。", "猫", "a\n\nb", "犬である"], pa.large_string())
    assert_equal(tokenizer, array)
    tokenizer.by_library = 0
    assert size in tokenizer.encode(array)[0].as_py()
    assert tokenizer.by_library == 2


def test_many_added_tokens_of_odd_strings(tmp_path: Path) -> None:
    content = json.loads(json_files.byte_bpe(tmp_path / "a.json").read_text("utf-8"))
    strings = [f"<|{n}|>" for n in range(100)] + ["a.b", "(", "[x]", "\\n", "^", "猫", "x{2}", "\n\n\n"]
    for id, string in enumerate(strings, len(content["model"]["vocab"])):
        content["added_tokens"].append({"id": id, "content": string, **FLAGS})
    tokenizer = fast(tmp_path / "b.json", content)
    array = pa.array([f"か{string}き" for string in strings] + ["axb", "\n", "xx", "<|x|>", "n"], pa.large_string())
    assert_equal(tokenizer, array)
    tokenizer.by_library = 0
    tokenizer.encode(array)
    assert tokenizer.by_library == len(strings)


def split_by(pattern: str, **settings: Any) -> Any:
    """``Split`` with a pattern, then ``ByteLevel``."""
    from tokenizers import Regex, pre_tokenizers

    cut = pre_tokenizers.Split(Regex(pattern), **{"behavior": "isolated", **settings})
    return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def whole_looked_up(content: Content) -> None:
    """Every second merge is taken away; some tokens are then only found whole."""
    content["model"]["ignore_merges"] = True
    content["model"]["merges"] = content["model"]["merges"][::2]
    made = {left + right for left, right in content["model"]["merges"]}
    content["model"]["merges"] = [m for m in content["model"]["merges"] if all(len(p) == 1 or p in made for p in m)]


def whole_first(content: Content) -> None:
    content["model"]["ignore_merges"] = True


def shuffled_ids(content: Content) -> None:
    """Ids in another order than the merges."""
    size = len(content["model"]["vocab"])
    content["model"]["vocab"] = {piece: size - 1 - id for piece, id in content["model"]["vocab"].items()}
    content["added_tokens"][0]["id"] = size - 1 - content["added_tokens"][0]["id"]


BYTE_BPE: dict[str, tuple[Any, Callable[[Content], None] | None]] = {
    "gpt2": (None, None),
    "shuffled ids": (None, shuffled_ids),
    "whole pre-tokens first": (None, whole_first),
    "tokens only found whole": (None, whole_looked_up),
    "llama3": (lambda: split_by(PATTERNS["llama3"]), None),
    "llama3, single digits": (lambda: split_by(PATTERNS["llama3-single"]), None),
    "o200k, removed and inverted": (lambda: split_by(PATTERNS["o200k"], behavior="removed", invert=True), None),
    "cl100k as tiktoken writes it": (lambda: split_by(PATTERNS["cl100k"]), None),
    "cl100k without the plus": (lambda: split_by(PATTERNS["cl100k"].replace("{1,3}+", "{1,3}")), None),
    "ja": (lambda: split_by(PATTERNS["ja"]), None),
    "lines": (lambda: split_by(PATTERNS["none"]), None),
}


@pytest.fixture(scope="module")
def byte_bpes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fast]:
    folder = tmp_path_factory.mktemp("byte_bpe")
    made = {}
    for name, (cutter, change) in BYTE_BPE.items():
        content = json.loads(json_files.byte_bpe(folder / "trained.json", cutter() if cutter else None).read_text())
        if change:
            change(content)
        made[name] = fast(folder / f"{name}.json", content)
    return made


odd = st.text(st.sampled_from("it'S ſ'RE 12345٣Ⅳ\n\r\t\u3000\x1c\x85a日のーがＡé𠮟"), max_size=40)


@pytest.mark.parametrize("name", list(BYTE_BPE))
@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.one_of(texts.map(lambda found: (found or [""])[0]), odd), max_size=5))
def test_byte_bpe(byte_bpes: dict[str, Fast], name: str, texts: list[str | None]) -> None:
    assert_equal(byte_bpes[name], pa.array(texts, pa.large_string()))


def test_digits_are_read_as_oniguruma_does(byte_bpes: dict[str, Fast]) -> None:
    array = pa.array(["12345678", "a<|endoftext|>b", "<|endoftext|>"], pa.large_string())
    for tokenizer in byte_bpes.values():
        assert_equal(tokenizer, array)
    cut = [
        byte_bpes[f"cl100k {name}"].pre_token_ends(b"1234567") for name in ("as tiktoken writes it", "without the plus")
    ]
    assert cut == [{7}, {3, 6, 7}]


def test_whole_pre_tokens_and_parts_are_not_mixed_up(byte_bpes: dict[str, Fast]) -> None:
    texts = ["\u3000", "\u3000\u3000", "か\u3000か", "\u3000", "\u3000\u3000\u3000か"]
    for order in (texts, texts[::-1], texts[1:]):
        for tokenizer in byte_bpes.values():
            assert_equal(tokenizer, pa.array(order, pa.large_string()))


@pytest.mark.parametrize("file", ["ja/docs", "en/docs"])
def test_byte_bpe_on_real_text(byte_bpes: dict[str, Fast], real_data: Path, file: str) -> None:
    array = lines(real_data / f"{file}.jsonl.zst", 4)
    for tokenizer in byte_bpes.values():
        assert_equal(tokenizer, array)


def test_byte_bpe_that_the_kernel_can_not_do(tmp_path: Path) -> None:
    from tokenizers import pre_tokenizers

    cases = {
        "ByteLevel puts a space before the text": {"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=True)},
        "its pattern is none of the named ones": {"pre_tokenizer": split_by(r"\w+|\W+")},
        "not cut into pre-tokens": {"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)},
        "the model has the setting dropout": {"dropout": 0.1},
    }
    for why, change in cases.items():
        assert why in open_tokenizer(json_files.byte_bpe(tmp_path / "a.json", **change)).why_slow
    content = json.loads(json_files.byte_bpe(tmp_path / "a.json").read_text("utf-8"))
    content["normalizer"] = {"type": "NFC"}
    (tmp_path / "b.json").write_text(json.dumps(content), "utf-8")
    assert "normalizer NFC" in open_tokenizer(tmp_path / "b.json").why_slow
    content["normalizer"], made = None, "".join(content["model"]["merges"][0])
    content["added_tokens"].append({**FLAGS, "id": content["model"]["vocab"][made], "content": made, "special": True})
    (tmp_path / "c.json").write_text(json.dumps(content), "utf-8")
    assert "merges make the special token" in open_tokenizer(tmp_path / "c.json").why_slow


def charsmap(content: Content) -> None:
    content["normalizer"] = {"type": "NFKC"}


def other_mark(content: Content) -> None:
    content["pre_tokenizer"]["replacement"] = "_"


def no_mark(content: Content) -> None:
    content["model"]["vocab"] = [["▂" if piece == "▁" else piece, score] for piece, score in content["model"]["vocab"]]


def few_bytes(content: Content) -> None:
    content["model"]["vocab"][100][0] = "<byte>"


def spaced_token(content: Content) -> None:
    marked(None)(content)
    content["added_tokens"].append({"id": 9999, "content": "a b", **{**FLAGS, "normalized": True}})


SLOW: dict[Callable[[Content], None], str] = {
    charsmap: "the chain NFKC, Metaspace is none that our kernel knows",
    other_mark: "Metaspace writes spaces as '_'",
    no_mark: "the mark for spaces is no entry of its own",
    few_bytes: "some of the 256 byte tokens are missing",
    spaced_token: "added tokens with spaces are looked for in normalized text",
}


@pytest.mark.parametrize("change", list(SLOW), ids=lambda change: change.__name__)
def test_what_the_kernel_can_not_do(tmp_path: Path, change: Callable[[Content], None]) -> None:
    content = json.loads(json_files.unigram(tmp_path / "a.json").read_text("utf-8"))
    change(content)
    path = tmp_path / "b.json"
    path.write_text(json.dumps(content), "utf-8")
    tokenizer = open_tokenizer(path)
    assert tokenizer.engine.startswith("tokenizers ")
    assert SLOW[change] in tokenizer.why_slow
    assert tokenizer.reference() is None


def test_other_models_say_why(tmp_path: Path) -> None:
    tokenizer = open_tokenizer(json_files.wordpiece(tmp_path / "a.json"))
    assert "WordPiece" in tokenizer.why_slow


def test_the_library_may_be_asked_for(unigrams: dict[str, Fast], tmp_path: Path) -> None:
    path = json_files.unigram(tmp_path / "a.json")
    assert open_tokenizer(path, engine="library").engine.startswith("tokenizers ")
    assert open_tokenizer(path).engine == "fast"
    assert open_tokenizer(path).reference_name.startswith("tokenizers ")
    assert open_tokenizer(path).fingerprint == open_tokenizer(path, engine="library").fingerprint


def lines(path: Path, number: int) -> pa.Array:
    import zstandard

    with zstandard.open(path, "rt", encoding="utf-8") as rows:
        texts = [json.loads(row)["text"] for row, _ in zip(rows, range(number), strict=False)]
    return pa.array([line for text in texts for line in text.split("\n")][: 40 * number], pa.large_string())


@pytest.mark.parametrize("file", ["ja/aozora", "ja/docs", "en/docs"])
def test_real_file(real_data: Path, file: str) -> None:
    tokenizer = open_tokenizer(real_data / "tokenizers" / V21)
    assert tokenizer.engine == "fast"
    assert_equal(tokenizer, lines(real_data / f"{file}.jsonl.zst", 12))


@pytest.mark.slow
def test_real_file_on_all_lines(real_data: Path) -> None:
    tokenizer = open_tokenizer(real_data / "tokenizers" / V21)
    folders = [f"{language}={real_data / language}/*.jsonl.zst" for language in ("ja", "en", "ko", "zh")]
    outcome = verify(tokenizer, open_corpus(folders))
    assert outcome.compared
    assert outcome.lines_differ == 0
    assert sum(checked.documents_differ for checked in outcome.domains.values()) == 0
    assert np.sum([checked.lines for checked in outcome.domains.values()]) > 500_000
