"""Hugging Face ``tokenizer.json``.

Every file opens through the ``tokenizers`` library. Files of a known chain of components are encoded by our kernels,
with the library's ids; ``why_slow`` says what stands in the way of the others.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.errors import InputError
from tokenizer_lab.decoding import placed
from tokenizer_lab.formats.huggingface_bpe import byte_bpe_chain
from tokenizer_lab.formats.huggingface_library import ALGORITHMS, Library, is_byte_level
from tokenizer_lab.formats.huggingface_unigram import unigram_chain
from tokenizer_lab.kernels.bpe import BytePairs
from tokenizer_lab.kernels.unigram_huggingface import MARK, UnigramTable, unigram_huggingface
from tokenizer_lab.tokenizer import Encoding, SpecialText, Tokenizer, Vocabulary, token_lists

WANTED = "expected a Hugging Face tokenizer.json, an object with the keys model and added_tokens"


AT_ONCE = 64
"""Strings of added tokens in one regular expression."""

Sizes = Callable[[pa.Array, bool], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""(texts, whether sizes are needed) -> (offsets int64 [N+1], ids uint32 [T], bytes of each token [T] or [0])."""


class Fast(Tokenizer):
    """A file that one of our kernels encodes; documents that hold an added token's string go to the library.

    by_library: how many have gone there so far.
    """

    format = "huggingface"

    def __init__(self, library: Library, content: dict[str, Any], sizes: Sizes) -> None:
        self.name, self.algorithm, self.identity = library.name, library.algorithm, library.identity
        self.vocabulary, self.traits = library.vocabulary, library.traits
        self.by_library = 0
        self._library, self._sizes = library, sizes
        added = content.get("added_tokens") or []
        unknown = self.vocabulary.unknown_id
        hidden = [] if unknown is None else [self.vocabulary.pieces[unknown].decode("utf-8", "replace")]
        plain = [token["content"] for token in added if not token["special"]]
        plain += [name for name in hidden if name not in self.vocabulary.specials]
        self._strings = {"text": plain, "ids": [*plain, *self.vocabulary.specials]}

    def encode(self, texts: pa.Array, special_text: SpecialText = "text") -> pa.LargeListArray:
        offsets, ids, _ = self._sizes(texts, False)
        found = token_lists(offsets, ids)
        rows = self._held(texts, special_text)
        return _replaced(found, rows, self._library.encode(texts.take(rows), special_text)) if len(rows) else found

    def encode_with_offsets(self, texts: pa.Array) -> Encoding:
        found, rows = placed(*self._sizes(texts, True)), self._held(texts, "text")
        if not len(rows):
            return found
        other = self._library.encode_with_offsets(texts.take(rows))
        pairs = ((found.tokens, other.tokens), (found.starts, other.starts), (found.ends, other.ends))
        return Encoding(*(_replaced(ours, rows, theirs) for ours, theirs in pairs))

    def _held(self, texts: pa.Array, special_text: SpecialText) -> pa.Array:
        """int64: rows of the texts that hold a string of an added token."""
        held, strings = None, self._strings[special_text]
        for first in range(0, len(strings), AT_ONCE):
            pattern = "|".join(map(_literal, strings[first : first + AT_ONCE]))
            one = pc.match_substring_regex(texts, pattern)
            held = one if held is None else pc.or_(held, one)
        rows = pa.array([], pa.int64()) if held is None else pc.indices_nonzero(held.fill_null(False)).cast(pa.int64())
        self.by_library += len(rows)
        return rows

    def decode(self, tokens: pa.LargeListArray) -> pa.LargeBinaryArray:
        return self._library.decode(tokens)

    def pre_token_ends(self, text: bytes) -> set[int] | None:
        """Where pre-tokens of the raw text end, in bytes, as the library cuts."""
        return self._library.pre_token_ends(text)

    @property
    def merge_ranks(self) -> dict[tuple[bytes, bytes], int]:
        """See Library."""
        return self._library.merge_ranks

    def reference(self) -> Tokenizer | None:
        return self._library

    @property
    def reference_name(self) -> str:
        return self._library.engine


def _literal(string: str) -> str:
    """The string as a regular expression of RE2."""
    return "".join(f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in string)


