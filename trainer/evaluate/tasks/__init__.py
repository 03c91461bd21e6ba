"""Tasks for lm-eval from local files: one module a task, found by its name; nothing is fetched.

A module has ``config(records) -> (fields of a lm-eval TaskConfig, {split: records})``. Records are lines of a JSONL
file (perhaps compressed), one question each:

    {"id": "...", "question": "...", "choices": ["...", ...], "answer": 0, "source": "jmmlu", "split": "valid", ...}

``source`` names the task, so that one file may hold several; ``split`` is train (few-shot examples) or valid (scored).
"""

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from jacorpus.errors import InputError, RecipeError, nearest

Record = dict[str, Any]


def known_tasks() -> tuple[str, ...]:
    """Names of the modules here."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def check_tasks(names: Iterable[str]) -> None:
    """Raise RecipeError for a task that isn't here."""
    for name in names:
        if name not in known_tasks():
            raise RecipeError(f"task `{name}` is unknown{nearest(name, known_tasks())}")


def task_config(name: str, data: Path) -> tuple[dict[str, Any], dict[str, list[Record]]]:
    """What lm-eval's ConfigurableTask needs, and the records of each split, in an order drawn by a hash of their id:
    a limit then takes a fair sample.

    Raises RecipeError for an unknown task, InputError for a file without its questions or with a broken line.
    """
    check_tasks([name])
    records, sources = [], set()
    for record in _records(data):
        sources.add(record["source"])
        if record["source"] == name:
            records.append(record)
    if not records:
        there = ", ".join(sorted(map(str, sources))) or "nothing"
        raise InputError(f"{data} has no question of source `{name}`; it holds {there}")
    records.sort(key=lambda record: hashlib.sha256(str(record["id"]).encode()).digest())
    return importlib.import_module(f"{__name__}.{name}").config(records)


def json_rows(path: Path, opened: IO[bytes] | None = None) -> Iterator[tuple[str, Record]]:
    """("file, line 3", its object) of the lines of a JSONL file, perhaps compressed. opened: its bytes, where pyarrow
    does not know how it is packed. Raises InputError for a file that can't be read or a line that is no object."""
    try:
        with opened or pa.input_stream(str(path), compression="detect") as stream:
            lines = stream.read().decode("utf-8").split("\n")
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} can't be read ({error}); --task-data wants JSONL, perhaps .zst or .gz") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{where}: no question (no JSON: {error}); expected an object a line") from error
            if not isinstance(row, dict):
                raise InputError(f"{where}: no question but {type(row).__name__}; expected an object a line")
            yield where, row


def _records(path: Path) -> list[Record]:
    found = []
    for number, (where, row) in enumerate(json_rows(path), 1):
        try:
            found.append(_checked(row, number))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{where}: no question ({type(error).__name__}: {error}); expected "
                f'{{"id", "question", "choices": [...], "answer": place among the choices, "source"}}'
            ) from error
    return found


def _checked(row: Record, number: int) -> Record:
    choices = [str(choice) for choice in row["choices"]]
    answer = int(row["answer"])
    if len(choices) < 2 or not all(choices) or not 0 <= answer < len(choices):
        raise ValueError(f"answer {answer} of {len(choices)} choices")
    return {
        "id": str(row.get("id", number)),
        "question": str(row["question"]),
        "choices": choices,
        "answer": answer,
        "source": row["source"],
        "split": row.get("split") or "valid",
        "subject": str(row.get("subject", "")),
    }
