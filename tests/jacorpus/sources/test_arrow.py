"""Arrow IPC: what a truncated stream gives."""

from pathlib import Path

import pyarrow as pa

from jacorpus.sources.arrow import Arrow
from tests.jacorpus.sources.reading import everything, put, read_all, read_spans
from tests.jacorpus.sources.written import TEXTS, arrow


def test_a_truncated_arrow_stream_gives_what_came_before(tmp_path: Path):
    file = arrow(tmp_path / "a", pa.ipc.new_stream)
    data = Path(file.uri).read_bytes()
    chunk = read_all(Arrow(), put(tmp_path, "b", data[: len(data) * 2 // 3]))
    positions = chunk.records.column("position").to_pylist()
    assert positions == [i for i, text in enumerate(TEXTS) if text is not None][: len(positions)]
    assert len(positions) > 20
    assert chunk.lost[-1].reason == "corrupt"
    assert everything(read_spans(Arrow(), put(tmp_path, "b", data[: len(data) * 2 // 3]), 10)) == everything(chunk)
