"""Content keys: what a task's output depends on, as one SHA-256.

A key covers the task's inputs, the options of the stages it runs, the files those options name, the source
code of those stages (and of what they import from jacorpus), and the versions of the libraries they import.
So editing a rule re-extracts nothing, and editing an extractor re-extracts everything.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xxhash

from jacorpus.resolve import options_of

_CHUNK_BYTES = 1 << 22


def key_of(content: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of a value."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def file_digest(path: Path) -> str:
    """xxh3-128 (hex) of a file's bytes: detects change and damage, not malice."""
    digest = xxhash.xxh3_128()
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@functools.lru_cache(maxsize=4096)
def _cached_digest(path: str, size: int, mtime_ns: int) -> str:
    return file_digest(Path(path))


def local_digest(path: Path) -> str:
    """``file_digest``, or over a folder's files by relative path; remembered while size and time stay."""
    if path.is_dir():
        return key_of({p.relative_to(path).as_posix(): local_digest(p) for p in sorted(path.rglob("*")) if p.is_file()})
    stat = path.stat()
    return _cached_digest(str(path), stat.st_size, stat.st_mtime_ns)


def portable(value: Any, folder: Path | None = None) -> Any:
    """Options without this machine's paths: an absolute path that exists becomes its name and content digest."""
    if isinstance(value, dict):
        return {k: portable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [portable(v) for v in value]
    if isinstance(value, str) and value.startswith("/") and Path(value).exists():
        return {"file": Path(value).name, "digest": local_digest(Path(value))}
    return value


def stage_key(use: str, label: str, stage: Any) -> dict[str, Any]:
    """What a stage's output depends on, input aside."""
    return {
        "use": use,
        "label": label,
        "options": portable(options_of(stage)),
        "code": code_key(type(stage).__module__),
    }


@functools.cache
def code_key(module: str) -> str:
    """Digest of a module's source, of the jacorpus modules it reaches, and of the versions of its libraries."""
    sources: dict[str, str] = {}
    libraries: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        path = _source_path(name)
        if path is None:
            continue
        text = path.read_text("utf-8")
        sources[name] = hashlib.sha256(text.encode("utf-8")).hexdigest()
        for imported in _imports(ast.parse(text), name):
            top = imported.partition(".")[0]
            if top == module.partition(".")[0]:
                waiting.append(imported)
                waiting.append(imported.rpartition(".")[0])
            elif top not in sys.stdlib_module_names:
                libraries.add(top)
    sources.pop("jacorpus", None)
    return key_of({"sources": sources, "libraries": versions_of(libraries), "python": sys.version_info[:2]})


def _source_path(module: str) -> Path | None:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found and found.origin and found.origin.endswith(".py") else None


def _imports(tree: ast.AST, module: str) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def versions_of(libraries: Iterable[str]) -> dict[str, str]:
    """Installed version of each distribution that holds one of these top-level modules."""
    found = {}
    for library in sorted(libraries):
        for name in _distributions().get(library, []):
            found[name.lower()] = importlib.metadata.version(name)
    return found
