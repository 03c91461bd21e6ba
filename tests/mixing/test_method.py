"""Methods by name, their options, and a user's own: what is taken, and what is said of what is not."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixing.method as about_methods
from jacorpus.errors import RecipeError
from mixing.evidence import Evidence
from mixing.method import known_methods, method_class, method_named, options_of
from mixing.optimize import Result, optimize
from mixing.problem import problem_of
from mixing.settings import mixing_settings
from tests.mixing.worlds import domains, words_of

SOME = domains(ja_web=600, en_web=1000, ja_wiki=300)

OWN = '''
"""Methods of one's own."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixing.method import Answer


@dataclass(frozen=True)
class Halves:
    first: str
    share: float = 0.5
    takes_target: ClassVar[bool] = True

    def weights(self, problem, evidence):
        rest = (1 - self.share) / (len(problem.domains) - 1)
        share = {name: self.share if name == self.first else rest for name in problem.domains.names}
        return Answer(problem.domains.vector(share), notes=("halves are halves",))


@dataclass(frozen=True)
class Odd:
    what: str = "nan"
    takes_target: ClassVar[bool] = True

    def weights(self, problem, evidence):
        k = len(problem.domains)
        even = np.full(k, 1 / k)
        return {
            "nan": Answer(np.full(k, np.nan)),
            "shape": Answer(np.ones(k + 1) / (k + 1)),
            "table": Answer(np.eye(k)),
            "negative": Answer(np.array([1.5, -0.5, *np.zeros(k - 2)])),
            "sum": Answer(np.ones(k)),
            "zeros": Answer(np.zeros(k)),
            "words": Answer(["much", "little", "none"]),
            "none": Answer(None),
            "bare": even,
            "list": Answer(list(even)),
            "replicates": Answer(even, np.ones((4, k))),
            "thin": Answer(even, np.ones((4, k - 1))),
        }[self.what]


@dataclass(frozen=True)
class NoTarget:
    takes_target: ClassVar[bool] = False

    def weights(self, problem, evidence):
        assert not problem.given
        return Answer(problem.domains.natural)


@dataclass(frozen=True)
class Unfinished:
    def weights(self, problem, evidence):
        return Answer(problem.domains.natural)


class Plain:
    takes_target = True

    def weights(self, problem, evidence):
        return Answer(problem.domains.natural)


