"""Plain text files: one record each, undecoded."""

import gzip
from pathlib import Path

from jacorpus.sources.text import Text
from tests.jacorpus.sources.reading import put, read_all


def test_text_files(tmp_path: Path):
    file = put(tmp_path, "a.txt", "本文\n".encode("euc_jp"))
    row = read_all(Text(), file).records.to_pylist()[0]
    assert (row["position"], row["body"], row["content_type"]) == (0, "本文\n".encode("euc_jp"), "text/plain")
    packed = gzip.compress(b"abc" * 1000)
    assert read_all(Text(), put(tmp_path, "b.txt", packed)).records.column("body").to_pylist() == [b"abc" * 1000]
    assert [lost.reason for lost in read_all(Text(), put(tmp_path, "c", packed[:-9])).lost] == ["truncated"]
    assert [lost.reason for lost in read_all(Text(max_record_bytes=10), put(tmp_path, "d", packed)).lost] == [
        "too_long"
    ]
    assert read_all(Text(), put(tmp_path, "e", b"")).records.column("body").to_pylist() == [b""]
