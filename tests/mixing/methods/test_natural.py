"""Natural: shares of tokens, of what can be trained on."""

import pytest

from mixing.evidence import Evidence
from mixing.methods.natural import Natural
from mixing.problem import problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import domains

SOME = domains(a=100, b=300, c=0, d=600)


def test_in_proportion_to_tokens_without_any_evidence() -> None:
    found = Natural().weights(problem_of(mixing_settings({}), SOME), Evidence())
    assert found.weights.tolist() == [0.1, 0.3, 0, 0.6]
    assert len(found.replicates) == 0


def test_domains_only_measured_on_have_none() -> None:
    found = Natural().weights(problem_of(mixing_settings({"held_out": ["d"]}), SOME), Evidence())
    assert found.weights == pytest.approx([0.25, 0.75, 0, 0])
