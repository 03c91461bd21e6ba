"""The report of a training run, from its folder: how far it came, its curves, what it was fed, what it says.

    log.jsonl        trainer.log; needed
    config.json      {"model": ModelConfig.to_dict(), "plan": Plan.to_dict(), ...}, or the model's fields beside "plan"
    run.json         the machine: device, world (how many), and what else is worth a line
    baseline.json    {name: {"bits_per_byte": 2.9, "domains": {name: 3.1}, "note": "..."}}, on the same valid documents
    samples.json     [{"prompt": "...", "text": "...", any facts}]: text is what the model added

All but the log may be absent, and the log may be that of a run still going. ``write_training_report`` leaves
``report.html``, one page that needs no network, and ``report.json`` in the folder.
"""

import dataclasses
import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from jacorpus.errors import InputError, StorageError
from jacorpus.report.report import (
    Block,
    Cell,
    Column,
    Excerpt,
    Excerpts,
    Fact,
    Facts,
    Paragraph,
    Piece,
    Report,
    Section,
    Table,
    show,
)
from mixing.schedule import PERIOD
from trainer import training_curves as curves
from trainer.config import LayerConfig, ModelConfig
from trainer.flops import flops_per_token, peak_flops
from trainer.log import Row, Rows, read_log
from trainer.plan import Plan

VALID = "valid"
MODEL_FIELDS = frozenset(field.name for field in dataclasses.fields(ModelConfig))
LISTED = 200  # rows of a table of events
FACTS = 6  # domains among the headline numbers; a table has all
LAST = 50  # the final loss is the mean over a 50th of the run


@dataclass(frozen=True)
class Run:
    """A run's folder, read."""

    name: str
    rows: Rows
    config: ModelConfig | None
    plan: Plan | None
    machine: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    samples: list[dict[str, Any]]

    @cached_property
    def valid(self) -> dict[str | None, Row]:
        """The last evaluation of each domain on the valid split; None: all together."""
        return {row.get("domain"): row for row in self.rows.evaluations if row["split"] == VALID}

    @property
    def whole(self) -> Row:
        """The last evaluation of all domains, or of the only one."""
        return self.valid.get(None) or (next(iter(self.valid.values())) if len(self.valid) == 1 else {})

    @cached_property
    def domains(self) -> list[str]:
        """Domains with a valid split."""
        return sorted(name for name in self.valid if name is not None)

    @property
    def done(self) -> int:
        """Steps made."""
        return self.rows.steps[-1]["step"] + 1 if self.rows.steps else 0

    @cached_property
    def steady(self) -> list[Row]:
        """Steps without the first 20th, which compile and warm up."""
        return self.rows.steps[len(self.rows.steps) // 20 :]

    def last(self, key: str) -> Any:
        """A value of the last step that has one."""
        return next((row[key] for row in reversed(self.rows.steps) if row.get(key) is not None), None)

    def median(self, key: str) -> float | None:
        """Of the steady steps."""
        values = [row[key] for row in self.steady if row.get(key) is not None]
        return statistics.median(values) if values else None

    @cached_property
    def skipped(self) -> frozenset[int]:
        """Steps that made no update."""
        return frozenset(row["step"] for row in self.rows.events if row["event"] == "skip")

    @property
    def marks(self) -> list[tuple[float, str]]:
        """Where phases begin."""
        starts = self.plan.first_steps[1:-1] if self.plan else ()
        return [(float(step), f"phase {number}") for number, step in enumerate(starts, 2)]


def read_run(folder: Path) -> Run:
    """Raises InputError where there is no log, or a file can't be read."""
    rows, config = read_log(folder), _json(folder / "config.json") or {}
    model = {key: value for key, value in config.get("model", config).items() if key in MODEL_FIELDS}
    return Run(
        folder.resolve().name,
        rows,
        ModelConfig.from_dict(model) if model else None,
        Plan.from_dict(config["plan"]) if "plan" in config else None,
        _json(folder / "run.json") or {},
        _json(folder / "baseline.json") or {},
        _json(folder / "samples.json") or [],
    )


def training_report(run: Run) -> Report:
    """All sections that the run's files have something for."""
    parts = (
        ("overview", "Overview", overview(run)),
        ("loss", "Loss and bits per byte", _loss(run)),
        ("samples", "What it writes", _samples(run)),
        ("optimization", "Optimization", _optimization(run)),
        ("speed", "Speed", _speed(run)),
        ("data", "Data", _data(run)),
        ("model", "Model", _model(run)),
    )
    sections = tuple(Section(key, title, tuple(blocks)) for key, title, blocks in parts if blocks)
    size = f"A language model of {show(run.config.parameters(), 'count')} parameters" if run.config else "A model"
    return Report(f"Training of {run.name}", f"{size}, after {show(run.done, 'count')} steps.", sections)


def write_training_report(folder: Path) -> Path:
    """Write ``report.html`` and ``report.json`` into a run's folder; returns the page's path."""
    report = training_report(read_run(folder))
    for name, text in (("report.json", report.to_json()), ("report.html", report.to_html())):
        try:
            (folder / f"{name}.tmp").write_text(text, encoding="utf-8")
            os.replace(folder / f"{name}.tmp", folder / name)
        except OSError as error:
            raise StorageError(
                f"{folder / name} can't be written: {error.strerror}; free space or permit it"
            ) from error
    return folder / "report.html"


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); take it away, and the report does without") from error


