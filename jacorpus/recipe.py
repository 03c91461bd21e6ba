"""One TOML file to a typed, strict, frozen Recipe.

Paths of inputs and of files named in options are relative to the recipe's folder; ``out`` is relative to
the current folder. Unknown keys are errors that name the nearest right one.
"""

import dataclasses
import math
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jacorpus.errors import RecipeError, nearest
from jacorpus.resolve import FAMILIES, build, default_label, known_stages, options_of, resolve

LATER_TABLES = ("tokenizer", "mixing", "model", "train", "posttrain")
"""Tables of the steps after the corpus: kept as they are for those commands."""

_SOURCE_KEYS = ("use", "domain", "paths", "priority")
_STAGE_KEYS = ("use", "label", "domains")


@dataclass(frozen=True)
class SourceSpec:
    """One ``[[source]]``: files of one format that form (part of) a domain.

    priority: the preferred keeper among duplicates across sources; higher wins.
    """

    use: str
    domain: str
    paths: tuple[str, ...]
    priority: int
    stage: Any  # a Source


@dataclass(frozen=True)
class StageSpec:
    """One ``[[stage]]``. label: prefix of its columns. domains: None means all."""

    use: str
    label: str
    domains: tuple[str, ...] | None
    stage: Any


@dataclass(frozen=True)
class Recipe:
    """Everything a run needs to know. Two equal recipes on equal inputs give equal bytes.

    seed: of every random choice. shard_bytes: text in one shard, bytes of UTF-8. task_bytes: input of one task.
    bytes_per_token: for token estimates. valid_ratio: share of documents (by duplicate cluster) held out.
    limit: stop each source after so many records (0: all).
    """

    name: str
    sources: tuple[SourceSpec, ...]
    stages: tuple[StageSpec, ...]
    folder: Path
    out: str = ""
    seed: int = 42
    shard_bytes: int = 256_000_000
    task_bytes: int = 128_000_000
    bytes_per_token: float = 4.0
    valid_ratio: float = 0.005
    limit: int = 0
    later: dict[str, Any] = field(default_factory=dict)

    def resolved(self) -> dict[str, Any]:
        """The recipe as a table with every default written out; saved beside each output."""
        top = {name: getattr(self, name) for name in _TOP}
        sources = [
            {"use": s.use, "domain": s.domain, "paths": list(s.paths), "priority": s.priority, **options_of(s.stage)}
            for s in self.sources
        ]
        stages = []
        for spec in self.stages:
            domains = {"domains": list(spec.domains)} if spec.domains else {}
            stages.append({"use": spec.use, "label": spec.label, **domains, **options_of(spec.stage)})
        return {**top, "source": sources, "stage": stages, **self.later}


_TOP = ("name", "out", "seed", "shard_bytes", "task_bytes", "bytes_per_token", "valid_ratio", "limit")
_KNOWN = (*_TOP, "source", "stage", *LATER_TABLES)


