"""What a training step reads: token ids in rows, where documents begin, what counts in the loss.

Letters: B rows, T tokens of a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

import torch

from trainer.documents import Documents


@dataclass(frozen=True)
class TokenBatch:
    """Rows of packed documents.

    tokens_BT: int64 ids. targets_BT: int64, the next token of the same document; any id where weight is 0.
    weight_BT: float32, 0 for padding and for tokens without a target. document_BT: int32, number of the document within
    the row, never falling; where it changes, state and attention begin anew. domain_B: int32, place of the row's domain
    in the plan's list. extra: what an objective needs beside, by name: tensors whose first axis is the rows. Its
    ``weight_B``, where there is one, is what a step's sums are divided by, in place of the tokens' weights: losses over
    whole answers or pairs count those.
    """

    tokens_BT: torch.Tensor
    targets_BT: torch.Tensor
    weight_BT: torch.Tensor
    document_BT: torch.Tensor
    domain_B: torch.Tensor
    extra: dict[str, torch.Tensor] = field(default_factory=dict)

    def weight(self) -> torch.Tensor:
        """What the sums over this batch are divided by."""
        return self.extra.get("weight_B", self.weight_BT).sum()

    def documents(self) -> Documents:
        """Where documents begin, in the form the model takes."""
        return Documents(self.document_BT)

    def to(self, device: torch.device | str) -> "TokenBatch":
        """The same on a device; the copy from pinned memory does not wait."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> "TokenBatch":
        """The same in page-locked memory."""
        return self._each(torch.Tensor.pin_memory)

    def rows(self, first: int, last: int) -> "TokenBatch":
        """Rows [first, last)."""
        return self._each(lambda tensor: tensor[first:last])

    def micro_batches(self, rows: int) -> Iterator["TokenBatch"]:
        """Pieces of at most ``rows`` rows, in order."""
        for first in range(0, len(self.domain_B), rows):
            yield self.rows(first, first + rows)

    def _each(self, change) -> "TokenBatch":  # type: ignore[no-untyped-def]
        changed = {each.name: change(getattr(self, each.name)) for each in fields(self) if each.name != "extra"}
        return replace(self, **changed, extra={name: change(tensor) for name, tensor in self.extra.items()})
