"""The tokenizer of an export: files that give the same ids in transformers, and llama.cpp's PLaMo-2 vocabulary.

Whatever form a Unigram tokenizer of jacorpus came in (tokenizer.json, .model, .jsonl), the other forms follow from its
table, for nothing happens to the text in any of them. Splits of exactly equal score can differ between the forms
(docs/unigram-forms.md). A ``tokenizer.json`` of any kind is copied as it is. Other files are refused with a reason.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jacorpus.errors import InputError

if TYPE_CHECKING:
    from tokenizer_lab.tokenizer import Tokenizer
    from tokenizer_lab.training.unigram_model import UnigramModel

NAMES = {
    "bos": ("<s>", "<|begin_of_text|>", "<bos>"),
    "eos": ("</s>", "<|end_of_text|>", "<|endoftext|>", "<eos>"),
    "pad": ("<pad>", "<|pad|>"),
}
"""Special tokens that have a role by their name, where no id was given."""

END_OF_TURN = 4
"""The id that ends a turn in PLaMo 2's vocabulary (llama.cpp conversion/plamo.py)."""

PAD_SCORE = -1000.0


@dataclass(frozen=True)
class GgufVocabulary:
    """tokens: V byte strings. scores and types: of llama.cpp. ids: bos, eos, pad, unk, eot where there is one."""

    tokens: list[bytes]
    scores: list[float]
    types: list[int]
    ids: dict[str, int]


def opened(source: Path) -> "tuple[Tokenizer, Path | None]":
    """(tokenizer, its file) of a tokenizer's file or folder, or of a folder of token shards."""
    from tokenizer_lab.tokenizer import open_tokenizer
    from tokenizer_lab.tokens import manifest_of, open_tokens

    if source.is_dir() and manifest_of(source) is not None:
        tokens = open_tokens(source)
        entry = tokens.manifest["tokenizer"]["path"]
        return tokens.tokenizer(), source / entry if entry else None
    from tokenizer_lab.formats.sniff import PLAIN, file_of

    found = open_tokenizer(source)
    return found, None if str(source) in PLAIN and not source.exists() else file_of(source)


def _fits(tokenizer: "Tokenizer", vocab_size: int) -> None:
    if len(tokenizer.vocabulary) > vocab_size:
        raise InputError(
            f"the tokenizer has {len(tokenizer.vocabulary):,} ids and the model {vocab_size:,}; name the tokenizer the "
            "model was trained with"
        )


def unigram_model(tokenizer: "Tokenizer") -> "UnigramModel | str":
    """The table all Unigram forms are written from, or why there is none."""
    from tokenizer_lab.tokenizer import Kind
    from tokenizer_lab.training.unigram_model import TICKS, UnigramModel

    table, traits = tokenizer.vocabulary, tokenizer.traits
    if tokenizer.algorithm != "unigram" or table.scores is None:
        return f"it is {tokenizer.algorithm}, no Unigram tokenizer"
    plain = {"normalizer": "none", "prefix": "none", "pre_tokenizer": "none", "spaces": "kept", "extra_spaces": "kept"}
    for trait, wanted in plain.items():
        if traits.get(trait, wanted) != wanted:
            return f"its {trait} is `{traits[trait]}`, and the form takes text as it is"
    if np.count_nonzero(table.kinds == Kind.BYTE) != 256 or not traits.get("byte_fallback"):
        return "it has no token for each of the 256 bytes"
    ticks = np.round(table.scores * TICKS).astype(np.int64)
    if (np.abs(ticks / TICKS - table.scores) > 1e-4).any() or (ticks > 0).any() or (ticks <= -1000 * TICKS).any():
        return "its scores are no log probabilities in steps of 0.0001"
    return UnigramModel(tuple(piece.decode() for piece in table.pieces), table.kinds.copy(), ticks)


def _roles(tokenizer: "Tokenizer", given: dict[str, int | None]) -> dict[str, int | None]:
    """Ids by role: those given, else special tokens known by name."""
    specials = tokenizer.vocabulary.specials
    found = {role: next((specials[name] for name in names if name in specials), None) for role, names in NAMES.items()}
    return {role: found[role] if given.get(role) is None else given[role] for role in NAMES}


def write_tokenizer(
    source: Path, folder: Path, vocab_size: int, given: dict[str, int | None]
) -> tuple[dict[str, int | None], list[str]]:
    """Put a tokenizer into a folder for ``AutoTokenizer``; returns ids by role, and what is worth knowing.

    Raises InputError for a tokenizer no tokenizer.json can be made of.
    """
    from tokenizer_lab.save.plamo2 import save_jsonl
    from tokenizer_lab.save.sentencepiece import save_model
    from tokenizer_lab.save.unigram_json import save_json

    tokenizer, path = opened(source)
    _fits(tokenizer, vocab_size)
    notes = []
    model = unigram_model(tokenizer)
    if tokenizer.format == "huggingface" and path is not None:
        shutil.copyfile(path, folder / "tokenizer.json")
    elif isinstance(model, str):
        raise InputError(
            f"no tokenizer.json for transformers can be made of {source} ({tokenizer.format}): {model}; give the "
            "tokenizer.json that `jacorpus tokenizer train` wrote beside it, or export without a tokenizer"
        )
    else:
        save_json(model, folder / "tokenizer.json")
    if isinstance(model, str):
        notes.append(f"tokenizer.jsonl for llama.cpp's plamo2 was not written: {model}")
    else:
        save_jsonl(model, folder / "tokenizer.jsonl")
        save_model(model, folder / "tokenizer.model")
    roles = _roles(tokenizer, given)
    _write_config(tokenizer, roles, folder)
    return roles, notes


def _write_config(tokenizer: "Tokenizer", roles: dict[str, int | None], folder: Path) -> None:
    table = tokenizer.vocabulary
    names = {id: name for name, id in table.specials.items()}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_eos_token": False,
    }
    for role, id in {**roles, "unk": table.unknown_id}.items():
        if id is not None:
            config[f"{role}_token"] = names.get(id) or table.pieces[id].decode("utf-8", "replace")
    text = json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    (folder / "tokenizer_config.json").write_text(text, "utf-8")


def plamo2_vocabulary(source: Path, vocab_size: int, given: dict[str, int | None]) -> GgufVocabulary:
    """The vocabulary of a GGUF file, filled up to ``vocab_size`` with [PAD1], [PAD2], ...

    Raises InputError for a tokenizer that llama.cpp's plamo2 vocabulary can't hold.
    """
    from tokenizer_lab.tokenizer import Kind

    tokenizer, _ = opened(source)
    _fits(tokenizer, vocab_size)
    model = unigram_model(tokenizer)
    if isinstance(model, str):
        raise InputError(
            f"{source} has no place in llama.cpp's plamo2 vocabulary: {model}; train a Unigram tokenizer with "
            "jacorpus, or export without a tokenizer"
        )
    tokens = [piece.encode() for piece in model.pieces]
    short = vocab_size - len(tokens)
    roles = {role: id for role, id in _roles(tokenizer, given).items() if id is not None}
    if tokenizer.vocabulary.unknown_id is not None:
        roles["unk"] = tokenizer.vocabulary.unknown_id
    if len(tokens) > END_OF_TURN and model.kinds[END_OF_TURN] == Kind.CONTROL:
        roles["eot"] = END_OF_TURN
    return GgufVocabulary(
        tokens + [f"[PAD{n}]".encode() for n in range(1, short + 1)],
        [*model.scores.tolist(), *[PAD_SCORE] * short],
        [*map(int, model.kinds), *[int(Kind.UNUSED)] * short],
        roles,
    )
