"""Unigram in float32 against its readable twin, and against SentencePiece with models of every kind."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from tests.small import prose
from tests.strategies import japanese_texts
from tokenizer_lab.formats.sentencepiece import Fast, open_model, unigram_rules
from tokenizer_lab.formats.sentencepiece_library import Library, read_proto
from tokenizer_lab.kernels.unigram import UnigramRules, unigram, unigram_naive, unigram_table
from tokenizer_lab.verify import differing

PIECES = ["▁", "▁a", "a", "ab", "b", "日", "日本", "本", "の", "のは", "か", "か\u3099", "𠮷", "▁▁", "-", "--"]
SCORES = [-3.0, -2.5, -4.0, -5.0, -4.0, -6.0, -7.0, -6.5, -2.0, -4.0, -3.0, -3.5, -9.0, -5.0, -6.0, -6.0]
BYTES = np.arange(100, 356, dtype=np.uint32)


def rules(byte_ids: np.ndarray | None = BYTES, prefix: bool = True) -> UnigramRules:
    pieces = {piece: 3 + i for i, piece in enumerate(PIECES)}
    return UnigramRules(pieces, np.array(SCORES, np.float32), -19.0, 0, byte_ids, prefix, True)


@given(japanese_texts)
@settings(max_examples=80, deadline=None)
@pytest.mark.parametrize("byte_ids", [BYTES, None], ids=["bytes", "unknown"])
@pytest.mark.parametrize("prefix", [True, False])
def test_equal_to_the_twin(byte_ids: np.ndarray | None, prefix: bool, texts: list[str | None]) -> None:
    array = pa.array([None, *texts], pa.large_string())[1:]
    own = rules(byte_ids, prefix)
    found, twin = unigram(array, unigram_table(own)), unigram_naive(array, own)
    for ours, theirs in zip(found, twin, strict=True):
        assert np.array_equal(ours, theirs)
    without = unigram(array, unigram_table(own), sized=False)
    assert np.array_equal(without[1], twin[1])


def test_sums_that_pass_the_reset() -> None:
    texts = pa.array(["日本の" * 9000 + "𠮷ab" * 3000, "ab"], pa.large_string())
    for ours, theirs in zip(unigram(texts, unigram_table(rules())), unigram_naive(texts, rules()), strict=True):
        assert np.array_equal(ours, theirs)


def test_the_mark_must_be_a_piece() -> None:
    bare = UnigramRules({"a": 1}, np.zeros(1, np.float32), -10.0, 0, None, True, True)
    with pytest.raises(ValueError, match="mark"):
        unigram_table(bare)


TEXTS = [
    "日本語のテスト",
    "",
    "  two  spaces ",
    "ＡＢＣ ㍿ ﾊﾟ",
    "𠮷𠮷野家 <sym> symbols",
    "a<sym>b <s> </s> x▁y\n\t",
    "が\u3099",
    "--",
]


def trained(folder: Path, change=None, **options) -> Path:
    """A small model trained by the library; ``change`` edits its protobuf."""
    import sentencepiece

    out = io.BytesIO()
    sentences = [prose(i, 3) + f" two words {i} -- ab" for i in range(120)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=out, minloglevel=2, num_threads=1,
        **{"vocab_size": 400, "model_type": "unigram", "byte_fallback": True, "hard_vocab_limit": False, **options},
    )  # fmt: skip
    path = folder / "small.model"
    path.write_bytes(out.getvalue())
    if change:
        proto = read_proto(path)
        change(proto)
        path.write_bytes(proto.SerializeToString())
    return path


def unuse(proto) -> None:
    for piece in list(proto.pieces)[300:340]:
        if len(piece.piece) > 1 and piece.type == 1:
            piece.type = 5


def stay(proto) -> None:
    proto.normalizer_spec.escape_whitespaces = False


KINDS = {
    "identity": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "nfkc": {"normalization_rule_name": "nmt_nfkc"},
    "nfkc_cf": {"normalization_rule_name": "nfkc_cf", "remove_extra_whitespaces": False},
    "no bytes": {"byte_fallback": False},
    "no prefix": {"add_dummy_prefix": False, "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "defined": {"user_defined_symbols": ["<sym>", "--"], "normalization_rule_name": "identity",
                "remove_extra_whitespaces": False},
    "spaces stay": {"change": stay, "add_dummy_prefix": False, "normalization_rule_name": "identity",
                    "remove_extra_whitespaces": False},
    "unused": {"change": unuse, "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_kind(tmp_path: Path, kind: str) -> None:
    fast = open_model(trained(tmp_path, **KINDS[kind]))
    assert isinstance(fast, Fast), fast.why_slow
    check(fast, [*TEXTS, *(prose(i, 4) for i in range(500, 520))])


SLOW = {
    "suffix": {"treat_whitespace_as_suffix": True},
    "defined and normalized": {"user_defined_symbols": ["<sym>"]},
    "bpe": {"model_type": "bpe"},
    "spaces stay": {"change": stay},
}


@pytest.mark.parametrize("kind", SLOW)
def test_what_is_left_to_the_library(tmp_path: Path, kind: str) -> None:
    tokenizer = open_model(trained(tmp_path, **SLOW[kind]))
    assert isinstance(tokenizer, Library)
    assert tokenizer.why_slow


def check(fast, texts: list[str]) -> None:
    array = pa.array(texts, pa.large_string())
    ours, theirs = fast.encode_with_offsets(array), fast.reference().encode_with_offsets(array)
    assert not len(differing(fast.encode(array), theirs.tokens))
    assert ours.tokens.equals(theirs.tokens)
    assert ours.starts.equals(theirs.starts)
    assert ours.ends.equals(theirs.ends)


MODELS = ("code10k_en20k_ja30k.ver2.1", "llm-jp-tokenizer-100k.ver3.0b1", "rinna.google_sp")
FILES = ("ja/aozora", "ja/docs", "en/docs", "en/prose", "ko/docs", "zh/docs")


@pytest.mark.parametrize("model", MODELS)
def test_real_models_on_real_text(real_data: Path, model: str) -> None:
    from tokenizer_lab.corpus import draw, open_corpus

    fast = open_model(real_data / "tokenizers" / f"{model}.model")
    drawn = draw(open_corpus([f"{name}={real_data / name}.jsonl.zst" for name in FILES[::2]]), 600_000)
    check(fast, [*TEXTS, *drawn.texts.to_pylist()])


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_line_of_the_real_data(real_data: Path, model: str) -> None:
    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.verify import verify

    fast = open_model(real_data / "tokenizers" / f"{model}.model")
    outcome = verify(fast, open_corpus([f"{name}={real_data / name}.jsonl.zst" for name in FILES]))
    assert outcome.lines_differ == 0
    assert sum(checked.documents_differ for checked in outcome.domains.values()) == 0


def test_rules_of_a_model(real_data: Path) -> None:
    own = unigram_rules(read_proto(real_data / "tokenizers/rinna.google_sp.model"))
    assert own.byte_ids is None
    assert own.prefix
    assert "<s>" not in own.pieces