def overview(run: Run) -> list[Block]:
    """Headline numbers, and what to beware of."""
    steps = f"{show(run.done, 'count')} steps" + (f" of {show(run.plan.steps, 'count')}" if run.plan else "")
    facts = [Fact("tokens trained", run.last("tokens"), "count", steps)]
    if run.config:
        about = f"{len(run.config.layers)} layers, d_model {run.config.d_model}"
        facts.insert(0, Fact("parameters", run.config.parameters(), "count", about))
    loss, over = _final_loss(run)
    facts.append(Fact("training loss", loss, "number", f"nats per token, mean of the last {show(over, 'count')} steps"))
    if None in run.valid:
        facts.append(_bits_fact(run, None))
    facts += [_bits_fact(run, name) for name in run.domains[:FACTS]]
    facts += _speed_facts(run)
    skipped = run.last("skipped") or 0
    facts.append(Fact("steps skipped", skipped, "count", "no update was made", "failed" if skipped else "plain"))
    facts.append(Fact("time", run.last("wall_s"), "s", "over all sessions"))
    if run.machine.get("device"):
        count = run.machine.get("world", 1)
        name = run.machine["device"] if count == 1 else f"{count} × {run.machine['device']}"
        facts.append(Fact("hardware", name))
    note = (
        "Bits per byte do not depend on the tokenizer: the loss in bits, summed over a text's tokens, divided by the "
        "text's bytes in UTF-8. A Japanese character has three bytes."
    )
    blocks: list[Block] = [Facts(tuple(fact for fact in facts if fact.value is not None))]
    warned = _warnings(run)
    if warned:
        blocks.append(Table("Read with care", (Column("about"), Column("what to know")), tuple(warned)))
    return [*blocks, Paragraph(note)]


def _bits_fact(run: Run, domain: str | None) -> Fact:
    name = "all domains" if domain is None else domain
    tone = "kept" if domain is None else "plain"
    return Fact(f"bits per byte, {name}", run.valid[domain]["bits_per_byte"], "number", "valid split", tone)  # type: ignore[arg-type]


