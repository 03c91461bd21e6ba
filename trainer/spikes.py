"""Which updates to leave out: steps that are not finite, and spikes of loss or gradient norm. All on the device.

A step is a spike when its loss or its gradient norm lies more than ``sigmas`` standard deviations over the mean of the
last ``window`` accepted steps, once MINIMUM are known. OLMo-core skips by the same rule (6 over 128 steps, from 64 on);
there the history takes in skipped steps too, and is lost on resume. Here it holds accepted steps alone, so a burst
can't raise the bar for the next one, and it is part of a checkpoint, so a resumed run skips what the first would have.

A history of accepted steps has one danger: after a lasting rise (another mixture, longer rows) no step would pass ever
again. So SHIFT finite steps in a row that all lie over the bar are a new level: the last of them is accepted and the
history begins anew with it. (OLMo-core's history adapts after about four.)

Nothing here waits for the device but ``read``, which the loop calls when it logs.
"""

from typing import Any

import torch
from torch import Tensor

MINIMUM = 32
"""Accepted steps before any is called a spike: six standard deviations of fewer values mean little."""

SHIFT = 8
"""Finite steps over the bar in a row that make a new level."""

LEAST_STD = 1e-4
"""Standard deviation, as a share of the mean, under which none is believed: equal values would forbid any rise."""


class SpikeGuard:
    """Judges each step before its update. enabled: also leave out spikes, not only steps that are not finite."""

    def __init__(self, device: torch.device, window: int = 128, sigmas: float = 6.0, enabled: bool = True) -> None:
        self.window, self.sigmas, self.enabled = window, sigmas, enabled
        self._history = torch.zeros(2, window, device=device)  # loss, gradient norm
        self._places = torch.arange(window, device=device)

        def counter() -> Tensor:
            return torch.zeros((), dtype=torch.int64, device=device)

        self._accepted = counter()  # since the history began
        self._skipped = counter()
        self._in_a_row = counter()  # steps left out, up to now
        self._over_in_a_row = counter()  # finite steps over the bar, up to now

    @torch.no_grad()
    def judge(self, loss: Tensor, norm: Tensor) -> Tensor:
        """Whether to leave out the update of this step; 0-d bool. loss, norm: 0-d, the same on every rank."""
        values = torch.stack((loss.detach().float(), norm.detach().float()))
        finite = values.isfinite().all()
        over = finite & (values > self._bar()).any() if self.enabled else torch.zeros_like(finite)
        over_in_a_row = torch.where(finite, (self._over_in_a_row + 1) * over, self._over_in_a_row)
        shift = over_in_a_row >= SHIFT
        skip = ~finite | (over & ~shift)

        self._accepted.mul_(~shift)
        here = (self._places == self._accepted % self.window) & ~skip
        self._history.copy_(torch.where(here, values[:, None], self._history))
        self._accepted.add_(~skip)
        self._skipped.add_(skip)
        self._in_a_row.copy_((self._in_a_row + 1) * skip)
        self._over_in_a_row.copy_(over_in_a_row * ~shift)
        return skip

    def _bar(self) -> Tensor:
        """What loss and norm must not exceed, [2]; infinite while the history is short."""
        known = self._places < self._accepted
        count = known.sum()
        mean = torch.where(known, self._history, 0.0).sum(1) / count.clamp(min=1)
        squares = torch.where(known, (self._history - mean[:, None]) ** 2, 0.0)
        std = (squares.sum(1) / (count - 1).clamp(min=1)).sqrt()
        bar = mean + self.sigmas * torch.maximum(std, LEAST_STD * mean.abs())
        return torch.where(count >= min(MINIMUM, self.window), bar, torch.inf)

    def read(self) -> dict[str, Any]:
        """{"skipped": steps left out so far, "bad_in_a_row": the last ones in a row}. Waits for the device, once."""
        skipped, in_a_row = torch.stack((self._skipped, self._in_a_row)).tolist()
        return {"skipped": skipped, "bad_in_a_row": in_a_row}

    def forget_run(self) -> None:
        """Count steps in a row from none again, as after going back to a checkpoint."""
        self._in_a_row.zero_()
        self._over_in_a_row.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors themselves: what is loaded into them in place is loaded."""
        return {
            "history": self._history,
            "accepted": self._accepted,
            "skipped": self._skipped,
            "in_a_row": self._in_a_row,
            "over_in_a_row": self._over_in_a_row,
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what state_dict gave."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])
