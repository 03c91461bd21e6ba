"""The report of a training run: its numbers, thinned curves, missing files, and the page."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from jacorpus.errors import InputError
from jacorpus.report.report import Curve, Excerpts, Fact, Facts, Line, Report, Table, Views
from trainer import training_curves as curves
from trainer.config import LayerConfig, ModelConfig
from trainer.log import Log
from trainer.plan import Phase, Plan
from trainer.training_report import read_run, training_report, write_training_report

STEPS = 400
BATCH = 1024
MODEL = ModelConfig(
    512,
    64,
    (LayerConfig("mamba", 128), LayerConfig("window", 128, 4, 1, 32)) * 3,
    16,
    mamba_heads=4,
    mamba_head_dim=32,
    dt_rank=64,
)
PLAN = Plan(
    (
        Phase(300 * BATCH, {"web": 3.0, "wiki": 1.0}, 128, BATCH),
        Phase(100 * BATCH, {"wiki": 1.0, "青空": 1.0}, 256, BATCH),
    )
)


def log_steps(log: Log, steps: int) -> None:
    draw = random.Random(0)
    for step in range(steps):
        bits = 1 + 2 / (1 + step)
        loss = 2 * bits + draw.gauss(0, 0.05)
        spike = step == 123
        by_domain = {"web": bits + 0.1, "wiki": bits - 0.1} if step < 300 else {"wiki": bits - 0.1, "青空": bits}
        row = {"step": step, "tokens": BATCH * (step + 1), "loss": loss + 5 * spike, "bits_per_byte": bits}
        row |= {"lr": 2e-4, "grad_norm": 500.0 if spike else 0.5 + draw.random() / 10, "skipped": int(step >= 123)}
        log.step({**row, "bits_per_byte_by_domain": by_domain, "tokens_per_s": 25_000.0 if step else 10.0})
        if spike:
            log.event(step, "skip", loss=float("nan"), grad_norm=500.0)
        if step % 50 == 49:
            log.evaluated(step, None, bits, loss)
            for name in ("web", "wiki"):
                log.evaluated(step, name, by_domain.get(name, 1.1), loss)
            log.event(step, "checkpoint")


def write(folder: Path, **files: Any) -> None:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), "utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "tiny-ja"
    with Log(folder, tensorboard=False) as log:
        log.event(0, "start")
        log_steps(log, STEPS)
    baseline = {"token bigram": {"bits_per_byte": 2.5, "domains": {"web": 2.25}, "note": "Kneser-Ney"}}
    samples = [{"prompt": "東京は", "text": "日本の<首都>である。", "temperature": 0.7}]
    write(
        folder,
        config={"model": MODEL.to_dict(), "plan": PLAN.to_dict(), "train": {}},
        baseline=baseline,
        samples=samples,
    )
    write(folder, run={"device": "NVIDIA H200", "world": 2, "valid": {"web": 1.0}})
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return training_report(read_run(folder))


def blocks(report: Report, key: str, kind: type) -> list[Any]:
    found = [block for section in report.sections if section.key == key for block in section.blocks]
    found += [view for block in found if isinstance(block, Views) for _, view in block.views]
    return [block for block in found if isinstance(block, kind)]


def facts(report: Report, key: str = "overview") -> dict[str, Fact]:
    return {fact.label: fact for block in blocks(report, key, Facts) for fact in block.facts}


def table(report: Report, key: str, title: str) -> Table:
    return next(block for block in blocks(report, key, Table) if block.title == title)


def test_headline_numbers(report: Report) -> None:
    found = facts(report)
    assert found["parameters"].value == MODEL.parameters()
    assert found["tokens trained"].value == STEPS * BATCH
    assert found["tokens trained"].note == "400 steps of 400"
    assert found["training loss"].value == pytest.approx(2.01, abs=0.05)
    assert found["bits per byte, all domains"].value == pytest.approx(1.0, abs=0.1)
    assert found["tokens per s"].value == 25_000
    assert found["steps skipped"].value == 1
    assert found["hardware"].value == "2 × NVIDIA H200"
    assert "MFU" not in found  # not in this log
    assert not any(block.title == "Read with care" for block in blocks(report, "overview", Table))


def test_skips_and_events_are_told(report: Report) -> None:
    assert table(report, "optimization", "Skipped steps").rows[0][:3] == (
        123,
        "skip",
        "loss not finite, grad_norm 500",
    )
    events = table(report, "optimization", "Events")
    assert [row[1] for row in events.rows] == ["start"]
    assert events.note == "8 checkpoints, the last after step 399."


def test_baselines_stand_beside_the_model(report: Report) -> None:
    rows = table(report, "loss", "Bits per byte, valid split").rows
    ours = rows[0][1]
    assert isinstance(ours, float)
    assert rows[1] == ("token bigram", 2.5, 2.25, None, pytest.approx(1 - ours / 2.5), "Kneser-Ney")


def test_one_domain_alone_is_the_whole(tmp_path: Path) -> None:
    write(tmp_path, baseline={"token bigram": {"bits_per_byte": 2.0}})
    with Log(tmp_path, tensorboard=False) as log:
        log.evaluated(0, "web", 1.5, 3.0)
    report = training_report(read_run(tmp_path))
    assert facts(report)["bits per byte, web"].value == 1.5
    assert table(report, "loss", "Bits per byte, valid split").rows[1][1:3] == (2.0, 0.25)


def test_tables_of_data_and_model_add_up(report: Report) -> None:
    phases = table(report, "data", "Phases")
    assert [column.title for column in phases.columns[-3:]] == ["web", "wiki", "青空"]
    assert [row[-3:] for row in phases.rows] == [(0.75, 0.25, 0.0), (0.0, 0.5, 0.5)]
    layers = table(report, "model", "Layers").rows
    assert [row[:2] for row in layers[:2]] == [("mamba", "0, 2, 4"), ("window", "1, 3, 5")]
    assert sum(row[-1] for row in layers[:-1]) == layers[-1][-1] == MODEL.parameters()  # type: ignore[misc]


def test_curves_are_small_and_keep_their_spikes(report: Report) -> None:
    loss, norm = blocks(report, "loss", Curve)[0], blocks(report, "optimization", Curve)[1]
    assert all(len(line.points) <= curves.MOST for line in loss.lines)
    assert max(y for _, y in loss.lines[0].points) == pytest.approx(7, abs=0.3)
    assert loss.marks == ((300.0, "phase 2"),)
    assert max(y for _, y in norm.lines[0].points) == 500
    assert max(y for _, y in norm.lines[1].points) < 1  # the mean leaves out the skipped step
    rate = blocks(report, "optimization", Curve)[0]
    assert rate.y_label == "× 10⁻⁴"
    assert {y for _, y in rate.lines[0].points} == {2.0}


def test_a_domain_that_comes_later_has_its_line(report: Report) -> None:
    training = next(c for c in blocks(report, "loss", Curve) if c.title == "Bits per byte, training")
    spans = {line.name: (line.points[0][0], line.points[-1][0]) for line in training.lines}
    assert spans == {"all": (0, 399), "web": (0, 299), "wiki": (0, 399), "青空": (300, 399)}


def test_samples_are_shown_unfolded_and_escaped(report: Report) -> None:
    (block,) = blocks(report, "samples", Excerpts)
    assert block.open
    page = report.to_html()
    assert "<mark>東京は</mark>日本の&lt;首都&gt;である。" in page
    assert 'data-tone="kept" open>' in page


def test_page_and_json_are_written_and_need_no_network(folder: Path) -> None:
    path = write_training_report(folder)
    page = path.read_text("utf-8")
    assert page.count("<svg") >= 8
    assert not any(word in page for word in ('src="http', 'href="http', "@import", "url(http"))
    assert json.loads((folder / "report.json").read_text("utf-8"))["title"] == "Training of tiny-ja"
    assert write_training_report(folder).read_text("utf-8") == page
    assert not list(folder.glob("*.tmp"))


def test_the_log_alone_is_enough(tmp_path: Path) -> None:
    with Log(tmp_path, tensorboard=False) as log:
        log.step({"step": 0, "loss": 3.0})
    keys = [section.key for section in training_report(read_run(tmp_path)).sections]
    assert keys == ["overview", "optimization"]
    (tmp_path / "log.jsonl").write_text("")
    assert "after 0 steps" in training_report(read_run(tmp_path)).to_html()


def test_what_went_wrong_is_said_first(tmp_path: Path) -> None:
    write(tmp_path, config={**MODEL.to_dict(), "plan": PLAN.to_dict()})
    with Log(tmp_path, tensorboard=False) as log:
        for step, bits in enumerate((1.5, 1.0, 1.2)):
            log.step({"step": step, "loss": float("inf") if step == 2 else 3.0, "skipped": step})
            log.evaluated(step, None, bits, 3.0)
    rows = table(training_report(read_run(tmp_path)), "overview", "Read with care").rows
    assert [row[0] for row in rows] == ["not finished", "diverged", "skipped steps", "valid split got worse"]


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no log"):
        write_training_report(tmp_path)
    (tmp_path / "log.jsonl").write_text('{"step": 0}\n')
    (tmp_path / "samples.json").write_text("[")
    with pytest.raises(InputError, match=r"samples\.json is no JSON"):
        read_run(tmp_path)


def test_thinning_keeps_ends_and_extremes() -> None:
    draw = random.Random(3)
    line = tuple((float(i), draw.random()) for i in range(10_001))
    thinned = curves.thin(line, 100)
    assert len(thinned) <= 100
    assert {line[0], line[-1], min(line, key=lambda p: p[1]), max(line, key=lambda p: p[1])} <= set(thinned)
    assert list(thinned) == sorted(thinned)
    assert curves.thin(line[:100], 100) == line[:100]
    assert curves.thin(line, 2) == (line[0], line[-1])


def test_smoothing_is_a_mean_that_starts_right() -> None:
    constant = tuple((float(i), 2.5) for i in range(300))
    assert all(y == pytest.approx(2.5) for _, y in curves.smooth(constant))
    jump = tuple((float(i), float(i >= 100)) for i in range(300))
    smoothed = curves.smooth(jump, 10)
    assert smoothed[99][1] == 0
    assert 0.8 < smoothed[110][1] < 1
    assert curves.smooth(jump, 1) == jump


def test_a_spike_among_thousands_ends_at_the_edge_and_is_told() -> None:
    raw = tuple((float(i), 100.0 if i == 2000 else 1 + (i % 10) / 100) for i in range(4000))
    drawn = curves.curve("t", "y", [Line("each step", raw, thin=True)], note="First.")
    assert max(y for _, y in drawn.lines[0].points) < 1.2
    assert drawn.note == "First. Beyond the picture and drawn at its edge: 1 of 4,000 values, the farthest 100."
