"""``jacorpus tokenizer transfer``: a model's embeddings for a changed vocabulary."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console

if TYPE_CHECKING:
    from tokenizer_lab.mixtures import Job
    from tokenizer_lab.transfer import Transferred


def transfer(
    model: Annotated[Path, typer.Option(help="Model: a safetensors file, or a folder of them.")],
    old: Annotated[str, typer.Option(help="The model's tokenizer.")],
    new: Annotated[str, typer.Option(help="The tokenizer it is to have.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")],
    method: Annotated[str, typer.Option(help="mean, focus, omp or wechsel.")] = "mean",
    corpus: Annotated[
        list[str] | None, typer.Option("--corpus", "-c", help="Text for static vectors (focus, wechsel), [NAME=]PATH.")
    ] = None,
    keep_corpus: Annotated[
        list[str] | None, typer.Option(help="Old-language text (wechsel; focus reads it too), [NAME=]PATH.")
    ] = None,
    dictionary: Annotated[
        Path | None, typer.Option(help="Word pairs, a line each: old language, tab, new language (wechsel).")
    ] = None,
    donor: Annotated[Path | None, typer.Option(help="A model that knows the new tokens (omp).")] = None,
    donor_tokenizer: Annotated[str | None, typer.Option(help="Its tokenizer; default: the one in its folder.")] = None,
    terms: Annotated[int, typer.Option(min=1, help="Most old rows in a mixture (omp, wechsel).")] = 16,
    tensor: Annotated[
        list[str] | None, typer.Option(help="Name of the input side, then of the output side, where unknown.")
    ] = None,
    multiple: Annotated[int | None, typer.Option(min=1, help="Pad the rows to a multiple; default: as before.")] = None,
    budget_mb: Annotated[float, typer.Option(min=0.001, help="MB of text for static vectors.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the draw and the vectors.")] = 0,
    pattern: Annotated[str | None, typer.Option(help="Pattern, where --old is an unknown tiktoken rank file.")] = None,
    column: Annotated[str, typer.Option(help="Column or key that holds the text.")] = "text",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """New rows for new tokens; rows of shared tokens are copied bit for bit, all other tensors byte for byte.

    Example: jacorpus tokenizer transfer --model llama2 --old llama2/tokenizer.model --new out/llama2-ja
    --method focus --corpus 'ja/*.jsonl.zst' --keep-corpus 'en/*.jsonl.zst' --out out/model
    """
    from tokenizer_lab.transfer import transfer as run

    texts = (corpus, keep_corpus, column, int(budget_mb * 1e6))
    giver = (donor_tokenizer or donor) if donor else None
    job = _job((old, new, pattern), texts, method, dictionary, giver, terms, seed)
    with console.Meter("transfer", quiet=quiet or json, bytes=False) as meter:
        files = _tokenizer_files(Path(new))
        made = run(model, job, method, out, tensor or (), donor, (), multiple, files, meter.step)
    if json:
        console.print_json(made.as_json())
    else:
        _print(made)


def _job(
    tokenizers: tuple[str, str, str | None],
    texts: tuple[list[str] | None, list[str] | None, str, int],
    method: str,
    dictionary: Path | None,
    donor_tokenizer: str | Path | None,
    terms: int,
    seed: int,
) -> "Job":
    """What the rows are mixed from. tokenizers: old, new, pattern of the old one. texts: new, old, column, bytes."""
    import numpy as np

    from tokenizer_lab.corpus import open_corpus
    from tokenizer_lab.mixtures import Job
    from tokenizer_lab.tokenizer import open_tokenizer

    old, new, pattern = tokenizers
    corpus, keep_corpus, column, budget_bytes = texts
    old_text = open_corpus(keep_corpus or [], column)
    new_text = open_corpus(corpus or [], column)
    return Job(
        open_tokenizer(old, pattern),
        open_tokenizer(new),
        np.zeros(0, np.int64),
        corpus=[*new_text, *(old_text if method == "focus" else [])],
        old_corpus=old_text,
        dictionary=_pairs(dictionary) if dictionary else (),
        donor=open_tokenizer(donor_tokenizer) if donor_tokenizer else None,
        seed=seed,
        budget_bytes=budget_bytes,
        neighbors=terms,
    )


def _tokenizer_files(path: Path) -> list[Path]:
    from tokenizer_lab.formats.sniff import IN_FOLDER

    return [path / name for name in IN_FOLDER if (path / name).is_file()] if path.is_dir() else [path]


def _pairs(path: Path) -> list[tuple[str, str]]:
    from jacorpus.errors import InputError

    pairs = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        words = line.split("\t")
        if len(words) != 2 or not all(words):
            raise InputError(f"{path}, line {number}: expected an old-language word, a tab and a new-language word")
        pairs.append((words[0], words[1]))
    return pairs


def _print(made: "Transferred") -> None:
    rows = [
        [s.name, s.dtype, s.rows_before, s.rows_after, s.norm_before, s.norm_copied, s.norm_new] for s in made.sides
    ]
    header = ["tensor", "kind", "rows", "afterwards", "mean norm", "of copied rows", "of new rows"]
    console.print_table("", header, rows, 2)
    say = console.result.print
    say(
        f"{made.copied:,} rows copied, {made.mixed:,} mixed by {made.method}, "
        f"{made.fallback:,} means of subwords instead, {made.padding:,} padding"
        + ("; output side tied to the input" if made.tied else "")
    )
    for note in made.notes:
        say(note)
    for file in made.files:
        say(str(file))
