"""What the answer takes from each source: tokens seen, epochs, what repeats are worth, what is missing."""

import math
from typing import Any

from jacorpus.report.report import Block, Fact, Facts, Paragraph, Table
from mixing.optimize import Result
from mixing.repeats import effective, next_value, value_at
from mixing.reporting import cells
from mixing.reporting.cells import bars, percent, table

FULL = 4.0
"""Epochs up to which repeats are worth nearly as much as new text: 93 % on average (arXiv 2305.16264)."""

SLACK = 0.005
"""Epochs over FULL that are none: a cap of 4 is met to rounding."""


def ledger(result: Result) -> list[dict[str, Any]]:
    """Of each domain, heaviest first: what there is of it and what the answer makes of it. JSON.

    share: of the tokens trained on; byte_share, document_share: the same mixture as shares of text and of documents
    drawn. effective_tokens: new tokens that the seen ones are worth; next_token_value, mean_token_value: 1 is new text;
    shortfall_tokens: new text that is missing for no more than 4 epochs. None where no training budget is known.
    """
    problem, weights = result.problem, result.chosen.weights
    size, domains = problem.tokens, problem.domains
    by_byte, by_document = (_in_unit(result, unit) for unit in ("byte", "document"))
    found = []
    for i in [*cells.used(result), *(i for i in range(len(domains)) if i not in cells.used(result))]:
        domain, seen = domains.all[i], float(weights[i]) * size
        row: dict[str, Any] = {"name": domain.name, "language": domain.language, "type": domain.type}
        row |= {"unique_tokens": domain.tokens, "share": float(weights[i])}
        row |= {"byte_share": by_byte[i], "document_share": by_document[i]}
        times = seen / domain.tokens if domain.tokens else 0.0
        told = {
            "seen_tokens": seen,
            "epochs": times,
            "effective_tokens": float(effective(seen, float(domain.tokens))),
            "next_token_value": float(next_value(seen, float(domain.tokens))),
            "mean_token_value": float(value_at(times)),
            "shortfall_tokens": max(seen / FULL - domain.tokens, 0.0) if times > FULL + SLACK else 0.0,
        }
        found.append(row | (told if size else dict.fromkeys(told)))
    return found


def _in_unit(result: Result, unit: Any) -> list[float | None]:
    """Shares of bytes or documents; None where a weighted domain has no sizes."""
    domains, weights = result.problem.domains, result.chosen.weights
    field = {"byte": "text_bytes", "document": "documents"}[unit]
    if any(weight and not (d.tokens and getattr(d, field)) for weight, d in zip(weights, domains.all, strict=True)):
        return [None] * len(domains)
    return [float(share) for share in domains.converted(weights, "token", unit)]


def blocks(result: Result) -> list[Block]:
    """The ledger; without a budget what is known without one, and how to give it."""
    rows = [row for row in ledger(result) if row["unique_tokens"]]
    if not result.problem.tokens:
        text = (
            "How often each source is seen is not known, since the recipe names no size of the training run. Write "
            "tokens = 20_000_000_000 (or what it is) into [mixing], and this table tells epochs, what repeats are "
            "worth and which sources fall short."
        )
        return [Paragraph(text), _units(rows, "Sources")]
    found: list[Block] = [Paragraph(_words(result, rows)), Facts(tuple(_facts(result, rows)))]
    note = f"Beyond {FULL:g} epochs a source falls short: a repeat is worth clearly less than new text."
    times = [("epochs", [round(row["epochs"], 2) for row in rows])]
    found.append(bars("Epochs", [row["name"] for row in rows], times, note, "number"))
    return [*found, _ledger(rows), _units(rows, "The same mixture in other units")]


def _short(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["shortfall_tokens"]]


def _words(result: Result, rows: list[dict[str, Any]]) -> str:
    short = _short(rows)
    if short:
        told = [f"{row['name']} ({row['epochs']:.1f} epochs)" for row in short]
        text = f"Seen more than {FULL:g} times: {cells.listed(told)}. Find more text for them, or cap them with epochs."
    else:
        text = f"No source is seen more than {FULL:g} times."
    if result.problem.repeats:
        return f"{text} The answer reckons with what repeats are worth."
    return f"{text} The answer does not reckon with it: [mixing] repeats = false."


def _facts(result: Result, rows: list[dict[str, Any]]) -> list[Fact]:
    seen = result.problem.tokens
    worth = math.fsum(row["effective_tokens"] for row in rows)
    missing = math.fsum(row["shortfall_tokens"] for row in rows)
    found = [
        Fact("tokens trained on", seen, "count", "of the mixture"),
        Fact("worth in new tokens", round(worth), "count", f"{percent(worth / seen)} of them"),
        Fact("sources that fall short", len(_short(rows)), "count", f"seen more than {FULL:g} times"),
    ]
    if missing:
        found.append(Fact("new text missing", round(missing), "count", f"tokens, for {FULL:g} epochs", "failed"))
    return found


def _ledger(rows: list[dict[str, Any]]) -> Table:
    missing = math.fsum(row["shortfall_tokens"] for row in rows)
    columns: list = [("source", "text"), ("unique tokens", "count"), ("share", "share"), ("seen tokens", "count")]
    columns += [("epochs", "number"), ("effective tokens", "count"), ("next token is worth", "share")]
    columns += [("shortfall, tokens", "count")] if missing else []
    found = []
    for row in rows:
        line = [row["name"], row["unique_tokens"], row["share"], row["seen_tokens"], f"{row['epochs']:.2f}"]
        line += [row["effective_tokens"], row["next_token_value"]]
        found.append(line + ([row["shortfall_tokens"] or None] if missing else []))
    unique, share, seen, worth = (
        math.fsum(row[key] for row in rows) for key in ("unique_tokens", "share", "seen_tokens", "effective_tokens")
    )
    found.append(["all", unique, share, seen, f"{seen / unique:.2f}", worth, None, *([missing] if missing else [])])
    note = (
        "Effective: new tokens that the seen ones are worth (arXiv 2305.16264, fitted on English web text). The next "
        "token is worth 100 % where it would be new."
    )
    note += f" Shortfall: new text that is missing for {FULL:g} epochs." if missing else ""
    return table("Ledger", columns, found, note)


def _units(rows: list[dict[str, Any]], title: str) -> Table:
    known = rows[0]["byte_share"] is not None
    columns: list = [("source", "text"), ("unique tokens", "count"), ("of the tokens", "share")]
    columns += [("of the bytes", "share"), ("of the documents drawn", "share")] if known else []
    keys = ("name", "unique_tokens", "share", *(("byte_share", "document_share") if known else ()))
    note = "A trainer that fills rows with tokens takes the first, one that draws whole documents the last."
    return table(title, columns, [[row[key] for key in keys] for row in rows], note if known else "")