def _replaced(lists: pa.LargeListArray, rows: pa.Array, others: pa.LargeListArray) -> pa.LargeListArray:
    """The lists with ``others`` in place of those rows."""
    order = np.arange(len(lists))
    order[rows.to_numpy()] = len(lists) + np.arange(len(rows))
    return pa.concat_arrays([lists, others]).take(pa.array(order))


def open_json(path: str | Path) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``. Raises InputError for a broken file, and for one of the other JSON files
    that lie beside it, saying which file is wanted."""
    path = Path(path)
    content = read_content(path)
    try:
        library = Library(path, content)  # first: it finds what is wrong with a file
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} has parts of another form ({error!r}); {WANTED}") from error
    chain = _chain(content, library.vocabulary)
    if isinstance(chain, str):
        library.why_slow = chain
        return library
    return Fast(library, content, chain)


def _chain(content: dict[str, Any], vocabulary: Vocabulary) -> Sizes | str:
    """The kernel that encodes such a file, or why none does."""
    added = [token["content"] for token in content.get("added_tokens") or [] if token["normalized"]]
    if content.get("normalizer") and any(" " in string or MARK in string for string in added):
        return "added tokens with spaces are looked for in normalized text"
    if content["model"]["type"] == "Unigram":
        table = unigram_chain(content)
        return table if isinstance(table, str) else partial(_by_unigram, table=table)
    if content["model"]["type"] == "BPE" and is_byte_level(content):
        pairs = byte_bpe_chain(content)
        return pairs if isinstance(pairs, str) else partial(_by_byte_pairs, pairs=pairs, lengths=vocabulary.lengths)
    kind = "BPE over characters" if content["model"]["type"] == "BPE" else content["model"]["type"]
    return f"for {kind} of this form there is no kernel of ours"


def _by_unigram(texts: pa.Array, sized: bool, table: UnigramTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return unigram_huggingface(texts, table, sized)


def _by_byte_pairs(
    texts: pa.Array, sized: bool, pairs: BytePairs, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offsets, ids = pairs.encode(texts)
    return offsets, ids, lengths[ids] if sized else np.zeros(0, np.int64)


def read_content(path: Path) -> dict[str, Any]:
    """The file's object, its model's type checked. Raises InputError."""
    try:
        content = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path} is no whole JSON: {error}; {WANTED}") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise InputError(f"{path} {_what(content)}; {WANTED}")
    model = content["model"]
    if "type" not in model:  # files before tokenizers 0.9 leave it out
        model["type"] = next((kind for key, kind in _MARKS.items() if key in model), "")
    if model["type"] not in ALGORITHMS:
        raise InputError(f"{path}: model.type is {model['type']!r}; expected one of {', '.join(ALGORITHMS)}")
    if not isinstance(model.get("vocab"), dict | list) or not model["vocab"]:
        raise InputError(f"{path}: model.vocab is empty or missing; {WANTED}")
    return content


_MARKS = {"merges": "BPE", "unk_id": "Unigram", "max_input_chars_per_word": "WordPiece"}


def _what(content: Any) -> str:
    """What another JSON file is, and which one is wanted."""
    if not isinstance(content, dict):
        return "holds a JSON list"
    beside = "open the tokenizer.json or tokenizer.model beside it"
    if "tokenizer_class" in content or "added_tokens_decoder" in content:
        return f"is a tokenizer_config.json (settings around a tokenizer, without its vocabulary); {beside}"
    if "model_type" in content or "architectures" in content:
        return f"is the config.json of a model (its layers and sizes); {beside}"
    if "weight_map" in content:
        return f"is an index of weight files; {beside}"
    if content and set(content) <= _SPECIAL_KEYS:
        return f"is a special_tokens_map.json; {beside}"
    if content and all(isinstance(id, int) for id in content.values()):
        return f"is a vocab.json (pieces and ids, without the merges); {beside}"
    return f"has no key model (its keys: {', '.join(sorted(map(str, content))[:5]) or 'none'})"


_SPECIAL_KEYS = {
    "bos_token",
    "eos_token",
    "unk_token",
    "pad_token",
    "sep_token",
    "cls_token",
    "mask_token",
    "additional_special_tokens",
}
