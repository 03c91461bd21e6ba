"""``jacorpus generate`` as users meet it."""

import json
import re
import shutil

import pytest

from tests.cli.model_commands import run, small


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small(tmp_path_factory.mktemp("generate"))[0]


@pytest.fixture
def ask(folder, capsys, monkeypatch):
    return lambda *words, stdin="": run(capsys, monkeypatch, "generate", folder, *words, stdin=stdin)


def test_text_goes_to_stdout_and_speed_to_stderr(ask):
    answer = ask("山では", "--max-tokens", 20, "--seed", 3)
    assert answer.code == 0
    assert answer.out.strip()
    assert re.search(r"weights, step 7, seed 3: \d+ tokens in [\d.]+ s, [\d.,]+ tokens/s\n", answer.err)
    again = ask("山では", "--max-tokens", 20, "--seed", 3, "--quiet")
    assert (again.out, again.err) == (answer.out, "")


def test_the_prompt_may_come_from_stdin(ask):
    wanted = ask("山では", "--greedy", "-q").out
    assert ask(stdin="山では\n").code == 0
    assert ask("-", "--greedy", "-q", stdin="山では\n").out == wanted


def test_samples_and_prompts_are_shown_in_order_and_equal_the_json(ask, tmp_path):
    (tmp_path / "prompts.txt").write_text("山では\n\n春が来て\n", "utf-8")
    words = ["--prompts", tmp_path / "prompts.txt", "--samples", 2, "--max-tokens", 12, "--temperature", 0.7, "-q"]
    rows = json.loads(ask(*words, "--json").out)
    assert [(row["prompt"], row["sample"]) for row in rows] == [(p, i) for p in ("山では", "春が来て") for i in (0, 1)]
    assert all(row["end"] in ("eos", "length") and row["tokens"] <= 12 for row in rows)
    assert rows[0]["text"] != rows[1]["text"]
    shown = ask(*words).out
    assert shown == "".join(f"--- {row['prompt']} ({row['sample'] + 1} of 2)\n{row['text']}\n" for row in rows)


def test_a_stop_string_ends_the_answer(ask):
    whole = json.loads(ask("山では", "--json", "--max-tokens", 30, "-q").out)[0]["text"]
    cut = whole[len(whole) // 2]
    found = json.loads(ask("山では", "--json", "--max-tokens", 30, "-q", "--stop", cut).out)[0]
    assert found["text"] == whole[: whole.index(cut)]
    assert found["end"] == "stop"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["a", "--top-p", 0], 2, "top_p must be above 0"),
        (["a", "--prompts", "x"], 2, "not both"),
        (["--prompts", "missing.txt"], 1, "missing.txt can't be read"),
        ([""], 2, "the prompt is empty"),
        (["a", "--device", "nonsense"], 2, "device nonsense is unknown"),
    ],
)
def test_wrong_words_are_one_sentence(ask, words, code, sentence):
    answer = ask(*words)
    assert answer.code == code
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1


def test_no_model_and_no_tokenizer(folder, tmp_path, capsys, monkeypatch):
    answer = run(capsys, monkeypatch, "generate", tmp_path, "a")
    assert answer.code == 1
    assert "holds no model" in answer.err
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/tokenizer")
    answer = run(capsys, monkeypatch, "generate", tmp_path / "run", "a")
    assert answer.code == 1
    assert "holds no tokenizer" in answer.err


def test_bytes_that_are_no_text_are_one_sentence(ask):
    answer = ask(stdin=b"\xff\xfe".decode("utf-8", "surrogateescape"))
    assert answer.code == 1
    assert "standard input is no UTF-8" in answer.err
