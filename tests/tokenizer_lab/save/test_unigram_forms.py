"""The three forms of a Unigram model hold the same pieces, read text the same and give it back exactly."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError, RecipeError
from tests.strategies import japanese_text
from tokenizer_lab.save.unigram import save_unigram
from tokenizer_lab.tokenizer import Kind
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram_model import LOW, TICKS, UnigramModel, assemble, needed_characters, room

WORDS = [
    "日本",
    "日本語",
    " the",
    "の文",
    "ーー",
    "\n",
    " ",
    "が",
    "か",
    "\u3099",
    "\ufeff",
    "𠮷",
    "\u0085",
    "\u2028",
    "  ",
]
TRAINING = Training(vocab_size=400, specials=("<unk>", "<s>", "</s>", "<pad>", "<|im_end|>", "日本人"), reserved=2)
TRICKY = [
    "▁日本▁ the", "<0x41>日本", "<s>日本</s><unk><pad><|im_end|>", "日本人の", "<|reserved_1|><|unused_0|>",
    "\x00日\x00", "\ufeff日本", "か\u3099か゛", "𠮷𩸽", "", " ", "  the  the", "日\r\n本", "\u0085\u2028\u2029",
    "ー" * 50,
]  # fmt: skip


def model(training: Training = TRAINING) -> UnigramModel:
    characters = sorted({*needed_characters(training), *"".join(WORDS)})
    scored = {word: -2.0 - 0.12345 * i for i, word in enumerate([*WORDS, *characters])}
    return assemble(scored.items(), training)


class Forms:
    """A model read back by the two libraries, and by the rules of PLaMo-2."""

    def __init__(self, folder: Path, training: Training = TRAINING) -> None:
        import sentencepiece
        import tokenizers

        self.paths = save_unigram(model(training), folder)
        self.sentencepiece = sentencepiece.SentencePieceProcessor(model_file=str(self.paths["sentencepiece"]))
        self.huggingface = tokenizers.Tokenizer.from_file(str(self.paths["huggingface"]))
        self.huggingface.encode_special_tokens = True
        self.rows = [json.loads(line) for line in self.paths["plamo2"].read_bytes().split(b"\n")[:-1]]

    def plamo2(self, text: str) -> list[int]:
        """The dynamic program from the end; every entry but bytes is matched, control tokens too."""
        table = {row[0]: i for i, row in enumerate(self.rows) if row[2] != "BYTE"}
        cost = [-round(TICKS * row[1]) for row in self.rows]
        best: list[tuple[int, int, int]] = [(0, 0, 0)] * (len(text) + 1)
        for i in reversed(range(len(text))):
            best[i] = (best[i + 1][0] + 10_000_000, i + 1, -1)
            for stop in range(len(text), i, -1):
                id = table.get(text[i:stop])
                if id is not None and best[stop][0] + cost[id] < best[i][0]:
                    best[i] = (best[stop][0] + cost[id], stop, id)
        ids, place = [], 0
        names = {row[0]: i for i, row in enumerate(self.rows)}
        while place < len(text):
            _, stop, id = best[place]
            ids += [id] if id >= 0 else [names[f"<0x{byte:02X}>"] for byte in text[place:stop].encode()]
            place = stop
        return ids


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Forms:
    return Forms(tmp_path_factory.mktemp("forms"))


def check(forms: Forms, text: str, ties: bool = False) -> None:
    """ties: whether forms may take other ways of equal score, as of three spaces in pieces of one and two."""
    ids = forms.sentencepiece.encode(text)
    for others in (forms.huggingface.encode(text, add_special_tokens=False).ids, forms.plamo2(text)):
        assert others == ids or (ties and model().ticks[others].sum() == model().ticks[ids].sum())
    assert forms.sentencepiece.decode(ids) == text
    assert forms.huggingface.decode(ids, skip_special_tokens=False) == text
    kinds = model().kinds[ids]
    assert not np.isin(kinds, [Kind.CONTROL, Kind.UNKNOWN, Kind.UNUSED]).any()


@pytest.mark.parametrize("place", range(len(TRICKY)))
def test_tricky_text_is_read_alike_and_comes_back(forms: Forms, place: int) -> None:
    check(forms, TRICKY[place])


@settings(max_examples=60, deadline=None)
@given(japanese_text)
def test_any_text_is_read_alike_and_comes_back(forms: Forms, text: str) -> None:
    check(forms, text, ties=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*WORDS, *TRAINING.specials, "<0x0A>", "▁", "x"]), max_size=30).map("".join))
def test_pieces_and_names_in_any_order(forms: Forms, text: str) -> None:
    check(forms, text, ties=True)


def test_layout() -> None:
    made = model()
    assert made.pieces[:6] == TRAINING.specials
    assert made.pieces[4] == "<|im_end|>"
    assert made.kinds[0] == Kind.UNKNOWN
    assert made.pieces[6:8] == ("<|reserved_0|>", "<|reserved_1|>")
    assert made.pieces[8] == "<0x00>"
    assert (made.kinds[8:264] == Kind.BYTE).all()
    assert (np.diff(made.ticks[264:]) <= 0).all()
    assert (made.ticks[:264] == LOW).all()
    assert made.scores.max() <= 0


def test_forms_hold_the_same_numbers(forms: Forms) -> None:
    made = model()
    vocabulary = json.loads(forms.paths["huggingface"].read_text("utf-8"))["model"]["vocab"]
    assert [tuple(row) for row in vocabulary] == list(zip(made.pieces, made.scores.tolist(), strict=True))
    assert [row[:2] for row in forms.rows] == vocabulary
    read = [round(forms.sentencepiece.get_score(id) * TICKS) for id in range(len(made))]
    assert read == made.ticks.tolist()


def test_padding_is_unused_and_never_chosen(tmp_path: Path) -> None:
    training = Training(vocab_size=401, multiple=8)
    padded = Forms(tmp_path, training)
    assert (model(training).kinds == Kind.UNUSED).sum() == 7
    text = "<|unused_0|><|unused_6|>"
    ids = padded.sentencepiece.encode(text)
    assert padded.huggingface.encode(text, add_special_tokens=False).ids == padded.plamo2(text) == ids
    assert padded.sentencepiece.decode(ids) == text


def test_long_names_still_lose_against_their_spelling(tmp_path: Path) -> None:
    name = "<" + "x" * 63
    training = Training(specials=("<unk>", "<s>", "</s>", "<pad>", name))
    characters = dict.fromkeys(needed_characters(training), -500.0)
    paths = save_unigram(assemble(characters.items(), training), tmp_path)
    import tokenizers

    hf = tokenizers.Tokenizer.from_file(str(paths["huggingface"]))
    hf.encode_special_tokens = True
    assert len(hf.encode(name, add_special_tokens=False).ids) == 64


def test_same_model_same_bytes(tmp_path: Path) -> None:
    first, second = save_unigram(model(), tmp_path / "a"), save_unigram(model(), tmp_path / "b")
    for form, path in first.items():
        assert path.read_bytes() == second[form].read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "tokenizer.json", "tokenizer.jsonl", "tokenizer.model",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"specials": ("<unk>", "<s>")}, "five|5 special"),
        ({"specials": ("<unk>", "<s>", "</s>", "<pad>", "<0x41>")}, "begin with <0x"),
        ({"specials": ("<unk>", "<s>", "</s>", "<pad>", "a▁b")}, "U\\+2581"),
        ({"vocab_size": 270}, "too small"),
    ],
)
def test_what_does_not_fit_is_said(options: dict, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        room(Training(**options))


def test_a_piece_needs_its_characters() -> None:
    with pytest.raises(InputError, match="no piece of its own"):
        assemble([("日本", -1.0), ("日", -2.0)], Training())
