"""Domains from manifests: axes, units, names."""

import numpy as np
import pytest

from jacorpus.errors import InputError, RecipeError
from mixing.domains import Domain, Domains, axes_of_name
from tests.mixing.worlds import domains

MANIFEST = {
    "domains": {
        "web-ja": {"train": {"documents": 10, "tokens": 4000, "text_bytes": 12000}},
        "notes": {
            "train": {"documents": 5, "tokens": 1000, "text_bytes": 5000},
            "valid": {"documents": 1, "tokens": 100, "text_bytes": 500},
        },
    }
}


@pytest.mark.parametrize(
    ("name", "language", "kind"),
    [
        ("ja-web", "ja", "web"),
        ("web_ja", "ja", "web"),
        ("web.ja", "ja", "web"),
        ("ja-law-2024", "ja", "law-2024"),
        ("code", "code", "code"),
        ("novels", "und", "novels"),
        ("my-web", "my", "web"),  # Burmese, unless [mixing.domains] says otherwise
        ("日本語", "und", "日本語"),
    ],
)
def test_a_name_tells_language_and_type(name: str, language: str, kind: str) -> None:
    assert axes_of_name(name) == {"language": language, "type": kind}


def test_a_manifest_gives_sizes_and_the_recipe_has_the_last_word() -> None:
    found = Domains.from_manifest(MANIFEST, {"notes": {"language": "en"}})
    assert found.names == ("notes", "web-ja")
    assert found["notes"] == Domain("notes", "en", "notes", 1000, 5000, 5, 100, 500, 1)
    assert found["web-ja"].valid_tokens == 0
    assert found.languages == ("en", "ja")
    axes = {"notes": {"language": "ko", "type": "chat"}}
    told = Domains.from_manifest({**MANIFEST, "axes": axes})
    assert (told["notes"].language, told["notes"].type) == ("ko", "chat")


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({"note": {"language": "en"}}, "did you mean `?notes"),
        ({"notes": {"lang": "en"}}, "no key `lang`"),
        ({"notes": {"language": ""}}, "a word in quotes"),
        ({"notes": "en"}, "must be a table"),
    ],
)
def test_wrong_axes_are_told(axes: dict, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        Domains.from_manifest(MANIFEST, axes)


def test_weights_go_by_name() -> None:
    some = domains(ja_web=100, en_web=300)
    assert some.names == ("en-web", "ja-web")
    assert some.natural.tolist() == [0.75, 0.25]
    assert some.vector({"ja-web": 3, "en-web": 1}).tolist() == [0.25, 0.75]
    assert some.named(np.array([0.25, 0.75])) == {"en-web": 0.25, "ja-web": 0.75}
    with pytest.raises(RecipeError, match=r"no domain `ja-wob`.*ja-web"):
        some.vector({"ja-wob": 1})
    for wrong in ({"ja-web": -1}, {"ja-web": float("nan")}, {"ja-web": True}, {"ja-web": 0}, {}):
        with pytest.raises(RecipeError):
            some.vector(wrong)


def test_a_word_is_a_domain_a_language_or_a_type() -> None:
    some = domains(ja_web=100, en_web=300, ja_wiki=50)
    assert some.of_word("ja-wiki") == ("ja-wiki",)
    assert some.of_word("ja") == ("ja-web", "ja-wiki")
    assert some.of_word("web") == ("en-web", "ja-web")
    assert some.members("type", "web").tolist() == [True, True, False]
    with pytest.raises(RecipeError, match="no domain, language or type"):
        some.of_word("fr")
    with pytest.raises(RecipeError, match="no domain is of language `fr`"):
        some.members("language", "fr")


def test_units_convert_and_come_back() -> None:
    some = Domains.of([Domain("a", "ja", "x", 1000, 3000, 10), Domain("b", "en", "x", 1000, 6000, 100)])
    weights = np.array([0.5, 0.5])
    assert some.converted(weights, "token", "byte") == pytest.approx([1 / 3, 2 / 3])
    assert some.converted(weights, "token", "document") == pytest.approx([1 / 11, 10 / 11])
    there = some.converted(np.array([0.3, 0.7]), "token", "document")
    assert some.converted(there, "document", "token") == pytest.approx([0.3, 0.7], abs=1e-15)
    empty = Domains.of([Domain("a", "ja", "x", 0, 0, 0), Domain("b", "en", "x", 1000, 6000, 100)])
    assert empty.converted(np.array([0.0, 1.0]), "token", "byte").tolist() == [0, 1]
    with pytest.raises(InputError, match="no tokens"):
        empty.converted(weights, "token", "byte")


def test_none_and_twice_are_refused() -> None:
    with pytest.raises(RecipeError, match="at least one"):
        Domains.of([])
    with pytest.raises(RecipeError, match="named twice: a"):
        Domains.of([Domain("a", "ja", "x", 1, 1, 1)] * 2)
