"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples each time, so that a change is judged by itself; `make test-all` draws new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("new", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = ROOT.parent / "shared" / "data"


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes and long texts are named by their length: a name that holds content changes with it (gzip writes the time
    into its header), and the parallel workers must collect equal names."""
    if isinstance(val, bytes | str) and len(val) > 40:
        return f"{argname}_{len(val)}"
    return None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real texts; tests that need it skip visibly where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data absent: {REAL_DATA.name} is not beside the checkout")
    return REAL_DATA
