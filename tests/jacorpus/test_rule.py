"""One rule over one column: bounds are exact, nulls are never judged."""

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.errors import RecipeError
from jacorpus.rule import rule_from_json, rule_from_table


def _rule(**table):
    return rule_from_table({"signal": "text.x", "reason": "why", **table}, "profile", None, "here")


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ({"min": 2}, [True, False, False, False]),
        ({"above": 2}, [True, True, False, False]),
        ({"max": 2}, [False, False, True, False]),
        ({"below": 2}, [False, True, True, False]),
        ({"min": 2, "max": 2}, [True, False, True, False]),
        ({"in": [1, 3]}, [False, True, False, False]),
        ({"not_in": [1, 3]}, [True, False, True, False]),
    ],
)
def test_bounds(bound, expected):
    column = pa.array([1, 2, 3, None], pa.int32())
    assert _rule(**bound).fails(column).tolist() == expected


def test_a_ratio_at_its_bound_is_kept():
    column = pa.array(np.array([1 / 5, 0.15 + 0.05, np.inf]))
    assert _rule(max=0.2).fails(column).tolist() == [False, False, True]


def test_names():
    column = pa.array(["ja", "en", None])
    assert _rule(**{"in": ["ja"]}).fails(column).tolist() == [False, True, False]
    with pytest.raises(RecipeError, match="use `in`"):
        _rule(min=1).fails(column)


def test_json_keeps_a_rule_whole():
    rule = _rule(min=2, max=3, optional=True)
    assert rule_from_json(rule.as_json(4, True)) == rule
    assert rule.describe() == ">= 2 and <= 3"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"minn": 2}, "did you mean `min`"),
        ({}, "no bound"),
        ({"min": "2"}, "needs a number"),
        ({"in": "ja"}, "needs a list"),
        ({"signal": 3, "min": 1}, "needs `signal"),
    ],
)
def test_wrong_rules_say_so(table, message):
    with pytest.raises(RecipeError, match=message):
        _rule(**table)
