"""What lm-eval gets is what the model says; its tasks run on local files, without network."""

import json
import math
import random

import numpy as np
import pytest
import torch

pytest.importorskip("lm_eval", reason="needs the package lm-eval")

from lm_eval.api.instance import Instance

from jacorpus.errors import InputError, RecipeError
from tests.trainer.opened_model import random_model
from trainer.evaluate.lm_eval_adapter import Adapter, evaluate_tasks, make_task
from trainer.evaluate.scoring import Windows
from trainer.generate import complete, encode
from trainer.opened import open_model
from trainer.sampling import Sampling


@pytest.fixture(scope="module")
def opened(small_run):
    return open_model(small_run, dtype=torch.float64)


def requests(kind, *arguments):
    return [Instance(kind, {}, each, i) for i, each in enumerate(arguments)]


def by_hand(opened, context, continuation):
    """Log-likelihood of a continuation from one forward pass, and whether greedy decoding gives it."""
    ids = [*context, *continuation]
    log = torch.log_softmax(opened.model.logits(opened.model(torch.tensor([ids[:-1]])))[0], -1)
    rows = log[len(context) - 1 :]
    return float(rows.gather(1, torch.tensor(continuation)[:, None]).sum()), rows.argmax(-1).tolist() == continuation


PAIRS = [("山では", "猫が話した。"), ("春が来て、海の町で", "雨"), ("夜", "の本と音"), ("山では", "犬")]


def test_loglikelihood_is_the_models_own(opened):
    found = Adapter(opened).loglikelihood(requests("loglikelihood", *PAIRS))
    for (context, continuation), (value, greedy) in zip(PAIRS, found, strict=True):
        whole = encode(opened.tokenizer, [context + continuation])[0]
        before = encode(opened.tokenizer, [context])[0]
        wanted, is_greedy = by_hand(opened, before, whole[len(before) :])
        assert value == pytest.approx(wanted, rel=1e-9)
        assert greedy == is_greedy


def test_a_greedy_continuation_is_known_as_one(opened):
    prompt = encode(opened.tokenizer, ["山では"])[0]
    answer = complete(opened, ["山では"], Sampling(temperature=0, max_tokens=3))[0]
    made = [(("山では", "x"), prompt, list(answer.tokens)), (("山では", "y"), prompt, [*answer.tokens[:2], 9])]
    assert [greedy for _, greedy in Adapter(opened)._loglikelihood_tokens(made)] == [True, answer.tokens[2] == 9]


def test_an_empty_context_is_the_end_of_text(opened):
    value, _ = Adapter(opened).loglikelihood(requests("loglikelihood", ("", "山では")))[0]
    assert value == pytest.approx(by_hand(opened, [2], encode(opened.tokenizer, ["山では"])[0])[0], rel=1e-9)


def test_rolling_covers_the_whole_text_however_it_is_cut(opened):
    text = "山では猫が話した。" * 6
    ids = encode(opened.tokenizer, [text])[0]
    whole = Adapter(opened).loglikelihood_rolling(requests("loglikelihood_rolling", (text,)))
    assert whole == [pytest.approx(by_hand(opened, [2], ids)[0], rel=1e-9)]
    cut = Adapter(opened, Windows(16)).loglikelihood_rolling(requests("loglikelihood_rolling", (text,)))
    assert math.isfinite(cut[0])
    assert cut[0] != whole[0]


def test_a_long_prompt_loses_its_beginning(opened):
    context, continuation = "春が来て、" * 20, "海の町"
    before = encode(opened.tokenizer, [context])[0]
    after = encode(opened.tokenizer, [context + continuation])[0][len(before) :]
    found = Adapter(opened, Windows(24)).loglikelihood(requests("loglikelihood", (context, continuation)))
    wanted, _ = by_hand(opened, before[-(25 - len(after)) :], after)
    assert found[0][0] == pytest.approx(wanted, rel=1e-9)


def test_generation_follows_lm_evals_words(opened):
    words = {"until": ["の"], "max_gen_toks": 12}
    made = requests("generate_until", ("山では", words), ("春が来て、海", words), ("山では", {"max_gen_toks": 2}))
    greedy = Sampling(temperature=0, max_tokens=12, stop=("の",))
    wanted = [answer.text for answer in complete(opened, ["山では", "春が来て、海"], greedy)]
    found = Adapter(opened).generate_until(made)
    assert found[:2] == wanted
    assert found[2] == complete(opened, ["山では"], Sampling(temperature=0, max_tokens=2))[0].text


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def questions(count, seed=0):
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        row = {"id": f"q{i}", "question": f"{i}番は？", "answer": draw.randrange(4), "source": "jmmlu"}
        rows.append(row | {"choices": [f"{i}と{j}" for j in range(4)], "subject": "ab"[i % 2]})
        words = [f"語{draw.randrange(99)}x{j}" for j in range(5)]
        split = "train" if i % 3 else "valid"
        row = {"id": f"c{i}", "question": f"{i}とは？", "answer": i % 5, "source": "jcommonsenseqa", "split": split}
        rows.append(row | {"choices": words})
    return rows


