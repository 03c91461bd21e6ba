"""Tasks asked item by item: likelihoods are lm-eval's, a killed evaluation goes on, a chat is asked as a chat."""

import json
from types import SimpleNamespace

import pytest

from jacorpus.errors import InputError, RecipeError
from tests.small import prose
from tests.trainer.evaluate.test_lm_eval_adapter import questions as choice_rows
from tests.trainer.evaluate.test_lm_eval_adapter import requests, write
from tests.trainer.opened_model import random_model
from trainer.evaluate.answering import answer_tasks, weights_hash, written
from trainer.evaluate.compare import answers_table, card, compare_table
from trainer.evaluate.items import read_answers
from trainer.evaluate.questions import commercial, questions
from trainer.generate import complete, encode
from trainer.opened import open_model
from trainer.sampling import Sampling


@pytest.fixture(scope="module")
def opened(small_run):
    return open_model(small_run)


def rows():
    found = [
        {"id": f"jcm-{'train' if i % 2 else 'test'}-{i}", "sent": f"{i}番の猫が話した", "label": str(i // 2 % 2)}
        | {"source": "commonsense-moral-ja", "license": "MIT" if i % 4 else "CC BY-NC 4.0"}
        for i in range(24)
    ]
    for i in range(9):
        math = {"question": f"{i}足す1は？", "answer": str(i + 1), "solution": f"{i}+1=<<x>>{i + 1}\n#### {i + 1}"}
        split = "train" if i < 6 else "test"
        found.append({"id": f"gsm8k-{split}-{i}", "source": "gsm8k", "lang": "en", "license": "MIT", **math})
        found.append({"id": f"mgsm-ja-{i}", "source": "mgsm", "lang": "ja", "license": "CC BY-SA 4.0", **math})
    return found + choice_rows(12)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return [write(tmp_path_factory.mktemp("answering") / "q.jsonl", rows())]


def test_log_likelihoods_are_lm_evals_on_real_questions(opened, real_data):
    adapter = pytest.importorskip("trainer.evaluate.lm_eval_adapter", reason="needs the package lm-eval")
    path = real_data / "qa" / "choice_ja.jsonl.zst"
    found = answer_tasks(opened, None, ["jcommonsenseqa", "jmmlu"], [path], limit=50)
    for answers in found:
        task = adapter.make_task(answers.task, path)
        docs = {doc["id"]: doc for doc in task.eval_docs}
        assert [item.id for item in answers.items] == list(docs)[:50]  # the same questions
        for item in answers.items:
            assert item.prompt == task.fewshot_context(docs[item.id], 0)
            asked = requests("loglikelihood", *((item.prompt, choice) for choice in item.meta["choices"]))
            theirs = [value for value, _ in adapter.Adapter(opened).loglikelihood(asked)]
            assert item.meta["log_likelihoods"] == pytest.approx(theirs, abs=1e-4)
            assert item.score == float(theirs.index(max(theirs)) == docs[item.id]["answer"])


def test_a_killed_evaluation_goes_on_and_is_the_same(opened, data, tmp_path):
    class Killed(Exception):
        pass

    names, done = ["moral", "gsm8k"], []
    whole = answer_tasks(opened, None, names, data, max_tokens=4, rows=3, out=tmp_path / "a")

    def kill(count):
        done.append(count)
        if sum(done) >= 6:
            raise Killed

    with pytest.raises(Killed):
        answer_tasks(opened, None, names, data, max_tokens=4, rows=3, out=tmp_path / "b", progress=kill)
    part = next((tmp_path / "b").glob(".moral.*.part"))
    part.write_text(part.read_text()[:-30])  # the last pool was not written whole
    again = []
    assert (
        answer_tasks(opened, None, names, data, max_tokens=4, rows=3, out=tmp_path / "b", progress=again.append)
        == whole
    )
    assert again == [3, 3, 3, 3]  # three of moral's twelve are kept, and gsm8k has three
    for name in names:
        assert (tmp_path / "a" / f"{name}.jsonl").read_bytes() == (tmp_path / "b" / f"{name}.jsonl").read_bytes()
        assert read_answers(tmp_path / "a" / f"{name}.jsonl")[0] in whole
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["gsm8k.jsonl", "moral.jsonl"]
    assert (
        answer_tasks(opened, None, names, data, max_tokens=4, rows=3, out=tmp_path / "b", progress=pytest.fail) == whole
    )


def test_other_weights_or_options_are_asked_anew(opened, data, tmp_path):
    answer_tasks(opened, None, ["gsm8k"], data, max_tokens=2, out=tmp_path)
    other = SimpleNamespace(**{**vars(opened), "need_tokenizer": opened.need_tokenizer})
    other.model = random_model(opened.config.vocab_size, seed=1)
    assert weights_hash(other.model) != weights_hash(opened.model)
    for model, tokens in ((opened, 3), (other, 3)):
        done = []
        answer_tasks(model, None, ["gsm8k"], data, max_tokens=tokens, out=tmp_path, progress=done.append)
        assert done == [3]


def test_examples_are_of_the_train_part_and_never_the_question(data):
    for name, shots in (("gsm8k", 4), ("moral", 4), ("mgsm_ja", 4), ("jmmlu", 3)):
        for asked in questions(name, data, None, 0, shots):
            assert asked.before.count("\n\n") == shots
            assert asked.prompt not in asked.before
    shown = questions("gsm8k", data, 1, 0, 1)[0]
    assert shown.before.endswith(".\n\n")
    assert "<<" not in shown.before
    assert questions("gsm8k", data, 1, 1, 4)[0].before != questions("gsm8k", data, 1, 0, 4)[0].before
    assert len(questions("moral", data, None, 0, 0)) == 12


def test_numbers_are_scored_by_the_verifier(opened, data, monkeypatch):
    pytest.importorskip("trainer.rewards.numeric")
    right = {"6足す1は？": "よって7です。", "7足す1は？": "答えは 8 です", "8足す1は？": "答えは 8 です"}
    texts = [right[each.text] for each in questions("gsm8k", data, None, 0, 0)]
    monkeypatch.setattr("trainer.evaluate.answering.written", lambda *_: [(text, True) for text in texts])
    found = answer_tasks(opened, None, ["gsm8k"], data)[0]
    assert sorted(item.score for item in found.items) == [0.0, 1.0, 1.0]


def test_written_is_what_generation_gives(opened):
    texts = ["山では", "春が来て、海"]
    options = Sampling(max_tokens=9, temperature=0, stop=("の",))
    wanted = [(answer.text, answer.end != "length") for answer in complete(opened, texts, options)]
    assert written(opened, encode(opened.tokenizer, texts), options) == wanted


class FakeChat:
    """A template without trimmings: 〔 question 〕 answer."""

    stop_id = 5

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def text(self, turns, generation=False):
        return f"〔{turns[-1].content}〕"

    def prompt(self, turns):
        return encode(self.tokenizer, [self.text(turns)])[0]

    def completion(self, text, stop=True):
        return encode(self.tokenizer, [text])[0] + [self.stop_id] * stop


def test_a_chat_is_asked_alone_and_its_choices_follow_its_header(opened, data):
    pytest.importorskip("trainer.posttrain.chat")
    found = answer_tasks(opened, FakeChat(opened.tokenizer), ["moral", "math"], data, limit=2, max_tokens=4)
    assert [answers.task for answers in found] == ["moral", "gsm8k", "mgsm_ja"]
    assert all(item.prompt.count("番の猫") == 1 and item.prompt.startswith("〔") for item in found[0].items)
    assert len(found[0].items[0].meta["log_likelihoods"]) == 2


def test_licenses(opened, data):
    allowed = ("MIT", "Apache-2.0", "CC BY 4.0", "CC BY-SA 4.0", "CC0 1.0", "Public domain in Japan")
    assert all(map(commercial, allowed))
    refused = ("CC BY-NC 4.0", "CC BY-NC-SA 4.0", "unknown", "", "Llama 2 Community License", "Apache-2.0, tests only")
    assert not any(map(commercial, refused))
    both = answer_tasks(opened, None, ["moral"], data)[0]
    free = answer_tasks(opened, None, ["moral"], data, only_commercial=True)[0]
    assert both.licence == "CC BY-NC 4.0, MIT"
    assert (len(both.items), free.licence, len(free.items)) == (12, "MIT", 6)
    with pytest.raises(InputError, match="no question of source `jmmlu` to score under a license for commercial use"):
        answer_tasks(opened, None, ["jmmlu"], data, only_commercial=True)


def test_the_page_marks_what_the_corpus_holds_and_what_changed(opened, data, tmp_path):
    own = [row | {"sent": prose(i)[:40]} for i, row in enumerate(rows()) if "sent" in row]
    longer = [write(tmp_path / "q.jsonl", own)]
    seen = questions("moral", longer, None, 0, 0)[0]
    corpus = write(tmp_path / "c.jsonl", [{"text": f"春の{seen.text}。海の町で"}])
    before = answer_tasks(opened, None, ["moral"], longer, corpus=corpus)
    assert [item.id for item in before[0].items if item.contaminated] == [seen.id]
    assert answers_table(before).rows[0][3:5] == (12, 1)
    other = SimpleNamespace(**{**vars(opened), "need_tokenizer": opened.need_tokenizer})
    other.model = random_model(opened.config.vocab_size, seed=3)
    after = answer_tasks(other, None, ["moral"], longer)
    better, same, worse = compare_table(before, after).rows[0][4:7]
    assert (better, better + same + worse) == (
        sum(a.score > b.score for a, b in zip(after[0].items, before[0].items, strict=True)),
        12,
    )
    assert "Before and after" in card(before, after).title


def test_what_is_wrong_is_said(opened, data, tmp_path):
    with pytest.raises(RecipeError, match="did you mean `moral`"):
        answer_tasks(opened, None, ["morla"], data)
    with pytest.raises(InputError, match="no question of source `mgsm` to score"):
        answer_tasks(opened, None, ["mgsm_ja"], [write(tmp_path / "a.jsonl", rows()[:2])])
    bad = {"id": 1, "source": "commonsense-moral-ja", "sent": "x", "label": "7"}
    with pytest.raises(InputError, match=r"b\.jsonl, line 1: no question of moral \(IndexError"):
        answer_tasks(opened, None, ["moral"], [write(tmp_path / "b.jsonl", [bad])])


def test_real_files_hold_every_task(opened, real_data):
    qa = real_data / "qa"
    files = [qa / "math.jsonl.zst", qa / "moral_ja.jsonl.zst"]
    found = {answers.task: answers for answers in answer_tasks(opened, None, ["math", "moral"], files, 8, max_tokens=4)}
    assert {name: answers.licence for name, answers in found.items()} == {
        "gsm8k": "MIT",
        "mgsm_ja": "CC BY-SA 4.0",
        "moral": "MIT",
    }
    assert all(len(answers.items) == 8 for answers in found.values())
    assert json.dumps([item.reference for item in found["moral"].items], ensure_ascii=False).count("い") == 8
