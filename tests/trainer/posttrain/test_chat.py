"""Chat templates: rounds are a prefix of the whole, an answer and its stop are trained and nothing else, contents never
become control tokens. transformers' own rendering is the oracle of text and of what is trained."""

import io
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError, RecipeError
from tests.conftest import REAL_DATA
from tests.trainer.opened_model import piece_model
from tokenizer_lab.tokenizer import Kind, Tokenizer, open_tokenizer
from trainer.posttrain.chat import BEGIN, BOS, END, EOS, FOLDER, OPEN, SHUT, Chat, Conversation, Encoded, Turn

TEMPLATES = sorted(path.stem for path in FOLDER.glob("*.jinja"))
FILES = {
    "llm-jp v2": "llm-jp.code10k_en20k_ja30k.ver2.1.tokenizer.json",
    "llm-jp v2 pieces": "code10k_en20k_ja30k.ver2.1.model",
    "llm-jp v3": "llm-jp-tokenizer-100k.ver3.0b1.model",
    "llama 2": "llama2.tokenizer.model",
    "rinna": "rinna.google_sp.model",
    "gpt2": "gpt2.tiktoken",
    "cl100k": "cl100k_base.tiktoken",
}
TOKENIZERS = ["byte", "pieces", *FILES]
NORMALIZE = "pieces", "rinna"
"""Tokenizers that don't give every text back as it was."""
ODD = [
    *["", "あ", "答え", " 先頭", "末尾 ", "\n改行", "改行\n", "\n\n", "  ", "ｶﾞｷﾞｸﾞ", "か\u3099は\u309a", "\u3099"],
    *["👨\u200d👩\u200d👧😀🇯🇵", "①１２Ａ", "\u3000全角\u3000", "\ue000\uf8ff", "\u200b\ufeff"],
    *[OPEN + "0" + SHUT, BEGIN + "x" + END + EOS + BOS, "{{ eos_token }}", "{% endgeneration %}"],
    *["</s>", "<s>", "<|eot_id|>", "<|begin_of_text|>", "<|assistant|>", "<|endoftext|>", "<EOD|LLM-jp>"],
    *["[/INST] ", "<<SYS>>", "### 応答:\n", "答え：", "<|start_header_id|>assistant<|end_header_id|>\n\n"],
]
CONTENT = st.one_of(
    st.sampled_from(ODD),
    st.lists(st.sampled_from(ODD), max_size=4).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text("あがガｶﾞｶ\u3099ー漢\n 　a1<|/s>#：", max_size=12),
)
CONTENTS = st.lists(CONTENT, min_size=5, max_size=5)


@cache
def tokenizer(name: str) -> Tokenizer:
    if name == "byte":
        return open_tokenizer("byte")
    if name == "pieces":
        return _pieces()
    path = REAL_DATA / "tokenizers" / FILES[name]
    if not path.is_file():
        pytest.skip(f"real data absent: {FILES[name]}")
    return open_tokenizer(path)


@cache
def _pieces() -> Tokenizer:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pieces.model"
        path.write_bytes(piece_model())
        return open_tokenizer(path)


def eos(name: str) -> int:
    """The end of text: 256 is beyond the bytes, as a model with a longer table has it."""
    known = tokenizer(name).vocabulary.specials
    fixed = {"byte": 256, "gpt2": 50256, "cl100k": 100257}
    return fixed[name] if name in fixed else next(known[text] for text in ("</s>", "<EOD|LLM-jp>") if text in known)


@cache
def chat(template: str, name: str) -> Chat:
    return Chat.open(template, tokenizer(name), eos(name))


def plain(ids: Sequence[int], name: str) -> str:
    """The text of ids by the vocabulary's own bytes."""
    table = tokenizer(name).vocabulary.token_bytes
    return b"".join(table[i] for i in ids).decode("utf-8")


def rounds(contents: Sequence[str], system: bool = True) -> tuple[Turn, ...]:
    start = (Turn("system", contents[0]),) if system else ()
    sides = ("user", "assistant") * len(contents)
    return start + tuple(Turn(role, text) for role, text in zip(sides, contents[1:], strict=False))


def encoded(bound: Chat, *turns: Turn) -> Encoded:
    return bound.encode([Conversation(turns)])[0]


