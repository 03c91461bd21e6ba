"""Seeds to synthetic documents: ask, check, write, and account for every seed.

    OUT/  documents.jsonl  [chat.jsonl  preference.jsonl]  audit.arrow  manifest.json  run.json  work/

``documents.jsonl`` is a source like any other (``sources.jsonl``): each line tells seed, template, generator and
license in its meta, and its ``url`` names the seed, so that the audit of a corpus leads back to it. Documents come in
the order of the seeds whatever order answers arrive in; equal answers give equal bytes. run.json and work/ concern this
machine: money, times, received responses.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
import pyarrow as pa

from jacorpus.errors import InputError, RecipeError
from jacorpus.schema import AUDIT
from jacorpus.shards import PartWriter, storage_errors
from jacorpus.store import Store as Folder
from jacorpus.store import write_json
from jacorpus.synthesize.answer import Unusable, Usage
from jacorpus.synthesize.cache import Store
from jacorpus.synthesize.checks import CONSTRAINTS, Checks, Verdict, draw_constraint
from jacorpus.synthesize.client import BudgetSpentError, Client, Limits, Meter, Request, endpoint_url
from jacorpus.synthesize.seeds import Seed, identity_of, read_seeds
from jacorpus.synthesize.template import Document, Step, load_template

STAGE = "synthesize"
_AHEAD = 4
"""Seeds under way for each request at once: so many may wait behind a slow one."""

LINEAGE = pa.schema([*AUDIT, pa.field("seed", pa.string(), nullable=False), pa.field("draw", pa.int32())])
"""Rows of audit.arrow: AUDIT, and the seed each document (its id) comes from."""

Progress = Callable[[int, Meter], None]


@dataclass(frozen=True)
class Job:
    """All that decides the documents (first lines), and how they are asked for.

    models: a name for each role of the template's steps; addresses likewise. license: of what the generator writes.
    json_schema: ask the endpoint to hold answers to the schema; they are checked in any case.
    """

    seeds: tuple[str, ...]
    template: str
    models: dict[str, str]
    addresses: dict[str, str]
    license: str = "unknown"
    column: str = "text"
    limit: int = 0
    draws: int = 1
    json_schema: bool = False
    benchmarks: tuple[str, ...] = ()
    glossary: str = ""
    limits: Limits = field(default_factory=Limits)
    price_in: float = 0.0
    price_out: float = 0.0
    max_cost: float = 0.0


class Unit(NamedTuple):
    """A draw of a seed: what ends in one state."""

    seed: Seed
    draw: int


class Made(NamedTuple):
    """All answers of one unit, by step, with the seed's fields; and the document made of them."""

    values: dict[str, Any]
    document: Document


