"""What a tokenizer is trained with: the ``[tokenizer]`` table of a recipe."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from jacorpus.errors import RecipeError, nearest

DEFAULT_SPECIALS = ("<unk>", "<s>", "</s>", "<pad>", "<|im_end|>")


@dataclass(frozen=True)
class Training:
    """Options of training.

    algorithm: unigram, byte-bpe, or bpe (over characters). trainer: ours, or a library's own.
    vocab_size: ids in all, special and byte tokens included. multiple: the table is padded with unused ids to a
    multiple of this. specials: texts of the special tokens, first ids in this order; id 0 is the unknown token and
    id 4 ends a turn (what PLaMo-2's format expects). reserved: further empty slots ``<|reserved_0|>``...
    budget_bytes: UTF-8 bytes of text trained on; more is drawn by hash (tokenizer_lab.corpus.draw). seed: of the draw.
    weights: domain -> share of the budget; empty takes the natural shares.
    pattern: how text is cut before training, by name (tokenizer_lab.kernels.patterns.PATTERNS) or as a regular
    expression; ``none`` cuts at line ends alone. The default keeps kanji and kana together; ``ja`` cuts between them,
    which costs a sixth of the compression (docs/log.md). digits: numbers in pieces of at most three digits, single
    digits, or uncut. words: ``mecab`` also keeps pieces inside words of MeCab (in training only: text is encoded
    without it).
    whole_characters: no token holds a broken part of a character beside other bytes.
    coverage: share of the characters (by use) that get an id of their own; the rest is written as bytes.
    max_piece_chars: longest piece.
    """

    algorithm: Literal["unigram", "byte-bpe", "bpe"] = "unigram"
    trainer: Literal["jacorpus", "sentencepiece", "huggingface"] = "jacorpus"
    vocab_size: int = 32_000
    multiple: int = 1
    specials: tuple[str, ...] = DEFAULT_SPECIALS
    reserved: int = 0
    budget_bytes: int = 200_000_000
    seed: int = 0
    weights: dict[str, float] = field(default_factory=dict)
    pattern: str = "cl100k"
    digits: Literal["three", "single", "uncut"] = "three"
    words: Literal["", "mecab"] = ""
    whole_characters: bool = True
    coverage: float = 0.9995
    max_piece_chars: int = 16

    def __post_init__(self) -> None:
        if self.vocab_size < 1 or self.multiple < 1 or self.reserved < 0 or self.budget_bytes < 1:
            raise RecipeError("[tokenizer]: vocab_size, multiple and budget_bytes must be over 0, reserved not under 0")
        if self.max_piece_chars < 1:
            raise RecipeError("[tokenizer]: max_piece_chars must be over 0")
        if not 0 < self.coverage <= 1:
            raise RecipeError("[tokenizer]: coverage is a share of the characters, over 0 and at most 1")
        if len(set(self.specials)) != len(self.specials) or "" in self.specials:
            raise RecipeError("[tokenizer]: specials must differ from each other and not be empty")


def training_from_table(table: dict[str, Any]) -> Training:
    """The options of a ``[tokenizer]`` table. Raises RecipeError for unknown keys and wrong types."""
    fields = {f.name: f for f in dataclasses.fields(Training)}
    hints = get_type_hints(Training)
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise RecipeError(f"[tokenizer]: unknown key `{key}`{nearest(key, fields)}")
        values[key] = _checked(key, value, hints[key])
    return Training(**values)


def _checked(key: str, value: Any, hint: Any) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise RecipeError(f"[tokenizer]: {key} = {value!r}{nearest(str(value), [str(a) for a in get_args(hint)])}")
        return value
    if get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            return tuple(value)
        raise RecipeError(f'[tokenizer]: {key} = {value!r} should be a list of texts, as in ["<unk>", "<s>"]')
    if get_origin(hint) is dict:
        return _shares(key, value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise RecipeError(f"[tokenizer]: {key} = {value!r} should be {hint.__name__}")
    return value


def _shares(key: str, value: Any) -> dict[str, float]:
    shares = value.values() if isinstance(value, dict) else [None]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < float("inf") for v in shares):
        raise RecipeError(f"[tokenizer]: {key} = {value!r} should give each corpus a share, as in {{ novels = 0.5 }}")
    return {str(name): float(share) for name, share in value.items()}
