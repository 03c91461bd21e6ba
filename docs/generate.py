"""Pages made from code: docs/cli.md from the commands' help, docs/stages.md from the stage classes,
docs/methods.md from docs/methods.toml and results of benchmarks.

``make docs`` writes them; a test fails when they are out of date.
"""

import dataclasses
import inspect
import json
import tomllib
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


def methods_page() -> str:
    """Methods of post-training, each with its check and the numbers that benchmarks/results hold."""
    folder = HERE.parent / "benchmarks/results"
    results = json.loads((folder / "posttrain_closed_forms.json").read_bytes())
    results["rows"] += json.loads((folder / "posttrain_rl.json").read_bytes())["rows"]
    lines = [
        "# Methods of post-training",
        "",
        "Made by `make docs` from methods.toml and benchmarks/results. Each check has a wrong twin that must fail;",
        "of a closed form both numbers are shown. TV is half the L1 distance of two distributions.",
        f"Numbers: `python -m benchmarks.posttrain_closed_forms` and `posttrain_rl`, run {results['date']}.",
        "",
    ]
    for group in tomllib.loads((HERE / "methods.toml").read_text("utf-8"))["group"]:
        lines += [f"## {group['title']}", "", "| method | formula | source | file | check |", "|---|---|---|---|---|"]
        for method in group["method"]:
            checks = [_closed_form(row) for start in method.get("rows", ()) for row in _rows(results, start)]
            if "check" in method:
                checks.append(f"{method['check']}: `{method['command']}`")
            cells = (method["name"], method["formula"], method["source"], method["file"], "<br>".join(checks))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _rows(results: dict[str, Any], start: str) -> list[dict[str, Any]]:
    found = [row for row in results["rows"] if row.get("what", "").startswith(start)]
    if not found:
        raise KeyError(f"no row of the results of post-training begins with {start!r}")
    return found


def _closed_form(row: dict[str, Any]) -> str:
    return f"{row['what']}: **{row['ours']}** ({row['bar']}); {row['rival']}: {row['theirs']}"


PAGES = {"cli.md": cli_page, "stages.md": stages_page, "methods.md": methods_page}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), "utf-8")
