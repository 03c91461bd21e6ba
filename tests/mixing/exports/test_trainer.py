"""The trainer's table: read by TOML and by the trainer itself, whatever the names are."""

import tomllib
from pathlib import Path

import pytest

from mixing.domains import Domain, Domains
from mixing.exports.trainer import files
from mixing.mixture import Mixture

NAMES = ("ja/aozora", "ja.wiki", "日本語", 'a "quoted" \\ one', "web-ja", "del\x7f\ttab")


def _mixture(names: tuple[str, ...] = NAMES) -> Mixture:
    there = Domains.of([Domain(name, "ja", "x", 1000 * (i + 1), 3000, 10) for i, name in enumerate(names)])
    return Mixture({name: (i + 1) / 21 for i, name in enumerate(names)}, there, tokenizer="0123456789abcdef")


def test_toml_reads_names_and_weights() -> None:
    text = files(_mixture(), "")["mixing.toml"]
    assert "# shares of tokens, for the tokenizer 0123456789ab\n[mixing]\n" in text
    assert "web-ja = " in text
    found = tomllib.loads(text)
    assert set(found["mixing"]) == {"weights"}
    assert found["mixing"]["weights"] == pytest.approx({name: (i + 1) / 21 for i, name in enumerate(NAMES)}, rel=1e-5)


def test_weights_of_documents_become_weights_of_tokens() -> None:
    there = Domains.of([Domain("long", "ja", "x", 9000, 1, 10), Domain("short", "ja", "x", 1000, 1, 10)])
    found = tomllib.loads(files(Mixture({"long": 0.5, "short": 0.5}, there, "document"), "")["mixing.toml"])
    assert found["mixing"]["weights"] == {"long": 0.9, "short": 0.1}


def test_the_trainer_takes_the_table(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the trainer needs torch")
    from tests.trainer.token_shards import numbered, token_folder
    from trainer.pretrain import mixture_of

    tokens = token_folder(tmp_path, {name: {"train": numbered(9, 1)} for name in ("ja.wiki", "web-ja")})
    tables = tomllib.loads(files(_mixture(("ja.wiki", "web-ja")), "")["mixing.toml"])
    found = mixture_of(tables, tokens)
    assert found["web-ja"] == pytest.approx(2 * found["ja.wiki"], rel=1e-4)
