"""Small ``tokenizer.json`` files of each kind, trained where a test needs them."""

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

LINES = (
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。",
    "The quick brown fox jumps over the lazy dog; it's 2024 and they'll pay 1234567 yen.",
    "def main(argv):\n    return [x ** 2 for x in range(100)]  # comment\r\n\tpass\n\n",
    "日本語とEnglishが混ざった文章、テスト。ｶﾞｷﾞ 𠮷野家 😀 Ｆｕｌｌｗｉｄｔｈ　空白",
) * 20
SPECIALS = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{b:02X}>" for b in range(256)]


def byte_bpe(path: Path, pre_tokenizer: Any = None, vocab_size: int = 700, **settings: Any) -> Path:
    """Byte-level BPE; GPT-2's pattern unless told."""
    tokenizer = tokenizers.Tokenizer(models.BPE(**settings))
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.save(str(path))
    return path


def unigram(path: Path, split: bool = True, normalizer: Any = None, fallback: bool = True) -> Path:
    """Unigram with Metaspace; without byte fallback its decoder leaves ``<0x41>`` as it is."""
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=split)
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=SPECIALS, unk_token="<unk>", show_progress=False, max_piece_length=8
    )
    tokenizer.train_from_iterator(LINES, trainer)
    pieces = [(t, s) for t, s in _entries(tokenizer) if t not in SPECIALS]
    extra = [(b, 0.0) for b in BYTES] if fallback else []
    tokenizer.model = models.Unigram([(s, 0.0) for s in SPECIALS] + extra + pieces, 0, fallback)
    mark = decoders.Metaspace(split=split)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), mark]) if fallback else mark
    tokenizer.save(str(path))
    return path


def _entries(tokenizer: Any) -> list[tuple[str, float]]:
    return [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]


def llama_bpe(path: Path) -> Path:
    """BPE over characters, the way SentencePiece BPE files are converted: prefix, marks for spaces, byte fallback."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIALS + BYTES, show_progress=False)
    tokenizer.train_from_iterator([line[:20] for line in LINES], trainer)
    tokenizer.model.unk_token, tokenizer.model.fuse_unk, tokenizer.model.byte_fallback = "<unk>", True, True
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][: len(SPECIALS)]
    path.write_text(json.dumps(content), "utf-8")
    return path


def wordpiece(path: Path) -> Path:
    """WordPiece with BERT's normalizer."""
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]", "[CLS]"], show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.save(str(path))
    return path


MAKERS = {"byte_bpe": byte_bpe, "unigram": unigram, "llama_bpe": llama_bpe, "wordpiece": wordpiece}