def test_tasks_of_a_synthetic_file_agree_with_scores_by_hand(opened, tmp_path):
    data = write(tmp_path / "q.jsonl", questions(12))
    found = {each.task: each for each in evaluate_tasks(opened, ["jcommonsenseqa", "jmmlu"], data)}
    assert (found["jcommonsenseqa"].questions, found["jmmlu"].questions) == (4, 12)
    assert found["jmmlu"].chance == 0.25
    right = 0
    for row in (row for row in questions(12) if row["source"] == "jmmlu"):
        listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCD", row["choices"], strict=True))
        prompt = f"問題：{row['question']}\n{listed}\n答え："
        values = [Adapter(opened).loglikelihood(requests("loglikelihood", (prompt, c)))[0][0] for c in "ABCD"]
        right += int(np.argmax(values)) == row["answer"]
    value, error = found["jmmlu"].metrics["acc"]
    assert value == pytest.approx(right / 12)
    assert error == pytest.approx(np.std([1] * right + [0] * (12 - right), ddof=1) / 12**0.5)


def test_examples_are_of_the_subject_and_the_split_and_fixed_by_the_seed(tmp_path):
    data = write(tmp_path / "q.jsonl", questions(12))
    task = make_task("jmmlu", data, shots=3)
    for doc in task.eval_docs:
        context = task.fewshot_context(doc, 3)
        asked = [int(line[3:].partition("番")[0]) for line in context.splitlines() if line.startswith("問題：")]
        own = int(doc["id"][1:])
        assert asked[-1] == own
        assert len(asked) == len(set(asked)) == 4
        assert {number % 2 for number in asked} == {own % 2}
    first, second = (make_task("jcommonsenseqa", data, 2, seed=1) for _ in range(2))
    doc = first.eval_docs[0]
    assert first.fewshot_context(doc, 2) == second.fewshot_context(doc, 2)
    assert first.fewshot_context(doc, 2).count("答え：") == 3


def test_what_is_wrong_with_a_task_is_said(opened, tmp_path):
    data = write(tmp_path / "q.jsonl", [row for row in questions(6) if row["source"] == "jmmlu"])
    with pytest.raises(RecipeError, match="did you mean `jmmlu`"):
        evaluate_tasks(opened, ["jmmul"], data)
    with pytest.raises(InputError, match="no question of source `jcommonsenseqa`; it holds jmmlu"):
        evaluate_tasks(opened, ["jcommonsenseqa"], data)
    valid = [row | {"split": "valid"} for row in questions(6) if row["source"] == "jcommonsenseqa"]
    with pytest.raises(RecipeError, match="no examples of jcommonsenseqa"):
        evaluate_tasks(opened, ["jcommonsenseqa"], write(tmp_path / "v.jsonl", valid), shots=1)
    with pytest.raises(InputError, match=r"broken\.jsonl, line 1: no question"):
        evaluate_tasks(opened, ["jmmlu"], write(tmp_path / "broken.jsonl", [{"question": "?"}]))
    with pytest.raises(InputError, match="can't be read"):
        evaluate_tasks(opened, ["jmmlu"], tmp_path / "missing.jsonl")


def test_a_random_model_guesses_on_the_real_questions(opened, real_data):
    data = real_data / "qa" / "choice_ja.jsonl.zst"
    if not data.is_file():
        pytest.skip("real questions absent")
    done = []
    found = evaluate_tasks(opened, ["jcommonsenseqa", "jmmlu"], data, shots=1, limit=20, progress=done.append)
    assert sum(done) == 20 * 5 + 20 * 4
    for each in found:
        value, error = each.metrics["acc"]
        assert each.questions == 20
        assert 0 < error < 0.12
        assert abs(value - each.chance) < 4 * error


def test_a_model_without_end_of_text_can_still_answer(tmp_path, opened):
    from dataclasses import replace

    data = write(tmp_path / "q.jsonl", questions(3))
    bare = replace(opened, eos_id=None, model=random_model(opened.config.vocab_size))
    assert evaluate_tasks(bare, ["jmmlu"], data, limit=2)[0].questions == 2
    with pytest.raises(InputError, match="names no end-of-text token"):
        Adapter(bare).loglikelihood(requests("loglikelihood", ("", "山")))
