"""The report of a mixture: what a reader must find, and that nothing is there without something to say."""

import json
import math
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cli.mix import printing
from jacorpus.report.numbers import Interval
from jacorpus.report.report import Bars, Curve, Facts, Paragraph, Report, Table, Views
from mixing.evidence import Evidence
from mixing.intervals import paired
from mixing.method import Certificate
from mixing.mixture import Mixture, read_mixture
from mixing.optimize import Result, facts_of, optimize
from mixing.problem import problem_of
from mixing.repeats import effective, next_value
from mixing.report import ledger, report_of, write_report
from mixing.reporting import cells
from mixing.reporting.methods import verdict
from mixing.settings import mixing_settings
from tests.mixing.worlds import Words, domains, world

SIZES = {"ja_web": 60_000_000, "ja_wiki": 4_000_000, "ja_novels": 1_500_000}
SIZES |= {"en_web": 90_000_000, "en_tech": 8_000_000, "en_math": 900_000, "code": 20_000_000}


class Loss:
    """What a tiny model measured."""

    def __init__(self, bits: float) -> None:
        self.bits_per_byte = self.loss = bits
        self.error = 0.0


class Tiny:
    """A proxy whose losses are the surrogate's, a little higher and with noise by seed and mixture."""

    def __init__(self, some: Any, words: Words) -> None:
        self.domains, self.words = some, words

    def losses(self, mixture: Mapping[str, float], seed: int = 0, **_: Any) -> dict[str, Loss]:
        weights = self.domains.vector(mixture)
        noise = np.random.default_rng([seed, int(1e6 * weights.max())]).normal(0, 0.01, len(self.words.sets))
        return {n: Loss(float(x)) for n, x in zip(self.words.sets, self.words.losses(weights) + noise, strict=True)}

    def steer(self, controller: Any, **_: Any) -> Any:
        raise NotImplementedError


def found(sizes: dict[str, int], **table: Any) -> Result:
    """Optimized for real, over words that all domains share in part."""
    some = domains(**sizes)
    mixed = 0.5 * world(len(some), 24, 3) + 0.5 * world(1, 24, 103)
    words = Words(mixed, mixed, some.names)
    settings = mixing_settings({"draws": 4, **table})
    evidence = Evidence(tables_of=lambda: words, proxy_of=lambda: Tiny(some, words))
    return optimize(problem_of(settings, some), settings, evidence)


@pytest.fixture(scope="module")
def two() -> Result:
    return found({"en_web": 9_000_000, "ja_web": 3_000_000})


@pytest.fixture(scope="module")
def seven() -> Result:
    """Everything that a report can have."""
    return found(
        SIZES,
        compare=["mixmax"],
        target={"ja": 0.7, "code": 0.3},
        tokens=400_000_000.0,
        epochs={"en-math": 2},
        languages={"ja": [0.3, 0.6]},
        keep={"en": 0.02},
        judge=2,
    )


@pytest.fixture(scope="module")
def twenty() -> Result:
    kinds = ("web", "wiki", "novels", "law", "math")
    names = [f"{language}_{kind}" for language in ("ja", "en", "zh", "code") for kind in kinds]
    return found({name: 1_000_000 * (i + 1) for i, name in enumerate(names)}, target={"ja": 1.0}, draws=2)


def keys(report: Report) -> list[str]:
    return [section.key for section in report.sections]


def blocks(report: Report, key: str) -> list[Any]:
    """A section's blocks, those behind tabs too."""
    listed = next(section.blocks for section in report.sections if section.key == key)
    return [part for each in listed for part in ([v for _, v in each.views] if isinstance(each, Views) else [each])]


def titled(report: Report, key: str, title: str) -> Any:
    return next(b for b in blocks(report, key) if getattr(b, "title", None) == title)


def test_a_report_has_all_sections_where_there_is_something_for_each(seven: Result) -> None:
    wanted = ["answer", "as_good", "methods", "way", "targets", "limits", "sources", "trust"]
    assert keys(report_of(seven)) == wanted


def test_sections_without_content_are_left_out(two: Result) -> None:
    assert "limits" not in keys(report_of(two))
    assert "targets" not in keys(report_of(replace(two, fronts=())))
    still = [replace(row, answer=replace(row.answer, trajectory=None, replicates=np.zeros((0, 0)))) for row in two.rows]
    bare = report_of(replace(two, rows=tuple(still), fronts=()))
    assert "way" not in keys(bare)
    for report in (report_of(two), bare):
        for section in report.sections:
            for block in blocks(report, section.key):
                assert not isinstance(block, Table) or block.rows
                assert not isinstance(block, Curve) or all(len(line.points) > 1 for line in block.lines)
                assert not isinstance(block, Bars) or block.bars
                assert not isinstance(block, Facts) or block.facts


