"""Histograms count every document once, and a bound falls on an edge."""

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.report.histograms import Wanted, choose_edges, histograms
from jacorpus.report.report import Threshold
from jacorpus.rule import Rule


def rule(signal: str, **bound) -> Rule:
    return Rule(signal, tuple(bound.items()), "reason", "rules")


def write(path, columns, chunk=7):
    table = pa.table({"id": pa.array([bytes(16)] * len(columns["domain"]), pa.binary(16)), **columns})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=chunk)
    return path


@pytest.mark.parametrize("bound", [{"min": 200}, {"max": 900}, {"above": 30}, {"min": 40, "max": 2000}])
def test_counts_add_up_and_failing_is_exact(tmp_path, bound):
    values = np.random.default_rng(1).lognormal(5, 1.5, 500).astype(np.int32)
    column = pa.array(values, mask=np.arange(500) % 50 == 0)
    part = write(tmp_path / "a.arrow", {"domain": ["web"] * 500, "t.x": column})
    (histogram,) = histograms([part, part], [Wanted("t.x", None, (rule("t.x", **bound),))])
    assert (histogram.total, histogram.unknown) == (980, 20)
    assert histogram.failing == 2 * int(rule("t.x", **bound).fails(column).sum())
    assert any(abs(edge / histogram.thresholds[0].value - 1) < 1e-9 for edge in histogram.edges)


def test_bars_beside_the_bound_hold_exactly_the_failing(tmp_path):
    values = np.r_[np.zeros(50), np.full(30, 0.3), np.full(20, 0.31)]
    part = write(tmp_path / "a.arrow", {"domain": ["web"] * 100, "t.x": values})
    (histogram,) = histograms([part], [Wanted("t.x", None, (rule("t.x", max=0.3),))])
    beyond = [n for n, edge in zip(histogram.counts, histogram.edges, strict=False) if edge >= 0.3 - 1e-9]
    assert sum(beyond) + histogram.above == histogram.failing == 20


@pytest.mark.parametrize(
    ("bound", "edge"), [({"max": 1}, 1.5), ({"below": 1}, 0.5), ({"min": 1}, 0.5), ({"above": 1}, 1.5)]
)
def test_few_whole_numbers_get_a_bar_each_and_the_bound_stands_between_them(tmp_path, bound, edge):
    part = write(tmp_path / "a.arrow", {"domain": ["web"] * 10, "t.hits": pa.array([0] * 6 + [1, 1, 1, 2], pa.int32())})
    (histogram,) = histograms([part], [Wanted("t.hits", None, (rule("t.hits", **bound),))])
    bars = {(a + b) / 2: n for a, b, n in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False)}
    assert [bars[0.0], bars[1.0], bars[2.0]] == [6, 3, 1]
    assert edge in histogram.edges
    kept_left = histogram.thresholds[0].side == "max"
    assert histogram.failing == sum(n for middle, n in bars.items() if (middle > edge) == kept_left)


def test_only_the_domains_a_rule_speaks_about_are_counted(tmp_path):
    domain = pa.array(["web", "wiki"] * 10).dictionary_encode()
    part = write(tmp_path / "a.arrow", {"domain": domain, "t.x": np.arange(20.0)})
    (histogram,) = histograms([part], [Wanted("t.x", ("wiki",), (rule("t.x", min=10),))])
    assert (histogram.total, histogram.failing) == (10, 5)


def test_signals_absent_or_of_names_are_left_out(tmp_path):
    part = write(tmp_path / "a.arrow", {"domain": ["web"], "t.x": [1.0], "l.label": ["ja"]})
    wanted = [
        Wanted("t.gone", None, (rule("t.gone", min=1),)),
        Wanted("l.label", None, (rule("l.label", **{"in": ("ja",)}),)),
    ]
    assert histograms([part], wanted) == []


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [np.nan, np.inf], [0.0] * 99 + [1e9], [1.0, 1e6, 1e6]])
@pytest.mark.parametrize("dtype", [float, int])
def test_edges_ascend_and_hold_the_bound_whatever_the_values(tmp_path, values, dtype):
    if dtype is int:
        values = np.nan_to_num(np.array(values), posinf=7).astype(np.int64)
    part = write(tmp_path / "a.arrow", {"domain": ["web"] * len(values), "t.x": np.array(values)})
    (histogram,) = histograms([part], [Wanted("t.x", None, (rule("t.x", max=0.5),))])
    assert (np.diff(histogram.edges) > 0).all()
    assert histogram.edges[0] <= 0.5 <= histogram.edges[-1]
    assert len(histogram.counts) == len(histogram.edges) - 1 <= 120


def test_long_tails_of_counts_get_a_logarithmic_axis():
    values = np.random.default_rng(2).lognormal(6, 2, 10_000).round() + 1
    assert choose_edges(values, (Threshold(400.0, "min", ""),), True).log
    assert not choose_edges(np.linspace(0, 1, 100), (Threshold(0.2, "max", ""),), False).log


def test_no_parts_no_histograms():
    assert histograms([], [Wanted("t.x", None, (rule("t.x", max=0.5),))]) == []