def _final_loss(run: Run) -> tuple[float | None, int]:
    """(mean over the last 50th of the steps, how many these are)."""
    losses = [row["loss"] for row in run.rows.steps if row.get("loss") is not None]
    last = losses[-max(len(losses) // LAST, 1) :]
    return (statistics.fmean(last) if last else None), len(last)


def _warnings(run: Run) -> list[tuple[Cell, ...]]:
    found: list[tuple[Cell, ...]] = []
    steps, skipped = run.rows.steps, run.last("skipped") or 0
    if run.plan and run.done < run.plan.steps:
        left = show(run.plan.steps - run.done, "count")
        found.append(("not finished", f"{left} steps of the plan are left."))
    if steps and steps[-1].get("loss") is None:
        found.append(("diverged", "The last step's loss is no finite number."))
    if skipped > 0.01 * run.done:
        found.append(("skipped steps", f"{show(skipped / run.done, 'share')} of all steps; a lower rate may be due."))
    which = run.whole.get("domain")
    series = [row for row in run.rows.evaluations if row["split"] == VALID and row.get("domain") == which]
    usable = [row for row in series if row.get("bits_per_byte") is not None]
    best = min(usable, key=lambda row: row["bits_per_byte"], default=None)
    if best and usable[-1]["bits_per_byte"] > 1.01 * best["bits_per_byte"]:
        was, at = show(best["bits_per_byte"], "number"), show(best["step"], "count")
        found.append(("valid split got worse", f"It had {was} bits per byte at step {at}."))
    return found


def _loss(run: Run) -> list[Block]:
    blocks = [
        *curves.loss(run.rows.steps, run.marks, run.skipped),
        *curves.valid_bits(run.rows.evaluations, VALID, run.marks),
    ]
    blocks += curves.train_bits(run.rows.steps, run.marks)
    return [*blocks, *_by_domain(run)]


def _by_domain(run: Run) -> list[Block]:
    """Bits per byte of the model beside those of baselines."""
    if not run.valid:
        return []
    names: list[str | None] = [*([None] if None in run.valid else []), *run.domains]
    heads = [Column("all" if name is None else name, "number") for name in names]
    rows: list[tuple[Cell, ...]] = [("this model", *(run.valid[n].get("bits_per_byte") for n in names), None, "")]
    ours, whole = run.whole.get("bits_per_byte"), run.whole.get("domain", "")
    for title, one in run.baselines.items():
        values = [one.get("bits_per_byte") if n == whole else one.get("domains", {}).get(n) for n in names]
        theirs = one.get("bits_per_byte")
        saved = 1 - ours / theirs if ours is not None and theirs else None
        rows.append((title, *values, saved, one.get("note", "")))
    columns = (Column(""), *heads, Column("saved by the model", "share"), Column("what it is"))
    if not run.baselines:
        columns, rows = columns[:-2], [rows[0][:-2]]
    return [Table("Bits per byte, valid split", columns, tuple(rows), "Lower is better.")]


def _samples(run: Run) -> list[Block]:
    """Passages the model wrote; the prompt is marked."""
    excerpts = tuple(
        Excerpt(
            f"{number}",
            tuple((key, show(value, "number")) for key, value in one.items() if key not in ("prompt", "text")),
            (Piece(one.get("prompt", ""), "hit"), Piece(one.get("text", ""))),
            "kept",
        )
        for number, one in enumerate(run.samples, 1)
    )
    note = "Marked: the prompt. What follows was generated."
    return [Excerpts("Generated text", excerpts, len(excerpts), "kept", note, open=True)] if excerpts else []


def _optimization(run: Run) -> list[Block]:
    blocks = curves.learning_rate(run.rows.steps, run.marks) + curves.gradient_norm(
        run.rows.steps, run.marks, run.skipped
    )
    events = [row for row in run.rows.events if row["event"] not in ("skip", "checkpoint")]
    skips = [row for row in run.rows.events if row["event"] == "skip"]
    saved = [row for row in run.rows.events if row["event"] == "checkpoint"]
    note = ""
    if saved:
        note = f"{show(len(saved), 'count')} checkpoints, the last after step {show(saved[-1]['step'], 'count')}."
    return [*blocks, *_happened("Skipped steps", skips), *_happened("Events", events, note)]


def _happened(title: str, rows: Sequence[Row], note: str = "") -> list[Block]:
    if not rows:
        return [Paragraph(f"{title}: none. {note}".rstrip())]
    if len(rows) > LISTED:
        note = f"The first {LISTED} of {show(len(rows), 'count')}. {note}".rstrip()
    columns = Column("step", "count"), Column("event"), Column("what"), Column("time", "s")
    told = ("step", "event", "wall_s")
    cells = tuple(
        (row["step"], row["event"], _told({k: v for k, v in row.items() if k not in told}), row.get("wall_s"))
        for row in rows[:LISTED]
    )
    return [Table(title, columns, cells, note)]


def _told(facts: dict[str, Any]) -> str:
    """``loss 9.71, grad_norm not finite``."""
    texts = ((key, "not finite" if value is None else value) for key, value in facts.items())
    return ", ".join(
        f"{key} {show(value, 'number') if isinstance(value, int | float) else value}" for key, value in texts
    )


def _speed_facts(run: Run) -> list[Fact]:
    """tokens/s and MFU, where known."""
    peak = peak_flops(run.machine.get("device"))
    of = f"of {peak / 1e12:.0f} TFLOP/s" if peak else "of the device's peak"
    return [
        Fact("tokens per s", run.median("tokens_per_s"), "count", "median"),
        Fact("MFU", run.median("mfu"), "share", f"median, {of}"),
    ]


def _speed(run: Run) -> list[Block]:
    facts = [*_speed_facts(run), Fact("peak memory", run.last("peak_memory_bytes"), "bytes", "of one device")]
    listed = tuple(
        (key, show(value, "number") if isinstance(value, int | float) else str(value))
        for key, value in run.machine.items()
        if isinstance(value, str | int | float)
    )
    machine: list[Block] = [Table("Machine", (Column(""), Column("")), listed)] if listed else []
    known = tuple(fact for fact in facts if fact.value is not None)
    return [*([Facts(known)] if known else []), *curves.throughput(run.rows.steps, run.marks), *machine]


def _data(run: Run) -> list[Block]:
    """Phases with their mixtures."""
    plan = run.plan
    if plan is None:
        return []
    titles = ("phase", "first step", "steps", "tokens", "seq_len", "batch_tokens")
    columns = [Column(title, "count") for title in titles] + [Column(name, "share") for name in plan.domains]
    rows: list[tuple[Cell, ...]] = []
    for number, phase in enumerate(plan.phases, 1):
        shares = [phase.schedule.quotas.get(name, 0) / PERIOD for name in plan.domains]
        tokens = phase.steps * phase.batch_tokens
        first = plan.first_steps[number - 1]
        rows.append((number, first, phase.steps, tokens, phase.seq_len, phase.batch_tokens, *shares))
    note = f"Shares of rows by domain. Plan {plan.hash[:12]}."
    return [Table("Phases", tuple(columns), tuple(rows), note)]


def _model(run: Run) -> list[Block]:
    """Layers of one kind in a row, sizes, and the cost of a token."""
    config = run.config
    if config is None:
        return []
    kinds: dict[LayerConfig, list[int]] = {}
    for number, layer in enumerate(config.layers):
        kinds.setdefault(layer, []).append(number)
    rows: list[tuple[Cell, ...]] = []
    for layer, numbers in kinds.items():
        heads = (layer.heads, layer.kv_heads) if layer.mixer != "mamba" else (config.mamba_heads, None)
        base = layer.rope_base if layer.mixer != "mamba" else None
        each = config.layer_parameters(layer)
        rows.append((layer.mixer, _numbers(numbers), *heads, layer.window, base, layer.d_ff, each, each * len(numbers)))
    others = config.parameters() - sum(row[-1] for row in rows)  # type: ignore[misc]
    what = "embedding, tied" if config.tied else "embedding, head"
    rows.append((f"{what}; last norm", "", None, None, None, None, None, None, others))
    rows.append(("all", "", None, None, None, None, None, None, config.parameters()))
    counts = ("heads", "key/value heads", "window", "RoPE base", "d_ff", "parameters each", "parameters")
    columns = (Column("layer"), Column("numbers"), *(Column(title, "count") for title in counts))
    return [Table("Layers", columns, tuple(rows)), _sizes(config), *_cost(run, config)]


def _sizes(config: ModelConfig) -> Table:
    left = [(key, value) for key, value in config.to_dict().items() if key != "layers" and value is not None]
    rows = tuple((key, "yes" if value is True else "no" if value is False else str(value)) for key, value in left)
    return Table("Sizes", (Column("field"), Column("value")), rows)


def _cost(run: Run, config: ModelConfig) -> list[Block]:
    """Operations of a token in the phases' row lengths."""
    lengths = sorted({phase.seq_len for phase in run.plan.phases}) if run.plan else []
    rows = []
    for T in lengths:
        work = flops_per_token(config, T).work
        rows.append((T, *(part / 1e6 for part in (work.gemm, work.attention, work.ssd, work.total))))
    titles = ("matrix products", "attention", "recurrence", "all")
    columns = (Column("seq_len", "count"), *(Column(f"{title}, MFLOP", "number") for title in titles))
    return [Table("Work of a token, forward and backward", columns, tuple(rows))] if rows else []


def _numbers(numbers: Sequence[int]) -> str:
    """``0, 2, 4 … 14``: with an ellipsis where the step stays the same.

    >>> _numbers([0, 2, 4, 6, 8]), _numbers([3]), _numbers([0, 1, 5, 9, 11])
    ('0, 2 … 8', '3', '0, 1, 5, 9, 11')
    """
    steps = {b - a for a, b in pairwise(numbers)}
    if len(numbers) > 4 and len(steps) == 1:
        return f"{numbers[0]}, {numbers[1]} … {numbers[-1]}"
    return ", ".join(map(str, numbers))
