"""``jacorpus generate``: text from a trained model, as it comes."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import console

if TYPE_CHECKING:
    from trainer.generate import Chunk
    from trainer.opened import Opened
    from trainer.sampling import Sampling

_UNSEEN = {code: "\N{REPLACEMENT CHARACTER}" for code in [*range(0x20), *range(0x7F, 0xA0)] if code not in (9, 10)}


def generate(
    model: Annotated[Path, typer.Argument(help="Folder of a training run, or of an export in Hugging Face's form.")],
    prompt: Annotated[str | None, typer.Argument(help="Text to go on from; absent or - reads standard input.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="File with a prompt a line; all are decoded together.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens an answer has.")] = 128,
    temperature: Annotated[float, typer.Option(help="Below 1 likelier tokens, above 1 rarer ones.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens that reach this probability.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Draw from so many of the likeliest tokens; 0 for all.")] = 0,
    min_p: Annotated[float, typer.Option(help="Leave out tokens below this part of the likeliest one.")] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1: tokens that were there get rarer.")] = 1.0,
    stop: Annotated[list[str] | None, typer.Option(help="End an answer before this text; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draws; each row draws by (seed, row).")] = 0,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the likeliest token.")] = False,
    samples: Annotated[int, typer.Option(min=1, help="Answers a prompt.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, or cuda, cuda:1 in bfloat16.")] = "cpu",
    json: Annotated[bool, typer.Option("--json", help="Print answers as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes on speed.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Let a model go on from a prompt. Text is shown as it comes; several answers one after another.

    Example: jacorpus generate out/ja-1b "日本の首都は" --top-p 0.9 --samples 3
    """
    from trainer.generate import complete, stream_text
    from trainer.opened import check_device, default_dtype, open_model
    from trainer.sampling import Sampling

    options = Sampling(
        *(max_tokens, 0.0 if greedy else temperature, top_k, top_p, min_p, repetition_penalty, seed, tuple(stop or ()))
    )
    given = _prompts(prompt, prompts)
    opened = open_model(model, device, default_dtype(check_device(device)))
    opened.need_tokenizer()
    rows = [(text, number) for text in given for number in range(samples)]
    start = time.monotonic()
    if json:
        answers = complete(opened, [text for text, _ in rows], options)
        count = sum(len(answer.tokens) for answer in answers)
        console.print_json(
            [
                {"prompt": text, "sample": number, "text": a.text, "tokens": len(a.tokens), "end": a.end}
                for (text, number), a in zip(rows, answers, strict=True)
            ]
        )
    else:
        count = _show(stream_text(opened, [text for text, _ in rows], options), rows, samples)
    if not quiet:
        _tell(opened, options, len(rows), count, time.monotonic() - start)


def _prompts(prompt: str | None, file: Path | None) -> list[str]:
    """The prompts of the command line, a file's lines, or standard input."""
    from jacorpus.errors import InputError, RecipeError

    if file is not None:
        if prompt is not None:
            raise RecipeError("give a prompt or --prompts FILE, not both")
        try:
            lines = [line for line in file.read_text("utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file} can't be read ({error}); --prompts wants UTF-8, a prompt a line") from error
        if not lines:
            raise InputError(f"{file} holds no prompt; write one a line")
        return lines
    if prompt is None or prompt == "-":
        if sys.stdin.isatty():
            console.notes.print("the prompt, then Ctrl-D:")
        try:
            # what is no UTF-8 may have been let in as lone surrogates
            prompt = sys.stdin.read().removesuffix("\n").encode("utf-8").decode("utf-8")
        except UnicodeError as error:
            raise InputError("standard input is no UTF-8; convert it first, as with iconv") from error
    if not prompt:
        raise RecipeError("the prompt is empty, and a model never learned how a text begins; give it some words")
    return [prompt]


def _show(chunks: "Iterable[Chunk]", rows: list[tuple[str, int]], samples: int) -> int:
    """Print rows in their order, the first unfinished one as it comes; returns how many tokens there were."""
    waiting: list[list[str]] = [[] for _ in rows]
    ended, at, count = [False] * len(rows), 0, 0
    _head(rows, 0, samples)
    for chunk in chunks:
        count += 1
        waiting[chunk.row].append(chunk.text)
        ended[chunk.row] = bool(chunk.end)
        while at < len(rows) and (waiting[at] or ended[at]):
            _write("".join(waiting[at]))
            waiting[at] = []
            if not ended[at]:
                break
            _write("\n")
            at += 1
            if at < len(rows):
                _head(rows, at, samples)
    return count


def _head(rows: list[tuple[str, int]], at: int, samples: int) -> None:
    if len(rows) > 1:
        text, number = rows[at]
        which = f" ({number + 1} of {samples})" if samples > 1 else ""
        _write(f"--- {text.splitlines()[0][:40] if text.strip() else ''}{which}\n")


def _write(text: str) -> None:
    """To standard output at once. On a terminal control characters are shown as U+FFFD: a model may write any."""
    sys.stdout.write(text.translate(_UNSEEN) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def _tell(opened: "Opened", options: "Sampling", rows: int, count: int, seconds: float) -> None:
    step = "" if opened.step is None else f", step {opened.step:,}"
    how = "greedy" if options.temperature == 0 else f"seed {options.seed}"
    beside = f", {rows} answers side by side" if rows > 1 else ""
    console.notes.print(
        f"{opened.config.parameters():,} weights{step}, {how}: {count:,} tokens in {seconds:.2f} s, "
        f"{count / max(seconds, 1e-9):,.1f} tokens/s{beside}"
    )
