"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real texts; tests that need it skip visibly where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data absent: {REAL_DATA.name} is not beside the checkout")
    return REAL_DATA
