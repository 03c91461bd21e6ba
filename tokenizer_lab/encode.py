"""A corpus to token shards: read and encode in parallel, shuffle through disk, publish.

    encode   a part of a file -> runs of documents sorted by a keyed hash      (encoding/reading.py, shuffle.py)
    merge    a range of hashes of all runs -> one shard                        (tokens.py has the format)

Tasks have content keys and go through the engine of ``jacorpus corpus run``: a killed run goes on where it was, and
the bytes that come out depend on neither workers, kills, nor the order of files. The runs are removed at the end; the
same command on a finished folder finds it finished. A special token's text inside a document is text, never a control
id. No end-of-text token is stored (see tokenizer_lab/tokens.py).
"""

import datetime
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jacorpus.errors import RecipeError, nearest
from jacorpus.keys import code_key, key_of, local_digest
from jacorpus.progress import Silent, Watcher
from jacorpus.shards import publish, storage_errors
from jacorpus.store import Store, write_json
from jacorpus.tasks import Engine, Task, pending
from tokenizer_lab.corpus import Domain
from tokenizer_lab.encoding.accounts import accounts, axes, check_any, without_language
from tokenizer_lab.encoding.encode_task import OPENED, SPLITS, EncodeTask, TokenizerFile
from tokenizer_lab.encoding.reading import Part, check_language, parts_of
from tokenizer_lab.encoding.shuffle import TOKEN_BYTES, MergeTask, merge_tasks, rank_ranges
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer
from tokenizer_lab.tokens import FORMAT, KIND, Tokens, manifest_of, open_tokens

SHARD_TOKENS = 64 << 20
"""Tokens of a shard, about; a worker holds one shard (256 MB) while it merges."""

RUN_TOKENS = 32 << 20
"""Tokens at which a run is sorted and written; a worker holds one run twice (256 MB) while it encodes."""

EOS = (
    *("<EOD>", "<EOD|LLM-jp>", "<|endoftext|>", "<|end_of_text|>"),  # ends of documents by their name
    *("<|plamo:eos|>", "</s>", "<eos>", "<|eos|>", "[EOS]"),
)
"""Texts looked for, in this order, where the end-of-text token is not named."""


@dataclass(frozen=True)
class EncodeOptions:
    """seed: of the order of documents. shard_tokens: about so many tokens a shard. eos: text of the special token that
    ends a text, empty to look for a known one. run_tokens: how much a worker sorts at once; changes no byte.
    by_language: each document goes to the domain NAME-LANGUAGE, by the language its text shard carries. languages:
    of whole domains, by name; these are not split."""

    seed: int = 0
    shard_tokens: int = SHARD_TOKENS
    eos: str = ""
    run_tokens: int = RUN_TOKENS
    by_language: bool = False
    languages: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.shard_tokens < 1 or self.run_tokens < 1:
            raise RecipeError("shard_tokens and run_tokens must be over 0")


