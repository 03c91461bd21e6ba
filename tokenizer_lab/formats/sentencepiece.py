"""SentencePiece ``.model`` files: Unigram by our kernels, all else by the library."""

from pathlib import Path

from tokenizer_lab.formats.sentencepiece_library import Library, read_proto
from tokenizer_lab.tokenizer import Tokenizer


def open_model(path: str | Path) -> Tokenizer:
    """The tokenizer of a ``.model``. Raises InputError for a broken file."""
    path = Path(path)
    proto = read_proto(path)
    return Library(path, proto, "the fast path has no SentencePiece models yet")
