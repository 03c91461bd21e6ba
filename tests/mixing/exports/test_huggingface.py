"""Drawn with the real library, documents of the exported probabilities give the tokens that were wished for."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixing.domains import Domain, Domains
from mixing.exports.huggingface import files
from mixing.mixture import Mixture
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import encode_corpus
from tokenizer_lab.export.run import export

library = pytest.importorskip("datasets", reason="needs the library datasets of Hugging Face")

WISHED = {"books": 0.5, "chat": 0.2, "web": 0.3}
MEAN = {"books": 900, "chat": 12, "web": 150}  # tokens of a document
DOCUMENTS = {"books": 300, "chat": 9000, "web": 2500}


def _lengths() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {name: 1 + draw.geometric(1 / MEAN[name], size) for name, size in DOCUMENTS.items()}


def _mixture(lengths: dict[str, np.ndarray], weights: dict[str, float]) -> Mixture:
    there = [Domain(name, "ja", name, int(each.sum()), 1, len(each)) for name, each in lengths.items()]
    return Mixture(weights, Domains.of(there))


def _script(mixture: Mixture, tokens: str = "out/tokens") -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(files(mixture, tokens)["interleave.py"], "interleave.py", "exec"), found)
    return found


def _parts(lengths: dict[str, np.ndarray]) -> dict[str, Any]:
    return {
        name: library.Dataset.from_dict({"domain": [name] * len(each), "tokens": each.tolist()})
        for name, each in lengths.items()
    }


def _shares(mixed: Any) -> tuple[dict[str, float], dict[str, float]]:
    """(share of the tokens, its standard error) by domain, of independently drawn rows; by the delta method."""
    names, tokens = np.array(mixed["domain"]), np.array(mixed["tokens"], float)
    share, error = {}, {}
    for name in WISHED:
        mine = names == name
        share[name] = tokens[mine].sum() / tokens.sum()
        error[name] = math.sqrt(np.mean((tokens * (mine - share[name])) ** 2) / len(tokens)) / tokens.mean()
    return share, error


def test_the_shares_of_tokens_come_out_as_wished() -> None:
    lengths = _lengths()
    script, parts = _script(_mixture(lengths, WISHED)), _parts(lengths)
    mixed = script["mixed"](parts, seed=7)
    assert len(mixed) > sum(DOCUMENTS.values())  # small domains came again
    share, error = _shares(mixed)
    for name, wished in WISHED.items():
        assert error[name] < 0.02
        assert abs(share[name] - wished) < 4 * error[name]
    assert script["mixed"](parts, seed=7)["tokens"][:100] == mixed["tokens"][:100]


def test_shares_of_tokens_taken_for_documents_would_miss_by_far() -> None:
    lengths = _lengths()
    script = _script(_mixture(lengths, WISHED))
    script["PROBABILITIES"].update(WISHED)
    share, error = _shares(script["mixed"](_parts(lengths), seed=7))
    assert max(abs(share[name] - WISHED[name]) / error[name] for name in WISHED) > 40


def test_json_and_script_say_the_same_in_the_same_order() -> None:
    mixture = _mixture(_lengths(), {**WISHED, "web": 0.0, "chat": 0.5})
    found = json.loads(files(mixture, "t")["probabilities.json"])
    assert found["unit"] == "document"
    assert list(found["probabilities"].items()) == list(_script(mixture)["PROBABILITIES"].items())
    assert list(found["probabilities"]) == ["books", "chat"]
    assert abs(math.fsum(found["probabilities"].values()) - 1) <= 1e-12
    ratio = found["probabilities"]["chat"] / found["probabilities"]["books"]
    means = {name: each.mean() for name, each in _lengths().items()}
    assert ratio == pytest.approx(means["books"] / means["chat"], rel=1e-4)
    assert "  # 0.5 of the tokens" in files(mixture, "t")["interleave.py"]


def test_the_script_opens_what_the_export_of_token_shards_wrote(tmp_path: Path) -> None:
    for words in (40, 2):
        lines = [json.dumps({"text": f"{number} " * words}) for number in range(100)]
        (tmp_path / f"{words}.jsonl").write_text("\n".join(lines) + "\n")
    corpus = [f"long={tmp_path / '40.jsonl'}", f'"q"={tmp_path / "2.jsonl"}']
    tokens = encode_corpus(open_corpus(corpus), "byte", tmp_path / "tokens")
    export(tokens, "huggingface")
    mixture = Mixture({"long": 0.5, '"q"': 0.5}, Domains.from_manifest(tokens.manifest))
    script = _script(mixture, f"{tokens.folder}/")
    parts = script["domains"]()
    counts = {name: tokens.manifest["domains"][name]["train"]["documents"] for name in ("long", '"q"')}
    assert {name: len(part) for name, part in parts.items()} == counts
    assert all(set(part["domain"]) == {name} for name, part in parts.items())
    assert len(script["mixed"](parts)) > sum(counts.values())
