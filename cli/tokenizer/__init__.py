"""``jacorpus tokenizer``: compare, verify, explain, train, extend, transfer, encode. One file a verb."""

import typer

from cli.tokenizer.compare import compare
from cli.tokenizer.encode import encode
from cli.tokenizer.explain import explain
from cli.tokenizer.extend import extend
from cli.tokenizer.train import train
from cli.tokenizer.transfer import transfer
from cli.tokenizer.validate import validate
from cli.tokenizer.verify import verify

app = typer.Typer(no_args_is_help=True, help="Open, compare, train, extend and run tokenizers.")
app.command()(compare)
app.command()(encode)
app.command()(explain)
app.command()(extend)
app.command()(train)
app.command()(transfer)
app.command()(validate)
app.command()(verify)
