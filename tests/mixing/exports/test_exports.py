"""Exports in general: decimals that add up, forms found, files whole, names that formats can't hold."""

import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError, RecipeError
from mixing.exports import FORMS, decimals, export, write
from mixing.mixture import Mixture
from tests.mixing.worlds import domains

MIXTURE = Mixture(
    {"en-web": 0.3, "ja-web": 0.7, "ja-law": 0.0}, domains(ja_web=1000, ja_law=500, en_web=3000), tokenizer="f" * 64
)

WEIGHTS = st.dictionaries(
    st.text("abcdé", min_size=1, max_size=4), st.floats(0, 1e6) | st.floats(0, 1e-9), min_size=1, max_size=40
)


@settings(max_examples=150, deadline=None)
@given(WEIGHTS)
def test_decimals_add_up_to_one_and_stay_near(weights: dict[str, float]) -> None:
    if not any(weights.values()):
        with pytest.raises(RecipeError, match="nothing to export"):
            decimals(weights)
        return
    found = decimals(weights)
    assert sum(map(Decimal, found.values())) == 1
    assert abs(math.fsum(map(float, found.values())) - 1) <= 1e-12
    assert list(found) == sorted(found)
    total = sum(map(Fraction, weights.values()))
    for name, weight in weights.items():
        share = Fraction(weight) / total
        if share > 1e-15:
            assert abs(Fraction(found[name]) - share) <= max(share / 10**5, Fraction(1, 10**15))
        assert name not in found or Decimal(found[name]) > 0


@settings(max_examples=50, deadline=None)
@given(WEIGHTS.filter(lambda weights: any(weights.values())), st.randoms())
def test_decimals_do_not_depend_on_the_order_of_domains(weights: dict[str, float], random: object) -> None:
    items = list(weights.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert decimals(dict(items)) == decimals(weights)


def test_decimals_have_as_many_digits_as_the_smallest_needs() -> None:
    assert decimals({"a": 1, "b": 1, "c": 1}) == {"a": "0.333334", "b": "0.333333", "c": "0.333333"}
    assert decimals({"a": 0.75, "b": 0.25}) == {"a": "0.75", "b": "0.25"}
    assert decimals({"only": 3}) == {"only": "1.0"}
    assert float(decimals({"a": 1, "b": 1e-7})["b"]) == pytest.approx(1e-7, rel=1e-5)
    assert decimals({"a": 1, "b": 1e-200}) == {"a": "1.0"}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_leaves_out_what_has_no_weight_and_depends_on_no_order(form: str) -> None:
    found = export(MIXTURE, form)
    assert found
    assert all("ja-web" in text and text.endswith("\n") and "ja-law" not in text for text in found.values())
    turned = Mixture(dict(reversed(MIXTURE.weights.items())), MIXTURE.domains, tokenizer="f" * 64)
    assert export(turned, form) == found


def test_files_are_written_and_written_again(tmp_path: Path) -> None:
    for _ in range(2):
        paths = write(MIXTURE, "megatron", tmp_path / "new" / "folder", "out/tokens")
        assert {path.name: path.read_text("utf-8") for path in paths} == export(MIXTURE, "megatron", "out/tokens")
        assert sorted(paths) == sorted((tmp_path / "new/folder").iterdir())


def test_wrong_wishes_are_told() -> None:
    with pytest.raises(RecipeError, match=r"no form `megatro`; did you mean `megatron`\?; there are trainer"):
        export(MIXTURE, "megatro")
    empty = Mixture({"ja-web": 0.5, "en-web": 0.5}, domains(ja_web=1000, en_web=0))
    for form in FORMS:
        with pytest.raises(InputError, match="`en-web` has a weight and no tokens"):
            export(empty, form)
