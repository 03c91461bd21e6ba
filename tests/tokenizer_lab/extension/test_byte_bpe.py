"""Byte-level BPE extended: tokenizer.json and ranks, ids behind the special tokens, whole characters."""

import base64
import json
from pathlib import Path

import pyarrow as pa
import pytest
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from jacorpus.errors import InputError
from tests.strategies import japanese_text
from tests.tokenizer_lab.extension import bases
from tokenizer_lab.extension import byte_bpe
from tokenizer_lab.extension.options import Extending, NewTokens
from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.tokenizer import Tokenizer, list_buffers, open_tokenizer

MORE = 160


def _json(path: Path, pre_tokenizer: object, size: int = 330) -> Path:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|user|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(bases.english(), trainer)
    tokenizer.save(str(path))
    return path


def _split() -> object:
    cut = pre_tokenizers.Split(tokenizers.Regex(PATTERNS["llama3"]), "isolated")
    return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


@pytest.fixture(scope="module", params=["gpt2", "split"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, Tokenizer, NewTokens, Path, Path]:
    folder = tmp_path_factory.mktemp("byte_bpe")
    steps = pre_tokenizers.ByteLevel(add_prefix_space=False) if request.param == "gpt2" else _split()
    file = _json(folder / "base.json", steps)
    base = open_tokenizer(file)
    pattern = byte_bpe.pattern_of(base, file)
    options = Extending(base.vocab_size + MORE)
    new = byte_bpe.new_tokens(base, pattern, bases.column(bases.japanese()), options)
    new, files = byte_bpe.reached(base, file, pattern, new, folder, allowed=False)
    return base, open_tokenizer(files[0]), new, file, files[0]


def test_old_entries_are_the_same(made: tuple[Tokenizer, Tokenizer, NewTokens, Path, Path]) -> None:
    base, extended, new, file, out = made
    before, after = (json.loads(path.read_text("utf-8")) for path in (file, out))
    old_merges, all_merges = before["model"].pop("merges"), after["model"].pop("merges")
    assert all_merges[: len(old_merges)] == old_merges
    old_vocab, all_vocab = before["model"].pop("vocab"), after["model"].pop("vocab")
    assert list(all_vocab.items())[: len(old_vocab)] == list(old_vocab.items())
    assert before == after
    assert {token["content"] for token in before["added_tokens"]} <= set(all_vocab)
    assert sorted(all_vocab.values())[-len(new.tokens) :] == list(range(base.vocab_size, extended.vocab_size))
    assert extended.vocab_size == base.vocab_size + MORE


def test_new_tokens_are_whole_characters_or_steps_to_them(
    made: tuple[Tokenizer, Tokenizer, NewTokens, Path, Path],
) -> None:
    _, extended, new, _, _ = made
    assert not new.unreachable
    whole = [token for token in new.tokens if "\ufffd" not in token.decode("utf-8", "replace")]
    steps = set(new.tokens) - set(whole)
    assert "日本".encode() in new.tokens
    assert all(any(step in pair for pair in new.merges) for step in steps)
    assert not any(0x80 <= token[0] < 0xC0 for token in new.tokens)
    _, ids = list_buffers(extended.encode(pa.array([token.decode() for token in whole], pa.large_string())))
    assert [extended.vocabulary.token_bytes[id] for id in ids] == whole


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(japanese_text, st.text(st.sampled_from(bases.ALPHABET), max_size=30)))
def test_text_without_a_new_token_keeps_its_ids(
    made: tuple[Tokenizer, Tokenizer, NewTokens, Path, Path], text: str
) -> None:
    base, extended, new, _, _ = made
    column = pa.array([text], pa.large_string())
    before, after = base.encode(column), extended.encode(column)
    if any(token in text.encode() for token in new.tokens):
        assert extended.decode(after).to_pylist() == [text.encode()]
    else:
        assert before.equals(after)


