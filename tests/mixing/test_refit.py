"""The refit: known constants come back, the objective is the one written down, wrong files are told."""

import json
from pathlib import Path

import numpy as np
import pytest

from jacorpus.errors import InputError
from mixing.refit import Points, bootstrap, fit, objective, read_points
from mixing.scaling import LAWS, Law, law_named


def made(law: Law, number: int = 120, noise: float = 0.0, seed: int = 0) -> Points:
    """Runs over the range of Hoffmann's."""
    draw = np.random.default_rng(seed)
    n = np.exp(draw.uniform(np.log(5e7), np.log(1e10), number))
    d = np.exp(draw.uniform(np.log(1e9), np.log(3e11), number))
    return Points(n, d, law.loss(n, d) * np.exp(noise * draw.standard_normal(number)))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_constants_come_back_from_exact_points(law: Law) -> None:
    found = fit(made(law))
    assert [getattr(found.law, n) for n in "Eab"] == pytest.approx([getattr(law, n) for n in "Eab"], rel=1e-4)
    assert [getattr(found.law, n) for n in "AB"] == pytest.approx([getattr(law, n) for n in "AB"], rel=2e-3)
    assert found.objective < 1e-12
    assert found.agreed >= 1


def test_a_fit_is_better_than_the_truth_and_than_its_neighbors() -> None:
    law = law_named("besiroglu")
    points = made(law, noise=0.01)
    found = fit(points)
    assert found.objective == pytest.approx(objective(found.law, points), rel=1e-9)
    assert found.objective <= objective(law, points)
    assert found.agreed >= 8
    draw = np.random.default_rng(1)
    for _ in range(50):
        moved = [getattr(found.law, n) * (1 + 1e-3 * draw.standard_normal()) for n in ("E", "A", "B", "a", "b")]
        assert objective(Law("moved", *moved), points) >= found.objective


def test_one_broken_run_hardly_moves_a_fit() -> None:
    points = made(law_named("besiroglu"), noise=0.005)
    broken = Points(points.parameters, points.tokens, np.where(np.arange(len(points)) == 3, 9.0, points.losses))
    floors = [fit(each).law.E for each in (points, broken)]
    assert floors[1] == pytest.approx(floors[0], rel=0.01)


def test_the_bootstrap_covers_the_truth_and_is_steady() -> None:
    law = law_named("besiroglu")
    points = made(law, 240, noise=0.01, seed=3)
    found = fit(points)
    drawn = bootstrap(points, found, 60)
    for name in "Eab":
        low, high = np.percentile(getattr(drawn, name), [0.5, 99.5])
        assert low <= getattr(law, name) <= high
        assert low < high
    assert bootstrap(points, found, 5).A.tolist() == bootstrap(points, found, 5).A.tolist()
    assert np.corrcoef(np.log(drawn.A), drawn.a)[0, 1] > 0.95


def test_the_largest_losses_can_be_left_out() -> None:
    points = made(law_named("besiroglu"), 20)
    left = points.without_largest(5)
    assert len(left) == 15
    assert left.losses.max() < np.sort(points.losses)[-5]
    assert points.without_largest(0) is points


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_csv_and_json_are_read_alike(tmp_path: Path) -> None:
    rows = [(1e8, 2e9, 3.1), (2e8, 4e9, 2.9)]
    csv = write(tmp_path / "a.csv", "loss,N,D\n" + "".join(f"{loss},{n},{d}\n" for n, d, loss in rows))
    flops = [{"Model Size": n, "Training FLOP": 6 * n * d, "loss": loss} for n, d, loss in rows]
    columns = {"parameters": [1e8, 2e8], "tokens": [2e9, 4e9], "loss": [3.1, 2.9]}
    listed = write(tmp_path / "b.json", json.dumps(flops))
    keyed = write(tmp_path / "c.json", json.dumps(columns))
    for path in (csv, listed, keyed):
        points = read_points(path)
        assert points.parameters.tolist() == [1e8, 2e8]
        assert points.tokens == pytest.approx([2e9, 4e9])
        assert points.losses.tolist() == [3.1, 2.9]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("N,D,loss\n1e8,2e9,-1\n", r"point 1: loss must be a number over 0, got '-1'"),
        ("N,D,loss\n1e8,2e9,3\n1e8,x,3\n", r"point 2: D must be a number"),
        ("N,loss\n1e8,3\n", r"no column tokens \(or flops\)"),
        ("[1, 2]", "no list of points"),
        ("", "no column parameters, loss"),
    ],
)
def test_wrong_files_say_where(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_points(write(tmp_path / "points", text))


def test_too_few_or_too_equal_points_are_refused() -> None:
    points = made(law_named("besiroglu"), 20)
    with pytest.raises(InputError, match="can't tell five constants"):
        fit(points.taken(np.arange(4)))
    with pytest.raises(InputError, match="1 sizes"):
        fit(Points(np.full(20, 1e9), points.tokens, points.losses))
