"""Every kernel has a configuration on every device, and heads are shared out by shape alone."""

import pytest
import torch


def test_an_entry_for_each_kernel() -> None:
    from trainer.kernels.triton import tables

    kernels = {kernel for kernel, _, _ in tables._TABLE}
    assert all((kernel, "any", ()) in tables._TABLE for kernel in kernels)
    assert all(tables.launch(kernel, torch.device("cpu"), 64, 64).block for kernel in kernels)
    with pytest.raises(KeyError):
        tables.launch("no such kernel", torch.device("cpu"))


@pytest.mark.parametrize(("heads", "blocks", "wanted"), [(32, 512, 32), (32, 64, 4), (1, 1, 1), (5, 1, 1), (3, 256, 2)])
def test_heads_a_program(monkeypatch: pytest.MonkeyPatch, heads: int, blocks: int, wanted: int) -> None:
    from trainer.kernels.triton import tables

    monkeypatch.setattr(tables, "PROGRAMS", 512)
    assert tables.heads_a_program(heads, blocks) == wanted