def test_the_weights_are_those_of_the_answer_and_have_intervals(seven: Result) -> None:
    report = report_of(seven)
    picture = titled(report, "answer", "Weights")
    assert {bar.label: bar.values[0] for bar in picture.bars} == pytest.approx(seven.weights)
    table = next(b for b in blocks(report, "answer") if isinstance(b, Table) and b.columns[0].title == "domain")
    at = [column.title for column in table.columns].index("with its interval")
    by_name = dict(zip(seven.problem.domains.names, seven.chosen.intervals, strict=True))
    for row in table.rows:
        cell = row[at]
        assert isinstance(cell, Interval)
        assert cell.low <= cell.value <= cell.high
        assert (cell.low, cell.high) == pytest.approx((by_name[str(row[0])].low, by_name[str(row[0])].high))


def test_totals_of_languages_and_types_are_sums(seven: Result) -> None:
    for title, axis in (("Weights of languages", "language"), ("Weights of types", "type")):
        picture = titled(report_of(seven), "answer", title)
        for bar in picture.bars:
            members = seven.problem.domains.members(axis, bar.label)
            assert bar.values[0] == pytest.approx(seven.chosen.weights[members].sum())
        assert math.fsum(bar.values[0] for bar in picture.bars) == pytest.approx(1)


def test_headline_numbers_tell_loss_gain_and_proof(two: Result) -> None:
    facts = {f.label: f for b in blocks(report_of(two), "answer") if isinstance(b, Facts) for f in b.facts}
    natural = next(row for row in two.rows if row.name == "natural")
    assert natural.better is not None
    assert float(str(facts["predicted loss"].value)) == pytest.approx(two.chosen.wanted, abs=1e-4)
    assert float(str(facts["predicted gain over natural"].value)) == pytest.approx(natural.better.value, abs=1e-4)
    assert "a proof" in facts["from the optimum"].note
    assert "bits per byte" in facts["from the optimum"].note
    assert facts["repetitions"].value == 4


def test_an_estimate_is_not_called_a_proof(two: Result) -> None:
    for certificate, words in (
        (Certificate(0.02, "bits per byte", False, "losses are not convex"), "an estimate: losses are not convex"),
        (Certificate(math.inf, "bits per byte", True), "the method gives no bound"),
        (None, "the method gives no bound"),
    ):
        row = replace(two.chosen, answer=replace(two.chosen.answer, certificate=certificate))
        report = report_of(replace(two, rows=(row, *two.rows[1:])))
        facts = {f.label: f for b in blocks(report, "answer") if isinstance(b, Facts) for f in b.facts}
        assert words in facts["from the optimum"].note
        assert "proof" not in facts["from the optimum"].note


def test_warnings_are_whole_sentences_and_all_there(two: Result) -> None:
    told = "unimax does better than mixmin by tiny models", "something else"
    report = report_of(replace(two, warnings=told))
    table = titled(report, "answer", "Read with care")
    assert [row[1] for row in table.rows] == ["unimax does better than mixmin by tiny models.", "Something else."]
    assert not any(
        getattr(b, "title", "") == "Read with care" for b in blocks(report_of(replace(two, warnings=())), "answer")
    )


def test_ranges_as_good_are_the_results(seven: Result) -> None:
    picture = titled(report_of(seven), "as_good", "Equally good weights")
    ranges = {each.name: each for each in seven.ranges}
    for bar in picture.bars:
        assert bar.values == pytest.approx((ranges[bar.label].low, ranges[bar.label].high), abs=1e-6)
    assert "Digits beyond that mean little" in blocks(report_of(seven), "as_good")[0].text


def test_an_answer_outside_the_good_ranges_is_told(two: Result) -> None:
    far = replace(two.chosen, weights=np.array([0.99, 0.01]))
    text = blocks(report_of(replace(two, rows=(far, *two.rows[1:]))), "as_good")[0].text
    assert "not among them" in text
    assert "en-web" in text


def test_every_method_has_a_row_and_a_verdict(seven: Result) -> None:
    report = report_of(seven)
    table = titled(report, "methods", "Losses of the methods")
    titles = [column.title for column in table.columns]
    assert [str(row[0]).split(" ")[0] for row in table.rows] == [row.name for row in seven.rows]
    for line, row in zip(table.rows[1:], seven.rows[1:], strict=True):
        assert row.better is not None
        if not row.better.low <= 0 <= row.better.high:
            better = "answer better" if row.better.value > 0 else "answer worse"
            assert line[titles.index("predicted")] in (better, "the same mixture")
    weights = titled(report, "methods", "Weights of the methods")
    for line in weights.rows:
        i = seven.problem.domains.index(str(line[0]))
        assert line[1:] == pytest.approx([row.weights[i] for row in seven.rows])
    assert len(titled(report, "methods", "Bits per byte by held-out set, predicted").rows) == len(seven.sets)
    assert titled(report, "methods", "Bits per byte by held-out set, measured by tiny models")


