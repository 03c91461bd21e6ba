"""Where documents begin in packed rows: what keeps one document from seeing another.

Letters: B rows, T tokens of a row, W window.
"""

from collections.abc import Callable
from typing import Any

import torch

NEVER = float("-inf")


class Documents:
    """Boundaries of a batch and what follows from them; masks are made once and shared by all layers.

    document_BT: int, number of the document within the row, never falling.
    one: every row is known to be one document, so that causal kernels need no mask. On a GPU it is never looked up
    (that would wait for the device); pass it where it is known.
    """

    def __init__(self, document_BT: torch.Tensor, one: bool | None = None) -> None:
        self.document_BT = document_BT
        if one is None:
            one = not document_BT.is_cuda and bool((document_BT[:, 0] == document_BT[:, -1]).all())
        self.one = one
        self._kept: dict[Any, Any] = {}

    @classmethod
    def single(cls, rows: int, tokens: int, device: torch.device | str = "cpu") -> "Documents":
        """One document a row."""
        return cls(torch.zeros(rows, tokens, dtype=torch.int32, device=device), one=True)

    @property
    def start_BT(self) -> torch.Tensor:
        """bool: the first token of each document; the first of a row always is one."""

        def make() -> torch.Tensor:
            start_BT = torch.ones_like(self.document_BT, dtype=torch.bool)
            start_BT[:, 1:] = self.document_BT[:, 1:] != self.document_BT[:, :-1]
            return start_BT

        return self.once("start", make)

    @property
    def position_BT(self) -> torch.Tensor:
        """int64: place of each token within its document, from 0."""

        def make() -> torch.Tensor:
            place_T = torch.arange(self.document_BT.shape[1], device=self.document_BT.device)
            return place_T - torch.where(self.start_BT, place_T, 0).cummax(1).values

        return self.once("position", make)

    def visible(self, first: int, last: int, low: int, window: int | None) -> torch.Tensor:
        """bool [B, last - first, last - low]: whether query i in [first, last) sees key j in [low, last): of the same
        document, not after it, at most ``window`` back."""
        place_T = torch.arange(self.document_BT.shape[1], device=self.document_BT.device)
        back = place_T[first:last, None] - place_T[None, low:last]
        near = back >= 0 if window is None else (back >= 0) & (back <= window)
        same = self.document_BT[:, first:last, None] == self.document_BT[:, None, low:last]
        return same & near

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, kept under a key for the layers that follow."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def bias(self, first: int, last: int, low: int, window: int | None, dtype: torch.dtype) -> torch.Tensor:
        """[B, 1, last - first, last - low]: 0 where visible, -inf elsewhere; made once."""

        def make() -> torch.Tensor:
            seen = self.visible(first, last, low, window)
            return torch.where(seen, torch.zeros((), dtype=dtype, device=seen.device), NEVER)[:, None]

        return self.once((first, last, low, window, dtype), make)

    def block_mask(self, window: int | None) -> Any:
        """The FlexAttention mask of a window; made once."""

        def make() -> Any:
            from torch.nn.attention.flex_attention import create_block_mask

            document_BT = self.document_BT
            rows, tokens = document_BT.shape

            def seen(b: Any, h: Any, i: Any, j: Any) -> Any:
                near = (i >= j) if window is None else (i >= j) & (i - j <= window)
                return near & (document_BT[b, i] == document_BT[b, j])

            # Compiled, it goes from documents to blocks without a mask of all pairs of tokens on the way.
            return create_block_mask(seen, rows, None, tokens, tokens, document_BT.device, _compile=True)

        return self.once(("flex", window), make)
