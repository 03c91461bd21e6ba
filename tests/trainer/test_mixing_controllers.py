"""The mixture's controllers in real runs: finite weights of sum 1, and the same ones after an interruption."""

import math
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from mixing.steering.doge import DoGEController
from mixing.steering.doremi import DoReMiController
from tokenizer_lab.tokens import Tokens
from trainer.proxy import Proxy, ProxySettings, Steered
from trainer.steering import Steering

SETTINGS = ProxySettings(
    model={"d_model": 32, "d_ff": 48, "head_dim": 16, "window": 16, "d_state": 8},
    lr=4e-3,
    **{"tokens": 2560, "batch_tokens": 256, "seq_len": 64, "valid_tokens": 512, "checkpoint_every": 50},
)
PRIOR = {"novels": 0.4, "web": 0.6}


def steered(tokens: Tokens, cache: Path, method: str) -> tuple[Steered, Any]:
    """(the run, its controller)."""
    proxy = Proxy(tokens.folder, settings=SETTINGS, cache=cache)
    if method == "doremi":
        controller = DoReMiController(PRIOR, eta=0.5)
        return proxy.steer(controller, reference="per_domain"), controller
    controller = DoGEController(PRIOR, {"novels": 1.0}, eta=0.5)
    return proxy.steer(controller, target={"novels": 1.0}), controller


@pytest.mark.parametrize("method", ["doremi", "doge"])
def test_a_stopped_run_goes_on_to_the_same_weights(
    small_tokens: Tokens, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, controller = steered(small_tokens, tmp_path / "whole", method)
    assert len(whole.trajectory) == controller.steps > 5
    for row in whole.trajectory:
        assert math.fsum(row) == pytest.approx(1, abs=1e-12)
        assert all(math.isfinite(weight) and weight > 0 for weight in row)
    assert len(set(whole.trajectory)) == len(whole.trajectory), "it moves"
    assert all(math.isfinite(value) for value in controller.late.values())
    original = Steering._update

    def stopping(self: Steering, batch: Any) -> None:
        original(self, batch)
        if self.step == 3 and self.first_step == 0:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Steering, "_update", stopping)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut", ignore=shutil.ignore_patterns("steer-*"))
    with pytest.raises(KeyboardInterrupt):
        steered(small_tokens, tmp_path / "cut", method)
    again, second = steered(small_tokens, tmp_path / "cut", method)
    assert again.trajectory == whole.trajectory
    assert again.losses == whole.losses
    assert second.state_dict() == controller.state_dict()
