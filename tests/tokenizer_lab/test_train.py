"""From a corpus to a folder with a tokenizer: what is written, kept, refused, and the same for any order of files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jacorpus.errors import InputError, JacorpusError, RecipeError
from jacorpus.store import Store
from tests.small import prose, run_small, write_corpus
from tests.tokenizer_lab.training.test_unigram import documents
from tokenizer_lab.corpus import open_corpus
from tokenizer_lab.tokenizer import open_tokenizer
from tokenizer_lab.train import train
from tokenizer_lab.training.forms import compare_forms, open_forms
from tokenizer_lab.training.settings import Training

BYTES = Training(algorithm="byte-bpe", vocab_size=480, coverage=0.9, pattern="none", digits="uncut")


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), "utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write(tmp_path / "a.jsonl", documents(1200))
    write(tmp_path / "b.jsonl", [prose(i, 2) for i in range(300)])
    return tmp_path


def public(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


def domains(corpus: Path, *names: str) -> list:
    return open_corpus([f"{name}={corpus / name}.jsonl" for name in names])


def test_forms_and_figures(corpus: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    result = train(domains(corpus, "a", "b"), BYTES, tmp_path / "out", lambda *step: steps.append(step))
    assert set(public(tmp_path / "out")) == {
        "tokenizer.json",
        "tokenizer.tiktoken",
        "tokenizer.tiktoken.json",
        "train.json",
    }
    assert json.loads((tmp_path / "out" / "train.json").read_text()) == json.loads(json.dumps(result))
    assert result["vocab_size"] == open_tokenizer(tmp_path / "out").vocab_size == 480
    assert [d["differ"] for d in result["differences"]] == [0]
    held = result["held_out"]
    assert held["tokens"] == sum(d["tokens"] for d in held["domains"].values())
    assert held["chars_per_token"] == pytest.approx(held["characters"] / held["tokens"], abs=1e-4)
    assert 1 < held["chars_per_token"] < held["bytes_per_token"] < 12
    assert list(dict.fromkeys(what for what, _, _ in steps)) == [
        "read the corpus",
        "read held-out text",
        "count words",
        "learn merges",
        "write",
        "compare the forms",
    ]


def test_held_out_documents_are_not_learned_from(tmp_path: Path) -> None:
    write_corpus(tmp_path / "in")
    run_small(tmp_path / "in", tmp_path / "shards", valid_ratio=0.2)
    wanted = Training(algorithm="byte-bpe", vocab_size=280, coverage=0.5)
    result = train(open_corpus([str(tmp_path / "shards")]), wanted, tmp_path / "out")
    drawn, held = result["corpus"]["web"]["documents"], result["held_out"]["documents"]
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert held > 0
    assert drawn + held == manifest["counts"]["kept"]


def test_equal_bytes_for_any_order_of_files(corpus: Path, tmp_path: Path) -> None:
    train(domains(corpus, "a", "b"), BYTES, tmp_path / "one")
    train(domains(corpus, "b", "a"), BYTES, tmp_path / "two")
    one, two = public(tmp_path / "one"), public(tmp_path / "two")
    one_facts, two_facts = json.loads(one.pop("train.json")), json.loads(two.pop("train.json"))
    assert one == two
    assert one_facts == two_facts


def test_a_budget_and_weights_draw(corpus: Path, tmp_path: Path) -> None:
    wanted = Training(**{**vars(BYTES), "budget_bytes": 40_000, "weights": {"a": 3.0, "b": 1.0}, "vocab_size": 420})
    facts = train(domains(corpus, "a", "b"), wanted, tmp_path / "out")["corpus"]
    assert 25_000 < facts["a"]["taken_bytes"] <= 30_000
    assert 8_000 < facts["b"]["taken_bytes"] <= 10_000
    assert facts["a"]["read_bytes"] > 100_000


def test_the_drawn_text_is_read_once(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(domains(corpus, "a"), BYTES, tmp_path / "out")
    calls: list[int] = []
    monkeypatch.setattr("tokenizer_lab.training.drawn_text.draw", lambda *_: calls.append(1))
    smaller = Training(**{**vars(BYTES), "vocab_size": 450})
    assert train(domains(corpus, "a"), smaller, tmp_path / "out", force=True)["vocab_size"] == 450
    assert not calls
    with pytest.raises(AttributeError):
        train(domains(corpus, "a", "b"), smaller, tmp_path / "out", force=True)
    assert calls


def test_what_lies_there_is_replaced_only_by_force(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(domains(corpus, "a"), BYTES, out)
    before = public(out)
    with pytest.raises(InputError, match="--force"):
        train(domains(corpus, "a"), BYTES, out)
    assert public(out) == before
    train(domains(corpus, "a"), Training(vocab_size=400, pattern="none"), out, force=True)
    assert "tokenizer.tiktoken" not in public(out)
    assert "tokenizer.tiktoken.json" not in public(out)


class Stop(BaseException):
    """As Ctrl-C."""


def stopping(at: str) -> Callable[[str, int, int], None]:
    def progress(what: str, *_: int) -> None:
        if what == at:
            raise Stop

    return progress


@pytest.mark.parametrize("at", ["read the corpus", "learn merges", "write", "compare the forms"])
def test_stopped_anywhere_nothing_is_half(corpus: Path, tmp_path: Path, at: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(Stop):
        train(domains(corpus, "a"), BYTES, out, stopping(at))
    assert public(out) == {}
    assert not list((out / "work").glob("scratch/*"))
    train(domains(corpus, "a"), BYTES, out)
    whole = public(out)
    with pytest.raises(Stop):
        train(domains(corpus, "a"), Training(**{**vars(BYTES), "vocab_size": 450}), out, stopping(at), force=True)
    assert public(out) == whole


def test_two_at_once(corpus: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "out" / "work").lock(), pytest.raises(JacorpusError, match="another run"):
        train(domains(corpus, "a"), BYTES, tmp_path / "out")


def test_without_held_out_documents(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ["これは短い文である。" * 40])
    result = train(domains(tmp_path, "a"), Training(**{**vars(BYTES), "vocab_size": 275}), tmp_path / "out")
    assert result["held_out"] is None
    assert result["differences"][0]["documents"] == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vocab_size": 100_000}, "too small for vocab_size 100,000"),
        ({"vocab_size": 10}, "too small: 5 special tokens"),
        ({"weights": {"c": 1.0}}, "a weight is given for c"),
        ({"pattern": "jaa"}, "did you mean `ja`"),
        ({"pattern": "("}, "no regular expression"),
        ({"trainer": "sentencepiece"}, "trains no byte-level"),
        ({"trainer": "huggingface"}, "set whole_characters = false"),
    ],
)
def test_what_can_not_be_trained(corpus: Path, tmp_path: Path, change: dict, words: str) -> None:
    with pytest.raises((InputError, RecipeError), match=words):
        train(domains(corpus, "a"), Training(**{**vars(BYTES), **change}), tmp_path / "out")
    assert not (tmp_path / "out").is_dir() or public(tmp_path / "out") == {}


def test_an_empty_corpus(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", ["", ""])
    with pytest.raises(InputError, match="nothing to read in a"):
        train(domains(tmp_path, "a"), BYTES, tmp_path / "out")


def test_forms_that_differ_are_explained(corpus: Path, tmp_path: Path) -> None:
    for pattern in ("ja", "none"):
        wanted = Training(**{**vars(BYTES), "pattern": pattern, "vocab_size": 360})
        train(domains(corpus, "a"), wanted, tmp_path / pattern)
    forms = open_forms({name: tmp_path / name / "tokenizer.json" for name in ("ja", "none")})
    import pyarrow as pa

    found = compare_forms(forms, pa.array(["同じ", *documents(3)], pa.large_string()))[0]
    assert 1 <= found.differ <= 4
    assert sum(found.causes.values()) == found.differ
    assert found.rule
    assert found.text
