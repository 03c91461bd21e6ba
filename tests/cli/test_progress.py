"""What is drawn of a training run."""

import pytest
from rich.console import Console

from cli import console, progress
from cli.progress import TrainingBar

ROW = {"step": 1199, "tokens": 39_321_600, "loss": 3.1017, "bits_per_byte": 1.2213, "tokens_per_s": 61400.4}
LINE = "step 1,200/6,000  39.3M tokens  loss 3.102  1.221 bits/byte  61,400 tok/s"


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "notes", Console(width=40, soft_wrap=True, highlight=False, markup=False))


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(width=140, record=True, force_terminal=True, stderr=True, highlight=False)
    monkeypatch.setattr(console, "notes", screen)
    with TrainingBar(6000) as bar:
        bar.update(ROW)
        bar.say("saved [a] checkpoint")
        assert bar.bar is not None
        assert bar.bar.tasks[0].percentage == 20
    shown = screen.export_text()
    assert LINE in shown
    assert "checkpoint" in shown


@pytest.mark.usefixtures("no_terminal")
def test_elsewhere_there_is_a_line_every_30_s_and_one_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with TrainingBar(100) as bar:
        for step in range(8):
            clock.now += 10
            bar.update({"step": step, "loss": None})
        bar.say("saved")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "step 4/100  16:00 left",
        "step 8/100  15:20 left",
        "saved",
    ]


@pytest.mark.usefixtures("no_terminal")
def test_a_short_run_ends_with_its_last_step(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar(6000) as bar:
        bar.update(ROW)
    assert capsys.readouterr().out.splitlines() == [LINE]
    with TrainingBar(6000):
        pass
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("no_terminal")
def test_quiet_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar(2, quiet=True) as bar:
        clock.now += 100
        bar.update(ROW)
        bar.say("x")
    assert capsys.readouterr().out == ""


def test_the_remaining_time_goes_by_recent_steps(clock: Clock) -> None:
    bar = TrainingBar(1000)
    assert bar.remaining_s() is None
    for step in range(500, 600):  # a resumed run; the first steps were slow
        clock.now += 100 if step < 540 else 2
        bar.update({"step": step})
    assert bar.remaining_s() == pytest.approx(400 * 2)
    bar.update({"step": 550})  # a rewind
    assert bar.remaining_s() is None
