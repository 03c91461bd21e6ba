import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.kernels.twins import documents
from trainer.documents import Documents


def test_starts_and_positions() -> None:
    docs = Documents(torch.tensor([[0, 0, 1, 2, 2, 2], [4, 4, 4, 4, 4, 4]]))
    assert docs.start_BT.int().tolist() == [[1, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0]]
    assert docs.position_BT.tolist() == [[0, 1, 0, 0, 1, 2], [0, 1, 2, 3, 4, 5]]
    assert docs.position_BT.dtype == torch.int64
    assert not docs.one


def test_one_document_a_row() -> None:
    docs = Documents.single(2, 5)
    assert docs.one
    assert docs.start_BT.int().tolist() == [[1, 0, 0, 0, 0]] * 2
    assert Documents(torch.tensor([[3, 3], [5, 5]])).one
    assert not Documents(torch.tensor([[3, 3], [5, 6]])).one
    assert Documents(torch.zeros(1, 1, dtype=torch.int32)).one


@given(
    numbers=st.lists(st.lists(st.integers(0, 1), min_size=7, max_size=7), min_size=1, max_size=3),
    window=st.none() | st.integers(1, 9),
    bounds=st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 7)),
)
def test_visible_is_its_definition(numbers: list[list[int]], window: int | None, bounds: tuple[int, int, int]) -> None:
    docs = Documents(torch.tensor(numbers).cumsum(1))
    low, first, last = sorted(bounds)
    seen = docs.visible(first, last, low, window)
    number = docs.document_BT.tolist()
    assert seen.shape == (len(numbers), last - first, last - low)
    for b in range(len(numbers)):
        for i in range(first, last):
            for j in range(low, last):
                wanted = j <= i and (window is None or i - j <= window) and number[b][i] == number[b][j]
                assert bool(seen[b, i - first, j - low]) == wanted


@given(numbers=st.lists(st.integers(0, 1), min_size=1, max_size=20))
def test_positions_count_from_the_start(numbers: list[int]) -> None:
    docs = Documents(torch.tensor([numbers]).cumsum(1))
    wanted, last = [], None
    for number in docs.document_BT[0].tolist():
        wanted.append(wanted[-1] + 1 if number == last else 0)
        last = number
    assert docs.position_BT[0].tolist() == wanted


def test_masks_are_made_once() -> None:
    docs = documents("mixed", 2, 20)
    first = docs.bias(5, 9, 2, 3, torch.float32)
    assert docs.bias(5, 9, 2, 3, torch.float32) is first
    assert docs.bias(5, 9, 2, 4, torch.float32) is not first
    assert first.shape == (2, 1, 4, 7)
    assert torch.equal(first[:, 0] == 0, docs.visible(5, 9, 2, 3))
    assert (first[first != 0] == float("-inf")).all()
    assert docs.start_BT is docs.start_BT
    made = []
    for _ in range(2):
        docs.once("key", lambda: made.append(1) or 7)  # type: ignore[func-returns-value]
    assert made == [1]


def test_flex_attentions_mask_is_the_same() -> None:
    """The mask a GPU takes, evaluated here."""
    from torch.nn.attention.flex_attention import create_mask

    docs = documents("mixed", 2, 130)
    for window in (None, 1, 40):
        dense = create_mask(docs.block_mask(window).mask_mod, 2, 1, 130, 130, device="cpu")
        assert torch.equal(dense[:, 0], docs.visible(0, 130, 0, window))
    assert docs.block_mask(None) is docs.block_mask(None)
