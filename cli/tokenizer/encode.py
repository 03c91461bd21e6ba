"""``jacorpus tokenizer encode``: text to token shards."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import console

if TYPE_CHECKING:
    from tokenizer_lab.encode import EncodeRun
    from tokenizer_lab.tokens import Tokens


Workers = Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes; default: all processors.")]
Corpus = Annotated[
    list[str], typer.Argument(help="[NAME=]PATH: output of a corpus run, or JSONL, Parquet, Arrow, text; globs.")
]
Export = Annotated[
    list[str] | None, typer.Option("--export", help="Also write megatron, numpy or huggingface; may be repeated.")
]
Eos = Annotated[str, typer.Option(help="Special token that ends a text; default: the one known by its text.")]
Special = Annotated[list[str] | None, typer.Option("--special", help="Special token of a tiktoken rank file.")]

ByLanguage = Annotated[
    bool, typer.Option("--by-language", help="A domain for each language: web-ja, web-en; web-und where none is known.")
]
Language = Annotated[
    list[str] | None, typer.Option("--language", help="NAME=CODE: all of a domain is of a language; may be repeated.")
]


def encode(
    corpus: Corpus,
    tokenizer: Annotated[str, typer.Option("--tokenizer", "-t", help="Tokenizer file or folder, or byte, char.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the token shards.")],
    seed: Annotated[int, typer.Option(help="Seed of the order of documents.")] = 0,
    workers: Workers = None,
    shard_tokens: Annotated[int, typer.Option(min=1, help="About so many tokens a shard.")] = 64 << 20,
    export: Export = None,
    append_eos: Annotated[bool, typer.Option("--append-eos", help="Exports: end each document with the eos.")] = False,
    eos: Eos = "",
    column: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "text",
    pattern: Annotated[str | None, typer.Option(help="Pattern of an unknown tiktoken rank file.")] = None,
    special: Special = None,
    by_language: ByLanguage = False,
    language: Language = None,
    engine: Annotated[str, typer.Option("--engine", help="local, inline, or ray (needs the extra `ray`).")] = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the tasks, do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Encode a corpus into token shards: shuffled, split, memory-mappable. A killed run goes on, a finished one stays.

    Example: jacorpus tokenizer encode out/ja-web --tokenizer llm-jp.model --out out/ja-web/tokens
    """
    from cli.corpus import make_engine
    from jacorpus.run import default_workers
    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.encode import EncodeOptions, EncodeRun
    from tokenizer_lab.export.run import check_export

    told = _languages(language or [])
    options = EncodeOptions(seed, shard_tokens, eos, by_language=by_language, languages=told)
    domains = open_corpus(corpus, column)
    runner = make_engine(engine, workers or default_workers())
    with console.RunWatcher(quiet or json) as watcher:
        run = EncodeRun(domains, tokenizer, out, options, runner, watcher, pattern, tuple(special or ()))
        for form in export or []:
            check_export(form, run.eos_id, append_eos)
        if dry_run:
            _print_tasks(run, json)
            return
        tokens = run.execute()
        exports = [_export(tokens, form, append_eos, watcher) for form in export or []]
    if json:
        console.print_json({**tokens.manifest, "exports": exports})
    else:
        _print(tokens, exports)


def _languages(words: list[str]) -> dict[str, str]:
    """{domain: code} of words NAME=CODE."""
    from jacorpus.errors import RecipeError

    found: dict[str, str] = {}
    for word in words:
        name, equals, code = word.rpartition("=")
        if not equals or not name:
            raise RecipeError(f"--language {word}: expected NAME=CODE, such as docs=en")
        if found.setdefault(name, code) != code:
            raise RecipeError(f"--language: {name} is said to be of {found[name]} and of {code}; say one")
    return found


def _export(tokens: "Tokens", form: str, append_eos: bool, watcher: console.RunWatcher) -> dict[str, Any]:
    from tokenizer_lab.export.run import export

    watcher.phase(f"export {form}", 1, 0, 0)
    about = export(tokens, form, append_eos)
    watcher.finish()
    return about


def _print_tasks(run: "EncodeRun", json: bool) -> None:
    from jacorpus.tasks import pending

    finished = run.finished() is not None
    waiting = set() if finished else {task.key for task in pending(run.encodes, run.store)[0]}
    rows = [(t.name, t.payload.part.domain, t.size, t.key not in waiting) for t in run.encodes]
    if json:
        console.print_json([dict(zip(("task", "domain", "bytes", "done"), row, strict=True)) for row in rows])
        return
    title = f"{len(rows)} encode tasks, {len(waiting)} to do"
    console.print_table(title, ("task", "domain", "bytes", "done"), rows, 2)


def _print(tokens: "Tokens", exports: list[dict[str, Any]]) -> None:
    manifest = tokens.manifest
    tokenizer = manifest["tokenizer"]
    end = "no end-of-text token" if tokenizer["eos_id"] is None else f"end of text {tokenizer['eos_id']}"
    console.result.print(
        f"{tokenizer['name']}: {tokenizer['vocab_size']:,} ids, {end}; encoded by {tokenizer['engine']}"
    )
    rows = []
    for domain, splits in manifest["domains"].items():
        for split, c in splits.items():
            ratio = c["text_bytes"] / c["tokens"] if c["tokens"] else None
            rows.append([domain, split, c["documents"], c["tokens"], console.size(c["text_bytes"]), ratio])
    console.print_table("", ["domain", "split", "documents", "tokens", "text", "bytes a token"], rows, 2)
    for row in manifest["lost"]:
        console.notes.print(f"{row['domain']} {row['file']}: {row['records']:,} records lost ({row['reason']})")
    console.result.print(f"{len(tokens.shards)} shards in {tokens.folder}")
    for each in exports:
        console.result.print(f"{each['form']} in {tokens.folder / 'export' / each['form']}")
