"""Where one piece ends, asked of any byte a piece begins at: the scanner against the expression it is written from."""

import numpy as np
import pyarrow as pa
import pytest
from numba import njit

from tokenizer_lab.kernels.patterns import PATTERNS
from tokenizer_lab.kernels.pointers import pointer
from tokenizer_lab.kernels.pretokenize import split_naive
from tokenizer_lab.kernels.scanner import character_bits, piece_end, scanner_of

TEXT = (
    "In 2024 we'll see HTTPServer's 1,234,567 rows; don't WAIT, they'Re here.  Straße ǅ it'ſ\r\n\r\n"
    "東京都は二〇二〇年に１２３４５人々を迎え、サーバーへ行く。か\u3099な゛ー々 𠮷野家 ﾊﾟﾝ　ＡＢＣ"
    " abcカナ漢字ひらがな12\n"
    "한국어 문장 42개, 简体中文和繁體中文。 Ⅷ①②③④ اَلْ हिन्दी // path/to\n/*x*/ ...!!!"
    "\n 👨‍👩‍👧 \t\t e\u0301E\u0301 \u00a0\u2028 x\x00\x1c "
) + "abcdefghijklmnopqrstuvwxyz" * 2
TEXTS = (TEXT, TEXT[::-1], TEXT.upper(), TEXT.replace(" ", "  "), " \n")


@njit
def _ends(data, bits, family, most):
    text, points, at = pointer(data), pointer(bits), 0
    ends = []
    while at < len(data):
        at = piece_end(text, at, len(data), points, family, most)
        ends.append(at)
    return np.array(ends)


@pytest.mark.parametrize("name", PATTERNS)
def test_ends_where_the_expression_ends(name: str) -> None:
    for text in TEXTS:
        data = np.frombuffer(text.encode(), np.uint8).copy()
        found = _ends(data, character_bits(), *scanner_of(name))
        np.testing.assert_array_equal(found, split_naive(pa.array([text], pa.large_string()), name)[1])


def test_names_tell_family_and_digits() -> None:
    assert scanner_of("gpt2")[1] == 0
    assert scanner_of("none")[1] == 0
    for name in ("cl100k", "llama3", "o200k", "ja", "ja-okurigana"):
        family = scanner_of(name)[0]
        assert [scanner_of(name + end) for end in ("", "-single", "-uncut")] == [(family, 3), (family, 1), (family, 0)]
    assert len({scanner_of(name)[0] for name in PATTERNS}) == 7
