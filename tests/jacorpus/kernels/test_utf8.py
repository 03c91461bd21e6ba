"""Sound UTF-8 against Python's decoder."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.kernels.utf8 import sound_utf8, sound_utf8_naive

_EDGES = "00 41 7f 80 8f 90 9f a0 bf c1 c2 df e0 e3 ed ef f0 f4 f5 ff"
_BYTES = st.lists(st.sampled_from(bytes.fromhex(_EDGES)), max_size=5).map(bytes)
_PIECES = st.lists(_BYTES | st.text(max_size=3).map(lambda text: text.encode("utf-8", "surrogatepass")), max_size=2)


def _both(texts: list[bytes]) -> tuple[bool, bool]:
    offsets = np.cumsum([0, *map(len, texts)])
    data = b"".join(texts)
    return sound_utf8(offsets, np.frombuffer(data, np.uint8)), sound_utf8_naive(offsets.tolist(), data)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 30), _PIECES, st.integers(0, 30), st.sampled_from(["あ", "a", "é", "😀"]))
def test_equal_to_the_decoder(before: int, pieces: list[bytes], after: int, char: str) -> None:
    fast, naive = _both(
        [("日" * before).encode(), b"".join([char.encode() * before, *pieces, ("本" * after).encode()])]
    )
    assert fast == naive


@pytest.mark.parametrize("place", range(12))
def test_each_wrong_byte_of_a_run_is_found(place: int) -> None:
    good = "日本語" * 6
    for wrong in ("\ud800", "\udfff"):
        raw = (good[:place] + wrong + good[place:]).encode("utf-8", "surrogatepass")
        assert _both([raw]) == (False, False)
    overlong = good.encode()
    assert _both([overlong[: 3 * place] + b"\xe0\x80\x80" + overlong[3 * place :]]) == (False, False)


def test_a_character_cut_by_the_border_of_two_texts() -> None:
    raw = "日本語".encode()
    assert _both([raw[:4], raw[4:]]) == (False, False)
    assert _both([raw[:3], b"", raw[3:], b""]) == (True, True)
    assert _both([]) == (True, True)
