"""Pages made from code: docs/cli.md from the commands' help, docs/stages.md from the stage classes.

``make docs`` writes them; a test fails when they are out of date.
"""

import dataclasses
import inspect
import typing
from pathlib import Path
from typing import Any

from jacorpus.resolve import default_label, known_stages, resolve
from jacorpus.rules.profile import load_profile, profile_names

HERE = Path(__file__).parent


def cli_page() -> str:
    """Every command with its help text and options."""
    import typer.main

    from cli.main import app

    root = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "Made from the code by `make docs`. Exit codes: 0 done, 1 failed, 2 usage or recipe error,",
    ]
    lines += ["3 a check did not pass, 130 interrupted. Results go to standard output, progress to standard error.", ""]
    for path, command in _commands(root, ["jacorpus"]):
        lines += [f"## {' '.join(path)}", "", inspect.cleandoc(command.help or ""), ""]
        rows = [_parameter(p) for p in command.params if p.name != "help"]
        if rows:
            lines += ["| option | meaning | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _commands(command: Any, path: list[str]) -> list[tuple[list[str], Any]]:
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [found for name, sub in command.commands.items() for found in _commands(sub, [*path, name])]


def _parameter(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    default = parameter.default
    hidden = default is None or default == "" or isinstance(default, bool) or callable(default) or parameter.required
    shown = "" if hidden else f"`{default}`"
    return f"| {names} | {getattr(parameter, 'help', '') or ''} | {shown} |"


def stages_page() -> str:
    """Every stage with its options, and every profile."""
    lines = [
        "# Stages and profiles",
        "",
        "Made from the code by `make docs`. The name in a recipe is the path of the file:",
    ]
    lines += ["`signals.text` is `jacorpus/signals/text.py`. A column's full name is `label.column`.", ""]
    family = ""
    for use in known_stages():
        cls = resolve(use)
        if use.partition(".")[0] != family:
            family = use.partition(".")[0]
            lines += [f"## {family}", ""]
        lines += [f"### {use}", "", inspect.getdoc(cls) or "", ""]
        rows = [_option(cls, f) for f in dataclasses.fields(cls) if f.init]
        if rows:
            lines += ["| option | type | default |", "|---|---|---|", *rows, ""]
        label = default_label(use, cls)
        if family not in ("sources", "rules"):
            lines += [f"Label: `{label}`.", ""]
    lines += ["## Profiles", "", "| profile | rules | what it is |", "|---|---|---|"]
    for name in profile_names():
        tables = load_profile(name)
        lines.append(
            f"| `{name}` | {len(tables.get('rule', []))} | {' '.join(tables.get('description', '').split())} |"
        )
    return "\n".join([*lines, ""])


def _option(cls: type, field: dataclasses.Field) -> str:
    hints = typing.get_type_hints(cls)
    kind = str(hints[field.name]).replace("typing.", "").replace("<class '", "").replace("'>", "").replace("|", "\\|")
    if field.default is not dataclasses.MISSING:
        default = f"`{field.default!r}`"
    else:
        default = "" if field.default_factory is dataclasses.MISSING else f"`{field.default_factory()!r}`"
    return f"| `{field.name}` | {kind} | {default} |"


PAGES = {"cli.md": cli_page, "stages.md": stages_page}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), "utf-8")