def load_tables(path: str | Path, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """A recipe's TOML as it stands, with ``--set`` words applied; no more is checked than its top-level keys.

    Raises RecipeError for a file that can't be read and for unknown keys.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"no recipe at {path}; `jacorpus recipe new` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path} can't be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {path} is no valid TOML: {error}") from error
    for word in overrides:
        _override(tables, word)
    for key in tables:
        if key not in _KNOWN:
            raise RecipeError(f"recipe {path}: unknown key `{key}`{nearest(key, _KNOWN)}")
    for key in LATER_TABLES:
        if not isinstance(tables.get(key, {}), dict):
            raise RecipeError(f"recipe {path}: `{key}` must be written as a table, [{key}]")
    return tables


def load_recipe(path: str | Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read and check a recipe. overrides: ``key=value`` words of ``--set``.

    Raises RecipeError: file, table, key, and what to write instead.
    """
    path = Path(path)
    tables = load_tables(path, overrides)
    if str(path.resolve().parent) not in sys.path:
        sys.path.append(str(path.resolve().parent))  # where `use = "mine:Class"` finds mine.py
    try:
        return recipe_from_tables(tables, path.resolve().parent, path.stem)
    except RecipeError as error:
        raise RecipeError(f"recipe {path}: {error}") from error


def recipe_from_tables(tables: dict[str, Any], folder: Path, name: str) -> Recipe:
    """A recipe out of parsed TOML. folder: what relative input paths start from."""
    for key in tables:
        if key not in _KNOWN:
            raise RecipeError(f"unknown key `{key}`{nearest(key, _KNOWN)}")
    if not tables.get("source"):
        raise RecipeError("it names no [[source]]; add one with use, domain and paths")
    top = {key: _typed(key, tables[key]) for key in _TOP if key in tables}
    top.setdefault("name", name)
    sources = tuple(_source(table, i, folder) for i, table in enumerate(_list(tables, "source"), 1))
    stages = tuple(_stage(table, i, folder) for i, table in enumerate(_list(tables, "stage"), 1))
    domains = {source.domain for source in sources}
    labels: set[str] = set()
    for i, spec in enumerate(stages, 1):
        for domain in spec.domains or ():
            if domain not in domains:
                raise RecipeError(
                    f"[[stage]] {i} ({spec.use}): no source has the domain `{domain}`{nearest(domain, domains)}"
                )
        if spec.label in labels:
            raise RecipeError(f'[[stage]] {i} ({spec.use}): the label `{spec.label}` is taken; add `label = "..."`')
        labels.add(spec.label)
    later = {key: tables[key] for key in LATER_TABLES if key in tables}
    return Recipe(sources=sources, stages=stages, folder=folder, later=later, **top)


def _list(tables: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = tables.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise RecipeError(f"`{key}` must be written as [[{key}]] tables")
    return value


def _typed(key: str, value: Any) -> Any:
    """A top-level value, checked against the type of its field."""
    wanted = {f.name: f.type for f in dataclasses.fields(Recipe)}[key]
    if wanted is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, wanted) or isinstance(value, bool):  # type: ignore[arg-type]
        raise RecipeError(f"`{key}` must be {getattr(wanted, '__name__', wanted)}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"`{key}` must be a finite number, got {value!r}")
    if key in ("shard_bytes", "task_bytes", "bytes_per_token") and value <= 0:
        raise RecipeError(f"`{key}` must be over 0, got {value!r}")
    if key == "limit" and value < 0:
        raise RecipeError(f"`limit` must be 0 (all records) or more, got {value!r}")
    if key == "name" and (not value or "/" in value or not value.isprintable()):
        raise RecipeError(f"`name` must be one word for people and folders, without a slash, got {value!r}")
    if key == "valid_ratio" and not 0 <= value < 1:
        raise RecipeError(f"`valid_ratio` must be in [0, 1), got {value!r}")
    return value


def _use(table: dict[str, Any], where: str, family: str | None) -> str:
    use = table.get("use")
    if not isinstance(use, str):
        raise RecipeError(f'{where}: it needs `use = "..."`')
    if ":" not in use and family and not use.startswith(f"{family}."):
        names = [name for name in known_stages() if name.startswith(f"{family}.")]
        raise RecipeError(f"{where}: `{use}` is no {family} stage{nearest(use, names)}")
    if ":" not in use and not family and use.partition(".")[0] in ("sources",):
        raise RecipeError(f"{where}: `{use}` is a source; write it as [[source]]")
    if ":" not in use and use.partition(".")[0] not in FAMILIES:
        raise RecipeError(f"{where}: unknown stage `{use}`{nearest(use, known_stages())}")
    resolve(use)
    return use


def _source(table: dict[str, Any], number: int, folder: Path) -> SourceSpec:
    where = f"[[source]] {number}"
    use = _use(table, where, "sources")
    paths = table.get("paths")
    if isinstance(paths, str):
        paths = [paths]
    if not isinstance(paths, list) or not paths or not all(isinstance(p, str) and p.strip("@ ") for p in paths):
        raise RecipeError(f'{where} ({use}): it needs `paths = ["..."]`')
    domain: Any = table.get("domain")
    if not _is_name(domain, "-_."):
        raise RecipeError(f'{where} ({use}): it needs `domain = "..."` of letters, digits, `-`, `_` and `.`')
    priority = table.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise RecipeError(f"{where} ({use}): `priority` must be a whole number, got {priority!r}")
    options = {key: value for key, value in table.items() if key not in _SOURCE_KEYS}
    return SourceSpec(use, domain, tuple(paths), priority, build(use, _files(options, folder, where), where))


def _stage(table: dict[str, Any], number: int, folder: Path) -> StageSpec:
    where = f"[[stage]] {number}"
    use = _use(table, where, None)
    options = {key: value for key, value in table.items() if key not in _STAGE_KEYS}
    stage = build(use, _files(options, folder, where), where)
    domains = table.get("domains")
    if domains is not None and (
        not isinstance(domains, list) or not domains or not all(isinstance(d, str) for d in domains)
    ):
        raise RecipeError(f"{where} ({use}): `domains` must be a list of names, got {domains!r}")
    label = table.get("label", default_label(use, stage))
    if not _is_name(label, "-_"):
        raise RecipeError(f"{where} ({use}): `label` must be letters, digits, `-` and `_`, got {label!r}")
    return StageSpec(use, label, tuple(domains) if domains else None, stage)


def _is_name(value: Any, extra: str) -> bool:
    """Whether a domain or label can be part of a file's name and of a signal's name."""
    return isinstance(value, str) and value.strip(".") != "" and all(c.isalnum() or c in extra for c in value)


_FILE_ENDINGS = (".txt", ".toml", ".jsonl", ".json", ".zst", ".gz", ".bin", ".ftz", ".arrow", ".parquet", ".csv")


def _files(value: Any, folder: Path, where: str) -> Any:
    """Options with the files they name made absolute; a path that leads nowhere is an error here, not hours later."""
    if isinstance(value, dict):
        return {k: _files(v, folder, where) for k, v in value.items()}
    if isinstance(value, list):
        return [_files(v, folder, where) for v in value]
    if isinstance(value, str) and value and "\n" not in value and "://" not in value:
        try:
            if (folder / value).exists() and ("/" in value or value.endswith(_FILE_ENDINGS)):
                return str((folder / value).resolve())
        except OSError:
            return value
        if value.endswith(_FILE_ENDINGS):
            raise RecipeError(f"{where}: no file `{value}` in {folder}")
    return value


def _override(tables: dict[str, Any], word: str) -> None:
    """Apply one ``--set``: ``seed=1``, ``stage.minhash.threshold=0.8``, ``source.web.priority=2``."""
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {word}: write it as key=value")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text
    parts = key.split(".")
    if parts[0] in ("stage", "source"):
        if len(parts) < 3:
            raise RecipeError(f"--set {word}: name a label and an option, as in {parts[0]}.NAME.option=value")
        table = _labeled(tables.get(parts[0], []), parts[0], parts[1])
        parts = parts[2:]
    else:
        table = tables
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {word}: `{part}` is no table")
    table[parts[-1]] = value


def _labeled(listed: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    names: dict[str, dict[str, Any]] = {}
    for table in listed:
        use = str(table.get("use", ""))
        for known in (table.get("domain"), table.get("label"), use.rpartition(".")[2], use.partition(".")[0]):
            if known:
                names.setdefault(str(known), table)
    if name not in names:
        raise RecipeError(f"--set {kind}.{name}: no such {kind}{nearest(name, names)}")
    return names[name]


def to_toml(tables: dict[str, Any]) -> str:
    """The table as TOML; None values (options left unset) are not written."""
    import tomli_w

    return tomli_w.dumps(_without_none(tables))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_none(v) for v in value]
    return value
