"""New tokens for byte-level BPE (tiktoken ranks, Hugging Face tokenizer.json): training goes on behind the last merge.

The text is segmented with the base tokenizer, and the same pattern keeps the pieces apart. New tokens are whole
characters, or the beginning of one that can only become a character of the target scripts; new ids lie behind all old
ones, special tokens included.

A rank file holds neither pattern nor special tokens, and special tokens lie between the old ranks and the new. So
``tokenizer.tiktoken.json`` is written beside it, with the pattern and the id of each special token (ids that the base
leaves free are named ``<|unused_ID|>``), and a tokenizer.json for other tools.

Legend: V old ids, K new tokens.
"""

import base64
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import InputError
from tokenizer_lab.extension.growth import class_changes, grow, prune
from tokenizer_lab.extension.options import Extending, NewTokens
from tokenizer_lab.formats.huggingface_library import byte_alphabet, parts_of
from tokenizer_lab.kernels.bpe_continue import BARRIER
from tokenizer_lab.kernels.pretokenize import PATTERNS, split
from tokenizer_lab.tokenizer import Kind, Tokenizer, list_buffers, open_tokenizer

CHUNK_ROWS = 64
Progress = Callable[[int], None]


def pattern_of(base: Tokenizer, file: Path) -> str:
    """The pattern, by name or expression, that cuts text before the merges.

    Raises InputError for a tokenizer.json with other pre-tokenizers or a normalizer.
    """
    if base.format == "tiktoken":
        return str(base.traits["pattern"])
    content = json.loads(file.read_text("utf-8"))
    steps = parts_of(content.get("pre_tokenizer"))
    kinds = [step["type"] for step in steps]
    if content.get("normalizer") is None and kinds == ["ByteLevel"] and not steps[0]["add_prefix_space"]:
        return "gpt2" if steps[0].get("use_regex", True) else "none"
    if content.get("normalizer") is None and kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        expression = steps[0]["pattern"].get("Regex")
        if expression and steps[0]["behavior"] in ("Isolated", "isolated") and not steps[0].get("invert"):
            return str(expression)
    raise InputError(
        f"{file}: a byte-level tokenizer.json can be extended with ByteLevel, or Split (regular expression, isolated) "
        f"and ByteLevel, and no normalizer; this one has {' + '.join(kinds) or 'no pre-tokenizer'}"
    )


def _segmented(
    base: Tokenizer, pattern: str, texts: pa.LargeStringArray, join_marks: bool, progress: Progress | None
) -> np.ndarray:
    """int32: the base's ids with a barrier wherever the pattern or the class of characters cuts."""
    lengths, parts = base.vocabulary.lengths, []
    for start in range(0, len(texts), CHUNK_ROWS):
        chunk = pa.array(texts.slice(start, CHUNK_ROWS).to_pylist(), pa.large_string())
        _, ids = list_buffers(base.encode(chunk))
        ends = np.cumsum(lengths[ids])
        size = int(pc.sum(pc.binary_length(chunk)).as_py() or 0)
        if size != (int(ends[-1]) if len(ends) else 0):
            raise InputError(f"{base.name} does not give all bytes of a text back; its vocabulary can't be continued")
        cuts = np.union1d(split(chunk, pattern)[1], class_changes(chunk, join_marks))
        at = np.flatnonzero(np.isin(ends, cuts, assume_unique=False))
        parts.append(np.insert(ids.astype(np.int32), at + 1, BARRIER))
        if progress:
            progress(size)
    return np.concatenate(parts)


def new_tokens(
    base: Tokenizer,
    pattern: str,
    texts: pa.LargeStringArray,
    options: Extending,
    progress: Progress | None = None,
) -> NewTokens:
    """The new tokens and the merges that make them, in the order of their ids.

    Raises InputError where the text holds nothing to learn.
    """
    symbols = _segmented(base, pattern, texts, options.join_marks, progress)
    normal = base.vocabulary.kinds == Kind.NORMAL
    table = [token if ok else b"" for token, ok in zip(base.vocabulary.token_bytes, normal, strict=True)]
    wanted = options.vocab_size - base.vocab_size
    made = grow(symbols, table, options.ranges(), options.max_chars, wanted, options.min_count)
    if not made.pieces:
        raise InputError("the new text holds nothing to learn: no two tokens of the scripts asked for meet twice")
    known, taken = {token for token in table if token}, np.zeros(len(made.pieces), bool)
    for k, piece in enumerate(made.pieces):
        taken[k] = piece in known
        known.add(piece)
    cost = np.ones(len(made.pieces), np.int64)
    stay = prune(made.parts, made.usage, cost, len(table), wanted, taken) & ~taken
    every = [*table, *made.pieces]
    kept = np.flatnonzero(stay).tolist()
    merges = [(every[made.parts[k, 0]], every[made.parts[k, 1]]) for k in kept]
    return NewTokens([made.pieces[k] for k in kept], int((~taken).sum()), merges=merges)


