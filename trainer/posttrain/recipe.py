"""A recipe's [posttrain]: stages one after another, each from the model the one before left, judged before and after.

    [posttrain]
    model = "out/ja-web/model"     # a run's folder, or one in Hugging Face's form
    template = "plamo"             # a name in trainer/posttrain/templates, or a file

    [[posttrain.stage]]
    use = "sft"                    # trainer/posttrain/sft.py, class Sft; other keys are its options
    data = ["data/chat.jsonl"]

    [[posttrain.evaluate]]         # asked of the first model and of every stage's
    task = "math"
    data = ["data/math.jsonl"]

A stage named ``best`` that leaves ``pairs.jsonl`` is data for a later one as ``@best/pairs.jsonl``.
"""

import importlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from jacorpus.errors import InputError, RecipeError, nearest
from jacorpus.resolve import class_name, instance
from jacorpus.shards import storage_errors
from trainer.loop import Watcher
from trainer.opened import CONFIG, WEIGHTS
from trainer.posttrain.stage import RESULT, STAGE, Context

STAGES = ("sft", "preference", "online", "rejection", "reward_model", "grpo", "ppo", "merge")
_TOP = ("model", "template", "device", "cache", "seed", "stage", "evaluate")


class Stage(Protocol):
    """A frozen dataclass of options. ``check`` reads what can be read before; ``run`` does it or finds it done."""

    def check(self, context: Context) -> dict[str, Any]: ...

    def run(self, context: Context) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Named:
    """A stage with its name and its folder's."""

    name: str
    folder: str
    stage: Stage


