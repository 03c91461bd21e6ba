"""QUIP by the index equals counting by hand; pairs are alike in length; the reward reads a corpus run's shards."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError, RecipeError
from jacorpus.kernels.ngrams import fold_naive
from tests.tokenizer_lab.test_encode import shard_folder
from trainer.posttrain.chat import Turn
from trainer.posttrain.conversations import Prompt, read_pairs
from trainer.posttrain.quoting import Quotes, jsonl, pairs
from trainer.posttrain.rewarding import Scored
from trainer.posttrain.rollout import Draw
from trainer.rewards import Answered, load_reward

ODD = st.one_of(
    st.text("ab", max_size=12),
    st.text("かが\u3099ｶﾞﾊﾟ漢 \u3000\n\u200b！!Ａ😀", max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)


def by_hand(documents: list[str], answer: str, n: int) -> float:
    folded, text = [fold_naive(each) for each in documents], fold_naive(answer)
    grams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return sum(any(gram in each for each in folded) for gram in grams) / len(grams) if grams else 0.0


@settings(max_examples=150)
@given(documents=st.lists(ODD, max_size=4), answers=st.lists(ODD, min_size=1, max_size=4), n=st.integers(1, 5))
def test_quip_is_counting_by_hand(documents: list[str], answers: list[str], n: int) -> None:
    index = Quotes([pa.array([each], pa.large_string()) for each in documents], n)
    assert index.quip(answers) == [by_hand(documents, answer, n) for answer in answers]


def test_quip_of_known_texts() -> None:
    index = Quotes([pa.array(["吾輩は猫である。", "名前はまだ無い。"], pa.large_string())], 4)
    assert index.quip(["吾輩は猫である。", "吾輩は犬である。", "ない。名前", "無い", "名 前 は ま だ"]) == [
        1,
        0.2,
        0,
        0,
        1,
    ]
    assert Quotes([], 4).quip(["吾輩は猫"]) == [0.0]


def test_an_answer_over_two_documents_is_no_quote() -> None:
    """Negative control: joined documents would hold n-grams that none of them has."""
    index = Quotes([pa.array(["abcd", "efgh"], pa.large_string())], 4)
    assert index.quip(["cdef"]) == [0.0]


def scored(id: str, text: str) -> Scored:
    return Scored(Prompt((Turn("user", "問"),), id=id), [1], Draw(np.array([2]), np.array([0.0]), True), text, 0.0, {})


def test_pairs_are_alike_in_length_and_apart_in_quip(tmp_path: Path) -> None:
    first = [scored("1", text) for text in ("あ" * 20, "い" * 22, "う" * 40, "え" * 19)]
    second = [scored("2", text) for text in ("あ" * 20, "い" * 30)]
    rows = pairs([first, second], [[0.9, 0.2, 0.0, 0.1], [0.9, 0.1]], delta=0.1, length=0.1)
    assert [(row["id"], row["chosen"], row["rejected"]) for row in rows] == [("1", "あ" * 20, "え" * 19)]
    path = tmp_path / "pairs.jsonl"
    path.write_text(jsonl(rows), "utf-8")
    from collections import Counter

    (read,) = read_pairs([path], Counter())
    assert (read.chosen, read.rejected, read.margin) == ("あ" * 20, "え" * 19, pytest.approx(0.8))
    assert pairs([first], [[0.9, 0.2, 0.0, 0.1]], delta=0.85, length=0.1) == []
    loose = pairs([first], [[0.9, 0.2, 0.0, 0.1]], delta=0.1, length=10)
    assert loose[0]["rejected"] == "う" * 40
    with pytest.raises(RecipeError, match="0 or more"):
        pairs([first], [[0.0] * 4], delta=-1)


def test_the_reward_reads_a_corpus_run(tmp_path: Path) -> None:
    folder = shard_folder(tmp_path / "corpus", {"novels": ["吾輩は猫である。", "名前はまだ無い。", "どこで生れたか。"]})
    reward = load_reward("quote", {"corpus": str(folder), "n": 4})
    assert reward([Answered((), "名前はまだ無い。"), Answered((), "名前は何だろう。")]) == [1.0, 0.0]
    with pytest.raises(InputError, match="no corpus at"):
        load_reward("quote", {"corpus": str(tmp_path / "none")})([Answered((), "a")])
    with pytest.raises(InputError, match="nothing to read"):
        load_reward("quote", {"corpus": str(folder), "n": 50})([Answered((), "a")])
    with pytest.raises(RecipeError, match="corpus"):
        load_reward("quote", {})


def test_rows_are_json(tmp_path: Path) -> None:
    assert json.loads(jsonl([{"chosen": "あ"}])) == {"chosen": "あ"}
    with pytest.raises(RecipeError, match="n-grams of 0"):
        Quotes([], 0)
