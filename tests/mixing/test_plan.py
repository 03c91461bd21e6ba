"""The plan: the specification's example, sizes on GPUs, and every way to say what is wanted."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from jacorpus.errors import RecipeError
from jacorpus.report.numbers import Interval
from mixing.plan import Plan, Wish, compute_of, make_plan
from mixing.repeats import effective
from mixing.scaling import Law, law_named
from mixing.supply import Source, defaults, gathered

FLOPS, TOLD = compute_of(1024, 30)
EXAMPLE = Wish(gathered(defaults()), FLOPS, TOLD, shares={"ja": 0.5}, published=True)


def middle(value: float | Interval) -> float:
    return value.value if isinstance(value, Interval) else value


@pytest.mark.parametrize(
    ("gpus", "sizes"),
    [
        (8, (5.8e9, 236e9, 8.2e9, 167e9)),
        (64, (15.0e9, 731e9, 23.7e9, 461e9)),
        (256, (28e9, 1.55e12, 48e9, 906e9)),
        (1024, (53e9, 3.3e12, 98e9, 1.78e12)),
    ],
)
def test_sizes_for_a_month_of_h100s(gpus: int, sizes: tuple[float, ...]) -> None:
    plan = make_plan(replace(EXAMPLE, flops=compute_of(gpus, 30)[0]))
    by_law = {size.law: size for size in plan.sizes}
    found = [middle(getattr(by_law[n], k)) for n in ("hoffmann-tex", "besiroglu") for k in ("parameters", "tokens")]
    assert found == pytest.approx(sizes, rel=0.01)
    assert {n for n, size in by_law.items() if isinstance(size.parameters, Interval)} == {"besiroglu"}


def test_the_example_half_japanese() -> None:
    plan = make_plan(EXAMPLE)
    supply = plan.supply
    assert supply is not None
    assert (supply.need, supply.have) == pytest.approx((890e9, 412e9), rel=0.005)
    assert (round(supply.epochs, 1), round(supply.value, 2)) == (2.2, 0.98)
    assert supply.effective == pytest.approx(effective(supply.need, supply.have))
    assert supply.shortfall == pytest.approx(supply.need - supply.have)
    assert supply.short_of_few == 0
    kept, have, epochs, value = supply.filters[-1]
    assert (kept, have, round(epochs, 1), round(value, 2)) == (0.1, 41.25e9, 21.6, 0.57)
    filtered = make_plan(replace(EXAMPLE, sources=gathered(defaults(), kept={"ja": 0.1}))).supply
    assert filtered is not None
    assert (round(filtered.epochs, 1), round(filtered.value, 2)) == (21.6, 0.57)
    assert filtered.short_of_few == pytest.approx(filtered.need / 4 - filtered.have)


def test_the_largest_model_sees_japanese_four_times() -> None:
    plan = make_plan(EXAMPLE)
    for size in plan.sizes:
        assert size.most is not None
        tokens = law_named(size.law).tokens_for(middle(size.most))
        assert 0.5 * tokens / 412.5e9 == pytest.approx(4)


def test_the_ledger_adds_up() -> None:
    plan = make_plan(EXAMPLE)
    assert [row.name for row in plan.rows] == ["code", "pile-en", "web-ja", "wiki-en"]
    assert math.fsum(row.share for row in plan.rows) == pytest.approx(1)
    assert math.fsum(row.seen for row in plan.rows) == pytest.approx(plan.tokens)
    for row in plan.rows:
        assert row.epochs == pytest.approx(row.seen / row.unique)
        assert row.effective == pytest.approx(effective(row.seen, row.unique))
    assert plan.flops == pytest.approx(6 * plan.parameters * plan.tokens)


def test_a_choice_of_size_is_judged_by_every_law() -> None:
    plan = make_plan(replace(EXAMPLE, flops=0.0, parameters=6.74e9, tokens=2e12))
    assert plan.own
    assert plan.flops == pytest.approx(6 * 6.74e9 * 2e12)
    by_law = {size.law: size for size in plan.sizes}
    choice, band = by_law["besiroglu"].choice, by_law["besiroglu"].band
    assert choice is not None
    assert choice.saved == pytest.approx(0.47, abs=0.005)
    assert band["tax"].low < choice.tax < band["tax"].high
    assert by_law["muennighoff"].band == {}
    one = make_plan(replace(EXAMPLE, parameters=70e9))
    assert one.tokens == pytest.approx(FLOPS / (6 * 70e9))
    other = make_plan(replace(EXAMPLE, tokens=2e12))
    assert other.parameters == pytest.approx(FLOPS / (6 * 2e12))
    assert not make_plan(EXAMPLE).own
    both = make_plan(replace(EXAMPLE, parameters=1e9, tokens=1e11))
    assert both.told == "of the N and D that were given"
    assert any("of the compute that was named" in note for note in both.notes)


def test_serving_costs_are_counted() -> None:
    plan = make_plan(replace(EXAMPLE, served=5e12))
    for size in plan.sizes:
        assert size.serving is not None
        assert size.serving.parameters < middle(size.parameters)
        assert 0 < size.serving.saved < 1
        assert size.serving.total == pytest.approx(size.serving.flops + 2 * size.serving.parameters * 5e12)


def test_sources_in_any_order_give_the_same_plan() -> None:
    shuffled = list(defaults())
    random.Random(1).shuffle(shuffled)
    for best in (False, True):
        wish = replace(EXAMPLE, best=best)
        assert make_plan(replace(wish, sources=gathered(shuffled))).to_dict() == make_plan(wish).to_dict()


def test_the_planner_chooses_within_shares_and_caps() -> None:
    wish = replace(EXAMPLE, flops=FLOPS / 16, best=True, epochs=1.0)
    plan = make_plan(wish)
    assert plan.planner is not None
    value, gap, active = plan.planner
    assert gap < 1e-6 * value
    assert "language ja = 0.5" in active
    assert max(row.epochs for row in plan.rows) <= 1 + 1e-6
    assert plan.supply is not None
    assert plan.supply.share == pytest.approx(0.5)
    natural = make_plan(replace(wish, best=False, epochs=0.0))
    assert {row.name: row.share for row in natural.rows} != {row.name: row.share for row in plan.rows}
    with pytest.raises(RecipeError, match="web-ja"):
        make_plan(replace(wish, flops=FLOPS * 16))
    with pytest.raises(RecipeError, match="add --best"):
        make_plan(replace(EXAMPLE, epochs=4.0))
    more = make_plan(replace(wish, shares={}, epochs=0.0, importance={"ja": 1.0}))
    assert more.supply is not None
    assert more.supply.share > 0.99


def test_a_mixture_says_every_share() -> None:
    wish = replace(EXAMPLE, shares={}, mixture={"web-ja": 3.0, "code": 1.0})
    assert {row.name: row.share for row in make_plan(wish).rows if row.share} == {"code": 0.25, "web-ja": 0.75}
    with pytest.raises(RecipeError, match="leave --share and --best out"):
        make_plan(replace(wish, shares={"ja": 0.5}))


def test_no_japanese_is_said_and_no_reason_to_fail() -> None:
    plan = make_plan(Wish((Source("web", "und", 1e9, ""),), 1e20))
    assert plan.supply is None
    assert any("--language NAME=ja" in note for note in plan.notes)
    assert all(size.most is None for size in plan.sizes)


def test_a_fit_of_your_own_stands_beside_the_published() -> None:
    law = law_named("hoffmann-tex")
    own = Law("refit", law.E, law.A, law.B, law.a, law.b, "fitted to 9 points")
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal((5, 50))
    drawn = Law("refit", *(getattr(law, n) * each for n, each in zip(("E", "A", "B", "a", "b"), noise, strict=True)))
    plan = make_plan(replace(EXAMPLE, fitted=(own, drawn), law="refit"))
    assert plan.law == "refit"
    assert plan.sizes[-1].law == "refit"
    assert isinstance(plan.sizes[-1].parameters, Interval)
    assert plan.tokens == pytest.approx(law.optimum(FLOPS)[1])


def test_repeats_cost_what_the_constrained_law_says() -> None:
    one = make_plan(EXAMPLE).constrained
    assert one.unique == pytest.approx(689.6e9)
    assert one.loss > one.free
    assert one.best_loss <= one.loss
    ample = make_plan(replace(EXAMPLE, flops=1e21)).constrained
    assert ample.loss == pytest.approx(ample.free, abs=1e-12)


def test_curricula_are_told_beside_joint() -> None:
    plan = make_plan(replace(EXAMPLE, curriculum="ramp", phases=2))
    assert [outcome.curriculum.kind for outcome in plan.outcomes] == ["joint", "ramp"]
    assert plan.curriculum is not None
    assert len(plan.curriculum.phases) == 2
    assert plan.curriculum.tokens == math.floor(plan.tokens)
    assert make_plan(EXAMPLE).curriculum is None


def test_a_plan_is_json() -> None:
    wish = replace(EXAMPLE, curriculum="transfer", init="m", replay=0.0, served=1e12, parameters=7e9)
    content = make_plan(wish).to_dict()
    text = json.dumps(content, allow_nan=False)
    assert json.loads(text)["sizes"][2]["parameters"].keys() == {"value", "low", "high"}
    assert content["outcomes"][1]["data_term"]["en"] is None  # nothing of it is seen
    assert isinstance(make_plan(wish), Plan)


def test_defaults_and_the_later_law_are_said() -> None:
    notes = " ".join(make_plan(EXAMPLE).notes)
    assert "published figures before filters, not your text" in notes
    assert "2605.01640" in notes
    assert "published figures" not in " ".join(make_plan(replace(EXAMPLE, published=False)).notes)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((0, 30.0), "--gpus 0: it must be over 0"),
        ((-8, 30.0), "--gpus -8: it must be over 0"),
        ((8, -1.0), "--days -1"),
        ((8, math.inf), "--days inf"),
        ((8, 30.0, "h1000"), "did you mean `h100`"),
        ((8, 30.0, "h100", 1.4), "--mfu 1.4"),
    ],
)
def test_compute_that_cannot_be(words: tuple, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        compute_of(*words)


def test_compute_is_the_product() -> None:
    assert compute_of(64, 30, "H100", 0.4)[0] == pytest.approx(6.6e22, rel=0.01)
    assert compute_of(1, 1, "a100", 1.0) == (312e12 * 86400, "1 A100 at 312 TFLOP/s (dense bf16 peak), MFU 1, 1 day")


def test_without_compute_nothing_is_planned() -> None:
    with pytest.raises(RecipeError, match="say how much compute there is"):
        make_plan(Wish(gathered(defaults())))
    with pytest.raises(RecipeError, match="say how much compute there is"):
        make_plan(Wish(gathered(defaults()), parameters=1e9))
