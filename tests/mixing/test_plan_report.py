"""The plan's report: numbers as people read them, all its parts, curves whose least is the optimum."""

import math
from dataclasses import replace

import pytest

from jacorpus.report.numbers import Interval
from jacorpus.report.report import Curve, Table, Views
from mixing.plan import Wish, compute_of, make_plan
from mixing.plan_report import (
    amount,
    figure,
    loss_views,
    phase_table,
    plan_report,
    planner_sentence,
    power,
    supply_sentences,
    tables,
)
from mixing.refit import bootstrap, fit
from mixing.scaling import law_named
from mixing.supply import defaults, gathered
from tests.mixing.test_refit import made

FLOPS, TOLD = compute_of(1024, 30)
EXAMPLE = Wish(gathered(defaults()), FLOPS, TOLD, shares={"ja": 0.5}, published=True)
FULL = replace(EXAMPLE, parameters=70e9, served=5e12, curriculum="ramp")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1.7805e12, "1.78T"), (412.5e9, "412B"), (98.3e9, "98.3B"), (999.9e9, "1T"), (512, "512"), (0, "0")),
        *((1.5e15, "1,500T"), (math.inf, "any"), (2.5e3, "2.5k"), (0.25, "0.25")),
    ],
)
def test_amounts(value: float, text: str) -> None:
    assert amount(value) == text


def test_figures_and_powers() -> None:
    assert figure(Interval(98.3e9, 62.6e9, 151e9)) == "98.3B [62.6B, 151B]"
    assert (figure(None), figure(7e9), power(1.05e24)) == ("", "7B", "1.05e24")


def test_every_part_has_its_table() -> None:
    assert [key for key, _ in tables(make_plan(EXAMPLE))] == ["size", "sources", "supply"]
    found = dict(tables(make_plan(FULL)))
    assert list(found) == ["size", "choice", "serving", "sources", "supply", "curriculum"]
    for table in found.values():
        assert all(len(row) == len(table.columns) for row in table.rows)
    sizes = {row[0]: row for row in found["size"].rows}
    assert sizes["besiroglu"][1] == "98.3B [62.6B, 151B]"
    assert sizes["hoffmann-tex"][1:4] == ("53.1B", "3.3T", "62.1")
    assert sizes["lowest to highest"][1] == "42.2B to 98.3B"


def test_the_shortfall_is_said() -> None:
    first, second, third = supply_sentences(make_plan(EXAMPLE))
    assert first == ("ja: 890B needed (0.5 of all), 412B there: 2.2 epochs, worth 873B new tokens (value 0.98).")
    assert second == "Shortfall: 478B to repeat nothing, none to see none more than 4 times."
    assert "besiroglu 188B [" in third
    ample = supply_sentences(make_plan(replace(EXAMPLE, flops=1e22)))
    assert ample[1] == "No shortfall: nothing is repeated."


def test_the_report_renders_whole() -> None:
    plan = make_plan(FULL)
    report = plan_report(plan)
    keys = [section.key for section in report.sections]
    assert keys == ["size", "choice", "serving", "sources", "supply", "curriculum", "notes", "constants"]
    page = report.to_html()
    for text in ("98.3B [62.6B, 151B]", "web-ja", "2605.01640", "arXiv 2404.10102", "Phases of ramp", "<svg"):
        assert text in page
    assert report.to_json() == plan_report(make_plan(FULL)).to_json()
    assert "Shortfall" in report.to_markdown()


def test_curves_have_their_least_at_the_optimum() -> None:
    plan = make_plan(EXAMPLE)
    views = loss_views(plan)
    assert isinstance(views, Views)
    for name, curve in views.views:
        assert isinstance(curve, Curve)
        lines = {line.name: line for line in curve.lines}
        assert sum(line.thin for line in curve.lines) == 2
        for law in ("hoffmann-tex", "besiroglu"):
            x, y = min(lines[law].points, key=lambda point: point[1])
            best, tokens = law_named(law).optimum(FLOPS)
            assert x == pytest.approx(math.log10(best), abs=0.06)
            least = 0 if "least" in name else law_named(law).loss(best, tokens)
            assert y == pytest.approx(least, abs=2e-4)


def test_a_fit_of_your_own_is_drawn_with_its_band() -> None:
    points = made(law_named("besiroglu"), 60, noise=0.01)
    found = fit(points)
    fitted = (found.law, bootstrap(points, found, 20))
    wish = replace(EXAMPLE, fitted=fitted)
    curve = loss_views(make_plan(wish), fitted).views[0][1]
    assert isinstance(curve, Curve)
    assert [line.name for line in curve.lines if line.name.startswith("refit")] == [
        "refit",
        "refit, 2.5 % of draws",
        "refit, 97.5 % of draws",
    ]
    assert "refit" in plan_report(make_plan(wish), fitted).to_html()


def test_the_planner_says_what_it_proves() -> None:
    plan = make_plan(replace(EXAMPLE, best=True))
    assert "binding: language ja = 0.5." in planner_sentence(plan)
    assert planner_sentence(make_plan(EXAMPLE)) == ""


def test_phases_are_a_table() -> None:
    plan = make_plan(replace(FULL, curriculum="transfer", init="models/en"))
    assert plan.curriculum is not None
    table = phase_table(plan.curriculum)
    assert isinstance(table, Table)
    assert table.note == "Trained on from models/en."
    assert [column.title for column in table.columns] == ["phase", "tokens", "code", "pile-en", "web-ja", "wiki-en"]
