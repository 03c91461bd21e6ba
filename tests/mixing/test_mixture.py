"""A mixture's file: written, read, converted, refused."""

import json
from pathlib import Path

import pytest

from jacorpus.errors import InputError
from mixing.mixture import Mixture, key_of, read_mixture
from tests.mixing.worlds import domains


def _mixture() -> Mixture:
    return Mixture({"en-web": 0.25, "ja-web": 0.75}, domains(ja_web=1000, en_web=3000), "token", "f" * 64, "k", "x")


def _manifest(fingerprint: str, ja_tokens: int) -> dict:
    train = {"en-web": (3000, 9000), "ja-web": (ja_tokens, 3000)}
    return {
        "tokenizer": {"fingerprint": fingerprint},
        "domains": {
            name: {"train": {"documents": 10, "tokens": tokens, "text_bytes": size}}
            for name, (tokens, size) in train.items()
        },
    }


def test_written_and_read_again(tmp_path: Path) -> None:
    _mixture().write(tmp_path / "mixture.json")
    found = read_mixture(tmp_path)
    assert (found.weights, found.domains, found.key) == (_mixture().weights, _mixture().domains, "x")
    assert read_mixture(tmp_path / "mixture.json").weights == found.weights


def test_another_tokenizer_changes_token_weights_and_not_the_text() -> None:
    same, told = _mixture().for_tokens(_manifest("f" * 64, 1000))
    assert same == {"en-web": 0.25, "ja-web": 0.75}
    assert told == ""
    # Japanese in half as many tokens: of as much text, a smaller share of tokens
    found, told = _mixture().for_tokens(_manifest("e" * 64, 500))
    assert found["ja-web"] == pytest.approx(0.375 / 0.625)
    assert "another tokenizer" in told


def test_a_domain_that_is_gone_is_told() -> None:
    manifest = _manifest("f" * 64, 1000)
    manifest["domains"]["ja-wab"] = manifest["domains"].pop("ja-web")
    with pytest.raises(InputError, match=r"`ja-web`, which is no domain.*ja-wab"):
        _mixture().for_tokens(manifest)


@pytest.mark.parametrize("damage", ["{", "[]", '{"kind": "tokens"}', "sum", "names", "unit", "none", "domains"])
def test_what_is_no_mixture_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "mixture.json"
    _mixture().write(path)
    content = json.loads(path.read_text())
    if damage == "sum":
        content["weights"]["ja-web"] = 0.5
    elif damage == "names":
        content["weights"] = {"fr": 1.0}
    elif damage == "unit":
        content["unit"] = "word"
    elif damage == "none":
        content["weights"] = {}
    elif damage == "domains":
        content["domains"] = {}
    path.write_text(json.dumps(content) if damage.isalpha() else damage)
    with pytest.raises(InputError, match=r"mixture\.json"):
        read_mixture(tmp_path)
    with pytest.raises(InputError, match="mix optimize"):
        read_mixture(tmp_path / "none")


def test_a_key_is_of_the_content() -> None:
    assert key_of({"a": 1, "b": (1, 2)}) == key_of({"b": [1, 2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