class Synthesis:
    """One job, checked. Raises RecipeError and InputError where it can't be done."""

    def __init__(self, job: Job) -> None:
        self.job, self.template = job, load_template(job.template)
        self.glossary = _read_glossary(job.glossary)
        if job.max_cost and not (job.price_in or job.price_out):
            raise RecipeError("--max-cost needs --price-in and --price-out: without prices nothing costs anything")
        self.urls = {role: endpoint_url(address) for role, address in job.addresses.items()}
        for step in self.template.steps:
            if not job.models.get(step.model) or step.model not in self.urls:
                raise RecipeError(
                    f"template {job.template} asks a {step.model} model; name it with --{step.model}-model"
                )

    def units(self) -> Iterator[Unit]:
        """Seeds in order, each with all its draws; a seed that can't be read once."""
        for seed in read_seeds(self.job.seeds, self.job.column, self.job.limit):
            for draw in range(1 if seed.lost else self.job.draws):
                yield Unit(seed, draw)

    def values(self, unit: Unit) -> dict[str, Any]:
        """What prompts can be filled with before anything was asked."""
        text = unit.seed.text(self.template.seed_chars)
        terms = [f"{term} = {self.glossary[term]}" for term in self.glossary if term in text]
        name = draw_constraint(unit.seed.id, unit.draw)
        own = {"constraint_name": name, "constraint": CONSTRAINTS[name][0], "glossary": "\n".join(terms) or "（なし）"}
        return unit.seed.fields | own | {"text": text}

    def request(self, step: Step, unit: Unit, values: dict[str, Any]) -> Request:
        """What a step asks. Equal questions of one unit differ in the number of their draw."""
        params = dict(step.params)
        if step.schema and self.job.json_schema:
            held = {"name": step.name, "schema": step.schema, "strict": True}
            params["response_format"] = {"type": "json_schema", "json_schema": held}
        draw = unit.draw * len(self.template.steps) + self.template.steps.index(step)
        return Request(self.urls[step.model], self.job.models[step.model], step.messages(values), params, draw)

    async def make(self, client: Client, unit: Unit) -> Made:
        """Ask all steps of one unit. Raises Unusable where it can't be made."""
        values = self.values(unit)
        for step in self.template.steps:
            values[step.name] = await client.ask(self.request(step, unit, values), step.schema)
        return Made(values, self.template.document(values))

    def estimate(self) -> dict[str, Any]:
        """The first request in full, and tokens and cost of all at most (each answer as long as it may be)."""
        meter = Meter(self.job.price_in, self.job.price_out)
        first: dict[str, Any] | None = None
        for unit in self.units():
            if unit.seed.lost:
                continue
            values = self.values(unit)
            for step in self.template.steps:
                try:
                    request = self.request(step, unit, values)
                except Unusable:
                    break
                first = first or {"url": request.url, **request.body(0, self.job.limits.tries)}
                meter.add(Usage(_tokens(request), request.limit()))
                values[step.name] = _Unknown(request.limit())
        if first is None:
            raise InputError(f"no seed fills the template {self.job.template}; it needs the fields its prompts name")
        return {"request": first, "requests": meter.answered} | {
            name: meter.as_json()[name] for name in ("tokens_in", "tokens_out", "cost")
        }

    def run(self, out: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Make and check all documents; returns the manifest. Every response received stays, whatever happens."""
        self._refuse_other(out)
        folder = Folder(out / "work")
        lock = folder.lock()
        started, store = time.time(), Store(out / "work" / "responses.sqlite")
        job = self.job
        meter = Meter(job.price_in, job.price_out, job.max_cost, before=store.totals()["cost"])
        try:
            with storage_errors(out), Output(out, self) as output:
                complete = asyncio.run(self._generate(store, meter, output, progress or (lambda done, meter: None)))
                manifest = output.publish(complete)
        finally:
            told = {"started": started, "wall_s": round(time.time() - started, 3), "endpoints": self.urls}
            write_json(out / "run.json", told | meter.as_json() | {"store": store.totals()})
            store.close()
            lock.close()
        return manifest

    async def _generate(self, store: Store, meter: Meter, output: "Output", progress: Progress) -> bool:
        """Whether all was done; else the budget is spent, and what is done are the first units."""
        waiting: deque[tuple[Unit, asyncio.Task[Made | Unusable]]] = deque()
        units, done = self.units(), 0
        try:
            async with Client(self.job.limits, store, meter) as client:
                while True:
                    room = _AHEAD * self.job.limits.concurrency - len(waiting)
                    for unit in islice(units, room):
                        waiting.append((unit, asyncio.ensure_future(self._attempt(client, unit))))
                    if not waiting:
                        return True
                    unit, task = waiting[0]
                    output.add(unit, await task)
                    waiting.popleft()
                    done += 1
                    progress(done, meter)
        except BudgetSpentError:
            return False
        finally:
            for _, task in waiting:
                task.cancel()
            await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)

    async def _attempt(self, client: Client, unit: Unit) -> "Made | Unusable":
        if unit.seed.lost:
            return Unusable(unit.seed.lost.reason, unit.seed.lost.detail)
        try:
            return await self.make(client, unit)
        except Unusable as error:
            return error

    def _refuse_other(self, out: Path) -> None:
        try:
            there = orjson.loads((out / "manifest.json").read_bytes())["template"]
        except (OSError, ValueError, KeyError, TypeError):
            return
        if (there["name"], there["version"]) != (self.template.name, self.template.version):
            raise RecipeError(
                f"{out} holds documents of template {there['name']} version {there['version']}; choose another --out"
            )


class Output:
    """Files under temporary names until ``publish``; left without it, what was there before stays."""

    def __init__(self, out: Path, synthesis: Synthesis) -> None:
        self.out, self.synthesis = out, synthesis
        template = synthesis.template
        self.checks = Checks(template, synthesis.job.benchmarks, synthesis.glossary)
        self.names = ["documents.jsonl"] + ([f"{template.output}.jsonl"] if template.output != "text" else [])
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def __enter__(self) -> "Output":
        self._open = ExitStack()
        self.files = {name: self._open.enter_context(self._temporary(name).open("wb")) for name in self.names}
        self.audit = self._open.enter_context(PartWriter(self._temporary("audit.arrow"), LINEAGE))
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)
        for name in (*self.names, "audit.arrow"):
            self._temporary(name).unlink(missing_ok=True)

    def _temporary(self, name: str) -> Path:
        return self.out / "work" / f".{name}.tmp"

    def add(self, unit: Unit, result: Made | Unusable) -> None:
        """One more unit ends in its state: kept, dropped(reason, value) or failed(reason, detail)."""
        seed, template = unit.seed, self.synthesis.template
        identity = identity_of(seed.id, template.name, template.version, unit.draw)
        url = f"synthetic://{template.name}/{template.version}/{quote(seed.id, safe='')}/{unit.draw}"
        row: dict[str, Any] = {
            "id": identity,
            "domain": "synthetic",
            "file": seed.file,
            "position": seed.position,
            "url": url,
        }
        row |= {"seed": seed.id, "draw": unit.draw, "bytes": 0, "state": "kept"}
        if isinstance(result, Unusable):
            stage = "read" if seed.lost else STAGE
            row |= {"state": "failed", "stage": stage, "reason": result.reason, "detail": result.detail}
            row["bytes"] = seed.lost.bytes if seed.lost else 0
        else:
            verdict = self.checks.judge(identity, result.document, str(result.values["text"]), result.values)
            row["bytes"] = len(result.document.text.encode("utf-8", "replace"))
            if verdict.failed:
                row |= {"state": "dropped", "stage": STAGE, "reason": verdict.failed.reason, "value": verdict.value}
                row["kept_id"] = verdict.kept_id
            else:
                self._write(identity, url, unit, result, verdict)
        self.counts[row["state"]] += 1
        if row["state"] != "kept":
            self.reasons[f"{row['state']}({row['stage']}, {row['reason']})"] += 1
        self.audit.write(pa.RecordBatch.from_pylist([row], schema=LINEAGE))

    def _write(self, identity: bytes, url: str, unit: Unit, made: Made, verdict: Verdict) -> None:
        job, template = self.synthesis.job, self.synthesis.template
        told = {"template": template.name, "template_version": template.version, "draw": unit.draw}
        told |= {"generator": job.models["main"], "generator_license": job.license} | unit.seed.lineage()
        document, name = made.document, identity.hex()
        measures = {rule.signal: verdict.measures.get(rule.signal) for rule in self.checks.rules}
        self._line("documents.jsonl", {"id": name, "text": document.text, "url": url, **told, "measures": measures})
        for number, turns in enumerate(document.conversations):
            self._line("chat.jsonl", {"id": f"{name}-{number}", "messages": turns, **told})
        if document.pair:
            self._line("preference.jsonl", {"id": name, **document.pair, **told})

    def _line(self, name: str, value: dict[str, Any]) -> None:
        self.files[name].write(orjson.dumps(value) + b"\n")

    def publish(self, complete: bool) -> dict[str, Any]:
        """Files under their names, the manifest last."""
        job, template = self.synthesis.job, self.synthesis.template
        self._open.close()
        listed = []
        for name in (*self.names, "audit.arrow"):
            data = self._temporary(name)
            with data.open("rb") as stream:
                digest = file_digest(stream, "sha256").hexdigest()
            listed.append({"path": name, "bytes": data.stat().st_size, "sha256": digest})
            data.replace(self.out / name)
        states = {state: self.counts[state] for state in ("kept", "dropped", "failed")}
        manifest = {
            "template": {"name": template.name, "version": template.version, "sha256": template.sha256},
            "models": job.models,
            "license": job.license,
            "draws": job.draws,
            "complete": complete,
            "counts": {"read": sum(states.values()), **states},
            "reasons": dict(sorted(self.reasons.items())),
            "files": listed,
        }
        write_json(self.out / "manifest.json", manifest)
        return manifest


class _Unknown(dict[str, Any]):
    """Stands for an answer of so many tokens in an estimate: any part of it is as long as the whole."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens

    def get(self, name: str, default: Any = None) -> Any:
        return self

    def __str__(self) -> str:
        return "あ" * self.tokens


def _tokens(request: Request) -> int:
    """A guess: a token for three ASCII characters, one for any other."""
    text = "".join(message["content"] for message in request.messages)
    other = sum(not char.isascii() for char in text)
    return other + (len(text) - other) // 3 + 8 * len(request.messages)


def _read_glossary(path: str) -> dict[str, str]:
    """``term<TAB>translation`` a line. Raises InputError naming file and line."""
    if not path:
        return {}
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the glossary {path} can't be read: {error}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        term, tab, translation = line.partition("\t")
        if line.strip() and not (tab and term.strip() and translation.strip()):
            raise InputError(f"{path}, line {number}: a glossary's line is a term, a tab and its translation")
        if line.strip():
            found[term.strip()] = translation.strip()
    return found
