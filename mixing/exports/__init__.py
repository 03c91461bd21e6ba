"""A mixture for other programs, in the unit each of them draws in and written the way it reads it.

    trainer        shares of tokens       [mixing] of a recipe
    megatron       shares of tokens       Megatron-LM: --data-args-path, --per-split-data-args-path
    automodel      shares of tokens       NeMo AutoModel: ``paths`` of MegatronPretraining
    huggingface    shares of documents    datasets.interleave_datasets
    energon        shares of documents    Megatron-Energon: a metadataset

One file a form, each with ``files(mixture, tokens)``: what it writes, {file name: text}. Weights are decimals that add
up to 1 exactly; a domain of weight 0 is left out, as a program may not start with one (Megatron-LM does not).
"""

import importlib
import math
import os
import uuid
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from jacorpus.errors import RecipeError, nearest
from jacorpus.shards import storage_errors
from mixing.mixture import Mixture

FORMS = ("trainer", "megatron", "automodel", "huggingface", "energon")

SIGNIFICANT = 6
"""Digits that the smallest weight keeps."""

MOST_DECIMALS = 15
"""What a double holds of a number near 1."""


def export(mixture: Mixture, form: str, tokens: str = "out/tokens") -> dict[str, str]:
    """{file name: text} of a mixture in another program's form.

    tokens: the folder of token shards, as the other program finds it. Raises RecipeError for a form that is not there
    or a name that the form can't hold, InputError where weights can't be had in its unit.
    """
    if form not in FORMS:
        raise RecipeError(f"no form `{form}`{nearest(form, FORMS)}; there are {', '.join(FORMS)}")
    files: dict[str, str] = importlib.import_module(f"mixing.exports.{form}").files(mixture, tokens)
    return files


def write(mixture: Mixture, form: str, folder: Path, tokens: str = "out/tokens") -> list[Path]:
    """Write what ``export`` gives into a folder, each file whole or not at all; returns the paths."""
    written = []
    with storage_errors(folder):
        for name, text in export(mixture, form, tokens).items():
            path, temporary = folder / name, folder / f".{name}.{uuid.uuid4().hex[:8]}"
            folder.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_text(text, "utf-8")
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            written.append(path)
    return written


def decimals(weights: Mapping[str, float]) -> dict[str, str]:
    """Weights above 0 as decimals that add up to 1 exactly, by sorted name.

    All have the same number of decimals, by which the smallest keeps SIGNIFICANT digits, but at most MOST_DECIMALS;
    the units lost by rounding down go to the largest remainders, equal ones in the order of names. A weight that is
    nothing in MOST_DECIMALS decimals is left out.

    >>> decimals({"b": 2.0, "a": 1.0, "c": 0.0})
    {'a': '0.333333', 'b': '0.666667'}
    """
    positive = {name: Fraction(weight) for name, weight in sorted(weights.items()) if weight > 0}
    if not positive:
        raise RecipeError("no domain of the mixture has a weight above 0; there is nothing to export")
    total = sum(positive.values())
    smallest = max(min(positive.values()) / total, Fraction(1, 10**MOST_DECIMALS))
    places = min(MOST_DECIMALS, SIGNIFICANT - 1 - math.floor(math.log10(smallest)))
    exact = {name: weight / total * 10**places for name, weight in positive.items()}
    units = {name: math.floor(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (units[name] - exact[name], name))
    for name in by_remainder[: 10**places - sum(units.values())]:
        units[name] += 1
    return {name: _written(number, places) for name, number in units.items() if number}


def _written(units: int, places: int) -> str:
    """Units of 10**-places, without zeros at the end.

    >>> _written(250000, 6), _written(1000000, 6), _written(7, 12)
    ('0.25', '1.0', '0.000000000007')
    """
    text = f"{Decimal(units).scaleb(-places):f}".rstrip("0")
    return f"{text}0" if text.endswith(".") else text
