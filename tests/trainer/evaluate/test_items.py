"""Means, pairs and the file of items."""

import math

import numpy as np
import pytest

from jacorpus.errors import InputError
from trainer.evaluate.items import Answers, Item, mean_interval, paired, read_answers, sign_test, write_answers


def answers(scores, units=None, task="t", **more):
    items = [
        Item(f"q{i}", "問", "答\n\u2028", "", s, meta={"unit": units[i]} if units else {}) for i, s in enumerate(scores)
    ]
    return Answers(task, "accuracy", "MIT", items, **more)


def test_an_interval_is_as_wide_as_theory_says():
    scores = [float(x) for x in np.random.default_rng(0).random(400) < 0.3]
    found = mean_interval(answers(scores), 1)
    error = 1.96 * np.std(scores) / math.sqrt(len(scores))
    assert found.value == np.mean(scores)
    assert found.high - found.low == pytest.approx(2 * error, rel=0.1)
    assert mean_interval(answers(scores), 1) == found != mean_interval(answers(scores), 2)


def test_answers_to_one_question_are_drawn_together():
    scores = [float(i // 10 % 2) for i in range(200)]
    alone = mean_interval(answers(scores))
    together = mean_interval(answers(scores, [str(i // 10) for i in range(200)]))
    assert together.high - together.low > 2.5 * (alone.high - alone.low)  # sqrt(10) times, were there many questions


def test_pairs_are_of_equal_items_alone_and_the_noise_they_share_falls_out():
    draw = np.random.default_rng(0)
    before = draw.random(300) * 10
    old, new = answers(before.tolist()), answers((before + 0.1 + 0.2 * draw.standard_normal(300)).tolist())
    found = paired(old, Answers("t", "accuracy", "MIT", [*new.items, Item("other", "", "", "", 99.0)]))
    assert found.wins + found.ties + found.losses == 300
    assert 0.05 < found.difference.low < 0.1 < found.difference.high < 0.15
    assert found.p < 1e-3
    # The wrong twin draws the two apart: it could not tell them apart here.
    assert mean_interval(new).low < mean_interval(old).high
    assert paired(old, old).difference.low == paired(old, old).difference.high == 0
    worse = paired(answers([1.0, 2.0], higher_is_better=False), answers([2.0, 2.0], higher_is_better=False))
    assert (worse.wins, worse.ties, worse.losses) == (0, 1, 1)


def test_the_sign_test_is_exact():
    stats = pytest.importorskip("scipy.stats")
    for wins, losses in ((5, 0), (3, 3), (40, 20), (700, 640), (0, 0)):
        wanted = stats.binomtest(wins, wins + losses).pvalue if wins else 1.0
        assert sign_test(wins, losses) == pytest.approx(wanted, rel=1e-9)


def test_the_file_gives_back_what_was_written(tmp_path):
    made = answers([0.5, 1.0])
    write_answers(tmp_path / "items/t.jsonl", made, "abc")
    assert read_answers(tmp_path / "items/t.jsonl") == (made, "abc")
    (tmp_path / "x.jsonl").write_text('{"task": "t"}\n')
    with pytest.raises(InputError, match=r"x\.jsonl, line 1: no answers of an evaluation"):
        read_answers(tmp_path / "x.jsonl")
    (tmp_path / "y.jsonl").write_text((tmp_path / "items/t.jsonl").read_text() + '{"id": 3}\n')
    with pytest.raises(InputError, match=r"y\.jsonl, line 4"):
        read_answers(tmp_path / "y.jsonl")


def test_what_can_not_be_compared_is_said():
    with pytest.raises(InputError, match="share no item"):
        paired(answers([1.0]), Answers("t", "accuracy", "MIT", [Item("z", "", "", "", 1.0)]))
    with pytest.raises(InputError, match="no item to take a mean of"):
        mean_interval(answers([]))
