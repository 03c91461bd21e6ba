"""``jacorpus train``: pretrain, export, post, prune, distill, quantize, merge. One file a verb."""

import typer

from cli.train.distill import distill
from cli.train.export import export
from cli.train.merge import merge
from cli.train.post import post
from cli.train.pretrain import pretrain
from cli.train.prune import prune
from cli.train.quantize import quantize

app = typer.Typer(no_args_is_help=True, help="Train a model on token shards, post-train it, and export it.")
app.command()(pretrain)
app.command()(post)
app.command()(prune)
app.command()(distill)
app.command()(quantize)
app.command()(merge)
app.command()(export)