def test_ranks_become_a_json_with_tiktokens_ids() -> None:
    """tokenizer.json made of ranks, against tiktoken itself; merges of tokens whose bytes are not joined left out."""
    singles = {bytes([b]): b for b in range(256)}
    joined = [b"ab", b"abc", "あ".encode()[:2], "あ".encode(), b" a", b" ab", b"zzzz"]
    ranks = singles | {token: 256 + i for i, token in enumerate(joined)}
    merges = byte_bpe.merges_of(ranks)
    assert merges[:2] == [(b"a", b"b"), (b"ab", b"c")]
    assert merges[-1] == (b" ", b"ab")
    reference = tiktoken.Encoding("t", pat_str=PATTERNS["gpt2"], mergeable_ranks=ranks, special_tokens={"<|e|>": 270})
    base = _Ranks(ranks, {"<|e|>": 270})
    content = byte_bpe._from_ranks(base, "gpt2")  # type: ignore[arg-type]
    byte_bpe._append(content, 271, NewTokens([], 0))
    library = tokenizers.Tokenizer.from_str(json.dumps(content))
    for text in ("abcab ab abc zzzz zz あい", "あ" * 5, "<|e|>"):
        expected = reference.encode(text, allowed_special="all")
        assert library.encode(text, add_special_tokens=False).ids == expected


class _Ranks:
    """What ``_from_ranks`` reads of a rank tokenizer."""

    def __init__(self, ranks: dict[bytes, int], specials: dict[str, int]) -> None:
        import numpy as np

        from tokenizer_lab.tokenizer import Kind, Vocabulary

        size = max([*ranks.values(), *specials.values()]) + 1
        pieces, kinds = [b""] * size, np.full(size, Kind.UNUSED, np.uint8)
        for token, id in ranks.items():
            pieces[id], kinds[id] = token, Kind.NORMAL
        for id in specials.values():
            kinds[id] = Kind.CONTROL
        self.vocabulary = Vocabulary(tuple(pieces), tuple(pieces), kinds, specials=specials)
        self.vocab_size, self.format, self.name = size, "tiktoken", "ranks"


def test_rank_file_keeps_its_lines(tmp_path: Path) -> None:
    ranks = {bytes([b]): b for b in range(256)} | {b"ab": 256}
    lines = b"".join(b"%s %d\n" % (base64.b64encode(t), r) for t, r in ranks.items())
    file = tmp_path / "base.tiktoken"
    file.write_bytes(lines)
    new = NewTokens(["あ".encode()[:2], "あ".encode()], 2, merges=[(b"\xe3", b"\x81"), (b"\xe3\x81", b"\x82")])
    files = byte_bpe.write(_Ranks(ranks, {"<|e|>": 300}), file, "gpt2", new, tmp_path)  # type: ignore[arg-type]
    text = files[0].read_bytes()
    assert text.startswith(lines)
    assert [int(line.split()[1]) for line in text[len(lines) :].splitlines()] == [301, 302]
    library = tokenizers.Tokenizer.from_file(str(files[2]))
    assert library.encode("ab<|e|>あ", add_special_tokens=False).ids == [256, 300, 302]
    opened = open_tokenizer(files[0])
    assert opened.vocabulary.specials["<|e|>"] == 300
    column = pa.array(["ab<|e|>あ"], pa.large_string())
    assert opened.encode(column, special_text="ids").to_pylist() == [[256, 300, 302]]


def test_unreachable_tokens_take_what_is_made_of_them_along() -> None:
    new = NewTokens([b"ab", b"abc", b"xy"], 3, merges=[(b"a", b"b"), (b"ab", b"c"), (b"x", b"y")])
    left = byte_bpe.without(new, [b"ab"])
    assert left.tokens == [b"xy"]
    assert left.unreachable == [b"ab", b"abc"]


def test_other_pre_tokenizers_are_refused(tmp_path: Path) -> None:
    file = _json(tmp_path / "a.json", pre_tokenizers.ByteLevel(add_prefix_space=True))
    with pytest.raises(InputError, match="this one has ByteLevel"):
        byte_bpe.pattern_of(open_tokenizer(file), file)
    tokenizer = tokenizers.Tokenizer.from_file(str(_json(tmp_path / "b.json", pre_tokenizers.ByteLevel(False))))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.save(str(file))
    with pytest.raises(InputError, match="no normalizer"):
        byte_bpe.pattern_of(open_tokenizer(file), file)
