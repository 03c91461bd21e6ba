"""A Hugging Face ``tokenizer.json`` behind the library that wrote it.

Post-processor, truncation and padding are left out: a text gives its own tokens and no others. With
``special_text="text"`` the strings of special tokens are plain text. The library's own switch for this
(``encode_special_tokens``) is not enough: a Unigram model still finds ``</s>`` among its pieces. So the special tokens
are renamed in a copy of the file, to strings that no text has; all other ids come out as from the file itself.

Offsets: the library counts characters of the raw text, ours are bytes. Where the tokens' own bytes spell the text
(nothing was normalized away), the places follow from their lengths, so that a token of half a character has its own
bytes; elsewhere they are the library's, cut so that they never go back.

Legend: N documents, T tokens in all, V ids.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from tokenizer_lab.decoding import byte_table, checked, joined, without_first_space
from tokenizer_lab.tokenizer import (
    Encoding,
    Kind,
    SpecialText,
    Tokenizer,
    Vocabulary,
    list_buffers,
    place_lists,
    token_lists,
)

ALGORITHMS = {"BPE": "bpe", "Unigram": "unigram", "WordPiece": "wordpiece", "WordLevel": "wordlevel"}
SPACE_MARK = "▁"
_BYTE = {f"<0x{b:02X}>": bytes([b]) for b in range(256)}


def byte_alphabet() -> dict[str, int]:
    """Character -> byte of byte-level files: printable Latin-1 stands for itself, the others for U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in set(printable)]
    return {**{chr(b): b for b in printable}, **{chr(0x100 + i): b for i, b in enumerate(others)}}


def parts_of(component: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The components of a normalizer, pre-tokenizer or decoder, a Sequence taken apart."""
    if component is None:
        return []
    if component.get("type") != "Sequence":
        return [component]
    inner = next((v for k, v in component.items() if k != "type" and isinstance(v, list)), [])
    return [part for each in inner for part in parts_of(each)]


def is_byte_level(content: dict[str, Any]) -> bool:
    """Whether the pieces are written in the byte alphabet."""
    steps = parts_of(content.get("pre_tokenizer")) + parts_of(content.get("normalizer"))
    return any(step["type"] == "ByteLevel" for step in steps)


def _marks_spaces(content: dict[str, Any]) -> bool:
    """Whether U+2581 in a piece stands for a space, by the decoder or, without one, by what encodes."""
    steps = (
        [content.get("decoder")]
        if content.get("decoder")
        else [content.get("normalizer"), content.get("pre_tokenizer")]
    )
    return any(SPACE_MARK in json.dumps(step, ensure_ascii=False) for step in steps)


def pieces_of(content: dict[str, Any]) -> dict[int, str]:
    """id -> string of the model's vocabulary, added tokens not included."""
    vocab = content["model"]["vocab"]
    if isinstance(vocab, list):
        return {i: entry[0] for i, entry in enumerate(vocab)}
    return {int(id): piece for piece, id in vocab.items()}


def unknown_id(content: dict[str, Any]) -> int | None:
    """Id of what can't be written, None where the file has none."""
    model = content["model"]
    if "unk_id" in model:
        return None if model["unk_id"] is None else int(model["unk_id"])
    vocab = model["vocab"]
    return vocab.get(model.get("unk_token")) if isinstance(vocab, dict) else None


def read_vocabulary(content: dict[str, Any]) -> Vocabulary:
    """The table of a file: the model's pieces and the added tokens. An id that the file skips is an empty piece."""
    table, added = pieces_of(content), content.get("added_tokens") or []
    size = max([*table, *(token["id"] for token in added)], default=-1) + 1
    kinds = np.full(size, Kind.UNUSED, np.uint8)
    pieces, decoded = [b""] * size, [b""] * size
    byte_level, fallback = is_byte_level(content), content["model"].get("byte_fallback", False)
    to_byte = any(step["type"] == "ByteFallback" for step in parts_of(content.get("decoder")))
    to_space = _marks_spaces(content)
    alphabet = byte_alphabet()
    inner = content["model"].get("continuing_subword_prefix") if content["model"]["type"] == "WordPiece" else None
    for id, piece in table.items():
        kinds[id] = Kind.NORMAL
        pieces[id] = decoded[id] = piece.encode("utf-8", "replace")
        if byte_level and all(c in alphabet for c in piece):
            pieces[id] = decoded[id] = bytes(alphabet[c] for c in piece)
        elif fallback and piece in _BYTE:
            decoded[id], kinds[id] = _BYTE[piece] if to_byte else piece.encode(), Kind.BYTE
        elif to_byte and piece in _BYTE:
            decoded[id] = _BYTE[piece]
        elif to_space:
            decoded[id] = piece.replace(SPACE_MARK, " ").encode("utf-8", "replace")
        elif inner and piece.startswith(inner):
            decoded[id] = piece.removeprefix(inner).encode("utf-8", "replace")
    for token in added:
        pieces[token["id"]] = token["content"].encode()
        decoded[token["id"]] = token["content"].replace(SPACE_MARK, " " if to_space else SPACE_MARK).encode()
        kinds[token["id"]] = Kind.CONTROL if token["special"] else Kind.USER_DEFINED
    unknown = unknown_id(content)
    if unknown is not None and unknown < size:
        kinds[unknown] = Kind.UNKNOWN
    specials = {token["content"]: token["id"] for token in added if token["special"]}
    for id in specials.values():
        decoded[id] = b""
    scores = None
    if content["model"]["type"] == "Unigram":
        scores = np.zeros(size, np.float64)
        scores[: len(table)] = [entry[1] for entry in content["model"]["vocab"]]
    return Vocabulary(tuple(pieces), tuple(decoded), kinds, scores, specials, unknown)


def without_specials(content: dict[str, Any], seal: str) -> dict[str, Any]:
    """The file with its special tokens renamed to strings that hold ``seal``, which no text has.

    A special token that merges lead to keeps its name, and so does ``<0x41>``: the model would not work without it.
    """
    model = dict(content["model"])
    merged = {"".join(pair) if isinstance(pair, list) else pair.replace(" ", "") for pair in model.get("merges", [])}
    names = {t["content"]: f"\uffff{seal}{t['id']}" for t in content.get("added_tokens") or [] if t["special"]}
    names = {old: new for old, new in names.items() if old not in merged and old not in _BYTE}
    added = [{**t, "content": names.get(t["content"], t["content"])} for t in content.get("added_tokens") or []]
    if isinstance(model["vocab"], list):
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(piece, piece): id for piece, id in model["vocab"].items()}
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    return {**content, "model": model, "added_tokens": added}


