"""OMP (2506.06607): a donor model that knows the new tokens says which mixture of shared tokens each one is.

The donor's embedding of a new token is written as a sparse combination of the donor's embeddings of tokens that the
old model has too, by orthogonal matching pursuit: take the shared token that is most like what is left, solve least
squares over all taken so far, and again, ``neighbors`` times. The coefficients are then used over the old model's
rows. Nothing is trained.

A token that the donor lacks is the mean of its subwords. Where old model and donor cut numbers unlike, the paper found
arithmetic to suffer; that is warned of.
"""

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from tokenizer_lab.mixtures import Job, Mixtures, means, mixtures, shared_tokens
from tokenizer_lab.tokenizer import Tokenizer, list_buffers

NUMBERS = "\n1\n12\n123\n1234\n12345\n1234567\n2024\n"
CHUNK = 256


def digit_scheme(tokenizer: Tokenizer) -> tuple[bytes, ...]:
    """How a few numbers are cut: the tokens that hold digits."""
    _, ids = list_buffers(tokenizer.encode(pa.array([NUMBERS], pa.large_string())))
    tokens = (tokenizer.vocabulary.token_bytes[id].strip() for id in ids)
    return tuple(token for token in tokens if token.isdigit())


def pursuit(targets: np.ndarray, atoms: np.ndarray, terms: int) -> tuple[np.ndarray, np.ndarray]:
    """(columns int64 [K, terms], coefficients float64 [K, terms]) of targets [K, D] over atoms [S, D].

    A target that is met before has zero coefficients for the rest.
    """
    lengths = np.linalg.norm(atoms, axis=1)
    unit = (atoms / np.maximum(lengths, 1e-12)[:, None]).astype(np.float32)
    left = targets.astype(np.float32).copy()
    columns = np.zeros((len(targets), terms), np.int64)
    solved = np.zeros((len(targets), terms))
    for step in range(terms):
        likeness = np.abs(left @ unit.T)
        np.put_along_axis(likeness, columns[:, :step], -1.0, axis=1)
        columns[:, step] = likeness.argmax(axis=1)
        for k in range(len(targets)):
            taken = atoms[columns[k, : step + 1]].astype(np.float64)
            solved[k, : step + 1] = np.linalg.lstsq(taken.T, targets[k].astype(np.float64), rcond=1e-6)[0]
            left[k] = targets[k] - solved[k, : step + 1] @ taken
    return columns, solved


def initial(job: Job) -> Mixtures:
    """Needs a donor: its tokenizer and its rows of this side."""
    if job.donor is None or job.donor_rows is None:
        raise InputError("omp needs a donor model (a folder of safetensors) and its tokenizer")
    rows, donor = job.donor_rows, job.donor
    in_old, in_new = shared_tokens(job.old, donor), shared_tokens(donor, job.new)
    anchors = np.flatnonzero(in_old >= 0)
    if not len(anchors):
        raise InputError(f"the donor {donor.name} shares no token with {job.old.name}")
    notes = [f"{len(anchors):,} tokens are shared with the donor"]
    if digit_scheme(job.old) != digit_scheme(donor):
        notes.append(f"warning: {job.old.name} and the donor cut numbers unlike; expect arithmetic to suffer")
    terms, fallback = means(job), np.ones(len(job.wanted), bool)
    able = np.flatnonzero(in_new[job.wanted] >= 0)
    count = min(job.neighbors, len(anchors), rows.shape[1])
    for start in range(0, len(able), CHUNK):
        part = able[start : start + CHUNK]
        columns, weights = pursuit(rows[in_new[job.wanted[part]]], rows[anchors], count)
        for i, k in enumerate(part):
            terms[k], fallback[k] = (in_old[anchors[columns[i]]], weights[i]), False
    return mixtures(terms, fallback, tuple(notes))
