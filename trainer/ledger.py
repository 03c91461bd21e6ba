"""Which document was trained at which step: told from the plan alone, at any time, before or after training.

A row of the ledger is a stretch of one document within a row of a batch. Stretches are in order and fill their row:
where one begins is the sum of the lengths before it. The eos after a document counts as its last token, so a document
of n tokens has the offsets 0 ... n.

A step here is a batch's number, which is the step that trained it, unless the run went back and passed batches over.

The feed is a pure function, so the ledger is never needed to go on; it is written to keep a record beside a model, or
to be asked: in which steps was this document seen?
"""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jacorpus.errors import StorageError
from trainer.data import Feed

NAME = pa.dictionary(pa.int32(), pa.string())

LEDGER = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),  # of the batch over all ranks
        pa.field("domain", NAME, nullable=False),
        pa.field("shard", NAME, nullable=False),  # file name of the token shard
        pa.field("document", pa.string(), nullable=False),  # id, hexadecimal
        pa.field("offset", pa.int64(), nullable=False),  # of the stretch's first token in the document
        pa.field("length", pa.int32(), nullable=False),  # tokens, the eos included
    ]
)


def ledger(feed: Feed, steps: range, rows: range | None = None) -> pa.Table:
    """Schema LEDGER, in the order of steps, rows and columns. rows: of each step's batch; default all.

    Raises InputError for steps or rows that aren't there, and for a damaged shard.
    """
    found: dict[str, list] = {name: [] for name in LEDGER.names}
    for step in steps:
        first, seq_len = (0 if rows is None else rows.start), feed.plan.phase_of(step).seq_len
        for row, (domain, place) in enumerate(zip(*map(list, feed.rows(step, rows)), strict=True), first):
            name = feed.plan.domains[domain]
            for piece in feed.sources[name].stream.pieces(int(place), seq_len):
                document = piece.shard.batch["id"][piece.document].as_py().hex()
                told = (step, row, name, piece.shard.path.name, document, piece.offset, piece.length)
                for column, value in zip(found.values(), told, strict=True):
                    column.append(value)
    return pa.table({name: pa.array(found[name], field.type) for name, field in _fields()}, schema=LEDGER)


def write_ledger(feed: Feed, steps: range, folder: Path) -> Path:
    """Write the ledger of steps to ``folder``/ledger-FIRST-LAST.parquet; returns the path.

    The same steps give the same bytes, and the file is there whole or not at all. Raises StorageError where it can't
    be written.
    """
    path = folder / f"ledger-{steps.start:09d}-{steps.stop - 1:09d}.parquet"
    scratch = path.with_suffix(".part")
    table = ledger(feed, steps)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, scratch, compression="zstd")
        os.replace(scratch, path)
    except OSError as error:
        raise StorageError(f"{path} can't be written ({error}); free space or choose another folder") from error
    return path


def _fields() -> list[tuple[str, pa.Field]]:
    return [(field.name, field) for field in LEDGER]