an_instance = Halves("x")
'''


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_mixing.py").write_text(OWN, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_mixing"


def run(method: str, options: dict[str, Any] | None = None, **more: Any) -> Result:
    settings = mixing_settings({"method": method, "options": options or {}, "draws": 2, **more})
    return optimize(problem_of(settings, SOME), settings, Evidence(tables_of=lambda: words_of(SOME)))


def test_every_file_of_methods_is_a_method_with_a_first_line() -> None:
    names = {path.stem for path in about_methods.METHODS.glob("*.py")} - {"__init__"}
    assert set(known_methods()) == names
    assert {"natural", "uniform", "temperature", "unimax", "own_weight", "fixed", "mixmin", "mixmax"} <= names
    for name, line in known_methods().items():
        cls = method_class(name)
        assert line.endswith("."), name
        assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
        assert isinstance(cls.takes_target, bool)
        assert method_named(name) == cls()


def test_options_come_typed() -> None:
    assert options_of(method_named("temperature", {"tau": 1})) == {"tau": 1.0}
    assert isinstance(options_of(method_named("temperature", {"tau": 1}))["tau"], float)
    assert options_of(method_named("mixmax")) == {"reference": "per_domain"}
    given = {"mixture": {"web": 1}}
    assert options_of(method_named("fixed", given)) == {"mixture": {"web": 1.0}}
    assert given == {"mixture": {"web": 1}}


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("mixmn", {}, "unknown mixing method `mixmn`; did you mean `mixmin`"),
        ("zzz", {}, "unknown mixing method `zzz`; known: .*mixmax, mixmin"),
        ("__init__", {}, "unknown mixing method"),
        ("natural", {"tau": 1}, r"\[mixing.options\] of natural: unknown option `tau`; it has none"),
        ("temperature", {"taw": 1}, "of temperature: unknown option `taw`; did you mean `tau`"),
        ("temperature", {"zz": 1}, "unknown option `zz`; known: tau"),
        ("temperature", {"tau": "high"}, r"option `tau`: .*valid number.* \(got 'high'\)"),
        ("temperature", {"tau": 1.5}, r"tau must be in \[0, 1\], got 1.5"),
        ("temperature", {"tau": float("nan")}, r"tau must be in \[0, 1\], got nan"),
        ("unimax", {"epochs": 0}, "epochs must be over 0, got 0"),
        ("mixmax", {"reference": "own"}, r"option `reference`: .*'per_domain' or 'prior' \(got 'own'\)"),
        ("fixed", {"mixture": {"web": "much"}}, r"option `mixture.web`: .*\(got 'much'\)"),
        ("fixed", {"mixture": 3}, "option `mixture`: "),
        ("no_such_module:Class", {}, "can't be loaded: No module named .* Is the module installed?"),
        (":Class", {}, "can't be loaded"),
        (".relative:Class", {}, "can't be loaded"),
        ("json:Class", {}, "can't be loaded: module 'json' has no attribute 'Class'"),
        (
            "json:JSONDecoder",
            {},
            r"is no method: .*frozen dataclass with weights\(.*and takes_target",
        ),
    ],
)
def test_wrong_names_and_options(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        method_named(name, options)


def test_a_method_of_ones_own(own: str) -> None:
    found = run(f"{own}:Halves", {"first": "ja-web", "share": 0.6}, target={"ja": 1.0})
    assert found.weights == pytest.approx({"en-web": 0.2, "ja-web": 0.6, "ja-wiki": 0.2})
    assert found.chosen.name == f"{own}:Halves"
    assert "halves are halves" in found.warnings
    beside = run("natural", compare=[f"{own}:NoTarget"])
    assert beside.rows[1].weights == pytest.approx(beside.rows[0].weights)


def test_ones_own_is_brought_within_limits_with_a_note(own: str) -> None:
    found = run(f"{own}:Halves", {"first": "ja-web"}, bounds={"ja-web": 0.2})
    assert found.weights == pytest.approx({"en-web": 0.4, "ja-web": 0.2, "ja-wiki": 0.4})
    assert any("outside the limits; it was moved by L1 0.60" in text for text in found.warnings)


def test_the_example_of_the_module_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As printed, with the imports that it leaves to the reader."""
    text = (about_methods.__doc__ or "").split("one of your own:\n")[1].split("\nWhatever")[0]
    lines = [line[4:] for line in text.splitlines()]
    head = ["from dataclasses import dataclass", "from typing import ClassVar", "from mixing.method import Answer"]
    (tmp_path / "printed.py").write_text("\n".join([*head, *lines]), "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert run("printed:Halves", {"first": "ja-web"}).weights == pytest.approx(
        {"en-web": 0.25, "ja-web": 0.5, "ja-wiki": 0.25}
    )


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("nan", "gave weights that are no mixture of 3 domains: .*nan.*en-web, ja-web, ja-wiki"),
        ("shape", "no mixture of 3 domains"),
        ("table", "no mixture of 3 domains"),
        ("negative", "finite, 0 or more"),
        ("sum", "of sum 1"),
        ("zeros", "of sum 1"),
        ("words", "no mixture of 3 domains"),
        ("none", "no mixture of 3 domains"),
        ("bare", r"gave ndarray; weights\(\) has to give mixing.method.Answer"),
        ("replicates", "gave replicates that are no mixture"),
        ("thin", "gave replicates that are no mixture"),
    ],
)
def test_what_ones_own_gets_wrong_is_told(own: str, what: str, says: str) -> None:
    with pytest.raises(RecipeError, match=f"the method {own}:Odd .*{says}".replace("\n", "")) as told:
        run(f"{own}:Odd", {"what": what})
    assert len(str(told.value)) < 400


def test_a_list_of_weights_will_do(own: str) -> None:
    found = run(f"{own}:Odd", {"what": "list"}, bounds={"ja-web": 0.2})
    assert isinstance(found.chosen.answer.weights, np.ndarray)
    assert found.weights["ja-web"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("Halves", {}, r"own_mixing:Halves: it needs the option `first`"),
        ("Halves", {"first": 3}, r"option `first`: .*string \(got 3\)"),
        ("Halves", {"takes_target": False}, "unknown option `takes_target`"),
        ("Unfinished", {}, "is no method: .*takes_target"),
        ("Plain", {}, "is no method: .*frozen dataclass"),
        ("an_instance", {}, "is no method: "),
        ("Answers", {}, "can't be loaded"),
    ],
)
def test_what_is_no_method_of_ones_own(own: str, name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        method_named(f"{own}:{name}", options)


def test_types_that_only_a_checker_sees_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = OWN.replace('"""\n\nfrom', '"""\n\nfrom __future__ import annotations\n\nfrom', 1).replace(
        ": str\n", ": Word\n"
    )
    (tmp_path / "later_mixing.py").write_text(text, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RecipeError, match="name 'Word' is not defined"):
        method_named("later_mixing:Halves", {"first": "x"})


def test_methods_are_data() -> None:
    """Equal by options, unchangeable."""
    one = method_named("unimax", {"epochs": 2})
    assert one == method_named("unimax", {"epochs": 2.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.epochs = 3  # type: ignore[attr-defined]
