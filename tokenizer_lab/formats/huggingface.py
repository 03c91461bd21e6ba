"""Hugging Face ``tokenizer.json``.

Every file opens through the ``tokenizers`` library. Files of a known chain of components are encoded by our kernels,
with the library's ids; ``why_slow`` says what stands in the way of the others.
"""

from pathlib import Path
from typing import Any

import orjson

from jacorpus.errors import InputError
from tokenizer_lab.formats.huggingface_library import ALGORITHMS, Library
from tokenizer_lab.tokenizer import Tokenizer

WANTED = "expected a Hugging Face tokenizer.json, an object with the keys model and added_tokens"


def open_json(path: str | Path) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``. Raises InputError for a broken file, and for one of the other JSON files
    that lie beside it, saying which file is wanted."""
    path = Path(path)
    return Library(path, read_content(path))


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
