"""Small tokenizers to extend, and text for both languages, made of our own words by a fixed draw."""

import io
import random
from functools import cache

import pyarrow as pa

OLD = (
    "the old house stands by river and nobody knows who built it when there was no road people walked along water "
    "carrying bread salt letters from one village to another they sang told stories about winter children listened"
)
NEW = "日本語 文字 言葉 文章 学校 図書館 新聞 記者 東京 大阪 電車 写真 データ モデル テスト サーバー 単語 辞書"
SAID = "を読みました。 を書きます。 について話した。 が好きです。 はとても長い。 に行くつもりだ。 を調べる。"
ENGLISH, NOUNS, VERBS = OLD.split(), NEW.split(), SAID.split()
ALPHABET = "".join(sorted(set("".join(NOUNS + VERBS)))) + "abe the読書会、\n 漢"


def _lines(words: list[str], rows: int, seed: int, gap: str) -> list[str]:
    rng = random.Random(seed)
    return [gap.join(rng.choice(words) for _ in range(12)) for _ in range(rows)]


@cache
def english() -> tuple[str, ...]:
    """Documents of the old language, some with a few characters of the new one."""
    lines = _lines(ENGLISH, 300, 1, " ")
    return tuple(line + ("." if i % 5 else " 日本 の") for i, line in enumerate(lines))


@cache
def japanese() -> tuple[str, ...]:
    """Documents of the new language; two of them in one, with Latin words between."""
    rng = random.Random(2)
    rows = ["".join(rng.choice(NOUNS) + rng.choice(VERBS) for _ in range(6)) for _ in range(300)]
    return tuple(row if i % 7 else f"{row}\nAPI {row} 2024" for i, row in enumerate(rows))


def column(texts: tuple[str, ...]) -> pa.LargeStringArray:
    """As Arrow."""
    return pa.array(texts, pa.large_string())


@cache
def sentencepiece_model(kind: str, vocab_size: int = 380, normalizer: str = "identity") -> bytes:
    """A model trained by the library on the old language; unigram or bpe, with byte fallback."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(english()),
        model_writer=model,
        model_type=kind,
        vocab_size=vocab_size,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name=normalizer,
        remove_extra_whitespaces=False,
        user_defined_symbols=["<user>"],
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()
