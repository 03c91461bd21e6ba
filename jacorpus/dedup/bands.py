"""How a signature of k values is cut into b bands of r rows, and which pairs that finds.

Two texts of Jaccard similarity s share at least one band with probability 1 - (1 - s^r)^b. More rows make
chance pairs rare, more bands make true pairs sure; the product is bounded by k.

Legend: s similarity, b bands, r rows (values a band), k values a signature.
"""

from functools import cache

import numpy as np

WANTED_RECALL = 0.92


def detection(similarity: float, bands: int, rows: int) -> float:
    """Probability that two texts of this similarity become a candidate pair."""
    return float(1 - (1 - similarity**rows) ** bands)


def expected_recall(threshold: float, bands: int, rows: int) -> float:
    """Mean detection over similarities spread evenly between threshold and 1."""
    grid = np.linspace(threshold, 1, 301)
    return float(np.mean(1 - (1 - grid**rows) ** bands))


@cache
def choose(threshold: float, k: int) -> tuple[int, int]:
    """(bands, rows): the most rows, hence the fewest chance pairs, whose expected recall is WANTED_RECALL or more.

    A threshold of .7 gives 28 bands of 9 rows for k = 256 and 16 of 8 for k = 128; FineWeb-2's 14 of 8 finds a
    little less (.913). Where nothing reaches the recall: k bands of one row.
    """
    for rows in range(k, 0, -1):
        if expected_recall(threshold, k // rows, rows) >= WANTED_RECALL:
            return k // rows, rows
    return k, 1


def curve(bands: int, rows: int, grid: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9)) -> str:
    """The detection curve as people read it: ``s=.7 .614  s=.8 .947``."""
    points = "  ".join(f"s={s:.1f} {detection(s, bands, rows):.3f}" for s in grid)
    half = (1 / bands) ** (1 / rows)
    return f"{bands} bands x {rows} rows (steepest near {half:.2f}): {points}"
