"""Detection curves against the published figures."""

import pytest

from jacorpus.dedup.bands import choose, curve, detection, expected_recall


@pytest.mark.parametrize(
    ("bands", "rows", "at_7", "at_8", "at_9"),
    [
        (14, 8, 0.565, 0.924, 1.0),
        (20, 10, 0.436, 0.897, 1.0),
        (20, 13, 0.177, 0.677, 0.997),
        (40, 20, 0.031, 0.371, 0.994),
    ],
)
def test_published_settings(bands: int, rows: int, at_7: float, at_8: float, at_9: float) -> None:
    assert [detection(s, bands, rows) for s in (0.7, 0.8, 0.9)] == pytest.approx([at_7, at_8, at_9], abs=6e-4)


def test_choice() -> None:
    assert choose(0.7, 256) == (28, 9)
    assert choose(0.7, 128) == (16, 8)
    for threshold in (0.5, 0.7, 0.8, 0.9):
        bands, rows = choose(threshold, 128)
        assert bands * rows <= 128
        assert expected_recall(threshold, bands, rows) >= 0.92
        assert expected_recall(threshold, 128 // (rows + 1), rows + 1) < 0.92
    assert choose(0.01, 1) == (1, 1)


def test_curve_is_printed() -> None:
    assert "14 bands x 8 rows" in curve(14, 8)
    assert "s=0.8 0.924" in curve(14, 8)
