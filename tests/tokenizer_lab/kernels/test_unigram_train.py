"""Expected uses and losses equal the textbook, on short texts and where probabilities run out of range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer_lab.kernels.unigram_seeds import frequent_substrings
from tokenizer_lab.kernels.unigram_train import (
    ONE_USE,
    Pieces,
    expected_naive,
    expected_uses,
    laid_out,
    losses,
    losses_naive,
    places,
    thinned,
)

LETTERS = " abcd"
weighted = st.dictionaries(st.text("abcd", min_size=1, max_size=25), st.integers(1, 60), min_size=1, max_size=6)


class Laid:
    """Segments of letters with pieces drawn from their substrings."""

    def __init__(self, segments: dict[str, int], seed: int, share: float = 0.5) -> None:
        self.segments = segments
        codes = [LETTERS.index(c) if c != "\n" else 0 for each in segments for c in each + "\n"]
        self.codes = np.array(codes, np.uint16)
        self.starts = np.cumsum([0, *(len(each) + 1 for each in segments)]).astype(np.int64)
        self.weights = np.array(list(segments.values()), np.int64)
        seeds = frequent_substrings(self.codes, self.starts, self.weights, 4, 1, 6)
        self.random = np.random.default_rng(seed)
        keep = (self.random.random(len(seeds.parent)) < share) | (seeds.length == 1)
        keep[0] = False
        self.pieces = laid_out(seeds, keep)
        self.draw()

    def draw(self, least: float = 0.01) -> None:
        p = self.random.uniform(least, 1, len(self.pieces))
        p[0] = 0
        self.probability = p / p.sum()

    def names(self) -> list[str]:
        place = places(self.pieces)
        found = [""]
        for id in range(1, len(self.pieces)):
            if place[id] < 0:
                found.append(LETTERS[self.pieces.last[id]])
            else:
                codes = self.codes[place[id] : place[id] + int(self.pieces.length[id])]
                found.append("".join(LETTERS[code] for code in codes))
        return found

    def expected(self) -> tuple[np.ndarray, float]:
        return expected_uses(self.pieces, self.starts, self.weights, self.probability)


def check(laid: Laid) -> None:
    names = laid.names()
    assert names[1:] == sorted(names[1:])
    uses, log = laid.expected()
    naive, naive_log = expected_naive(laid.segments, dict(zip(names[1:], laid.probability[1:].tolist(), strict=True)))
    np.testing.assert_allclose(uses[1:] / ONE_USE, [naive[name] for name in names[1:]], rtol=1e-6, atol=1e-4)
    assert log == pytest.approx(naive_log, rel=1e-6, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(weighted, st.integers(0, 99))
def test_expected_uses(segments: dict[str, int], seed: int) -> None:
    laid = Laid(segments, seed)
    check(laid)
    keep = (laid.random.random(len(laid.pieces)) < 0.5) | (laid.pieces.length <= 1)
    laid.pieces = thinned(laid.pieces, keep)
    laid.draw()
    check(laid)


@settings(max_examples=60, deadline=None)
@given(weighted, st.integers(0, 99))
def test_losses(segments: dict[str, int], seed: int) -> None:
    laid = Laid(segments, seed)
    names, score = laid.names(), np.log(np.maximum(laid.probability, 1e-300))
    uses = laid.random.uniform(0.5, 50, len(names))
    uses[0] = 0
    found = losses(laid.pieces, score, uses)
    naive = losses_naive(
        dict(zip(names[1:], score[1:].tolist(), strict=True)), dict(zip(names[1:], uses[1:].tolist(), strict=True))
    )
    standing = {name: naive.get(name, 0.0) for name in names[1:]}
    np.testing.assert_allclose(found[1:], [standing[name] for name in names[1:]], rtol=1e-9, atol=1e-9)


def test_long_text_of_rare_pieces_stays_in_range() -> None:
    """2,000 characters of probability 1e-9: the plain product is far below the smallest float."""
    text = "".join(np.random.default_rng(1).choice(list("abcd"), 2000))
    laid = Laid({text: 3, "ab": 1}, 2, share=0.3)
    laid.probability *= 1e-9
    names = laid.names()
    uses, log = laid.expected()
    best = len(text) * 3 * np.log(1e-9)
    assert best * 1.2 < log < 0
    covered = (uses * laid.pieces.length.astype(np.int64)).sum() / ONE_USE
    assert covered == pytest.approx(3 * 2000 + 2, rel=1e-5)
    assert uses[names.index("a")] > 0


def test_order_of_segments_changes_nothing() -> None:
    random = np.random.default_rng(3)
    texts = {"".join(random.choice(list("abcd"), 30)): int(random.integers(1, 9)) for _ in range(50)}
    first, second = Laid(texts, 4, share=1), Laid(dict(reversed(texts.items())), 4, share=1)
    assert first.names() == second.names()
    second.probability = first.probability
    ours, theirs = first.expected(), second.expected()
    assert ours[0].tolist() == theirs[0].tolist()
    assert ours[1] == theirs[1]
    uses = ours[0] / ONE_USE
    score = np.log(np.maximum(first.probability, 1e-300))
    assert losses(first.pieces, score, uses).tolist() == losses(second.pieces, score, uses).tolist()


def test_pieces_know_their_prefixes() -> None:
    pieces: Pieces = Laid({"abcabc": 2}, 0, share=1).pieces
    names = Laid({"abcabc": 2}, 0, share=1).names()
    for id in range(1, len(pieces)):
        prefixes = [name for name in names[1:] if name != names[id] and names[id].startswith(name)]
        assert names[pieces.parent[id]] == max(prefixes, key=len, default="")
