"""Uniform: the same share for each domain that can be trained on."""

import pytest

from mixing.evidence import Evidence
from mixing.methods.uniform import Uniform
from mixing.problem import problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import domains


def test_every_domain_alike() -> None:
    some = domains(a=100, b=300, c=0, d=600, e=1)
    found = Uniform().weights(problem_of(mixing_settings({"held_out": ["d"]}), some), Evidence())
    assert found.weights == pytest.approx([1 / 3, 1 / 3, 0, 0, 1 / 3])
