"""``jacorpus mix``: optimize, show, plan. One file a verb."""

import typer

from cli.mix.optimize import optimize
from cli.mix.plan import plan
from cli.mix.show import show

app = typer.Typer(
    no_args_is_help=True, help="Weigh domains: which share of training each one gets, and what to expect."
)
app.command()(optimize)
app.command()(plan)
app.command()(show)