class Library(Tokenizer):
    """Any ``tokenizer.json`` through ``tokenizers``."""

    format = "huggingface"

    def __init__(self, path: Path, content: dict[str, Any], why_slow: str = "") -> None:
        import tokenizers

        self.name = (
            path.parent.name
            if path.name == "tokenizer.json"
            else path.name.removesuffix(".json").removesuffix(".tokenizer")
        )
        self.algorithm = ALGORITHMS[content["model"]["type"]]
        if self.algorithm == "bpe" and is_byte_level(content):
            self.algorithm = "byte-bpe"
        self.engine, self.why_slow = f"tokenizers {tokenizers.__version__}", why_slow
        self._path = path
        self._content = {**content, "post_processor": None, "truncation": None, "padding": None}
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.identity = (digest.encode(),)
        self._plain = _built(path, without_specials(self._content, digest))
        self.vocabulary = read_vocabulary(content)
        self.traits = read_traits(content)
        self._table = byte_table(self.vocabulary.token_bytes)

    @cached_property
    def _whole(self) -> Any:
        """The tokenizer that finds the strings of special tokens."""
        return _built(self._path, self._content)

    @cached_property
    def _renames(self) -> bool:
        """Whether an added token decodes to what the normalizer makes of it, as with the prefix of Llama 2."""
        added = [t for t in self._content.get("added_tokens") or [] if t["normalized"] and not t["special"]]
        return any(self._whole.id_to_token(token["id"]) != token["content"] for token in added)

    def encode(self, texts: pa.Array, special_text: SpecialText = "text") -> pa.LargeListArray:
        library = self._plain if special_text == "text" else self._whole
        rows = [e.ids for e in self._encoded(library.encode_batch_fast, _strings(texts))]
        return token_lists(_offsets(rows), _flat(rows, np.uint32))

    def _encoded(self, encode: Callable[..., list[Any]], strings: list[str]) -> list[Any]:
        try:
            return encode(strings, add_special_tokens=False)
        except Exception as error:  # a character that no piece holds, in a model without unknown token
            raise InputError(f"{self._path}: {self.engine} can't encode such a text: {error}") from error

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        strings = _strings(texts)
        encodings = self._encoded(self._plain.encode_batch, strings)
        rows = [np.array(e.ids, np.int64) for e in encodings]
        places = [
            self._spelled(text.encode(), ids) or _counted(text.encode(), self._unprefixed(text, ids, encoding.offsets))
            for text, ids, encoding in zip(strings, rows, encodings, strict=True)
        ]
        offsets = _offsets(rows)
        starts = place_lists(offsets, _flat([p[0] for p in places], np.int64))
        ends = place_lists(offsets, _flat([p[1] for p in places], np.int64))
        return Encoding(token_lists(offsets, _flat(rows, np.uint32)), starts, ends)

    def pre_token_ends(self, text: bytes) -> set[int] | None:
        """Where pre-tokens of the raw text end, in bytes; None where a normalizer changes the text before."""
        plain, steps = text.decode(), self._whole.pre_tokenizer
        if self._whole.normalizer is not None and self._whole.normalizer.normalize_str(plain) != plain:
            return None
        if steps is None:
            return {len(text)}
        return {len(plain[:end].encode()) for _, (_, end) in steps.pre_tokenize_str(plain)}

    @cached_property
    def merge_ranks(self) -> dict[tuple[bytes, bytes], int]:
        """(left, right) as decoded -> place in the list of merges; empty where the model has none."""
        merges = self._content["model"].get("merges", [])
        pairs = [pair if isinstance(pair, list) else pair.split(" ") for pair in merges]
        byte_level, alphabet = is_byte_level(self._content), byte_alphabet()
        sides = [
            tuple(bytes(alphabet[c] for c in s) if byte_level else s.replace(SPACE_MARK, " ").encode() for s in pair)
            for pair in pairs
        ]
        return {(left, right): rank for rank, (left, right) in enumerate(sides)}

    def _spelled(self, text: bytes, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Places by the lengths of the tokens, where their bytes spell the text (but for one space before it)."""
        spelled = b"".join(self.vocabulary.token_bytes[i] for i in ids)
        before = spelled == b" " + text
        if not before and spelled != text:
            return None
        ends = np.cumsum(self.vocabulary.lengths[ids]) - int(before)
        return np.concatenate([[0], ends[:-1]])[: len(ends)], ends

    def _unprefixed(self, text: str, ids: np.ndarray, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The library's places; a space alone that was put before the text has none of its characters."""
        put_in = len(ids) > 1 and self.vocabulary.token_bytes[ids[0]] == b" " and text[:1] not in (" ", SPACE_MARK)
        return [(0, 0), *places[1:]] if put_in else places

    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        style = decoder_style(self._content)
        if style == "other" or self._renames:
            offsets, ids = list_buffers(tokens)
            checked(ids, self.vocab_size)
            rows = [ids[offsets[i] : offsets[i + 1]].tolist() for i in range(len(offsets) - 1)]
            return pa.array([self._whole.decode(row).encode() for row in rows], pa.large_binary())
        if style == "first token":
            return joined(*self._first_apart(tokens))
        found = joined(self._table, tokens)
        if style == "first space":
            found = without_first_space(found)
        return found

    def _first_apart(self, tokens: pa.LargeListArray) -> tuple[pa.LargeBinaryArray, pa.LargeListArray]:
        """Metaspace: the first token of a list (control tokens apart) loses every mark of a space.

        The table with a second copy of each token for the first place, and lists that point into it.
        """
        offsets, ids = list_buffers(tokens)
        shown = self.vocabulary.lengths[checked(ids, self.vocab_size)] > 0
        ids = ids[shown]
        offsets = np.concatenate([[0], np.cumsum(shown)])[offsets]
        first = offsets[:-1][np.diff(offsets) > 0]
        ids[first] += self.vocab_size
        bare = [
            decoded if kind == Kind.BYTE else piece.decode("utf-8", "replace").replace(SPACE_MARK, "").encode()
            for piece, decoded, kind in zip(
                self.vocabulary.pieces, self.vocabulary.token_bytes, self.vocabulary.kinds, strict=True
            )
        ]
        return byte_table((*self.vocabulary.token_bytes, *bare)), token_lists(offsets, ids)


def _built(path: Path, content: dict[str, Any]) -> Any:
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_str(json.dumps(content, ensure_ascii=True))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises bare Exception, and its panics are none
        version = tokenizers.__version__
        raise InputError(f"{path} can't be read by tokenizers {version}: {error}; expected a tokenizer.json") from error


def _strings(texts: pa.Array) -> list[str]:
    return [text or "" for text in texts.to_pylist()]


def _offsets(rows: list[Any]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)


def _flat(rows: list[Any], dtype: Any) -> np.ndarray:
    return np.concatenate([np.asarray(row, dtype) for row in rows]) if rows else np.zeros(0, dtype)


def _counted(text: bytes, places: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Byte places of character places; each begins where the one before ended at the earliest."""
    data = np.frombuffer(text, np.uint8)
    byte_of = np.append(np.flatnonzero((data & 0xC0) != 0x80), len(data))
    starts, ends = byte_of[np.array(places, np.int64).reshape(-1, 2)].T
    ends = np.maximum.accumulate(ends)
    starts = np.maximum(starts, np.concatenate([[0], ends[:-1]])[: len(ends)])
    return starts, np.maximum(ends, starts)


def decoder_style(content: dict[str, Any]) -> str:
    """How token bytes become text: ``bytes`` as they are (the library would write U+FFFD where they are not UTF-8),
    ``first space`` without a space at the beginning,
    ``first token`` with all spaces of the first token taken away, or ``other``: only the library knows."""
    steps = parts_of(content.get("decoder"))
    kinds = [step["type"] for step in steps]
    if kinds == ["ByteLevel"] and is_byte_level(content):
        return "bytes"
    if kinds in (["Metaspace"], ["ByteFallback", "Metaspace"]) and steps[-1].get("replacement") == SPACE_MARK:
        return "bytes" if steps[-1].get("prepend_scheme", "always") == "never" else "first token"
    core = kinds[: kinds.index("Fuse")] if "Fuse" in kinds else []
    if sorted(core) not in (["ByteFallback"], ["ByteFallback", "Replace"]):
        return "other"
    for replace in (step for step in steps[: len(core)] if step["type"] == "Replace"):
        if replace["content"] != " " or SPACE_MARK not in replace["pattern"].values():
            return "other"
    rest = steps[len(core) + 1 :]
    if not rest:
        return "bytes"
    last = rest[0]
    strips = last["type"] == "Strip" and (last["content"], last["start"], last["stop"]) == (" ", 1, 0)
    cuts = last["type"] == "Replace" and last["content"] == "" and last["pattern"] == {"Regex": r"(?<!\n)^ "}
    return "first space" if len(rest) == 1 and (strips or cuts) else "other"


def read_traits(content: dict[str, Any]) -> dict[str, Any]:
    """What ``explain`` compares."""
    model, added = content["model"], content.get("added_tokens") or []
    traits: dict[str, Any] = {
        "normalizer": _shown(content.get("normalizer")),
        "pre_tokenizer": _shown(content.get("pre_tokenizer")),
        "pattern": [p["pattern"] for p in parts_of(content.get("pre_tokenizer")) if p["type"] == "Split"],
        "regex": "Oniguruma",
        "byte_fallback": bool(model.get("byte_fallback")),
        "added": sorted(t["content"] for t in added if not t["special"]),
        "specials": sorted(t["content"] for t in added if t["special"]),
    }
    if model["type"] == "Unigram":
        traits |= {
            "ties": "longest last piece",
            "scores": "float64, sums in float64",
            "unknown": "lowest of all scores - 10",
        }
    elif model["type"] == "BPE":
        traits |= {
            "ties": "leftmost",
            "merges": len(model["merges"]),
            "ignore_merges": bool(model.get("ignore_merges")),
        }
    return traits


def _shown(component: dict[str, Any] | None) -> str:
    return "none" if component is None else json.dumps(component, ensure_ascii=False, sort_keys=True)
