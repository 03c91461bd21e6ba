"""Whatever the text: a model is made or refused, and its three forms give the text back and differ by ties alone."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.errors import InputError
from tests.strategies import japanese_text
from tokenizer_lab.save.unigram import save_unigram
from tokenizer_lab.tokenizer import Kind, open_tokenizer
from tokenizer_lab.training.settings import Training
from tokenizer_lab.training.unigram import train
from tokenizer_lab.training.unigram_differences import unigram_differences
from tokenizer_lab.training.unigram_model import UnigramModel

TRICKY = [
    "<0x41>",
    "<s>",
    "<|im_end|>",
    "▁",
    "\ufeff",
    "\x00",
    "か\u3099",
    "𠮷",
    "    ",
    "\r\n",
    "ーーー",
    "日本語",
    "2024",
]
BASE = ["日本語の文章を書いていた。\n  日本語を読む。", "    文章を読む日本語の本。", "日本の文章、日本語の文。"] * 3
text = st.lists(st.one_of(japanese_text, st.sampled_from(TRICKY)), max_size=12).map("".join)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(text, min_size=1, max_size=6), st.integers(1, 5), st.integers(300, 400), st.sampled_from(["none", "ja"])
)
def test_any_text(texts: list[str], repeats: int, size: int, pattern: str) -> None:
    array = pa.array([*texts * repeats, *BASE], pa.large_string())
    training = Training(vocab_size=size, pattern=pattern, coverage=0.99, reserved=1, multiple=8)
    with suppress(InputError):  # too small a text, or more characters than room
        check(train(array, training), array)


def check(model: UnigramModel, array: pa.Array) -> None:
    assert len(model) % 8 == 0
    with TemporaryDirectory() as folder:
        forms = {
            name: open_tokenizer(path, engine="library") for name, path in save_unigram(model, Path(folder)).items()
        }
        for form in forms.values():
            tokens = form.encode(array)
            assert form.decode(tokens).to_pylist() == [text.encode() for text in array.to_pylist()]
            kinds = {Kind(model.kinds[id]) for row in tokens.to_pylist() for id in row}
            assert kinds <= {Kind.NORMAL, Kind.BYTE}
        for report in unigram_differences(forms, array):
            assert report.documents.unexplained == report.lines.unexplained == 0
