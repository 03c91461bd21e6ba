"""Write a BPE model in every form that can hold it, side by side in one folder."""

from pathlib import Path

from tokenizer_lab.save.bpe_json import save_json
from tokenizer_lab.save.sentencepiece_bpe import save_model
from tokenizer_lab.save.tiktoken import save_ranks
from tokenizer_lab.training.bpe_model import BpeModel

NO_MODEL = (
    "a SentencePiece .model holds whole characters, and single bytes for the rest; byte-level tokens that are parts of "
    "characters have no place in it"
)
NO_RANKS = "tiktoken ranks start from the 256 bytes; merges over characters do not"
NO_UNKNOWN = "a SentencePiece .model needs a token for the unknown, the first special token, and there is none"


def save_bpe(model: BpeModel, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """(format name -> file written, format name -> why there is none).

    Equal models give equal bytes. A file is replaced whole or not at all. Raises StorageError where it can't be.
    """
    written = {"huggingface": save_json(model, folder / "tokenizer.json")}
    missing = {}
    if model.algorithm == "byte-bpe":
        written["tiktoken"] = save_ranks(model, folder / "tokenizer.tiktoken")
        missing["sentencepiece"] = NO_MODEL
    elif model.byte_ids.start == 0:
        missing = {"tiktoken": NO_RANKS, "sentencepiece": NO_UNKNOWN}
    else:
        written["sentencepiece"] = save_model(model, folder / "tokenizer.model")
        missing["tiktoken"] = NO_RANKS
    return written, missing
