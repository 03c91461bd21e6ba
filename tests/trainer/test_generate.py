"""Decoding over caches equals the whole forward pass; text comes in whole characters; rows are independent."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from jacorpus.errors import InputError, RecipeError
from tests.tokenizer_lab.words_tokenizer import Words
from tests.trainer.opened_model import PAIR, random_model
from tokenizer_lab.tokenizer import open_tokenizer
from trainer.config import LayerConfig
from trainer.generate import TextStream, complete, encode, generate, stream_text
from trainer.opened import open_model
from trainer.sampling import Sampling

GREEDY = Sampling(temperature=0, max_tokens=12)
FULL = LayerConfig("full", 48, heads=2, kv_heads=1)


def rows_of(model, prompts, options, **more):
    found = [[] for _ in prompts]
    for row, token in generate(model, prompts, options, **more):
        found[row].append(token)
    return found


@pytest.mark.parametrize("layers", [PAIR, (PAIR[0], FULL), (FULL,)])
def test_greedy_tokens_are_those_of_the_whole_forward_pass(layers):
    model = random_model(50, layers=layers).double()
    prompts = [[7], [3, 9, 1, 40, 2, 2, 8, 11, 30], [5, 6, 5]]
    for prompt, answer in zip(prompts, rows_of(model, prompts, GREEDY), strict=True):
        ids = list(prompt)
        for _ in range(GREEDY.max_tokens):
            ids.append(int(model.logits(model(torch.tensor([ids])))[0, -1].argmax()))
        assert ids[len(prompt) :] == answer


def test_a_row_is_the_same_alone_and_in_a_batch():
    model = random_model(50, scale=2).double()
    prompts = [[7, 8], [3, 9, 1, 40], [5]]
    options = Sampling(max_tokens=20, top_p=0.95, repetition_penalty=1.1, seed=4)
    together = rows_of(model, prompts, options)
    assert together == rows_of(model, prompts, options, rows=2)
    assert together[:2] == rows_of(model, prompts[:2], options)
    assert together != rows_of(model, prompts, replace(options, seed=5))


def test_rows_end_by_id_by_the_caller_and_by_number():
    model = random_model(50)
    whole = rows_of(model, [[7], [9]], GREEDY)
    stop = whole[0][4]
    ended = rows_of(model, [[7], [9]], replace(GREEDY, stop_ids=(stop,)))
    assert ended[0] == whole[0][: whole[0].index(stop) + 1]
    one = rows_of(model, [[7], [9]], GREEDY, wanted=lambda row, token: row == 0)
    assert (len(one[0]), len(one[1])) == (12, 1)


def test_an_empty_prompt_is_refused():
    with pytest.raises(RecipeError, match="prompt 1 is empty"):
        list(generate(random_model(50), [[1], []], GREEDY))


@pytest.mark.parametrize("name", ["pieces", "byte", "char"])
@pytest.mark.parametrize("text", ["東京は、雨だ。", " 𠮷野家で🍜 を食べた", "a  b\n\n  c", "é🍜"])
def test_streamed_text_is_the_text_in_whole_characters(small_run, name, text):
    tokenizer = open_model(small_run).need_tokenizer() if name == "pieces" else open_tokenizer(name)
    ids = tokenizer.encode(pa.array([text], pa.large_string()))[0].as_py()
    before = tokenizer.encode(pa.array(["夜"], pa.large_string()))[0].as_py()
    stream = TextStream(tokenizer, before)
    pieces = [stream.add(id) for id in ids]
    whole = tokenizer.decode(pa.array([before + ids], pa.large_list(pa.uint32())))[0].as_py().decode()
    assert "夜" + "".join(pieces) + stream.end() == whole
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_half_a_character_at_the_end_is_replaced():
    stream = TextStream(open_tokenizer("byte"), [65])
    assert [stream.add(b) for b in "酒".encode()[:2]] == ["", ""]
    assert stream.end() == "\N{REPLACEMENT CHARACTER}"


class Whole(Words):
    """A library that shows U+FFFD for what is no text yet."""

    def decode(self, tokens):
        rows = [row.decode("utf-8", "replace").encode() for row in super().decode(tokens).to_pylist()]
        return pa.array(rows, pa.large_binary())


def test_a_library_that_shows_half_characters_is_waited_for():
    stream = TextStream(Whole(), [2 + 65])
    assert [stream.add(2 + b) for b in "酒a".encode()] == ["", "", "酒", "a"]
    assert stream.add(2 + 0xE9) == ""
    assert stream.end() == "\N{REPLACEMENT CHARACTER}"


def test_stop_strings_are_cut_off_wherever_tokens_end():
    tokenizer = open_tokenizer("byte")
    stream = TextStream(tokenizer, [65], ("。\n", "END"))
    assert [stream.add(b) for b in "ENE。a。".encode()][:4] == ["", "", "EN", ""]
    assert stream.add(ord("b")) == "。b"
    assert "".join(stream.add(b) for b in "x。\ny".encode()[:5]) == "x"
    assert stream.stopped
    assert stream.end() == ""


def test_streamed_and_collected_are_the_same(small_run):
    opened = open_model(small_run)
    options = Sampling(max_tokens=30, seed=1, stop=("の",))
    prompts = ["山では", "春が来て、海", "町"]
    answers = complete(opened, prompts, options)
    streamed = ["", "", ""]
    for chunk in stream_text(opened, prompts, options):
        streamed[chunk.row] += chunk.text
        last = chunk
    assert streamed == [answer.text for answer in answers]
    assert last.end != ""
    for answer in answers:
        assert "の" not in answer.text
        assert answer.end in ("eos", "stop", "length")
        assert len(answer.tokens) == 30 or answer.end != "length"


def test_the_end_of_text_ends_an_answer_without_text(small_run):
    opened = open_model(small_run)
    opened.model.final_norm.weight.fill_(-1)  # all logits 0, so that the lowest id is taken
    answer = complete(opened, ["町"], replace(GREEDY, stop_ids=(0,)))[0]
    assert answer.end == "eos"
    assert (answer.text, len(answer.tokens)) == ("", 1)


def test_encode_gives_lists(small_run):
    tokenizer = open_model(small_run).need_tokenizer()
    assert [type(ids) for ids in encode(tokenizer, ["", "山"])] == [list, list]
    assert np.array(encode(tokenizer, ["山"])[0]).max() < tokenizer.vocab_size


def test_bfloat16_decodes(small_run):
    answers = complete(open_model(small_run, dtype=torch.bfloat16), ["山では", "春"], GREEDY)
    assert [len(answer.tokens) for answer in answers] == [12, 12]


def test_a_broken_model_is_said_to_be_one():
    model = random_model(50)
    model.layers[0].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        list(generate(model, [[1]], GREEDY))


def test_no_tokenizer_is_said_before_anything_runs(small_run):
    opened = replace(open_model(small_run), tokenizer=None)
    with pytest.raises(InputError, match="holds no tokenizer"):
        next(stream_text(opened, ["a"], GREEDY))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: decoding as a CUDA graph")
def test_the_graph_decodes_as_the_plain_step_does():
    model = random_model(50)
    prompts = [[7], [3, 9, 1, 40], [5, 6, 5]]
    wanted = rows_of(model, prompts, GREEDY)
    assert rows_of(model.cuda(), prompts, GREEDY) == wanted
