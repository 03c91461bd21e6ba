"""Correlations against values known by hand."""

import doctest

import numpy as np
import pytest

from tokenizer_lab.comparison import correlation as module
from tokenizer_lab.comparison.correlation import correlation, pearson


def test_ranks_see_what_a_line_does_not() -> None:
    x = np.arange(1.0, 11.0)
    found = correlation(x, np.exp(x))
    assert found.spearman.value == pytest.approx(1.0)
    assert found.pearson.value == pytest.approx(np.corrcoef(x, np.exp(x))[0, 1])
    assert found.pearson.low <= found.pearson.value <= found.pearson.high


def test_what_does_not_vary_has_no_correlation() -> None:
    found = correlation(np.ones(9), np.arange(9.0))
    assert found.spearman is None
    assert found.pearson is None


def test_noise_has_an_interval_that_holds_zero() -> None:
    random = np.random.Generator(np.random.PCG64(2))
    found = correlation(random.normal(size=12), random.normal(size=12))
    assert found.spearman.low < 0 < found.spearman.high


def test_pearson_is_numpys() -> None:
    random = np.random.Generator(np.random.PCG64(4))
    a, b = random.normal(size=30), random.normal(size=30)
    assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_doctests() -> None:
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0