class PostTraining:
    """[posttrain] of a recipe, prepared: options are checked here, data when its stage is.

    tables: the recipe. out: folder of all stages. model: in place of the recipe's. folder: of the recipe, for data
    named ``@recipe/file``. Raises RecipeError, InputError.
    """

    def __init__(self, tables: Mapping[str, Any], out: Path, model: Path | None = None, folder: Path = Path()) -> None:
        table = dict(tables.get("posttrain", {}))
        for key in table:
            if key not in _TOP:
                raise RecipeError(f"[posttrain]: unknown key `{key}`{nearest(key, _TOP)}")
        if not table.get("stage"):
            raise RecipeError('[posttrain] has no [[posttrain.stage]]; write at least one, as use = "sft"')
        self.tables, self.out, self.folder = tables, out, folder
        self.seed = table.get("seed", tables.get("seed", 42))
        self.template, self.device = table.get("template", "plain"), table.get("device", "auto")
        self.cache = Path(table["cache"]) if "cache" in table else out / "refcache"
        self.stages = _stages(table["stage"], self.seed)
        self.evaluations = _evaluations(table.get("evaluate", []), folder)
        if model is None and "model" not in table:
            raise RecipeError('[posttrain] names no model to start from; write model = "FOLDER", or give --model')
        self.model = model or Path(table["model"])
        if not (self.model / CONFIG).is_file():
            raise InputError(f"{self.model} holds no model ({CONFIG}); train one first, or name its folder: --model")

    def check(self) -> list[dict[str, Any]]:
        """What each stage would do, as far as its data are there: a later stage's may be left by an earlier one."""
        found = []
        for named in self.stages:
            context = self._context(named, self.model, _Quiet())
            waits = [d for d in _data(named.stage) if d.startswith("@") and not d.startswith("@recipe/")]
            about = {"waits_for": waits} if waits else named.stage.check(context)
            found.append({"stage": named.name, **about})
        return found

    def run(self, watcher: Watcher, only: str | None = None) -> list[dict[str, Any]]:
        """All stages, each done once; with ``only``, up to that one. Raises JacorpusError; KeyboardInterrupt after
        Ctrl-C, with a checkpoint written."""
        if only is not None and only not in [named.name for named in self.stages]:
            raise RecipeError(f"there is no stage `{only}`{nearest(only, [named.name for named in self.stages])}")
        from trainer.posttrain.card import Judge

        judge = Judge(self.evaluations, self.out, self.template, self.seed, self.device)
        start, results = self.model, []
        judge.ask("base", start, watcher)
        for number, named in enumerate(self.stages, 1):
            context = self._context(named, start, watcher)
            watcher.say(f"stage {number} of {len(self.stages)}: {named.name}")
            results.append({"stage": named.name, "folder": str(context.folder), **named.stage.run(context)})
            if (context.folder / WEIGHTS).is_file():
                start = context.folder
                judge.ask(named.name, start, watcher)
            if named.name == only:
                break
        judge.write(results)
        return results

    def clear(self, first: str | None = None) -> None:
        """Remove the stages from ``first`` on, or all. Raises InputError where a folder holds something else."""
        names = [named.name for named in self.stages]
        if first is not None and first not in names:
            raise RecipeError(f"there is no stage `{first}`{nearest(first, names)}")
        for named in self.stages[names.index(first) if first else 0 :]:
            folder = self.out / named.folder
            if folder.is_dir() and any(folder.iterdir()) and not (folder / STAGE).is_file():
                raise InputError(f"{folder} is no folder of a stage; nothing was removed: choose another --out")
            shutil.rmtree(folder, ignore_errors=True)

    def last(self) -> Path:
        """Folder of the last model there is."""
        done = [self.out / named.folder for named in self.stages if (self.out / named.folder / RESULT).is_file()]
        models = [folder for folder in done if (folder / WEIGHTS).is_file()]
        return models[-1] if models else self.model

    def _context(self, named: Named, start: Path, watcher: Watcher) -> Context:
        stages = {each.name: self.out / each.folder for each in self.stages}
        earlier = {name: stages[name] for name in list(stages)[: list(stages).index(named.name)]}
        earlier |= {"base": self.model, "recipe": self.folder}
        with storage_errors(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
        folder = self.out / named.folder
        return Context(start, folder, self.template, watcher, earlier, self.cache, self.device, named.name)


class _Quiet:
    """A watcher that hears nothing."""

    def begin(self, name: str, steps: int) -> None: ...

    def update(self, row: dict[str, Any]) -> None: ...

    def say(self, line: str) -> None: ...


def _data(stage: Any) -> list[str]:
    return [each for name in ("data", "prompts", "models") for each in getattr(stage, name, ())]


def _stages(tables: Any, seed: int) -> list[Named]:
    found: list[Named] = []
    for number, given in enumerate(tables, 1):
        options = dict(given)
        use = options.pop("use", None)
        if not isinstance(use, str) or (use not in STAGES and ":" not in use):
            hint = nearest(str(use), STAGES)
            raise RecipeError(f"[[posttrain.stage]] {number}: use = {use!r} is no stage{hint}; {', '.join(STAGES)}")
        name = options.pop("name", use)
        if (
            not re.fullmatch(r"[\w.-]+", str(name))
            or name in ("base", "recipe")
            or name in [each.name for each in found]
        ):
            raise RecipeError(f"[[posttrain.stage]] {number}: the name {name!r} is taken or has odd characters")
        cls = _class(use)
        if "seed" in {f.name for f in fields(cls)}:
            options.setdefault("seed", seed)
        stage = instance(cls, use, options, f"[[posttrain.stage]] {number}")
        found.append(Named(name, f"{number:02d}-{name}", stage))
    return found


def _class(use: str) -> Any:
    if ":" in use:
        from jacorpus.resolve import resolve

        return resolve(use)
    return getattr(importlib.import_module(f"trainer.posttrain.{use}"), class_name(use))


def _evaluations(tables: Any, folder: Path) -> list[dict[str, Any]]:
    for number, table in enumerate(tables, 1):
        if not isinstance(table, dict) or ("task" not in table) == ("rewards" not in table):
            raise RecipeError(
                f"[[posttrain.evaluate]] {number}: write task = NAME with data, or rewards with prompts, held out"
            )
    return [{key: _placed(key, value, folder) for key, value in table.items()} for table in tables]


def _placed(key: str, value: Any, folder: Path) -> Any:
    if key not in ("data", "prompts"):
        return value
    return [str(folder / each.removeprefix("@recipe/")) if each.startswith("@recipe/") else each for each in value]