def parts(found: Encoded) -> list[list[int]]:
    """Trained ids, a list for each unbroken run."""
    cuts = np.flatnonzero(np.diff(found.trained.astype(int))) + 1
    pieces = np.split(np.arange(len(found.ids)), cuts)
    return [found.ids[at].tolist() for at in pieces if len(at) and found.trained[at[0]]]


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=40)
@given(template=st.sampled_from(TEMPLATES), contents=CONTENTS, system=st.booleans())
def test_laws(name: str, template: str, contents: list[str], system: bool) -> None:
    """Prefixes; prompt and completion are the conversation cut in two; trained is the answer with its stop; control
    ids are those of a harmless conversation."""
    bound, turns = chat(template, name), rounds(contents, system)
    whole = encoded(bound, *turns)
    first = len(turns) - 2
    cut = encoded(bound, *turns[:first])
    assert whole.ids[: len(cut.ids)].tolist() == cut.ids.tolist()
    assert whole.trained[: len(cut.ids)].tolist() == cut.trained.tolist()
    assert not whole.trained[0]
    for end in (first, first + 2):
        answer = turns[end - 1].content
        assert bound.prompt(turns[: end - 1]) + bound.completion(answer) == encoded(bound, *turns[:end]).ids.tolist()
    runs = parts(whole)
    answers = [turn.content for turn in turns if turn.role == "assistant"]
    assert len(runs) == 2
    for ids, answer in zip(runs, answers, strict=True):
        assert ids[-1] == bound.stop_id
        assert bound.stop_id not in ids[:-1]
        if name not in NORMALIZE:
            assert plain(ids[:-1], name) == (answer.replace("▁", " ") if "llm" in name or "llama" in name else answer)
    harmless = encoded(bound, *(Turn(turn.role, "あ" if turn.content else "") for turn in turns))
    assert controls(whole, template, name) == controls(harmless, template, name)


@cache
def control_ids(template: str, name: str) -> frozenset[int]:
    """Ids that stand for a role, a begin or an end; those that the tokenizer finds in any plain text don't."""
    bound, vocabulary = chat(template, name), tokenizer(name).vocabulary
    defined = np.flatnonzero(vocabulary.kinds == int(Kind.USER_DEFINED)).tolist()
    texts = {i: vocabulary.token_bytes[i].decode("utf-8", "replace") for i in defined}
    spelled = {i for i, text in texts.items() if text[:1] in ("<", "[") and text in bound.source}
    return frozenset({bound.stop_id, eos(name), *vocabulary.specials.values()} - {vocabulary.unknown_id} | spelled)


def controls(found: Encoded, template: str, name: str) -> list[int]:
    return [i for i in found.ids.tolist() if i in control_ids(template, name)]


@pytest.mark.parametrize("name", NORMALIZE)
@settings(max_examples=25)
@given(text=st.text("あいう漢字です。、", min_size=1, max_size=12))
def test_answers_of_a_normalizing_tokenizer(name: str, text: str) -> None:
    """Its answer has the ids of the text within a line, without the space it puts before a whole text."""
    bound = chat("plain", name)
    ids = parts(encoded(bound, Turn("user", "何"), Turn("assistant", text)))[0]
    alone = tokenizer(name).encode(pa.array([text], pa.large_string()))[0].as_py()
    unknown = tokenizer(name).vocabulary.unknown_id
    if unknown not in alone:
        assert plain(ids[:-1], name).strip() == plain(alone, name).strip()


@settings(max_examples=60)
@given(template=st.sampled_from(TEMPLATES), contents=CONTENTS, system=st.booleans(), asks=st.booleans())
def test_text_and_mask_are_transformers(template: str, contents: list[str], system: bool, asks: bool) -> None:
    """Its renderer gives the same text, and its spans of {% generation %} are our trained text."""
    from transformers.utils.chat_template_utils import render_jinja_template

    bound, turns = chat(template, "byte"), rounds(contents, system)[: -1 if asks else None]
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    rendered, spans = render_jinja_template(
        [messages],
        chat_template=bound.source,
        return_assistant_tokens_mask=True,
        add_generation_prompt=asks,
        eos_token="<256>",
        bos_token="",
    )
    assert bound.text(turns, asks) == rendered[0]
    if not asks:
        ours = [plain(ids[:-1], "byte") + "<256>" for ids in parts(encoded(bound, *turns))]
        assert ours == [rendered[0][first:last] for first, last in spans[0]]


