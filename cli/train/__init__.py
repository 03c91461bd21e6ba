"""``jacorpus train``: pretrain, export. One file a verb."""

import typer

from cli.train.export import export
from cli.train.pretrain import pretrain

app = typer.Typer(no_args_is_help=True, help="Train a model on token shards, post-train it, and export it.")
app.command()(pretrain)
app.command()(export)