def unreachable_tokens(extended: Tokenizer, pattern: str, tokens: list[bytes]) -> list[bytes]:
    """Tokens of whole characters that the pattern cuts, or whose own text gives other ids; sorted."""
    texts = []
    for token in tokens:
        try:
            texts.append(token.decode())
        except UnicodeDecodeError:
            texts.append("")  # a step on the way: reached where what it is a step to is
    column = pa.array(texts, pa.large_string())
    offsets, ids = list_buffers(extended.encode(column))
    pieces = np.diff(split(column, pattern)[0])
    first = extended.vocab_size - len(tokens)
    found = []
    for k, token in enumerate(tokens):
        own = ids[offsets[k] : offsets[k + 1]].tolist()
        if texts[k] and (pieces[k] != 1 or own != [first + k]):
            found.append(token)
    return sorted(found)


def without(new: NewTokens, lost: list[bytes]) -> NewTokens:
    """The new tokens but for the lost ones and what is made of them."""
    gone, tokens, merges = set(lost), [], []
    for token, (left, right) in zip(new.tokens, new.merges, strict=True):
        if gone & {token, left, right}:
            gone.add(token)
        else:
            tokens.append(token)
            merges.append((left, right))
    return NewTokens(tokens, new.candidates, merges=merges, unreachable=sorted(gone))


def write(base: Tokenizer, file: Path, pattern: str, new: NewTokens, out: Path) -> list[Path]:
    """tokenizer.json in ``out``; where the base is a rank file tokenizer.tiktoken comes first, and what belongs to it.

    The first of the files is the one to open.
    """
    made = [out / "tokenizer.json"]
    content = _from_ranks(base, pattern) if base.format == "tiktoken" else json.loads(file.read_text("utf-8"))
    _append(content, base.vocab_size, new)
    made[0].write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if base.format == "tiktoken":
        ranks = file.read_bytes().rstrip(b"\n") + b"\n"
        lines = [b"%s %d\n" % (base64.b64encode(t), base.vocab_size + k) for k, t in enumerate(new.tokens)]
        made = [out / "tokenizer.tiktoken", out / "tokenizer.tiktoken.json", *made]
        made[0].write_bytes(ranks + b"".join(lines))
        beside = {"pattern": pattern, "specials": _every_special(base)}
        made[1].write_text(json.dumps(beside, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return made


def _every_special(base: Tokenizer) -> dict[str, int]:
    """Special tokens by id, and a name for each id that no token has."""
    free = np.flatnonzero(base.vocabulary.kinds == Kind.UNUSED).tolist()
    names = base.vocabulary.specials | {f"<|unused_{id}|>": id for id in free}
    return dict(sorted(names.items(), key=lambda item: item[1]))


def _append(content: dict[str, Any], first: int, new: NewTokens) -> None:
    letters = {byte: char for char, byte in byte_alphabet().items()}

    def spelled(token: bytes) -> str:
        return "".join(letters[b] for b in token)

    model = content["model"]
    for token in content["added_tokens"]:  # the library numbers those outside the model anew, behind its last id
        model["vocab"].setdefault(token["content"], token["id"])
    in_pairs = not model["merges"] or isinstance(model["merges"][0], list)
    for k, (token, pair) in enumerate(zip(new.tokens, new.merges, strict=True)):
        model["vocab"][spelled(token)] = first + k
        both = [spelled(part) for part in pair]
        model["merges"].append(both if in_pairs else " ".join(both))


def _from_ranks(base: Tokenizer, pattern: str) -> dict[str, Any]:
    """The tokenizer.json that reads text as tiktoken reads it with these ranks, pattern and special tokens.

    Oniguruma takes ``{1,3}+`` for a repeat, so the possessive mark goes: the match is the same without it.
    """
    letters = {byte: char for char, byte in byte_alphabet().items()}
    normal = np.flatnonzero(base.vocabulary.kinds == Kind.NORMAL).tolist()
    ranks = {base.vocabulary.pieces[id]: id for id in normal}
    spelled = {token: "".join(letters[b] for b in token) for token in ranks}
    merges = [[spelled[part] for part in pair] for pair in merges_of(ranks)]
    expression = PATTERNS.get(pattern, pattern).replace("{1,3}+", "{1,3}")
    cut = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    specials = sorted(base.vocabulary.specials.items(), key=lambda item: item[1])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, "content": text, **flags} for text, id in specials],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [cut, level]},
        "post_processor": None,
        "decoder": {**level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {spelled[token]: id for token, id in ranks.items()},
            "merges": merges,
        },
    }


def merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The two parts that each token of more than one byte is joined of last, in order of rank.

    A token that its own bytes never give has none and is left out; with ``ignore_merges`` it is found whole.
    """
    pairs = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            found = [(ranks.get(a + b, rank), i) for i, (a, b) in enumerate(pairwise(parts))]
            lowest, i = min(found)
            if lowest >= rank:
                break
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        if len(parts) == 2:
            pairs.append((parts[0], parts[1]))
    return pairs


def reached(
    base: Tokenizer, file: Path, pattern: str, new: NewTokens, out: Path, allowed: bool
) -> tuple[NewTokens, list[Path]]:
    """Writes the tokens that can be reached (all where allowed); what can't is listed in either case."""
    while True:
        files = write(base, file, pattern, new, out)
        lost = unreachable_tokens(open_tokenizer(files[0]), pattern, new.tokens)
        if allowed or not lost:
            every = sorted({*new.unreachable, *lost})
            return NewTokens(new.tokens, new.candidates, merges=new.merges, unreachable=every), files
        before = new.unreachable
        new = without(new, lost)
        new = NewTokens(new.tokens, new.candidates, merges=new.merges, unreachable=[*before, *new.unreachable])
