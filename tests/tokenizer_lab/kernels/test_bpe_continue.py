"""Continued merges: the linked kernel against counting every pair anew."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer_lab.kernels.bpe_continue import BARRIER, continue_merges, continue_merges_naive

KANA = np.array([[0x3040, 0x30FF], [0x4E00, 0x9FFF]])
EVERYTHING = np.zeros((0, 2), np.int64)
BYTES = [bytes([i]) for i in (0x20, 0x41, 0xE3, 0x81, 0x82, 0xE6, 0x97, 0xA5, 0xC3)]
TABLES = [[text.encode() for text in ("あ", "い", "ab", "日", " ", "ア", "日本")], BYTES]


def _check(symbols: list[int], table: list[bytes], ranges: np.ndarray, max_chars: int, merges: int) -> int:
    starts = np.concatenate([[0], np.cumsum([len(t) for t in table])]).astype(np.int64)
    data = np.frombuffer(b"".join(table), np.uint8)
    arguments = (np.array(symbols, np.int32), starts, data, ranges, max_chars, merges, 2)
    fast, naive = continue_merges(*arguments), continue_merges_naive(*arguments)
    for ours, theirs in zip(fast, naive, strict=True):
        assert ours.tolist() == theirs.tolist()
    return len(fast[0])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(-1, 6), max_size=120),
    st.sampled_from(TABLES),
    st.sampled_from([KANA, EVERYTHING]),
    st.sampled_from([1, 3, 16]),
    st.integers(1, 30),
)
def test_same_merges_as_the_twin(
    symbols: list[int], table: list[bytes], ranges: np.ndarray, max_chars: int, merges: int
) -> None:
    _check(symbols, table, ranges, max_chars, merges)


def test_runs_of_one_symbol_are_joined_from_the_left() -> None:
    table = ["あ".encode()]
    assert _check([0] * 7, table, KANA, 16, 3) == 2
    assert _check([0] * 3 + [BARRIER] + [0] * 64, table, KANA, 64, 20) > 3


def test_table_of_pairs_grows() -> None:
    rng = np.random.default_rng(1)
    table = [chr(0x4E00 + i).encode() for i in range(600)]
    symbols = rng.integers(0, 600, 60_000).tolist()
    assert _check(symbols, table, KANA, 3, 3) == 3


def test_only_wanted_tokens_are_made() -> None:
    table = [b" ", b"a", "日".encode(), b"\xe6", b"\x97", b"\xa5"]
    starts = np.concatenate([[0], np.cumsum([len(t) for t in table])])
    data = np.frombuffer(b"".join(table), np.uint8)
    text = np.array([1, 1, 0, 2, 3, 4, 5] * 20, np.int32)
    pairs, _, _ = continue_merges(text, starts, data, KANA, 3, 50)
    pieces = list(table)
    for left, right in pairs:
        pieces.append(pieces[left] + pieces[right])
    made = set(pieces[len(table) :])
    assert {b"\xe6\x97", "日".encode()} <= made  # a beginning that can only become a target
    assert not made & {b"aa", b"\x97\xa5"}
    assert all(len(piece.decode("utf-8", "ignore")) <= 3 for piece in made)
