"""Megatron-LM's blend: words as its reader takes them, prefixes that the export of token shards really writes."""

import json
import math
from pathlib import Path

import pytest

from jacorpus.errors import RecipeError
from mixing.domains import Domains
from mixing.exports.megatron import files
from mixing.mixture import Mixture
from tests.mixing.worlds import domains
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.encode import encode_corpus
from tokenizer_lab.export.run import export


def read(words: list[str]) -> tuple[list[str], list[float]]:
    """(prefixes, weights): what Megatron-LM makes of the words of a blend."""
    assert len(words) % 2 == 0
    return words[1::2], [float(word) for word in words[::2]]


def dealt(weights: list[float], samples: int) -> list[int]:
    """Samples of each dataset: the next is of the one furthest behind its share (build_blending_indices)."""
    counts = [0] * len(weights)
    for sample in range(samples):
        behind = [weight * max(sample, 1) - count for weight, count in zip(weights, counts, strict=True)]
        counts[behind.index(max(behind))] += 1
    return counts


def test_the_words_give_weights_that_sum_to_one_and_samples_in_their_proportion() -> None:
    mixture = Mixture({"ja-web": 0.62, "en-web": 0.25, "ja-law": 0.13}, domains(ja_web=9000, en_web=500, ja_law=100))
    prefixes, weights = read(files(mixture, "/data/tokens/")["blend.txt"].split())
    assert prefixes == [f"/data/tokens/export/megatron/{name}-train" for name in ("en-web", "ja-law", "ja-web")]
    assert abs(math.fsum(weights) - 1) <= 1e-12
    assert dealt(weights, 1000) == pytest.approx([250, 130, 620], abs=1)


def test_each_split_has_its_own_list_and_no_split_is_missing() -> None:
    there = domains(ja_web=(9000, 500), en_web=(500, 0), ja_law=(100, 100))
    mixture = Mixture({"ja-web": 0.6, "en-web": 0.2, "ja-law": 0.2}, there)
    found = json.loads(files(mixture, "t")["blend.json"])
    assert list(found) == ["train", "valid", "test"]
    assert found["train"] == files(mixture, "t")["blend.txt"].split()
    assert read(found["valid"]) == (["t/export/megatron/ja-law-valid", "t/export/megatron/ja-web-valid"], [0.25, 0.75])
    assert found["test"] is None
    nothing_held = Mixture({"ja-web": 1.0}, domains(ja_web=(9000, 0)))
    assert json.loads(files(nothing_held, "t")["blend.json"])["valid"] is None


def test_the_prefixes_are_those_of_the_export_of_token_shards(tmp_path: Path) -> None:
    for name in ("ja/aozora", "en-web"):
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        lines = [json.dumps({"text": f"{name} {number} " * 5}) for number in range(400)]
        path.write_text("\n".join(lines) + "\n")
    corpus = [f"{name}={tmp_path / name}.jsonl" for name in ("ja/aozora", "en-web")]
    tokens = encode_corpus(open_corpus(corpus), "byte", tmp_path / "tokens")
    export(tokens, "megatron")
    mixture = Mixture({"ja/aozora": 0.5, "en-web": 0.5}, Domains.from_manifest(tokens.manifest))
    found = json.loads(files(mixture, str(tokens.folder))["blend.json"])
    prefixes = read(found["train"])[0] + read(found["valid"])[0]
    assert len(prefixes) == 4
    assert all(Path(f"{prefix}.{end}").is_file() for prefix in prefixes for end in ("bin", "idx"))


@pytest.mark.parametrize(("name", "tokens"), [("two words", "t"), ("one", "my tokens"), ("one", "t\n")])
def test_white_space_would_cut_a_prefix_and_is_refused(name: str, tokens: str) -> None:
    there = domains(one=1000)
    if name != "one":
        there = Domains.of([*there.all, domains(two=1000).all[0].__class__(name, "ja", "x", 10, 10, 10)])
    with pytest.raises(RecipeError, match="white space"):
        files(Mixture({name: 1.0}, there), tokens)
