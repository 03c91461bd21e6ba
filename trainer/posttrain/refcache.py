"""Log-probs of a reference model, computed once and kept on disk by what they depend on.

    CACHE/KEY/00000000.arrow ...    sequence digest -> sum of log-probs over its trained tokens

KEY is a hash of the reference's weights, the type it computes in and this code; a sequence's digest is over its ids and
mask, which tokenizer and template decide. So another run over the same data with the same reference computes nothing,
and changed weights, templates or masks find nothing. With all values there, no second model is ever in memory: the
policy's start is the reference, or an adapter turned off, or weights swapped in for the moment.

Batches are fixed by the whole list that is asked for, and a batch is written at once: what a kill interrupts is
computed again in the very same batches, to the same bits.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from jacorpus.errors import InputError
from jacorpus.shards import storage_errors
from trainer.model import Model
from trainer.posttrain.logprobs import sequence_logps
from trainer.posttrain.sequences import Sequenced, padded

VERSION = "1"
"""Changes when the numbers may."""

PART = 64
"""Batches of a file."""


def sequence_digest(sequence: Sequenced) -> bytes:
    """32 bytes over ids and mask."""
    ids, trained = np.asarray(sequence.ids, np.int64), np.asarray(sequence.trained, bool)
    return hashlib.sha256(ids.tobytes() + b"|" + trained.tobytes()).digest()


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names and bytes of tensors."""
    found = hashlib.sha256()
    for name in sorted(weights):
        found.update(name.encode())
        found.update(weights[name].detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@contextmanager
def swapped(model: Model, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """The model with other weights for the moment; its own wait on the host. An adapter's stay where they are."""
    own = {name: model.state_dict()[name].detach().to("cpu", copy=True) for name in weights}
    model.load_state_dict(dict(weights), strict=False)
    try:
        yield
    finally:
        model.load_state_dict(own, strict=False)


def reference_logps(
    model: Model,
    sequences: Sequence[Sequenced],
    weights: str,
    cache: Path,
    micro_tokens: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """float64 [sequences]: the sum of log-probs of each one's trained tokens under ``model``, the reference.

    weights: digest of the model's weights. cache: folder, made where it is missing. progress: (done, of how many).
    """
    dtype = str(model.compute_dtype or model.embed.weight.dtype)
    folder = cache / hashlib.sha256(f"{VERSION} {weights} {dtype}".encode()).hexdigest()[:32]
    known = _read(folder)
    digests = [sequence_digest(each) for each in sequences]
    order = sorted(range(len(sequences)), key=lambda i: (-len(sequences[i].ids), digests[i]))
    fresh: dict[bytes, float] = {}
    made = 0
    for batch in _batches(order, [len(each.ids) for each in sequences], micro_tokens):
        made += len(batch)
        if any(digests[i] not in known for i in batch):
            for i, value in zip(batch, _scored(model, [sequences[i] for i in batch]), strict=True):
                if digests[i] not in known:
                    known[digests[i]] = fresh[digests[i]] = value
            progress(made, len(sequences))
            if len(fresh) >= PART * max(1, len(batch)):
                _write(folder, fresh)
                fresh = {}
    _write(folder, fresh)
    return np.array([known[digest] for digest in digests])


def _batches(order: Sequence[int], sizes: Sequence[int], micro_tokens: int) -> Iterator[list[int]]:
    at = 0
    while at < len(order):
        rows = max(1, micro_tokens // sizes[order[at]])
        yield list(order[at : at + rows])
        at += rows


@torch.no_grad()
def _scored(model: Model, sequences: Sequence[Sequenced]) -> list[float]:
    batch = padded(sequences).to(model.embed.weight.device)
    return sequence_logps(model, batch)[0].double().tolist()


def _read(folder: Path) -> dict[bytes, float]:
    found: dict[bytes, float] = {}
    for path in sorted(folder.glob("*.arrow")):
        try:
            table = pa.ipc.open_file(path).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"{path} can't be read ({error}); remove it, it will be computed again") from error
        found.update(zip(table["digest"].to_pylist(), table["logp"].to_pylist(), strict=True))
    return found


def _write(folder: Path, values: Mapping[bytes, float]) -> None:
    if not values:
        return
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{len(list(folder.glob('*.arrow'))):08d}.arrow"
        table = pa.table({"digest": pa.array(list(values), pa.binary(32)), "logp": pa.array(list(values.values()))})
        scratch = path.with_suffix(".tmp")
        with pa.ipc.new_file(scratch, table.schema) as sink:
            sink.write_table(table)
        scratch.replace(path)
