"""The trainers of sentencepiece and Hugging Face tokenizers, on the same text and cuts, their result in our tables.

So a vocabulary that they train is written in the same forms, with the same ids for special tokens, as one of ours.
Neither is given what it can't do: sentencepiece knows no bytes but as a fallback, and never learns a piece with a line
end; tokenizers cuts by the pattern alone, and its byte-level merges do not look at characters.

Legend: N documents, M merges.
"""

import io
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError, RecipeError
from tokenizer_lab.formats.huggingface_library import byte_alphabet
from tokenizer_lab.save.bpe_json import expression
from tokenizer_lab.training import bpe_model, unigram_model
from tokenizer_lab.training.bpe import MIN_USES, count_words, covered, too_small, word_ends
from tokenizer_lab.training.bpe_model import BYTES, BpeModel
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram_model import UnigramModel

CUT = "\uf8ff"
"""Between pre-tokens in the text for sentencepiece: a character that stands for nothing (private use)."""

SPACE = "\u2581"
_BATCH = 256


def check(training: Training) -> None:
    """Raise RecipeError where a library's trainer can't do what is asked."""
    if training.trainer == "sentencepiece" and training.algorithm == "byte-bpe":
        raise RecipeError("sentencepiece trains no byte-level BPE; choose algorithm bpe, or trainer jacorpus")
    if training.trainer == "huggingface" and training.words:
        raise RecipeError('trainer huggingface takes no words of MeCab; set words = "", or trainer jacorpus')
    if training.trainer == "huggingface" and training.algorithm == "byte-bpe" and training.whole_characters:
        raise RecipeError(
            "trainer huggingface joins parts of characters with their neighbors; set whole_characters = false, or "
            "trainer jacorpus"
        )


def train(texts: pa.Array, training: Training) -> UnigramModel | BpeModel:
    """A model of documents, large_string [N], by a library's trainer. Raises RecipeError and InputError."""
    check(training)
    if training.trainer == "sentencepiece":
        return sentencepiece_unigram(texts, training) if training.algorithm == "unigram" else _spm_bpe(texts, training)
    if training.algorithm == "unigram":
        return huggingface_unigram(texts, training)
    return _huggingface_bpe(texts, training)


def cut_lines(texts: pa.Array, training: Training) -> Iterator[str]:
    """Lines of the documents with CUT between their pre-tokens."""
    for start in range(0, len(texts), _BATCH):
        offsets, first_ends, ends, data = word_ends(texts[start : start + _BATCH], training)
        for document in range(len(offsets) - 1):
            places = [int(offsets[document]), *ends[first_ends[document] : first_ends[document + 1]].tolist()]
            text = CUT.join(data[a:b].tobytes().decode() for a, b in pairwise(places))
            yield from (line.strip(CUT) for line in text.split("\n"))


def _sentencepiece(texts: pa.Array, training: Training, kind: str, size: int, **more: Any) -> list[tuple[str, float]]:
    """(piece, score) of the normal pieces, in order of their ids; spaces as spaces."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as messages

    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=cut_lines(texts, training),
            model_writer=written,
            model_type=kind,
            vocab_size=size + BYTES + 3,
            character_coverage=training.coverage,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            pretokenization_delimiter=CUT,
            split_by_unicode_script=False,
            split_by_number=False,
            split_by_whitespace=False,
            allow_whitespace_only_pieces=True,
            max_sentencepiece_length=training.max_piece_chars,
            max_sentence_length=1 << 30,
            num_threads=1,
            minloglevel=2,
            **more,
        )
    except (RuntimeError, OSError) as error:
        raise InputError(f"sentencepiece could not train: {_last_line(error)}") from error
    proto = messages.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(written.getvalue())
    return [(piece.piece.replace(SPACE, " "), piece.score) for piece in proto.pieces if piece.type == 1]


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1][:300] if str(error).strip() else type(error).__name__


def sentencepiece_unigram(texts: pa.Array, training: Training) -> UnigramModel:
    """sentencepiece's Unigram trainer."""
    left = unigram_model.room(training)
    needed = unigram_model.needed_characters(training)
    pieces = _sentencepiece(
        texts, training, "unigram", left, required_chars="".join(needed).replace(" ", ""), hard_vocab_limit=True
    )
    return unigram_model.assemble(_allowed(pieces, training), training)


