"""Write a Unigram model in its three forms, side by side in one folder."""

from pathlib import Path

from tokenizer_lab.save.plamo2 import save_jsonl
from tokenizer_lab.save.sentencepiece import save_model
from tokenizer_lab.save.unigram_json import save_json
from tokenizer_lab.training.unigram_model import UnigramModel


def save_unigram(model: UnigramModel, folder: Path) -> dict[str, Path]:
    """Format name (as ``Tokenizer.format``) -> file written: tokenizer.json, tokenizer.model, tokenizer.jsonl.

    Equal models give equal bytes. A file is replaced whole or not at all. Raises StorageError where it can't be.
    """
    return {
        "huggingface": save_json(model, folder / "tokenizer.json"),
        "sentencepiece": save_model(model, folder / "tokenizer.model"),
        "plamo2": save_jsonl(model, folder / "tokenizer.jsonl"),
    }
