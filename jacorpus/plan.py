"""A recipe to a pipeline of steps, and inputs to the list of measure tasks with their keys.

Steps of one phase run in recipe order. ``rules.profile`` brings the measurements its rules need; they are
inserted before it where the recipe has none of that label.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from jacorpus.errors import RecipeError, nearest
from jacorpus.keys import key_of, portable, stage_key
from jacorpus.recipe import Recipe, SourceSpec, StageSpec
from jacorpus.resolve import build, default_label, options_of
from jacorpus.rule import Rule, check_kind, rule_from_table
from jacorpus.rules.bounds import Bounds, bounds_rules
from jacorpus.rules.profile import Profile, load_profile, profile_rules
from jacorpus.stage import Cut, Dedup, InputFile, Signal, Span, Transform

Kind = Literal["transform", "signal", "dedup", "cut", "write"]


@dataclass(frozen=True)
class Step:
    """One stage at work. guards: indices of the rules that come before it, where it is costly."""

    kind: Kind
    use: str
    label: str
    domains: tuple[str, ...] | None
    stage: Any
    guards: tuple[int, ...] = ()

    def applies(self, domain: str) -> bool:
        return self.domains is None or domain in self.domains

    def columns(self) -> dict[str, pa.DataType]:
        """Signals it gives, under their full names."""
        if self.kind in ("transform", "signal", "cut"):
            return {f"{self.label}.{name}": kind for name, kind in self.stage.columns().items()}
        return {}

    def key(self) -> dict[str, Any]:
        return stage_key(self.use, self.label, self.stage)


@dataclass(frozen=True)
class Pipeline:
    """All steps and rules of a recipe, in order."""

    steps: tuple[Step, ...]
    rules: tuple[Rule, ...]

    def measuring(self, domain: str) -> list[Step]:
        """Steps of a measure task."""
        return [s for s in self.steps if s.kind != "write" and s.applies(domain)]

    def dedups(self) -> list[Step]:
        return [s for s in self.steps if s.kind == "dedup"]

    def cuts(self) -> list[Step]:
        return [s for s in self.steps if s.kind == "cut"]

    def writing(self, domain: str) -> list[Step]:
        """Steps over the kept text of a shard."""
        return [s for s in self.steps if s.kind in ("write", "cut") and s.applies(domain)]

    def columns(self) -> dict[str, pa.DataType]:
        """Every signal any domain can have: full name -> type."""
        found: dict[str, pa.DataType] = {}
        for step in self.steps:
            found.update(step.columns())
        return found

    def active(self) -> list[bool]:
        """Which rules can decide: those whose signal is measured. Raises RecipeError for a required one that isn't."""
        columns = {**self.columns(), "bytes": pa.int64()}
        flags = [rule.signal in columns for rule in self.rules]
        for rule, known in zip(self.rules, flags, strict=True):
            if not known and not rule.optional:
                raise RecipeError(
                    f"rule on `{rule.signal}` ({rule.stage}): no stage measures it{nearest(rule.signal, columns)}"
                )
            if known:
                check_kind(rule, columns[rule.signal])
        return flags


def kind_of(stage: Any, use: str) -> Kind:
    """Which protocol a stage follows. Raises RecipeError when none."""
    if isinstance(stage, Cut):
        return "cut"
    if isinstance(stage, Dedup):
        return "dedup"
    if isinstance(stage, Transform):
        return "write" if stage.phase == "write" else "transform"
    if isinstance(stage, Signal):
        return "signal"
    raise RecipeError(f"`{use}` follows none of the protocols of jacorpus/stage.py")


def pipeline_of(recipe: Recipe) -> Pipeline:
    """Resolve profiles and rules. Raises RecipeError where the parts don't fit."""
    steps: list[Step] = []
    rules: list[Rule] = []
    for spec in recipe.stages:
        if isinstance(spec.stage, Profile):
            own = profile_rules(spec.stage, spec.label, spec.domains)
            steps.extend(_guarded(_profile_steps(spec, steps, recipe.stages), steps, rules, own))
            rules.extend(own)
        elif isinstance(spec.stage, Bounds):
            rules.extend(bounds_rules(spec.stage, spec.label, spec.domains))
        else:
            steps.append(_step(spec.use, spec.label, spec.domains, spec.stage, len(rules)))
            rules.extend(_own_rules(steps[-1]))
    _check_domains(recipe, rules)
    pipeline = Pipeline(tuple(steps), tuple(rules))
    pipeline.active()
    _check_extraction(recipe, pipeline)
    return pipeline


def _step(use: str, label: str, domains: tuple[str, ...] | None, stage: Any, rules_before: int) -> Step:
    kind = kind_of(stage, use)
    costly = kind == "signal" and stage.costly
    return Step(kind, use, label, domains, stage, tuple(range(rules_before)) if costly else ())


def _own_rules(step: Step) -> list[Rule]:
    """Rules a stage asks for itself, such as ``language.detect`` with ``keep``."""
    asked = getattr(step.stage, "rules", None)
    if not callable(asked):
        return []
    where = f"stage {step.label}"
    return [
        rule_from_table({**table, "signal": f"{step.label}.{table['signal']}"}, step.label, step.domains, where)
        for table in asked()
    ]