@pytest.mark.parametrize("template", TEMPLATES)
def test_tokens_and_mask_are_transformers(template: str, real_data: Path) -> None:
    """Ids and mask of apply_chat_template, where contents spell no control token and no token spans two parts."""
    from transformers import PreTrainedTokenizerFast

    path = real_data / "tokenizers" / FILES["llm-jp v2"]
    fast = PreTrainedTokenizerFast(tokenizer_file=str(path), bos_token="<s|LLM-jp>", eos_token="</s|LLM-jp>")
    bound = Chat.open(template, tokenizer("llm-jp v2"), fast.eos_token_id)
    turns = rounds(["親切に答える。", "日本の首都は？", "東京です。", "人口は？", "約1400万人です。"])
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    theirs: Any = fast.apply_chat_template(
        messages, chat_template=bound.source, return_dict=True, return_assistant_tokens_mask=True
    )
    ours = encoded(bound, *turns)
    assert bound.text(turns) == fast.apply_chat_template(messages, chat_template=bound.source, tokenize=False)
    shown = [fast.decode([i for i, on in zip(ids, mask, strict=True) if on]) for ids, mask in (
        (ours.ids.tolist(), ours.trained.tolist()), (theirs["input_ids"], theirs["assistant_masks"]))]  # fmt: skip
    assert shown[0] == shown[1] == "東京です。</s|LLM-jp>約1400万人です。</s|LLM-jp>"


def test_forms() -> None:
    """The five families' forms, written out."""
    turns = (Turn("system", "規"), Turn("user", "問"), Turn("assistant", "答"), Turn("user", "二"))
    llama2 = Chat.open("elyza", tokenizer("llama 2"), 2)
    assert llama2.text(turns, True) == "<s>[INST] <<SYS>>\n規\n<</SYS>>\n\n問 [/INST] 答</s><s>[INST] 二 [/INST] "
    llm_jp = Chat.open("llm-jp", tokenizer("llm-jp v3"), 2)
    opening = "<s>以下は、タスクを説明する指示です。要求を適切に満たす応答を書きなさい。"
    assert (
        llm_jp.text(turns[1:], True)
        == opening + "\n\n### 指示:\n問\n\n### 応答:\n答</s>\n\n### 指示:\n二\n\n### 応答:\n"
    )
    assert llm_jp.text(turns[:2]) == "<s>規\n\n### 指示:\n問"
    sarashina = Chat.open("sarashina", tokenizer("llm-jp v3"), 2)
    wanted = "<|system|>規</s><|user|>問</s><|assistant|>答</s><|user|>二</s><|assistant|>"
    assert sarashina.text(turns, True) == wanted
    plamo = Chat.open("plamo", tokenizer("llm-jp v3"), 2)
    assert plamo.text(turns, True) == "<s>規\n\n### 指示:\n問\n\n### 応答:\n答</s>\n\n### 指示:\n二\n\n### 応答:\n"
    assert plamo.text(turns[1:]).startswith("<s>以下はタスクを説明する指示で、文脈を説明した入力とペアになっています。")
    swallow = llama3()
    head = "<|start_header_id|>{}<|end_header_id|>\n\n{}"
    said = [("system", "規"), ("user", "問"), ("assistant", "答"), ("user", "二")]
    body = "".join(head.format(role, text) + "<|eot_id|>" for role, text in said)
    assert swallow.text(turns, True) == "<|begin_of_text|>" + body + head.format("assistant", "")
    assert swallow.stop_id == tokenizer_of_llama3().vocabulary.specials["<|eot_id|>"]


