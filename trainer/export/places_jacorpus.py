"""Where tokens stand, what decoding remembers, what calls give back: the modeling file's part without weights.

A document begins where position_ids do not rise, and where cu_seqlens (also cu_seq_lens_q, of one flattened row) or
seq_idx say so.

Letters: B rows, T new tokens, S all tokens so far.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from transformers.utils import ModelOutput


class Memory:
    """What decoding remembers. layers: keys and values, or conv inputs and state. document: [B, tokens so far], number
    of each token's document, -1 for padding. position: [B], of each row's last token, -1 before there is one."""

    def __init__(self) -> None:
        self.layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.document: torch.Tensor | None = None
        self.position: torch.Tensor | None = None

    is_compileable = False
    is_linear = (False,)  # transformers asks whether all layers are without a length

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0 if self.document is None else self.document.shape[1]

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Rows in another order, for beam search."""
        self.layers = {
            i: (a.index_select(0, beam_idx), b.index_select(0, beam_idx)) for i, (a, b) in self.layers.items()
        }
        if self.document is not None and self.position is not None:
            self.document, self.position = (t.index_select(0, beam_idx) for t in (self.document, self.position))


@dataclass
class Frame:
    """Where the T new tokens of a call stand. position: [B, T]. there: bool [B, T], no padding. document: [B, S], -1
    for padding. run: [B, T], the same without gaps: padding counts to what was before it. before: [B], the document of
    the state so far. cut: a document begins behind the first token, or behind that state."""

    position: torch.Tensor
    there: torch.Tensor
    document: torch.Tensor
    run: torch.Tensor
    before: torch.Tensor
    cut: bool


@dataclass
class _Output(ModelOutput):
    @property
    def past_key_values(self) -> Memory | None:
        return self.get("cache")


@dataclass
class Hidden(_Output):
    last_hidden_state: torch.Tensor | None = None
    cache: Memory | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


@dataclass
class Output(_Output):
    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    cache: Memory | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


def _new_mask(given: torch.Tensor | None, done: int, x: torch.Tensor) -> torch.Tensor:
    """bool [B, T]: which new tokens are no padding."""
    if given is None:
        return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    if given.ndim != 2:
        raise ValueError("attention_mask must be [rows, tokens] of 0 (padding) and 1")
    if given.shape[1] not in (x.shape[1], done + x.shape[1]):
        raise ValueError(f"attention_mask has {given.shape[1]} columns for {done} + {x.shape[1]} tokens")
    return given[:, -x.shape[1] :].to(x.device).bool()


def starts_of(x: torch.Tensor, ends: torch.Tensor | None, seq_idx: torch.Tensor | None) -> torch.Tensor | None:
    """bool [B, T]: where documents begin by cu_seqlens or seq_idx; None where neither is given."""
    if ends is None and seq_idx is None:
        return None
    start = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
    if seq_idx is not None:
        start[:, 1:] = (seq_idx[:, 1:] != seq_idx[:, :-1]).to(x.device)
    if ends is not None:
        if len(x) != 1 or ends.ndim != 1 or int(ends[-1]) != x.shape[1]:
            raise ValueError(f"cu_seqlens must end at the {x.shape[1]} tokens of one row, got {len(x)} rows and {ends}")
        start[0, ends[:-1].long().to(x.device)] = True
    return start


def frame_of(
    x: torch.Tensor,
    memory: Memory | None,
    mask: torch.Tensor | None,
    position: torch.Tensor | None,
    start: torch.Tensor | None,
) -> Frame:
    """The places of new tokens, which ``memory`` takes in. A position that is not over that of the token before it,
    padding aside, begins a document."""
    done = 0 if memory is None else memory.get_seq_length()
    there, place = _new_mask(mask, done, x), torch.arange(x.shape[1], device=x.device)
    old = None if memory is None else memory.document
    last, before = torch.full((len(x),), -1, device=x.device), torch.zeros(len(x), dtype=torch.long, device=x.device)
    if memory is not None and old is not None and memory.position is not None:
        last, before = memory.position, old.amax(1).clamp(min=0)
    cut = position is not None or start is not None
    if position is None and start is None:
        position = (last[:, None] + there.long().cumsum(1)).clamp(min=0)
    elif position is None:
        position = place - torch.where(start, place, 0).cummax(1).values  # type: ignore[arg-type]
    position = position.to(x.device).long().expand(len(x), -1)
    known = torch.cat((last[:, None], position), 1)
    upto = torch.where(there, place + 1, 0).cummax(1).values  # 0: none in this call yet
    if cut:
        begins = there & (position <= known[:, :-1].gather(1, F.pad(upto[:, :-1], (1, 0))))
        begins = begins if start is None else begins | start
        begins[:, 0] &= done > 0
        cut = bool(begins.any())
    run = before[:, None] + (begins.long().cumsum(1) if cut else torch.zeros_like(position))
    document = torch.where(there, run, -1)
    document = document if old is None else torch.cat((old, document), 1)
    if memory is not None:
        memory.document, memory.position = document, known.gather(1, upto[:, -1:])[:, 0]
    return Frame(position, there, document, run, before, cut)