class EncodeRun:
    """One encoding of a corpus into a folder; ``execute`` does it."""

    def __init__(
        self,
        domains: Sequence[Domain],
        tokenizer: str | Path,
        out: Path,
        options: EncodeOptions,
        engine: Engine,
        watcher: Watcher | None = None,
        pattern: str | None = None,
        specials: Sequence[str] = (),
    ) -> None:
        self.out, self.options, self.engine = out, options, engine
        self.watcher: Watcher = watcher or Silent()
        self.domains = sorted(domains, key=lambda domain: domain.name)
        _check_names(self.domains)
        _check_languages(self.domains, options.languages)
        self.tokenizer = open_tokenizer(tokenizer, pattern, specials)
        self.file = TokenizerFile(str(tokenizer), pattern, tuple(specials), self.tokenizer.fingerprint)
        OPENED[self.file] = self.tokenizer
        self.eos_id = eos_of(self.tokenizer, options.eos)
        self.store = Store(out / "work")
        self.phases: list[dict[str, Any]] = []
        self.encodes = self._encode_tasks()

    def _encode_tasks(self) -> list[Task]:
        code, names = code_key("tokenizer_lab.encode"), {domain.name for domain in self.domains}
        split = names - set(self.options.languages) if self.options.by_language else set()
        engine = {"fingerprint": self.file.fingerprint, "engine": self.tokenizer.engine, "code": code}
        tasks = []
        for part in parts_of(self.domains, split):
            content = {
                "kind": "encode",
                "tokenizer": engine,
                "digest": _digest(part),
                "part": [part.domain, part.file.name, part.span.start, part.span.stop, part.shard, part.column],
                "seed": self.options.seed,
                "run_tokens": self.options.run_tokens,
                **({"by_language": True} if part.by_language else {}),
            }
            payload = EncodeTask(part, self.file, self.options.seed, self.options.run_tokens)
            name = f"{part.domain} {part.file.name} {part.span.start}-"
            tasks.append(Task("encode", key_of(content), payload, name, part.size))
        return tasks

    @property
    def key(self) -> str:
        """Content key of the whole: a finished folder with this key needs no work."""
        keys = sorted(task.key for task in self.encodes)
        told = [dict(self.options.languages)] if self.options.languages else []
        return key_of([FORMAT, keys, self.options.shard_tokens, self.eos_id, self.tokenizer.name, *told])

    def finished(self) -> Tokens | None:
        """The shards, where this very encoding is done and its files still have their sizes."""
        manifest = manifest_of(self.out)
        if manifest is None or manifest["key"] != self.key:
            return None
        found = open_tokens(self.out)
        sizes = {entry["path"]: entry["bytes"] for entry in manifest["shards"]}
        whole = all((self.out / p).is_file() and (self.out / p).stat().st_size == n for p, n in sizes.items())
        return found if whole else None

    def execute(self) -> Tokens:
        """Encode, merge, publish. Raises JacorpusError; finished tasks stay whatever happens."""
        done = self.finished()
        if done is not None:
            self.watcher.say(f"{self.out} is up to date")
            self._clear()
            return done
        started = datetime.datetime.now(datetime.UTC)
        lock = self.store.lock()
        try:
            self.store.clear_scratch()
            self._compile()
            results = self._run("encode", self.encodes)
            self._check(results)
            merges = self._merges(results)
            merged = self._run("merge", merges)
            found = self._publish(results, [(task, merged[task.key]) for task in merges])
            self._write_run(started)
            self._clear()
        finally:
            self.engine.close()
            lock.close()
        return found

    def _clear(self) -> None:
        """Remove what only an unfinished run needs."""
        for name in ("done", "parts", "scratch", "tokenizer"):
            shutil.rmtree(self.store.root / name, ignore_errors=True)

    def _compile(self) -> None:
        """Compile kernels once, here, before many workers would do so side by side."""
        import pyarrow as pa

        if pending(self.encodes, self.store)[0]:
            self.tokenizer.encode(pa.array(["a"], pa.large_string()))

    def _run(self, kind: str, tasks: Sequence[Task]) -> dict[str, dict[str, Any]]:
        left, results = pending(tasks, self.store)
        size, wall = sum(task.size for task in left), time.monotonic()
        self.watcher.phase(kind, len(tasks), len(tasks) - len(left), size)
        results |= self.engine.run(left, self.store, self.watcher.event)
        seconds = round(time.monotonic() - wall, 3)
        self.phases.append({"kind": kind, "tasks": len(tasks), "run": len(left), "wall_s": seconds, "bytes": size})
        return results

    def _check(self, results: dict[str, dict[str, Any]]) -> None:
        parts = [(task.payload.part, results[task.key]) for task in self.encodes]
        check_any(self.domains, parts)
        for name in without_language(axes(parts, self.options.languages)):
            self.watcher.say(
                f"no document of {name} carries a language: shards of a corpus run with language.detect do; "
                f"--language {name}=CODE says it of all"
            )

    def _merges(self, results: dict[str, dict[str, Any]]) -> list[Task]:
        """The tasks that make the shards, in the order of domain, split and rank."""
        code, made = code_key("tokenizer_lab.encoding.shuffle"), []
        for domain in sorted({name for task in self.encodes for name in results[task.key]["runs"]}):
            parts = sorted(task.key for task in self.encodes if domain in results[task.key]["runs"])
            for split in SPLITS:
                runs = [(key, name) for key in parts for name in results[key]["runs"][domain][split]]
                if not runs:
                    continue
                tokens = sum(results[key]["counts"][domain][split]["tokens"] for key in parts)
                places = tuple((self.store.part(key), name) for key, name in runs)
                ranges = tuple(rank_ranges(tokens, self.options.shard_tokens))
                whole = MergeTask(places, self.tokenizer.vocab_size, domain, split, ranges)
                for task in merge_tasks(whole):
                    listed = [f"{low:x}-{high:x}" for low, high in task.ranges]
                    key = key_of(["merge", code, runs, domain, split, listed])
                    size = tokens * TOKEN_BYTES * len(task.ranges) // len(ranges)
                    made.append(Task("merge", key, task, f"{domain} {split} {listed[0]}", size))
        return made

    def _publish(self, results: dict[str, dict[str, Any]], merged: list[tuple[Task, dict[str, Any]]]) -> Tokens:
        """Everything under its public name, then the manifest."""
        with storage_errors(self.out):
            (self.out / "manifest.json").unlink(missing_ok=True)
            shutil.rmtree(self.out / "export", ignore_errors=True)  # of other shards
            shards: list[dict[str, Any]] = []
            for task, result in merged:
                shards += self._publish_shards(task, result, shards)
            listed = {self.out / shard["path"] for shard in shards}
            for old in (self.out / "shards").rglob("*.arrow"):
                if old not in listed:
                    old.unlink()
            manifest = self._manifest(results, shards)
            write_json(self.out / "manifest.json", manifest)
        return open_tokens(self.out)

    def _publish_shards(
        self, task: Task, result: dict[str, Any], before: list[dict[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        """Put the shards of a task under their public names, numbered on from those before."""
        domain, split = task.payload.domain, task.payload.split
        number = sum((shard["domain"], shard["split"]) == (domain, split) for shard in before)
        names = iter(sorted(result["parts"]))
        for (low, high), shard in zip(task.payload.ranges, result["shards"], strict=True):
            if shard is None:
                continue
            path = f"shards/{domain}-{split}-{number:05d}.arrow"
            publish(self.store.part(task.key, next(names)), self.out / path)
            number += 1
            ranks = [f"{low:016x}", f"{high:016x}"]
            yield {"path": path, "domain": domain, "split": split, "ranks": ranks, **shard}

    def _manifest(self, results: dict[str, dict[str, Any]], shards: list[dict[str, Any]]) -> dict[str, Any]:
        parts = [(task.payload.part, results[task.key]) for task in self.encodes]
        told = axes(parts, self.options.languages)
        return {
            "kind": KIND,
            "format": FORMAT,
            "key": self.key,
            "seed": self.options.seed,
            "shard_tokens": self.options.shard_tokens,
            "tokenizer": self._keep_tokenizer(),
            **accounts(parts, shards),
            **({"axes": told} if told else {}),
            "shards": shards,
        }

    def _keep_tokenizer(self) -> dict[str, Any]:
        """Copy the tokenizer's file beside the shards; how the manifest names it."""
        from tokenizer_lab.formats.sniff import PLAIN, file_of

        target, scratch, path = self.out / "tokenizer", self.out / "work" / "tokenizer", ""
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        if self.tokenizer.format not in PLAIN:
            source = file_of(Path(self.file.path))  # perhaps the very copy that lies at the target
            for each in (source, source.with_name(f"{source.name}.json")):  # pattern and specials of rank files
                if each.is_file():
                    shutil.copyfile(each, scratch / each.name)
            path = f"tokenizer/{source.name}"
        shutil.rmtree(target, ignore_errors=True)
        if path:
            scratch.rename(target)
        vocabulary = self.tokenizer.vocabulary
        return {
            "name": self.tokenizer.name,
            "path": path,
            "pattern": self.file.pattern,
            "specials_given": list(self.file.specials),
            "format": self.tokenizer.format,
            "algorithm": self.tokenizer.algorithm,
            "engine": self.tokenizer.engine,
            "fingerprint": self.tokenizer.fingerprint,
            "vocab_size": self.tokenizer.vocab_size,
            "eos_id": self.eos_id,
            "unknown_id": vocabulary.unknown_id,
            "specials": dict(sorted(vocabulary.specials.items(), key=lambda item: item[1])),
        }

    def _write_run(self, started: datetime.datetime) -> None:
        info = {
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "host": platform.node(),
            "workers": self.engine.workers,
            "engine": self.engine.name,
            "phases": self.phases,
        }
        write_json(self.out / "run.json", info)


def _digest(part: Part) -> str:
    if "://" in part.file.uri:
        return key_of([part.file.uri, part.file.size])
    return local_digest(Path(part.file.uri))


def _check_names(domains: Sequence[Domain]) -> None:
    """A domain's name is part of its shards' paths: it stays below the output folder."""
    for domain in domains:
        if Path(domain.name).is_absolute() or ".." in Path(domain.name).parts or "\\" in domain.name:
            raise RecipeError(f"domain `{domain.name}` can't name a file; choose another: NAME=PATH")


def _check_languages(domains: Sequence[Domain], languages: Mapping[str, str]) -> None:
    names = [domain.name for domain in domains]
    for name, code in languages.items():
        if name not in names:
            raise RecipeError(f"--language: no domain `{name}` in this corpus{nearest(name, names)}")
        check_language(code, RecipeError, f"--language: {name} is said to be of")


def eos_of(tokenizer: Tokenizer, named: str = "") -> int | None:
    """Id of the token that ends a text: the special token ``named``, or the first of EOS that there is, or None.

    Raises RecipeError for a name that is no special token.
    """
    specials = tokenizer.vocabulary.specials
    if named:
        if named not in specials:
            raise RecipeError(f"{tokenizer.name} has no special token {named}{nearest(named, specials)}")
        return specials[named]
    return next((specials[text] for text in EOS if text in specials), None)


def encode_corpus(
    domains: Sequence[Domain],
    tokenizer: str | Path,
    out: Path,
    options: EncodeOptions | None = None,
    engine: Engine | None = None,
    watcher: Watcher | None = None,
    pattern: str | None = None,
    specials: Sequence[str] = (),
) -> Tokens:
    """Encode a corpus into token shards under ``out``; returns them opened.

    tokenizer, pattern, specials: as for ``open_tokenizer``. engine: default one process, this one.
    Raises InputError for damaged input, RecipeError for options that don't fit, StorageError for a full disk.
    """
    if engine is None:
        from jacorpus.engine.inline import Inline

        engine = Inline()
    return EncodeRun(domains, tokenizer, out, options or EncodeOptions(), engine, watcher, pattern, specials).execute()