def _profile_steps(spec: StageSpec, before: Sequence[Step], stages: Sequence[StageSpec]) -> list[Step]:
    """The measurements of a profile that the recipe does not have under the same label."""
    found: list[Step] = []
    labels = {step.label for step in before}
    later = {other.label for other in stages} - labels
    for table in load_profile(spec.stage.profile).get("stage", []):
        options = {k: v for k, v in table.items() if k not in ("use", "label")}
        where = f"profile {spec.stage.profile}"
        stage = build(table["use"], options, where)
        label = table.get("label") or default_label(table["use"], stage)
        if label in later:
            raise RecipeError(f"{where} measures `{label}`; move [[stage]] {label} before it")
        same = [step for step in before if step.label == label and step.use == table["use"]]
        if same:
            wrong = _other_options(same[0].stage, stage) if table["use"].startswith("signals.") else []
            if wrong:
                raise RecipeError(f"{where} needs [[stage]] {label} with {', '.join(wrong)}")
            continue
        if label in labels:
            raise RecipeError(f"{where} needs the label `{label}` for {table['use']}; rename the stage that has it")
        found.append(_step(table["use"], label, spec.domains, stage, 0))
    return found


def _other_options(own: Any, wanted: Any) -> list[str]:
    """Options of a recipe's stage that differ from what a profile measures with; what it leaves empty is free."""
    has = options_of(own)
    return [f"{name} = {value!r}" for name, value in options_of(wanted).items() if value and has[name] != value]


def _guarded(found: list[Step], before: list[Step], rules: list[Rule], own: list[Rule]) -> list[Step]:
    """A profile's steps, cheap ones first; costly ones see only what the rules over cheap signals leave."""
    cheap = [step for step in found if not _costly(step)]
    known = {name for step in (*before, *cheap) for name in step.columns()} | {"bytes"}
    guards = tuple(i for i, rule in enumerate([*rules, *own]) if rule.signal in known)
    return cheap + [dataclasses.replace(step, guards=guards) for step in found if _costly(step)]


def _costly(step: Step) -> bool:
    return step.kind == "signal" and step.stage.costly


def _check_domains(recipe: Recipe, rules: list[Rule]) -> None:
    """A rule for a domain that no source has would never decide."""
    known = {source.domain for source in recipe.sources}
    for rule in rules:
        for domain in rule.domains or ():
            if domain not in known:
                raise RecipeError(
                    f"rule on `{rule.signal}` ({rule.stage}): no source has the domain `{domain}`"
                    f"{nearest(str(domain), known)}"
                )


def _check_extraction(recipe: Recipe, pipeline: Pipeline) -> None:
    """In each domain the extract stage comes first, and there is one at most."""
    for domain in {source.domain: None for source in recipe.sources}:
        steps = [step for step in pipeline.steps if step.applies(domain)]
        for i, step in enumerate(steps):
            if not step.use.startswith("extract.") or i == 0:
                continue
            if steps[0].use.startswith("extract."):
                raise RecipeError(f"`{step.use}` comes after `{steps[0].use}` in the domain {domain}: keep one of them")
            raise RecipeError(f"`{step.use}` must come before {steps[0].use}: other stages need text")


@dataclass(frozen=True)
class MeasureTask:
    """One span of one file through all measuring steps. key: see jacorpus/keys.py."""

    key: str
    source: SourceSpec
    file: InputFile
    span: Span
    steps: tuple[Step, ...]
    rules: tuple[Rule, ...]
    columns: dict[str, pa.DataType]
    limit: int = 0
    excluded: dict[bytes, tuple[str, str, str]] = field(default_factory=dict)


def measure_key(recipe: Recipe, pipeline: Pipeline, source: SourceSpec, name: str, digest: str, span: Span) -> str:
    """The key of a measure task."""
    steps = pipeline.measuring(source.domain)
    guards = sorted({i for step in steps for i in step.guards})
    return key_of(
        {
            "kind": "measure",
            "source": {**stage_key(source.use, "", source.stage), "domain": source.domain},
            "file": name,
            "digest": digest,
            "span": [span.start, span.stop],
            "limit": recipe.limit,
            "steps": [_measured(step.key()) for step in steps],
            "guards": [dataclasses.asdict(pipeline.rules[i]) for i in guards],
            "columns": {name: str(kind) for name, kind in pipeline.columns().items()},
            "format": 1,
        }
    )


def _measured(key: dict[str, Any]) -> dict[str, Any]:
    """A step's key without the index it joins with, which changes no signature."""
    return {**key, "options": {name: value for name, value in key["options"].items() if name != "index"}}


def stages_for_manifest(recipe: Recipe, pipeline: Pipeline) -> list[dict[str, Any]]:
    """The steps with their options, free of this machine's paths."""
    return [
        {"label": s.label, "use": s.use, "kind": s.kind, "options": portable(options_of(s.stage))}
        for s in pipeline.steps
    ]
