"""The command line: ``jacorpus``. One function a verb: parse, call, print.

Standard output carries the result only; progress goes to standard error. Exit codes: 0 done, 1 failed,
2 usage or recipe error, 3 a check did not pass, 130 interrupted.
"""

import os
import sys

import typer

from cli import corpus, mix, recipe, tokenizer, train
from cli.demo import demo
from cli.doctor import doctor
from cli.evaluate import evaluate
from cli.generate import generate
from cli.serve import serve
from cli.synthesize import synthesize

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="From raw web archives to a trained Japanese language model.",
)
app.add_typer(corpus.app, name="corpus")
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(mix.app, name="mix")
app.add_typer(train.app, name="train")
app.add_typer(recipe.app, name="recipe")
app.command()(generate)
app.command()(evaluate)
app.command()(synthesize)
app.command()(serve)
app.command()(demo)
app.command()(doctor)


def main() -> None:
    """Entry point: runs a command and turns errors into one paragraph and an exit code."""
    from jacorpus.errors import JacorpusError

    verbose = any(word in ("-v", "--verbose") for word in sys.argv[1:])
    try:
        code = app(standalone_mode=False)
        if code == 130:  # how typer answers Ctrl-C
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except JacorpusError as error:
        if verbose:
            raise
        _say(str(error))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        goes_on = not any(word in ("generate", "evaluate") for word in sys.argv[1:2])
        _say("interrupted" + ("; finished parts are kept, the same command goes on from there" if goes_on else ""))
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if hasattr(error, "format_message"):  # click's usage errors
            _say(f"{error.format_message()} (`jacorpus --help` shows the commands)")
            sys.exit(2)
        if verbose:
            raise
        _say(f"unexpected {type(error).__name__}: {error}. This is a bug; run again with -v for the traceback")
        sys.exit(1)


def _say(text: str) -> None:
    print(f"jacorpus: {text}", file=sys.stderr)


if __name__ == "__main__":  # torchrun -m cli.main
    main()
