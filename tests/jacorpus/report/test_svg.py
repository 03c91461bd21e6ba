"""Charts: where bars stand, which side of a bound is tinted, labels that do not collide."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from jacorpus.report import svg
from jacorpus.report.report import Bar, Bars, Curve, Histogram, Line, Series, Step, Threshold, Waterfall


def shapes(block, name):
    root = ElementTree.fromstring(svg.draw(block))
    return [e for e in root.iter() if name in (e.get("class") or "").split()]


def test_waterfall_hangs_each_loss_from_the_sum_before():
    fall = Waterfall(
        "w", "count", (Step("read", 100, "plain", True), Step("a", 40), Step("b", 10), Step("kept", 50, "kept", True))
    )
    bars = [(float(e.get("x")), float(e.get("width"))) for e in shapes(fall, "bar")]
    start, whole = bars[0]
    assert start + whole == pytest.approx(svg.WIDTH, abs=0.02)
    expected = [(0, 1.0), (0.6, 0.4), (0.5, 0.1), (0, 0.5)]
    for (x, width), (place, share) in zip(bars, expected, strict=True):
        assert x - start == pytest.approx(whole * place, abs=0.02)
        assert width == pytest.approx(whole * share, abs=0.02)


def test_stacked_bars_fill_the_whole():
    bars = (Bar("one", (1, 3)), Bar("two", (0, 0)))
    drawn = shapes(Bars("b", "count", (Series("x", "kept"), Series("y", "dropped")), bars, True), "bar")
    widths = [float(e.get("width")) for e in drawn]
    assert widths[1] == pytest.approx(3 * widths[0], abs=0.02)
    assert float(drawn[0].get("x")) + sum(widths[:2]) == pytest.approx(svg.WIDTH, abs=0.02)
    assert widths[2:] == [0, 0]


def test_long_labels_are_cut_and_kept_as_tooltips():
    label = "とても長い理由の名前" * 6
    drawn = svg.draw(Bars("b", "count", (Series("x"),), (Bar(label, (1,)),)))
    assert f"<title>{label}</title>" in drawn
    assert "…" in drawn


def test_markup_in_labels_is_escaped():
    drawn = svg.draw(Bars('t"<', "count", (Series("x"),), (Bar("<script>&", (1,)),)))
    assert "<script>" not in drawn
    ElementTree.fromstring(drawn)


def test_bars_beyond_a_bound_are_dropped_ones():
    bounds = (Threshold(1.0, "min", "keep ≥ 1"), Threshold(3.0, "max", "keep ≤ 3"))
    histogram = Histogram("h", (0.0, 1.0, 2.0, 3.0, 4.0), (5, 6, 7, 8), bounds)
    tones = [e.get("class") for e in shapes(histogram, "bar")]
    assert tones == ["bar dropped", "bar kept", "bar kept", "bar dropped"]
    assert len(shapes(histogram, "beyond")) == 2
    assert len(shapes(histogram, "bound")) == 2


@pytest.mark.parametrize(("strict", "tones"), [(False, "kept kept dropped"), (True, "kept dropped dropped")])
def test_a_strict_bound_drops_its_own_value(strict, tones):
    histogram = Histogram("h", (-0.5, 0.5, 1.5, 2.5), (5, 6, 7), (Threshold(1.0, "max", "", strict),))
    assert [e.get("class").split()[1] for e in shapes(histogram, "bar")] == tones.split()


def test_neighboring_bound_labels_use_two_rows():
    bounds = (Threshold(1.0, "min", "keep ≥ 1"), Threshold(1.1, "max", "keep ≤ 1.1"))
    labels = shapes(Histogram("h", (0.0, 1.0, 4.0), (1, 1), bounds), "bound-label")
    assert len({e.get("y") for e in labels}) == 2


def test_numbers_under_a_histogram_keep_their_distance():
    edges = tuple(100 * 1.2**i for i in range(40))
    labels = shapes(Histogram("h", edges, (1,) * 39, log=True), "axis-label")[:-1]
    places = sorted((float(e.get("x")), svg.text_width(e.text, 11) / 2) for e in labels)
    assert len(places) >= 3
    assert all(b - half_b - a - half_a > 4 for (a, half_a), (b, half_b) in pairwise(places))


def test_invisible_drops_turn_heights_into_roots():
    drawn = svg.draw(Histogram("h", (0.0, 1.0, 2.0), (10_000, 2), (Threshold(1.0, "max", "keep ≤ 1"),)))
    assert "square roots" in drawn


@pytest.mark.parametrize("log", [False, True])
def test_nothing_is_drawn_outside_the_picture(log):
    bounds = (Threshold(10.0, "min", "keep ≥ 10"), Threshold(1000.0, "max", "keep ≤ 1,000"))
    drawn = svg.draw(Histogram("h", (1.0, 10.0, 100.0, 1000.0), (1, 0, 4), bounds, log=log))
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', drawn)[1])
    xs = [float(e.get("x", 0)) for e in ElementTree.fromstring(drawn)]
    assert all(0 <= x <= width for x in xs)


def test_an_empty_curve_and_empty_charts_draw():
    for block in (
        Curve("c", "x", "y", (Line("l", ()),)),
        Waterfall("w", "count", ()),
        Bars("b", "count", (Series("x"),), ()),
        Histogram("h", (0.0, 1.0), (0,)),
    ):
        ElementTree.fromstring(svg.draw(block))


def test_ticks():
    assert svg.ticks(0, 1) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert svg.log_ticks(1, 100) == [1, 10, 100, 2, 20, 5, 50]
    assert svg.log_ticks(30, 300) == [100, 200, 50]
    assert svg.ticks(3, 3) == [3]


def test_a_thin_line_has_no_tooltips_and_an_axis_keeps_its_own_range():
    points = tuple((float(i), 0.5 + 0.01 * i) for i in range(5))
    lines = (Line("each", points, thin=True), Line("mean", points))
    curve = Curve("c", "x", "y", lines, y_range=(0.4, 0.6))
    assert [e.get("class") for e in shapes(curve, "line")] == ["line s0 thin", "line s1"]
    assert len(shapes(curve, "dot")) == 5
    labels = {e.text for e in shapes(curve, "axis-label")}
    assert {"0.4", "0.5", "0.6"} <= labels
    assert not {"0.2", "0.8"} & labels
