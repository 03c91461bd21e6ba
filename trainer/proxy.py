"""Small runs that tell a mixture's worth: tiny models on the domains of a token folder, on a CPU core.

    proxy = Proxy("out/tokens", ["web", "novels"], ProxySettings(tokens=262_144), cache=Path("out/proxy"))
    proxy.losses({"web": 0.7, "novels": 0.3})         {domain: HeldOut}: a model trained on it, what it knows of each
    proxy.steer(DoReMi(...), reference="per_domain")  Steered: one model, whose mixture a controller chooses as it goes

Mixtures and results are keyed by names of domains, never by places. The same call gives the same numbers: with one
thread bit for bit. Runs share what can be shared, so that two mixtures differ by nothing else: the start of the model
and each domain's order depend on the seed alone, and held-out text is the same for all.

Every finished run lies in ``cache`` under a key of all that fixes it; asked again, it is read. A sweep that was killed
so goes on with the run it was in. A steered run, which is longer, keeps checkpoints and goes on where it was.

Reaches mixing as two callables: mixing never imports trainer.
"""

import hashlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from jacorpus.errors import InputError, RecipeError, nearest
from jacorpus.shards import storage_errors
from jacorpus.store import write_json
from mixing.schedule import PERIOD, quotas
from tokenizer_lab.tokens import open_tokens
from trainer.data import counts_of
from trainer.held_out import HeldOut, HeldOutText
from trainer.layouts import model_from_table
from trainer.loop import Loop
from trainer.model import Model
from trainer.objective import Reference
from trainer.opened import check_device, open_model
from trainer.plan import Phase, Plan
from trainer.proxy_job import MICRO_TOKENS, MODEL, Progress, ProxySettings, job_of, settled
from trainer.steering import Controller, Named, References, Steering

FORMAT = 1
"""Part of each key: raised when the same settings come to give other numbers."""


ReferenceKind = Literal["per_domain"] | Mapping[str, float] | Path | None


@dataclass(frozen=True)
class Steered:
    """A steered run. trajectory: the weights of each step, in the order of ``domains``; losses: of its model."""

    domains: tuple[str, ...]
    trajectory: tuple[tuple[float, ...], ...]
    losses: dict[str, HeldOut]
    tokens: int
    seconds: float

    @property
    def last(self) -> dict[str, float]:
        """The last step's weights."""
        return dict(zip(self.domains, self.trajectory[-1], strict=True))

    @property
    def mean(self) -> dict[str, float]:
        """The mean over all steps, which is DoReMi's answer."""
        columns = zip(*self.trajectory, strict=True)
        return {name: math.fsum(c) / len(self.trajectory) for name, c in zip(self.domains, columns, strict=True)}


