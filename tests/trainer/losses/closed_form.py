"""A check of benchmarks.closed_forms that has to hold, and whose twin has to fail it."""

import pytest

from benchmarks.closed_forms import Check


def held(check: Check) -> Check:
    """The check again, to ask for more of it."""
    assert check.value <= check.bound, check
    assert check.negative >= check.negative_bound, f"{check.twin} would pass: {check}"
    assert check.negative_bound > check.bound
    return check


def near(value: float, digits: int = 4) -> object:
    """What rounds to a figure of a table."""
    return pytest.approx(value, abs=0.5000001 * 10**-digits)
