"""What ``explain`` must not be misled by: unknown tokens, unused pieces, places that the sides count otherwise."""

from pathlib import Path

import pytest
from sentencepiece import sentencepiece_model_pb2 as messages

from tokenizer_lab.causes.place import tokens_of
from tokenizer_lab.explain import explain
from tokenizer_lab.tokenizer import Kind, Tokenizer, open_tokenizer

PIECES = {"▁": -3.0, "a": -2.0, "b": -2.5, "ab": -3.0, "c": -4.0}


def model(path: Path, unused: tuple[str, ...] = ()) -> Tokenizer:
    proto = messages.ModelProto()  # type: ignore[attr-defined]
    proto.trainer_spec.model_type = 1
    proto.normalizer_spec.remove_extra_whitespaces = False
    for piece, kind in (("<unk>", Kind.UNKNOWN), ("<s>", Kind.CONTROL)):
        proto.pieces.add(piece=piece, score=0.0, type=int(kind))
    for piece, score in PIECES.items():
        kind = Kind.UNUSED if piece in unused else Kind.NORMAL
        proto.pieces.add(piece=piece, score=score, type=int(kind))
    path.write_bytes(proto.SerializeToString())
    return open_tokenizer(path)


def converted(path: Path) -> Tokenizer:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.Unigram([("<unk>", 0.0), ("<s>", 0.0), *PIECES.items()], 0, False))
    made.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    made.add_special_tokens([AddedToken(name, normalized=False) for name in ("<unk>", "<s>")])
    made.save(str(path))
    return open_tokenizer(path)


def test_an_unused_piece(tmp_path: Path) -> None:
    found = explain(model(tmp_path / "a.model"), model(tmp_path / "b.model", ("ab",)), "ab")
    assert found is not None
    assert found.cause.name == "vocabulary"
    assert "of kind unused in b" in found.cause.rule


@pytest.mark.parametrize("text", ["日c<s>ab", "a日語c<s>", "a▁日<s>b", "ab<unk>日c"])
def test_a_special_string_behind_unknown_characters(tmp_path: Path, text: str) -> None:
    """The unknown characters are the same on both sides and no matter of a normalizer."""
    found = explain(model(tmp_path / "a.model"), converted(tmp_path / "b.json"), text)
    assert found is not None
    assert found.cause.name == "specials"


def test_places_of_tokens_of_a_text_with_specials(tmp_path: Path) -> None:
    text = "ab日語c<s>a ab日".encode()
    tokens = tokens_of(converted(tmp_path / "b.json"), text, "ids")
    stood = [text[token.start : token.end].decode() for token in tokens if token.piece != "▁".encode()]
    assert stood == ["ab", "日語", "c", "<s>", "a", "ab", "日"]
