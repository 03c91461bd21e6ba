"""What a trained Unigram model holds, and that neither order nor batches of the documents change it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.errors import InputError, RecipeError
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram import train, with_all_space_runs
from tokenizer_lab.training.unigram_model import NEVER, UnigramModel, least_ticks

SUBJECTS = ["私", "母", "先生", "友人", "東京の学生", "隣の犬", "この機械", "あの町の人"]
PLACES = ["駅で", "学校で", "海の見える家で", "図書館で", "雨の中で", "静かな朝に", "2024年の春に", "in the park "]
VERBS = [
    "本を読んでいた。",
    "歌を歌った。",
    "手紙を書いている。",
    "走り出した！",
    "コーヒーを飲む。",
    "待っていたのである。",
]


def documents(count: int = 400, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    draw = lambda words: words[random.integers(len(words))]  # noqa: E731
    lines = [f"{draw(SUBJECTS)}は{draw(PLACES)}{draw(VERBS)}" for _ in range(count * 5)]
    return ["\n".join(lines[i : i + 5]) for i in range(0, len(lines), 5)]


def array(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


SMALL = Training(vocab_size=410, pattern="none")


@pytest.fixture(scope="module")
def model() -> UnigramModel:
    return train(array(documents()), SMALL)


def test_size_and_layout(model: UnigramModel) -> None:
    assert len(model) == 410
    assert model.pieces[:5] == SMALL.specials
    assert (model.kinds == Kind.BYTE).sum() == 256
    normal = model.normal()
    assert all(character in normal for piece in normal for character in piece)
    assert all(least_ticks(SMALL) <= ticks <= 0 for ticks in normal.values())
    assert np.exp(np.array(list(normal.values())) / 1e4).sum() == pytest.approx(1, abs=0.1)


def test_frequent_words_became_pieces(model: UnigramModel) -> None:
    for word in ["歌を歌った。", "コーヒーを飲む。", "待っていたのである。", " the", "の", "\n"]:
        assert word in model.normal(), word


@pytest.mark.parametrize("pattern", ["none", "ja"])
def test_order_and_batches_change_nothing(pattern: str) -> None:
    training = Training(vocab_size=398, pattern=pattern)
    texts = documents(120)
    first = train(array(texts), training)
    again = train(array(["", *reversed(texts), ""]).slice(1, len(texts)), training)
    assert first.pieces == again.pieces
    assert first.ticks.tolist() == again.ticks.tolist()


def test_script_cuts_keep_scripts_apart() -> None:
    normal = train(array(documents(120)), Training(vocab_size=398, pattern="ja")).normal()
    assert "図書館" in normal
    assert "図書館で" not in normal
    assert "である。" not in normal


def test_words_of_mecab_bound_pieces() -> None:
    normal = train(array(documents(120)), Training(vocab_size=400, pattern="none", words="mecab")).normal()
    assert "先生" in normal
    assert "東京の" not in normal
    assert "のである。" not in normal


def test_longest_piece() -> None:
    normal = train(array(documents(120)), Training(vocab_size=460, pattern="none", max_piece_chars=3)).normal()
    assert max(map(len, normal)) == 3


def test_names_and_byte_names_never_become_pieces() -> None:
    specials = ("<unk>", "<s>", "</s>", "<pad>", "先生")
    texts = [f"{text}<0x41><0xE3><s>先生<|reserved_0|>" for text in documents(100)]
    training = Training(vocab_size=520, pattern="none", specials=specials, reserved=1)
    normal = train(array(texts), training).normal()
    assert not set(normal) & {*specials, "<|reserved_0|>"}
    assert not any(piece.startswith("<0x") for piece in normal)
    assert "0x41>" in " ".join(normal)


def test_characters_that_only_bytes_can_hold() -> None:
    texts = [f"\ufeff{text}\x00▁a▁か\u3099𠮷" for text in documents(100)]
    normal = train(array(texts), Training(vocab_size=520, pattern="none", coverage=1.0)).normal()
    assert not any(character in piece for piece in normal for character in NEVER)
    assert {"\ufeff", "𠮷", "\u3099", "か\u3099𠮷"} <= set(normal)


def test_rare_characters_are_left_to_bytes() -> None:
    texts = [*documents(200), "珍獣"]
    assert "獣" not in train(array(texts), Training(vocab_size=398, coverage=0.999)).normal()
    assert "獣" in train(array(texts), Training(vocab_size=398, coverage=1.0)).normal()


@pytest.mark.parametrize("texts", [["短い文。"], [""], []])
def test_a_text_smaller_than_the_vocabulary(texts: list[str]) -> None:
    with pytest.raises(InputError, match="train on more text or with vocab_size at most"):
        train(array(texts), Training(vocab_size=2000))


def test_more_characters_than_room() -> None:
    with pytest.raises(InputError, match="raise vocab_size or lower coverage"):
        train(array(["".join(map(chr, range(0x4E00, 0x5200)))]), Training(vocab_size=600))


def test_no_room_at_all() -> None:
    with pytest.raises(RecipeError, match="too small"):
        train(array(documents(5)), Training(vocab_size=200))


def test_the_vocabulary_can_take_all_there_is() -> None:
    """The size the error message names is one that works."""
    texts = array(documents(20))
    with pytest.raises(InputError) as error:
        train(texts, Training(vocab_size=50_000, pattern="none"))
    most = int(str(error.value).rsplit(" ", 1)[1].replace(",", ""))
    assert len(train(texts, Training(vocab_size=most, pattern="none"))) == most


def test_indents_of_every_width_are_one_piece() -> None:
    texts = [f"{' ' * (2 * (i % 5))}x = {text}" for i, text in enumerate("\n".join(documents(300)).split("\n"))]
    normal = train(array(["\n".join(texts)]), Training(vocab_size=408)).normal()
    runs = {len(piece): ticks for piece, ticks in normal.items() if not piece.strip(" ")}
    assert set(runs) == set(range(1, max(runs) + 1))
    assert max(runs) >= 7
    for n in range(2, max(runs) + 1):
        assert all(runs[n] > runs[a] + runs[n - a] for a in range(1, n))


def test_runs_of_spaces_take_the_place_of_the_least_likely_words() -> None:
    words = {"ab": -4.0, "ba": -8.0, "abb": -9.0, "bab": -7.0, "aab": -7.5}
    scored = {" ": -3.0, "   ": -5.0, "     ": -7.0, "a": -2.0, "b": -9.0, **words}
    made = with_all_space_runs(scored)
    assert len(made) == len(scored)
    assert set(scored) - set(made) == {"ba", "abb"}
    assert (made["  "], made["    "], made["     "]) == (-5.0, -7.0, -7.0)
    assert with_all_space_runs({"a": -1.0, " ": -2.0}) == {"a": -1.0, " ": -2.0}
    low = {" ": -3.0, "  ": -20.0, "ab": -4.0, "ba": -5.0}
    assert with_all_space_runs(low) == {**low, "  ": -5.0}
    no_words = {" ": -1.0, "   ": -2.0}
    assert with_all_space_runs(no_words) == no_words


def test_real_text(real_data: Path) -> None:
    from tokenizer_lab.corpus import draw, open_corpus

    texts = draw(open_corpus([str(real_data / "qa" / "squad_ja.jsonl.zst")]), 500_000).texts
    model = train(texts, Training(vocab_size=3000, pattern="none"))
    assert len(model) == 3000
    assert {"である", "した", "され", "から"} <= set(model.normal())