def _allowed(pieces: Sequence[tuple[str, float]], training: Training) -> list[tuple[str, float]]:
    """Without pieces that would be taken for a name, and with every character that names need."""
    lowest = min((score for _, score in pieces), default=0.0)
    forbidden = unigram_model.forbidden(training)
    kept = {p: s for p, s in pieces if p not in forbidden and not p.startswith("<0x") and "\x00" not in p}
    for character in {c for piece in kept for c in piece} | set(unigram_model.needed_characters(training)):
        kept.setdefault(character, lowest)
    return list(kept.items())


def _spm_bpe(texts: pa.Array, training: Training) -> BpeModel:
    left = bpe_model.room(training)
    pieces = [piece for piece, _ in _sentencepiece(texts, training, "bpe", left, hard_vocab_limit=False)]
    if len(pieces) < left:
        raise InputError(too_small(len(pieces), left, training))
    characters = [piece for piece in pieces if len(piece) == 1]
    merged = [piece for piece in pieces if len(piece) > 1]
    number = {piece: BYTES + n for n, piece in enumerate([*characters, *merged])}
    pairs = [[number[part] for part in _parts(piece, number)] for piece in merged]
    return bpe_model.assemble([c.encode() for c in characters], np.array(pairs).reshape(-1, 2), training, "bpe")


def _parts(piece: str, number: dict[str, int]) -> list[str]:
    """The two pieces that merging by the best concatenation joins to this one last."""
    parts = list(piece)
    while len(parts) > 2:
        joined = [number.get(a + b, 1 << 31) for a, b in pairwise(parts)]
        best = joined.index(min(joined))
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts


def _batches(texts: pa.Array) -> Iterator[list[str]]:
    for start in range(0, len(texts), _BATCH):
        yield [text or "" for text in texts[start : start + _BATCH].to_pylist()]


def _learned(texts: pa.Array, tokenizer: Any, trainer: Any) -> dict[str, Any]:
    """The model of the library's tokenizer after training, as its JSON has it."""
    try:
        tokenizer.train_from_iterator(_batches(texts), trainer, length=len(texts))
    except BaseException as error:  # what panics in Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        raise InputError(f"tokenizers could not train: {_last_line(error)}") from error
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    return model


def _huggingface_bpe(texts: pa.Array, training: Training) -> BpeModel:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    left, byte_level = bpe_model.room(training), training.algorithm == "byte-bpe"
    cut = pre_tokenizers.Split(Regex(expression(bpe_model.pattern_of(training))), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE(byte_fallback=not byte_level))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, level]) if byte_level else cut
    characters = [] if byte_level else covered(count_words(texts, training), training, left)
    trainer = trainers.BpeTrainer(
        vocab_size=left + BYTES if byte_level else left,
        min_frequency=MIN_USES,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if byte_level else characters,
        limit_alphabet=BYTES if byte_level else len(characters),
        max_token_length=training.max_piece_chars * (4 if byte_level else 1),
    )
    merges = _learned(texts, tokenizer, trainer)["merges"]
    number = dict(byte_alphabet()) if byte_level else {c: BYTES + n for n, c in enumerate(characters)}
    pairs: list[tuple[int, int]] = []
    for a, b in merges:
        number[a + b] = BYTES + len(characters) + len(pairs)
        pairs.append((number[a], number[b]))
    wanted = left - len(characters)
    if len(pairs) < wanted:
        raise InputError(too_small(len(pairs), wanted, training))
    encoded = [character.encode() for character in characters]
    return bpe_model.assemble(encoded, np.array(pairs).reshape(-1, 2), training, "byte-bpe" if byte_level else "bpe")


def huggingface_unigram(texts: pa.Array, training: Training) -> UnigramModel:
    """tokenizers' Unigram trainer. It takes every character of the text as a piece, whatever the coverage."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    left = unigram_model.room(training)
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(expression(bpe_model.pattern_of(training))), "isolated")
    trainer = trainers.UnigramTrainer(
        vocab_size=left + 1,
        show_progress=False,
        special_tokens=["<unk>"],
        unk_token="<unk>",
        initial_alphabet=unigram_model.needed_characters(training),
        max_piece_length=training.max_piece_chars,
    )
    vocabulary = _learned(texts, tokenizer, trainer)["vocab"]
    pieces = [(piece, score) for piece, score in vocabulary[1:] if SPACE not in piece]
    return unigram_model.assemble(_allowed(pieces, training), training)