class Proxy:
    """Proxy runs on domains of a token folder; default all that have text to train on.

    cache: folder of finished runs; None for none. Raises InputError for a domain that isn't there, or has nothing to
    train on or to measure on; RecipeError for a [model] table that doesn't fit.
    """

    def __init__(
        self,
        tokens: Path | str,
        domains: Sequence[str] | None = None,
        settings: ProxySettings | None = None,
        cache: Path | None = None,
    ) -> None:
        self.tokens, self.settings, self.cache = open_tokens(tokens), settings or ProxySettings(), cache
        named = self.tokens.domains if domains is None else domains
        some = [name for name in named if domains is not None or counts_of(self.tokens, name, "train").tokens]
        self.domains = tuple(sorted(set(some)))
        if not self.domains:
            raise InputError(f"{self.tokens.folder} has no domain with text to train proxies on")
        for name in self.domains:
            self._check(name)
        self.config = model_from_table({**MODEL, **self.settings.model}, self.tokens.vocab_size)
        self.device = check_device(self.settings.device)

    @property
    def parameters(self) -> int:
        """Weights of a proxy."""
        return self.config.parameters()

    def losses(
        self,
        mixture: Mapping[str, float],
        seed: int = 0,
        tokens: int | None = None,
        progress: Progress | None = None,
    ) -> dict[str, HeldOut]:
        """Train on a mixture (any scale; domains left out have weight 0) and measure on every domain.

        Raises RecipeError for a mixture with unknown names or without a weight above 0.
        """
        plan = self._plan(self._mixture(mixture), tokens)
        key = self._key("losses", plan, seed)
        found = self._read(key)
        if found is None:
            found = self._write(key, *self._trained(plan, seed, progress, "proxy"))
        return _held_out(found)

    def steer(
        self,
        controller: Controller,
        reference: ReferenceKind = None,
        target: Mapping[str, float] | None = None,
        seed: int = 0,
        tokens: int | None = None,
        rows: Mapping[str, float] | None = None,
        every_domain: bool = True,
        progress: Progress | None = None,
    ) -> Steered:
        """Train one model whose mixture the controller chooses, step by step; see ``trainer.steering.Controller``.

        reference: with what losses are compared: ``per_domain``, one proxy for each domain trained on it alone; a
        mixture, one proxy trained on that; the folder of a trained model of the same tokenizer; None, with nothing.
        target: shares of domains, weighted ones or others of the token folder, whose gradient is wanted: default all
        weighted ones alike. rows: shares of a batch's rows; default every domain alike. They do not change what is
        minimized. every_domain: each step holds rows of each domain, two where gradients are compared; batches get
        larger where batch_tokens are too few for that.

        The controller is left in its state at the run's end, whether that was trained or read from the cache.

        Raises JacorpusError for weights that are no mixture, and where losses are not finite.
        """
        goal = self._target(target) if controller.wants == "alignment" else {}
        shares = self._mixture(rows) if rows is not None else dict.fromkeys(self.domains, 1.0)
        if rows is not None and any(not shares.get(name) for name in self.domains):
            raise RecipeError(f"rows must give each domain a share above 0: {', '.join(self.domains)}")
        least = min(shares.values())
        dealt = {**dict.fromkeys(goal, least), **shares}
        plan = self._plan(dealt, tokens, _rows_for_each(dealt, 2 if goal else 1) if every_domain else 1)
        where = str(reference) if isinstance(reference, Path) else reference
        extra = {"controller": controller.identity(), "target": goal, "domains": list(self.domains), "reference": where}
        key = self._key("steer", plan, seed, extra)
        found = self._read(key)
        if found is None or "controller" not in found:
            judge = self._reference(reference, plan, seed, progress)
            with self._folder(key) as folder:
                found = self._write(key, *self._steered(controller, plan, seed, judge, goal, folder, progress))
        controller.load_state_dict(found["controller"])
        trajectory = tuple(map(tuple, found["trajectory"]))
        return Steered(self.domains, trajectory, _held_out(found), plan.tokens, found["seconds"])

    def reference(
        self, mixture: Mapping[str, float], seed: int = 0, tokens: int | None = None, progress: Progress | None = None
    ) -> Model:
        """The model that ``losses`` of the same arguments measures; its weights are kept too."""
        return self._kept(self._plan(self._mixture(mixture), tokens), seed, progress, "reference")

    def _kept(self, plan: Plan, seed: int, progress: Progress | None, what: str) -> Model:
        """A trained model, its weights in the cache."""
        key = self._key("losses", plan, seed)
        place = self.cache / f"{key}.safetensors" if self.cache else None
        if place is None or not place.is_file():
            facts, model = self._trained(plan, seed, progress, what)
            self._write(key, facts, model)
            if place is not None:
                _save(place, model)
            return model.requires_grad_(False)
        from safetensors.torch import load_file

        model = self._model(seed)
        model.load_state_dict(load_file(place))
        return model.requires_grad_(False)

    def _check(self, name: str) -> None:
        for split, why in (("train", "train on"), ("valid", "measure a mixture's loss on")):
            if not counts_of(self.tokens, name, split).tokens:
                raise InputError(
                    f"domain `{name}` of {self.tokens.folder} has no {split} text to {why}; "
                    f"add documents and encode again, or leave it out of the domains"
                )

    def _mixture(self, mixture: Mapping[str, float]) -> dict[str, float]:
        for name in mixture:
            if name not in self.domains:
                raise RecipeError(f"the mixture names `{name}`, which is no domain here{nearest(name, self.domains)}")
        return {name: float(weight) for name, weight in mixture.items() if weight}

    def _target(self, target: Mapping[str, float] | None) -> dict[str, float]:
        given = dict.fromkeys(self.domains, 1.0) if target is None else {n: float(w) for n, w in target.items() if w}
        if not given or not all(0 < weight < math.inf for weight in given.values()):
            raise RecipeError(f"a target needs shares above 0, such as {{ novels = 1.0 }}, got {target}")
        for name in given:
            if name not in self.domains and not counts_of(self.tokens, name, "train").tokens:
                raise InputError(f"the target `{name}` has no text in {self.tokens.folder}; a gradient needs some")
        total = math.fsum(given.values())
        return {name: weight / total for name, weight in sorted(given.items())}

    def _plan(self, mixture: Mapping[str, float], tokens: int | None, rows: int = 1) -> Plan:
        """rows: the least of a step."""
        settings = self.settings
        batch_tokens = max(settings.batch_tokens, rows * settings.seq_len)
        return Plan((Phase(tokens or settings.tokens, mixture, settings.seq_len, batch_tokens),))

    def _key(self, kind: str, plan: Plan, seed: int, extra: Any = None) -> str:
        """Of all that fixes a run's numbers."""
        entry = self.tokens.manifest
        settings = {k: v for k, v in asdict(self.settings).items() if k not in ("model", "tokens", "checkpoint_every")}
        fixed = {
            **{"format": FORMAT, "kind": kind, "plan": plan.to_dict(), "seed": seed, "extra": extra},
            **{"model": self.config.to_dict(), "settings": settings, "valid": list(self.domains)},
            **{"tokens": entry["key"], "tokenizer": entry["tokenizer"]["fingerprint"]},
        }
        text = json.dumps(fixed, sort_keys=True, ensure_ascii=False)
        return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def _read(self, key: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.cache / f"{key}.json").read_bytes()) if self.cache else None
        except (OSError, ValueError):
            return None

    def _write(self, key: str, facts: dict[str, Any], model: Model) -> dict[str, Any]:
        """Keep a finished run; with what it held."""
        with settled(self.settings.threads, self.device):
            measured = {name: asdict(found) for name, found in self._valid.measured(model).items()}
        made = {"losses": measured, **facts, "parameters": self.parameters, "torch": torch.__version__}
        if self.cache is not None:
            with storage_errors(self.cache):
                write_json(self.cache / f"{key}.json", made)
        return made

    @cached_property
    def _valid(self) -> HeldOutText:
        settings = self.settings
        rows = max(1, MICRO_TOKENS // settings.seq_len)
        sizes = settings.seq_len, rows, settings.valid_tokens
        return HeldOutText(self.tokens, self.domains, *sizes, settings.eos_id)

    @contextmanager
    def _folder(self, key: str) -> Iterator[Path]:
        """Where a run keeps checkpoints until it has ended."""
        if self.cache is None:
            with tempfile.TemporaryDirectory() as scratch:
                yield Path(scratch)
            return
        yield self.cache / key
        shutil.rmtree(self.cache / key, ignore_errors=True)

    @property
    def _dtype(self) -> torch.dtype | None:
        return torch.bfloat16 if self.settings.precision == "bf16" else None

    def _model(self, seed: int) -> Model:
        model = Model(self.config).init(seed)
        model.compute_dtype = self._dtype
        return model.to(self.device)

    def _trained(self, plan: Plan, seed: int, progress: Progress | None, what: str) -> tuple[dict[str, Any], Model]:
        """(facts, model) of a plain run."""
        model = self._model(seed)
        job = job_of(model, self.tokens, plan, seed, self.settings, self.cache or Path(), None, progress, what)
        seconds = self._run(Loop(job))
        return {"tokens": plan.tokens, "seconds": seconds, "tokens_per_s": plan.tokens / seconds}, model

    def _steered(
        self,
        controller: Controller,
        plan: Plan,
        seed: int,
        reference: Reference | None,
        target: Mapping[str, float],
        folder: Path,
        progress: Progress | None,
    ) -> tuple[dict[str, Any], Model]:
        """(facts, model) of a steered run."""
        model, named = self._model(seed), Named(controller, self.domains)
        job = job_of(model, self.tokens, plan, seed, self.settings, folder, reference, progress, "steered")
        job.controller, job.checkpoint_every = named, self.settings.checkpoint_every
        seconds = self._run(Steering(job, plan.domains, target))
        facts = {"trajectory": named.trajectory, "domains": list(self.domains), "seconds": seconds}
        return {**facts, "controller": controller.state_dict()}, model

    def _run(self, loop: Loop) -> float:
        """Do it; seconds of this process's part."""
        began = time.monotonic()
        with settled(self.settings.threads, self.device):
            loop.execute()
        return max(time.monotonic() - began, 1e-9)

    def _reference(self, given: ReferenceKind, plan: Plan, seed: int, progress: Progress | None) -> Reference | None:
        """Proxies are trained for as long, in batches as large, as the plan they are to judge."""
        phase = plan.phases[0]
        if given is None:
            return None
        if given == "per_domain":
            models = {}
            for number, name in enumerate(plan.domains):
                if name in self.domains:
                    own = self._plan({name: 1.0}, phase.tokens, phase.rows)
                    models[number] = self._kept(own, seed, progress, f"reference {name}")
            return References(models)
        if isinstance(given, Mapping):
            own = self._plan(self._mixture(given), phase.tokens, phase.rows)
            return self._kept(own, seed, progress, "reference")
        opened = open_model(Path(given), self.device)
        if opened.config.vocab_size < self.tokens.vocab_size:
            raise InputError(
                f"the reference {given} has {opened.config.vocab_size:,} ids and {self.tokens.folder} uses "
                f"{self.tokens.vocab_size:,}; losses compare under one tokenizer alone"
            )
        opened.model.compute_dtype = self._dtype
        return opened.model


def _held_out(found: dict[str, Any]) -> dict[str, HeldOut]:
    return {name: HeldOut(**each) for name, each in sorted(found["losses"].items())}


def _rows_for_each(mixture: Mapping[str, float], least: int) -> int:
    """Rows of a step that hold at least ``least`` of each domain: of a share of n rows, a step has more than n - 2
    (mixing/schedule.py)."""
    given = quotas(mixture)
    return math.ceil((least + 1) * PERIOD / min(given.values()) * (1 - 1e-4))


def _save(place: Path, model: Model) -> None:
    from safetensors.torch import save_file

    scratch = place.with_suffix(".part")
    with storage_errors(place.parent):
        save_file({name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}, scratch)
        scratch.replace(place)