def test_verdicts() -> None:
    assert verdict(Interval(0.1, -0.1, 0.3), False) == "no significant difference"
    assert verdict(Interval(0.2, 0.1, 0.3), False) == "answer better"
    assert verdict(Interval(-0.2, -0.3, -0.1), False) == "answer worse"
    assert verdict(Interval(0.0, 0.0, 0.0), True) == "the same mixture"
    assert verdict(paired(np.array([0.2])), False) == "not known from one seed"
    assert verdict(None, False) == ""


def test_long_ways_are_thinned_and_small_domains_summed(twenty: Result) -> None:
    steps = np.random.default_rng(0).dirichlet(np.ones(20), 5000)
    row = replace(twenty.chosen, answer=replace(twenty.chosen.answer, trajectory=steps))
    report = report_of(replace(twenty, rows=(row, *twenty.rows[1:])))
    curve = titled(report, "way", "Weights on the way, mixmin")
    assert len(curve.lines) == cells.LINES
    assert curve.lines[-1].name == "15 others"
    assert all(len(line.points) <= 300 for line in curve.lines)
    for t in range(len(curve.lines[0].points)):
        assert math.fsum(line.points[t][1] for line in curve.lines) == pytest.approx(1)
    assert curve.lines[0].points[0][0] == 0
    assert curve.lines[0].points[-1][0] == 4999


def test_targets_are_shown_against_each_other(seven: Result) -> None:
    front = seven.fronts[0]
    curve = titled(report_of(seven), "targets", f"What {front.first} costs {front.second}")
    xs = [x for x, _ in curve.lines[0].points]
    ys = [y for _, y in curve.lines[0].points]
    assert min(xs) == min(ys) == 0  # percent over each one's least
    assert max(ys) == pytest.approx(100 * (front.points[0][1] / min(p[1] for p in front.points) - 1))


def test_targets_that_agree_are_a_sentence(seven: Result) -> None:
    front = replace(seven.fronts[0], points=tuple((1.0, 2.0, seven.chosen.weights) for _ in range(11)))
    only = blocks(report_of(replace(seven, fronts=(front,))), "targets")
    assert len(only) == 1
    assert isinstance(only[0], Paragraph)
    assert "do not pull apart" in only[0].text


def test_limits_are_all_listed_with_what_they_cost(seven: Result) -> None:
    report = report_of(seven)
    table = titled(report, "limits", "Limits")
    assert {row[0] for row in table.rows} == {bound.label for bound in seven.problem.limits.bounds}
    costs = {row[0]: row[-1] for row in table.rows}
    assert seven.effects, "this world has a limit that binds"
    for effect in seven.effects:
        assert costs[effect.label] == cells.bits_text(-effect.gain)
    assert seven.effects[0].label in blocks(report, "limits")[0].text
    assert [row[0] for row in titled(report, "limits", "Losses to keep").rows] == ["en"]


def test_the_ledger_follows_the_law_of_repeats(seven: Result) -> None:
    rows = ledger(seven)
    assert [row["share"] for row in rows] == sorted((row["share"] for row in rows), reverse=True)
    assert math.fsum(row["seen_tokens"] for row in rows) == pytest.approx(seven.problem.tokens)
    for row in rows:
        seen, unique = row["seen_tokens"], row["unique_tokens"]
        assert row["epochs"] == pytest.approx(seen / unique)
        assert row["effective_tokens"] == pytest.approx(effective(seen, unique))
        assert row["next_token_value"] == pytest.approx(next_value(seen, unique))
        assert row["shortfall_tokens"] == pytest.approx(max(seen / 4 - unique, 0) if row["epochs"] > 4.005 else 0)
    assert any(row["shortfall_tokens"] for row in rows), "this budget asks for repeats"
    shown = titled(report_of(seven), "sources", "Ledger")
    assert shown.columns[-1].title == "shortfall, tokens"
    assert len(shown.rows) == len(rows) + 1


def test_without_a_budget_the_report_says_how_to_give_one(two: Result) -> None:
    report = report_of(two)
    assert "tokens = " in blocks(report, "sources")[0].text
    assert all(row["epochs"] is None and row["seen_tokens"] is None for row in ledger(two))
    assert not any(isinstance(b, Table) and b.title == "Ledger" for b in blocks(report, "sources"))