@cache
def tokenizer_of_llama3() -> Tokenizer:
    import tempfile

    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["規問答二 system user assistant"] * 4),
        **{"model_writer": made, "model_type": "char", "vocab_size": 60, "hard_vocab_limit": False, "minloglevel": 2},
        control_symbols=["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "llama3.model"
        path.write_bytes(made.getvalue())
        return open_tokenizer(path)


def llama3() -> Chat:
    return Chat.open("swallow", tokenizer_of_llama3(), 2)


def test_a_spelled_stop_is_text_where_the_stop_is_a_control_token() -> None:
    bound = llama3()
    found = encoded(bound, Turn("user", "問<|eot_id|>"), Turn("assistant", "答<|eot_id|>二"))
    assert found.ids.tolist().count(bound.stop_id) == 2
    assert found.ids[found.trained].tolist().count(bound.stop_id) == 1


def test_tools_and_untrained_turns() -> None:
    """A turn with trained=False has its tokens, none of them trained; its neighbour is."""
    for template in TEMPLATES:
        bound = chat(template, "byte")
        turns = (
            Turn("user", "一"),
            Turn("assistant", "甲", trained=False),
            Turn("tool", "具"),
            Turn("assistant", "乙"),
        )
        found = encoded(bound, *turns)
        assert [plain(ids[:-1], "byte") for ids in parts(found)] == ["乙"]
        everything = encoded(bound, *(Turn(turn.role, turn.content) for turn in turns))
        assert found.ids.tolist() == everything.ids.tolist()
        assert len(parts(everything)) == 2
        assert not encoded(bound, *turns[:2]).trained.any()
        assert "具" in bound.text(turns)


def test_shown_marks_what_is_trained() -> None:
    bound = chat("plain", "byte")
    found = encoded(bound, Turn("user", "問"), Turn("assistant", "答"))
    assert bound.shown(found) == "質問：問\n答え：【答<256>】"


GOOD = "{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}U:{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}"  # noqa: E501
BROKEN = {
    "stop outside": (
        GOOD.replace("{{ eos_token }}{% endgeneration %}", "{% endgeneration %}{{ eos_token }}"),
        "trains no stop token",
    ),
    "no tags": (
        GOOD.replace("{% generation %}", "").replace("{% endgeneration %}", ""),
        "marks nothing as the assistant's",
    ),
    "no stop": (GOOD.replace("{{ eos_token }}", ""), "trains no stop token"),
    "header trained": (GOOD.replace("A:{% generation %}", "{% generation %}A:"), "does not prompt as it trains"),
    "other prompt": (
        GOOD.replace("{% if add_generation_prompt %}A:", "{% if add_generation_prompt %}B:"),
        "does not prompt as it trains",
    ),
    "only the last is trained": (
        GOOD.replace("m.role == 'assistant'", "m.role == 'assistant' and loop.last"),
        "does not prompt as it trains",
    ),
    "cuts contents": (GOOD.replace("{{ m.content }}{{ eos", "{{ m.content | trim }}{{ eos"), ""),
    "raises": ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
    "broken": (GOOD.replace("{% endfor %}", ""), "can't be read"),
    "reaches out": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
}


def opened(folder: Path, source: str) -> Chat:
    path = folder / "own.jinja"
    path.write_text(source, "utf-8")
    return Chat.open(str(path), tokenizer("byte"), 256)


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    assert opened(tmp_path, GOOD).text([Turn("user", "a"), Turn("assistant", "b")]) == "U:aA:b<256>"
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": GOOD}))
    assert Chat.open(str(config), tokenizer("byte"), 256).source == GOOD
    config.write_text(json.dumps({"chat_template": None}))
    with pytest.raises(InputError, match=r"tokenizer_config.json holds no chat template"):
        Chat.open(str(config), tokenizer("byte"), 256)


@pytest.mark.parametrize("which", [name for name in BROKEN if name != "cuts contents"])
def test_a_template_that_teaches_wrongly_is_refused(which: str, tmp_path: Path) -> None:
    """Negative controls: each in one sentence that says what to mend."""
    source, said = BROKEN[which]
    with pytest.raises(InputError, match=said) as caught:
        opened(tmp_path, source)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


def test_a_template_that_changes_contents_is_refused(tmp_path: Path) -> None:
    bound = opened(tmp_path, BROKEN["cuts contents"][0])
    with pytest.raises(InputError, match="changes a content"):
        encoded(bound, Turn("user", "a"), Turn("assistant", " b "))


def test_a_template_that_refuses_roles_is_one_sentence(tmp_path: Path) -> None:
    alternates = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + GOOD
    bound = opened(tmp_path, alternates)
    with pytest.raises(InputError, match=r"of system, user, assistant .*no system here"):
        encoded(bound, Turn("system", "s"), Turn("user", "a"), Turn("assistant", "b"))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"swallo`.*swallow"):
        Chat.open("swallo", tokenizer("byte"), 256)


def test_fingerprints() -> None:
    """Other templates, tokenizers and ends are other fingerprints."""
    found = {chat(template, name).fingerprint for template in TEMPLATES for name in ("byte", "pieces")}
    found.add(Chat.open("plain", tokenizer("byte"), 257).fingerprint)
    assert len(found) == 2 * len(TEMPLATES) + 1
    assert Chat.open("plain", tokenizer("byte"), 256).fingerprint == chat("plain", "byte").fingerprint
