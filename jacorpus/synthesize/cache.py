"""Responses on disk: one SQLite file, one row a response that was received, durable before anything counts on it.

A request is named by what decides its answer (model, parameters, messages), so a run that was killed asks only
what it has no answer to. Answers that can't be used are kept too: they were paid for.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from jacorpus.errors import StorageError
from jacorpus.shards import storage_errors

_TABLE = """CREATE TABLE IF NOT EXISTS responses
(key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, tokens_in INTEGER NOT NULL,
 tokens_out INTEGER NOT NULL, cost REAL NOT NULL)"""


def request_key(body: dict[str, Any]) -> str:
    """SHA-256 (hex) over model, parameters and messages, whatever order they are written in."""
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Store:
    """The responses of one output folder. Raises StorageError: full disk, no permission, damaged file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._errors():
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # each row is on the disk when put() returns
            self._database.execute(_TABLE)

    def get(self, key: str) -> str | None:
        """The response to a request, None where it was never received."""
        with self._errors():
            row = self._database.execute("SELECT text FROM responses WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def put(self, key: str, model: str, text: str, tokens_in: int, tokens_out: int, cost: float) -> None:
        """Keep a response. It is durable when this returns."""
        row = (key, model, text, tokens_in, tokens_out, cost)
        with self._errors():
            self._database.execute("INSERT OR IGNORE INTO responses VALUES (?, ?, ?, ?, ?, ?)", row)

    def totals(self) -> dict[str, Any]:
        """{"responses", "tokens_in", "tokens_out", "cost"} of all that was ever received."""
        sums = "count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0), coalesce(sum(cost), 0.0)"
        with self._errors():
            row = self._database.execute(f"SELECT {sums} FROM responses").fetchone()
        return dict(zip(("responses", "tokens_in", "tokens_out", "cost"), row, strict=True))

    def close(self) -> None:
        """Close the file; nothing is lost where this is not reached."""
        self._database.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"the responses in {self.path} can't be read or written ({error}); free space or mend the file, "
                "then run the same command again"
            ) from error
