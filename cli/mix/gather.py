"""What ``mix optimize`` works on: a recipe's wishes and a folder of token shards, as mixing takes them.

Here the three packages meet: shards are read by tokenizer_lab, tiny models are trainer's, and mixing knows neither.
"""

import importlib.util
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacorpus.errors import InputError, RecipeError, nearest
from mixing.domains import Domains
from mixing.mixture import NAME, Mixture, key_of, read_mixture
from mixing.problem import Problem, problem_of
from mixing.settings import MixingSettings, settings_of
from tokenizer_lab.tokens import Tokens, open_tokens

if TYPE_CHECKING:
    from mixing.count_tables import CountTables
    from mixing.counting import Documents
    from mixing.evidence import Evidence, Progress
    from mixing.optimize import Result
    from trainer.proxy import Proxy

FORMAT = 1
"""Part of the key: raised when the same input comes to give other weights."""


@dataclass(frozen=True)
class Task:
    """One optimization: settings of [mixing], with the tokens of [train] where it names none; shards; where to."""

    settings: MixingSettings
    tokens: Tokens
    out: Path

    @staticmethod
    def of(tables: Mapping[str, Any], tokens: Path, out: Path) -> "Task":
        """Raises JacorpusError for wishes that are unknown or can't be met, and shards that aren't there."""
        return Task(settings_of(tables), open_tokens(tokens), out)

    @cached_property
    def domains(self) -> Domains:
        """By the manifest and [mixing.domains]."""
        return Domains.from_manifest(self.tokens.manifest, self.settings.domains)

    @cached_property
    def problem(self) -> Problem:
        """Resolved; infeasible limits are told here."""
        return problem_of(self.settings, self.domains)

    @property
    def key(self) -> str:
        """Of all that fixes the weights."""
        return key_of([FORMAT, asdict(self.settings), self.tokens.manifest["key"]])

    @property
    def done(self) -> Mixture | None:
        """The finished mixture of this very task."""
        if not (self.out / NAME).is_file():
            return None
        found = read_mixture(self.out)
        return found if found.key == self.key else None

    def evidence(self, progress: "Progress | None") -> "Evidence":
        """Made when asked for; finished parts are kept under work/."""
        from mixing.evidence import Evidence

        has_torch = importlib.util.find_spec("torch") is not None
        return Evidence(
            tables_of=lambda: self.tables(progress).surrogate(),
            proxy_of=self.proxy if has_torch else None,  # type: ignore[arg-type]
            swarm=self.settings.swarm,
            kind=self.settings.surrogate,  # type: ignore[arg-type]
            progress=progress,
        )

    def tables(self, progress: "Progress | None" = None) -> "CountTables":
        """Count tables of all domains; read again where they were built before."""
        from mixing.count_tables import CountTables
        from mixing.counting import TUNING_TOKENS, TableSettings

        settings = TableSettings.of(self.settings.tables)
        key = key_of([FORMAT, asdict(settings), self.tokens.manifest["key"]])[:32]
        place = self.out / "work" / f"tables-{key}.npz"
        if place.is_file():
            with suppress(InputError):  # damaged, or an older version's: counted again
                return CountTables.load(place)
        most, each = settings.tokens_per_domain, settings.events_per_document
        train = {d.name: documents(self.tokens, d.name, "train", most + TUNING_TOKENS, most) for d in self.domains.all}
        held_out = {
            d.name: documents(self.tokens, d.name, "valid", settings.events_per_set, each)
            for d in self.domains.all
            if d.valid_tokens
        }
        vocab_size, eos_id = self.tokens.vocab_size, self.tokens.eos_id
        built = CountTables.build(train, held_out, settings, progress, vocab_size=vocab_size, eos_id=eos_id)
        built.save(place)
        return built

    def proxy(self) -> "Proxy":
        """Tiny models on all domains that have text; finished runs are kept."""
        from trainer.proxy import Proxy, ProxySettings

        settings = ProxySettings(**checked("proxy", self.settings.proxy, ProxySettings))
        names = [domain.name for domain in self.domains.all if domain.tokens]
        return Proxy(self.tokens.folder, names, settings, cache=self.out / "work" / "proxy")

    def run(self, progress: "Progress | None" = None) -> "Result":
        """Optimize, and leave mixture.json, report.html, report.json and run.json."""
        from threadpoolctl import threadpool_limits

        from jacorpus.shards import storage_errors
        from jacorpus.store import write_json
        from mixing.optimize import optimize
        from mixing.report import write_report

        began = time.monotonic()
        with storage_errors(self.out):
            (self.out / "work").mkdir(parents=True, exist_ok=True)
        with threadpool_limits(1):  # sums of several threads end in other digits
            result = optimize(self.problem, self.settings, self.evidence(progress))
        with storage_errors(self.out):
            write_report(result, self.out)
            write_json(self.out / "run.json", {"seconds": time.monotonic() - began})
            self.mixture(result).write(self.out / NAME)  # last: what is there is whole
        return result

    def mixture(self, result: "Result") -> Mixture:
        """The answer as a file."""
        from mixing.optimize import facts_of

        entry = self.tokens.manifest
        fingerprint = entry.get("tokenizer", {}).get("fingerprint", "")
        return Mixture(result.weights, self.domains, "token", fingerprint, entry["key"], self.key, facts_of(result))


def checked(table: str, given: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Keys of [mixing.TABLE] that a settings class has. Raises RecipeError for others, and for wrong types."""
    from pydantic import TypeAdapter, ValidationError

    names = [f.name for f in fields(kind)]
    for key in given:
        if key not in names:
            raise RecipeError(f"[mixing.{table}] has no key `{key}`{nearest(key, names)}; it has {', '.join(names)}")
    try:
        TypeAdapter(kind).validate_python(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(f"[mixing.{table}] {where}: {first['msg']} (got {first['input']!r})") from error
    return dict(given)


def documents(tokens: Tokens, domain: str, split: str, most: int, each: int) -> "Documents":
    """The first documents of a split, until they hold ``most`` tokens, of one ``each`` at most counted.

    Shards lie in an order drawn by key, so the first are a random draw.
    """
    import numpy as np

    from mixing.counting import Documents

    ids, sizes, text_bytes, have = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for shard in tokens.of(domain, split):
        if have >= most:
            break
        offsets = np.asarray(shard.offsets)
        counted = np.cumsum(np.minimum(np.diff(offsets), each))
        stop = min(int(np.searchsorted(counted, most - have)) + 1, len(counted))
        ids.append(np.asarray(shard.ids[offsets[0] : offsets[stop]]))
        sizes.append(np.diff(offsets[: stop + 1]))
        text_bytes.append(shard.batch["text_bytes"].to_numpy()[:stop])
        have += int(counted[stop - 1]) if stop else 0
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(sizes))])
    return Documents(np.concatenate(ids), ends, np.concatenate(text_bytes))
