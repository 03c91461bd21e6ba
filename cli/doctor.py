"""``jacorpus doctor``: is this installation sound?"""

from typing import Annotated

import typer

from cli import console


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the traceback of an error.")] = False,
) -> None:
    """Check packages, versions, processors, memory and disk. Exit 3 where something needs a hand.

    Example: jacorpus doctor
    """
    from jacorpus.doctor import examine

    findings = examine()
    if json:
        console.print_json(findings)
    else:
        rows = [("ok" if f["passed"] else "LOOK", f["name"], f["detail"]) for f in findings]
        console.print_table("", ("", "what", "finding"), rows, 3)
    if not all(f["passed"] for f in findings):
        raise typer.Exit(3)
