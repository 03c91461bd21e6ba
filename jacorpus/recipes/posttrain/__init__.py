"""Recipes of post-training that come along, and small data to try them on: sums of two digits, asked in Japanese."""

from pathlib import Path

FOLDER = Path(__file__).parent


def bundled() -> tuple[str, ...]:
    """Names of the recipes here."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
