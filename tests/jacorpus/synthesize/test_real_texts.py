"""Rules of the shipped templates on real texts: good Japanese passes the rules on text alone, English does not."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jacorpus.signals.repetition import Repetition
from jacorpus.signals.text import Text
from jacorpus.synthesize.checks import chrf, names
from jacorpus.synthesize.seeds import read_seeds
from jacorpus.synthesize.template import load_template, template_names

LONG = ("code", "rephrase", "textbook", "translation")


def _texts(real_data: Path, name: str, column: str, count: int) -> list[str]:
    found = read_seeds((str(real_data / f"{name}.jsonl.zst"),), column, count)
    return [seed.text(3000) for seed in found if not seed.lost]


def _dropped(template: str, texts: list[str]) -> float:
    """Share that a template's rules on kinds of characters and on repetition drop."""
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.large_string())})
    columns = {f"text.{name}": column for name, column in Text().measure(batch).items()}
    columns |= {f"repetition.{name}": column for name, column in Repetition().measure(batch).items()}
    wanted = ("text.japanese_ratio", "repetition.dup_10_type_ratio")
    rules = [rule for rule in load_template(template).rules if rule.signal in wanted]
    assert len(rules) == 2
    return float(np.mean(np.any([rule.fails(pa.array(columns[rule.signal])) for rule in rules], axis=0)))


@pytest.mark.parametrize("template", template_names())
def test_good_japanese_passes_and_english_goes(real_data: Path, template: str) -> None:
    name, column = ("ja/docs", "text") if template in LONG else ("instruct/dolly_ja", "output")
    assert _dropped(template, _texts(real_data, name, column, 600)) <= 0.05
    assert _dropped(template, _texts(real_data, "en/docs", "text", 300)) == 1


def test_names_of_real_texts_are_few_and_whole(real_data: Path) -> None:
    texts = _texts(real_data, "ja/aozora", "text", 30)
    found = [names(text) for text in texts]
    assert sum(map(len, found)) > len(texts)
    assert all(name in text for text, each in zip(texts, found, strict=True) for name in each)


def test_round_trip_tells_a_faithful_text_from_another(real_data: Path) -> None:
    """A text with every tenth character gone is over the shipped bound, another text of the same kind under it."""
    (rule,) = [rule for rule in load_template("translation").rules if rule.signal == "seed.round_trip_chrf"]
    bound = dict(rule.bound)["min"]
    texts = [text[:600] for text in _texts(real_data, "en/docs", "text", 40)]
    worn = ["".join(c for i, c in enumerate(text) if i % 10) for text in texts]
    assert min(chrf(a, b) for a, b in zip(worn, texts, strict=True)) > bound
    assert np.mean([chrf(a, b) < bound for a, b in zip(texts[1:], texts, strict=False)]) > 0.9