def test_document_shares_follow_the_length_of_documents(two: Result) -> None:
    short, long = two.problem.domains.all
    longer = replace(two.problem.domains, all=(short, replace(long, documents=long.documents // 4)))
    result = replace(two, problem=replace(two.problem, domains=longer))
    rows = {row["name"]: row for row in ledger(result)}
    a, b = (rows[name]["share"] / size for name, size in (("en-web", 1), ("ja-web", 4)))
    assert rows["en-web"]["document_share"] == pytest.approx(a / (a + b), rel=1e-4)


def test_agreement_of_two_proxies_and_all_facts_are_shown(seven: Result) -> None:
    facts = {"surrogate": "tables", "events": 12, "tables": {"seconds": math.nan}, "sizes": [1, 2]}
    report = report_of(replace(seven, facts=facts))
    table = titled(report, "trust", "Rank correlation of predicted and measured losses")
    assert {row[0] for row in table.rows} == set(seven.agreement)
    assert table.rows[0][0] == "target"
    told = dict(titled(report, "trust", "What the prediction rests on").rows)
    assert told == {"surrogate": "tables", "events": 12, "tables, seconds": None, "sizes": "1, 2"}


def test_without_a_judge_the_report_says_how_to_get_one(two: Result) -> None:
    assert "judge = 3" in blocks(report_of(two), "trust")[0].text


def test_json_holds_no_number_that_is_none(seven: Result) -> None:
    """A judge of one seed has endless intervals, a rank may not be defined."""
    rows = []
    for row in seven.rows:
        judged = row.judged[:1]
        gain = paired(np.array([0.1])) if row.gain is not None else None
        rows.append(replace(row, judged=judged, gain=gain))
    report = report_of(replace(seven, rows=tuple(rows), agreement={"target": math.nan}))
    json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert "not known from one seed" in report.to_html()


def test_own_weights_and_domains_only_measured_on() -> None:
    sizes = {"en_web": 9_000_000, "ja_web": 3_000_000, "de_web": 1_000_000}
    result = found(sizes, weights={"en-web": 0.5, "ja-web": 0.5}, held_out=["de-web"], draws=0)
    report = report_of(result)
    assert report.title == "Mixture by your own weights"
    assert [bar.label for bar in titled(report, "answer", "Weights").bars] == ["en-web", "ja-web"]
    assert "Not trained on: de-web" in report.to_markdown()


def test_one_domain_has_a_report_too() -> None:
    result = found({"ja_web": 1_000_000}, draws=0)
    report = report_of(result)
    assert keys(report) == ["answer", "methods", "sources", "trust"]
    assert "puts 100 % on ja-web" in report.to_html()


def test_the_report_is_the_same_twice_and_is_written_whole(two: Result, tmp_path: Any) -> None:
    page = write_report(two, tmp_path)
    assert page.read_text("utf-8") == report_of(two).to_html()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    json.loads((tmp_path / "report.json").read_text("utf-8"))


def test_the_terminal_shows_weights_methods_and_warnings(seven: Result, tmp_path: Any, capsys: Any) -> None:
    printing.print_result(seven, tmp_path)
    out = capsys.readouterr().out
    for name in (*seven.problem.domains.names, *(row.name for row in seven.rows)):
        assert name in out
    assert str(tmp_path / "mixture.json") in out
    assert "report:" not in out
    for text in cells.warnings(seven):
        assert f"! {text}" in out


def test_the_terminal_shows_what_would_be_weighed(seven: Result, capsys: Any) -> None:
    printing.print_problem(seven.problem, seven.settings)
    out = capsys.readouterr().out
    assert out.startswith("mixmin would weigh 7 domains")
    for bound in seven.problem.limits.bounds:
        assert bound.label in out
    printing.print_problem(seven.problem, seven.settings, json=True)
    told = json.loads(capsys.readouterr().out)
    assert math.fsum(row["prior"] for row in told["domains"]) == pytest.approx(1)
    assert told["target"] == seven.problem.target


def test_a_mixture_is_shown_alike_before_and_after_its_file(seven: Result, tmp_path: Any, capsys: Any) -> None:
    made = Mixture(seven.weights, seven.problem.domains, key="k", facts=facts_of(seven))
    made.write(tmp_path / "mixture.json")
    shown = []
    for mixture in (made, read_mixture(tmp_path)):
        printing.print_mixture(mixture, tmp_path)
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    assert all(name in shown[0] for name in seven.weights)
    printing.print_mixture(read_mixture(tmp_path), tmp_path, json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["weights"] == pytest.approx(seven.weights)
    assert set(told["shares"]) == {"token", "byte", "document"}


@pytest.mark.browser
def test_the_page_opens_in_a_browser_without_an_error(seven: Result, tmp_path: Any) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("chromium is absent")
    page = write_report(seven, tmp_path)
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    command = [chromium, *flags.split(), "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count("<svg") > 5
