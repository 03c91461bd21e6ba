"""Mixtures on the terminal: what would be weighed, what came out, a mixture as it lies in its file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import console

if TYPE_CHECKING:
    from mixing.mixture import Mixture
    from mixing.optimize import Result, Row
    from mixing.problem import Problem
    from mixing.settings import MixingSettings

NONE = "-"


def print_problem(problem: "Problem", settings: "MixingSettings", json: bool = False) -> None:
    """What would be weighed, within what; nothing was done yet."""
    domains, rows = problem.domains, []
    for i, domain in enumerate(domains.all):
        least, most = problem.limits.extent(i)
        row: dict[str, Any] = {"domain": domain.name, "language": domain.language, "type": domain.type}
        row |= {"tokens": domain.tokens, "held-out documents": domain.valid_documents}
        row |= {"part of the target": problem.target.get(domain.name, 0.0), "prior": float(problem.prior[i])}
        row |= {"least": float(least), "most": float(most)}
        rows.append(row)
    method = "fixed" if settings.weights else settings.method
    if json:
        limits = [bound.label for bound in problem.limits.bounds]
        told = {"method": method, "compare": list(settings.compare), "tokens": problem.tokens, "domains": rows}
        console.print_json({**told, "target": problem.target, "limits": limits})
        return
    console.result.print(f"{method} would weigh {len(domains)} domain{'' if len(domains) == 1 else 's'}")
    shares = ("part of the target", "prior", "least", "most")
    body = [[_share(value) if key in shares else value for key, value in row.items()] for row in rows]
    console.print_table("", list(rows[0]), body, left=3)
    for bound in problem.limits.bounds:
        console.result.print(f"limit: {bound.label}")
    for word, _, share in problem.keep:
        console.result.print(f"limit: the loss of {word} at most {share:.1%} over the prior mixture's")
    size = f"{problem.tokens:,.0f} tokens" if problem.tokens else "of unknown size; tokens in [mixing] tells it"
    console.result.print(f"training: {size}")


def print_result(result: "Result", mixture_path: Path) -> None:
    """The answer, the methods beside it, what to beware of, and where the files lie. mixture_path: file or folder."""
    from mixing.reporting.answer import first_words
    from mixing.reporting.cells import warnings

    console.result.print(first_words(result))
    _print_weights(result)
    _print_methods(result)
    for text in warnings(result):
        console.result.print(f"! {text}")
    folder = mixture_path if mixture_path.is_dir() else mixture_path.parent
    console.result.print(f"mixture: {_file(mixture_path)}")
    if (folder / "report.html").is_file():
        console.result.print(f"report: {folder / 'report.html'}")


def _print_weights(result: "Result") -> None:
    from mixing.reporting import cells
    from mixing.reporting.sources import ledger

    chosen, spread = result.chosen, cells.spreads(result)
    names, natural = result.problem.domains.names, cells.row_named(result, "natural")
    several, known = len(chosen.answer.replicates) >= 2, {row["name"]: row for row in ledger(result)}
    header = ["domain", "weight", *(["95 %"] if several else []), "as good", "natural"]
    header += ["epochs", "next token is worth"] if result.problem.tokens else []
    rows = []
    for i in cells.used(result):
        each, good = chosen.intervals[i], result.ranges[i]
        row = [names[i], cells.weight_text(chosen.weights[i], spread[i])]
        row += [f"{each.low:.1%} to {each.high:.1%}"] if several else []
        row += [f"{good.low:.0%} to {good.high:.0%}", _share(natural.weights[i] if natural else None)]
        if result.problem.tokens:
            row += [f"{known[names[i]]['epochs']:.2f}", f"{known[names[i]]['next_token_value']:.0%}"]
        rows.append(row)
    console.print_table("weights", header, rows)


def _print_methods(result: "Result") -> None:
    from mixing.reporting import cells
    from mixing.reporting.methods import verdict

    judged = len(result.chosen.judged) > 0
    header = ["method", "predicted loss", "answer lower by", "predicted"]
    header += ["answer lower by", "measured"] if judged else []
    rows = []
    for title, row in zip(cells.titled(result), result.rows, strict=True):
        same = float(abs(row.weights - result.chosen.weights).sum()) < cells.SAME
        line = [title, f"{row.wanted:.4f}", _gain(row, "better"), verdict(row.better, same) or NONE]
        rows.append(line + ([_gain(row, "gain"), verdict(row.gain, same) or NONE] if judged else []))
    wishes = "" if cells.plain(result) else "; predicted differences count all wishes"
    console.print_table(f"methods, bits per byte on the target{wishes}", header, rows)


def _gain(row: "Row", which: str) -> str:
    from mixing.reporting.cells import bits_text

    gain = getattr(row, which)
    return NONE if gain is None else bits_text(gain.value)


def print_mixture(mixture: "Mixture", path: Path, json: bool = False) -> None:
    """As it lies in its file. path: the file, or its folder."""
    facts = dict(mixture.facts)
    units = _units(mixture)
    if json:
        told = {"mixture": str(_file(path)), "unit": mixture.unit, "weights": dict(mixture.weights), "shares": units}
        console.print_json({**told, "key": mixture.key, **{k: v for k, v in facts.items() if k not in told}})
        return
    heads = [f"{unit}s" for unit in units]
    spans = [key for key in ("intervals", "as_good") if _spans(facts, key)]
    rows = []
    for name, _ in sorted(mixture.weights.items(), key=lambda item: (-item[1], item[0])):
        row = [name, *(_share(shares[name]) for shares in units.values())]
        rows.append(row + [_span(_spans(facts, key).get(name)) for key in spans])
    method = f"{facts['method']}, " if facts.get("method") else ""
    titles = {"intervals": "95 % of the weight", "as_good": "as good"}
    header = ["domain", *heads, *(titles[key] for key in spans)]
    console.print_table(f"{method}weights in {mixture.unit}s", header, rows)
    for text in facts.get("warnings", ()):
        console.result.print(f"! {text}")
    console.result.print(f"mixture: {_file(path)}")


def _units(mixture: "Mixture") -> dict[str, dict[str, float]]:
    """{unit: weights}: the mixture's own first; others where the sizes of its domains are known."""
    found = {str(mixture.unit): dict(mixture.weights)}
    sizes = {"token": "tokens", "byte": "text_bytes", "document": "documents"}
    if all(getattr(mixture.domains[name], size) for name in mixture.weights for size in sizes.values()):
        found |= {unit: mixture.in_unit(unit) for unit in sizes if unit not in found}  # type: ignore[arg-type]
    return found


def _spans(facts: Mapping[str, Any], key: str) -> dict[str, Any]:
    """{domain: [low, high]} of a file's facts; empty where there are none, or where all are points."""
    found = facts.get(key)
    if not isinstance(found, Mapping) or not any(high > low for low, high in found.values()):
        return {}
    return dict(found)


def _span(span: Sequence[float] | None) -> str:
    return NONE if span is None else f"{span[0]:.1%} to {span[1]:.1%}"


def _share(value: float | None) -> str:
    from jacorpus.report.numbers import show

    return NONE if value is None else show(float(value), "share")


def _file(path: Path) -> Path:
    from mixing.mixture import NAME

    return path / NAME if path.is_dir() else path
