"""The Arrow schemas every part of the pipeline agrees on. Read this file first.

A record is what an input holds: a WARC response, a line of JSONL, a row of a table, a page of a dump.
A document is a record that has become text. Rows of one batch keep their number and order from stage
to stage; only the runner takes failed rows out.
"""

import pyarrow as pa

ID = pa.binary(16)
"""First 16 bytes of SHA-256 over (domain, path below the glob's fixed root, position)."""

RECORD = pa.schema(
    [
        # Where the record starts, in the unit of its source: member offset (WARC, bytes of the file as it
        # lies on disk), decompressed byte (JSONL), row (Parquet, Arrow), page id (Wikipedia), 0 (text file).
        pa.field("position", pa.int64(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("timestamp", pa.timestamp("s", tz="UTC")),
        pa.field("meta", pa.string()),  # JSON object, opaque to the pipeline
        pa.field("text", pa.large_string()),  # null where there is a body
        pa.field("body", pa.large_binary()),  # undecoded payload of a page; null where there is text
        pa.field("content_type", pa.string()),  # media type of body, lower case, without parameters
        pa.field("charset", pa.string()),  # label from the transport (HTTP header), as found
    ]
)
"""What a source yields. Exactly one of text and body is set."""

PAGE = pa.schema([pa.field("id", ID, nullable=False), pa.field("domain", pa.string(), nullable=False), *RECORD])
"""RECORD with its id and domain: what an extract stage takes."""

DOCUMENT = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("timestamp", pa.timestamp("s", tz="UTC")),
        pa.field("meta", pa.string()),
    ]
)
"""What every stage after extraction takes, and what the shards hold."""

SHARD = pa.schema(
    [
        *DOCUMENT,
        pa.field("split", pa.string(), nullable=False),  # train or valid
        pa.field("cluster_size", pa.int32(), nullable=False),  # documents this one stands for, itself included
        pa.field("weight", pa.int8(), nullable=False),  # rehydration weight (FineWeb-2's table over cluster_size)
    ]
)
"""Rows of shards/*.arrow: the kept documents."""

EDGES = pa.schema([("a", pa.uint64()), ("b", pa.uint64()), ("similarity", pa.float32())])
"""Pairs a dedup stage holds to be duplicates: rows over all measured documents, a < b."""

CLUSTERS = pa.schema(
    [
        pa.field("row", pa.uint64(), nullable=False),  # over all rows of signals/, in manifest order
        pa.field("id", ID, nullable=False),
        pa.field("cluster_id", ID, nullable=False),  # smallest id of the members
        pa.field("cluster_size", pa.uint32(), nullable=False),
        pa.field("kept_id", ID),  # null when no member survived the rules
        pa.field("similarity", pa.float32()),  # to the neighbor it was joined through (largest)
        pa.field("snapshot", pa.string()),  # of kept_id, where an older crawl keeps it; else null
    ]
)
"""Rows of clusters/LABEL.arrow: every document that has a duplicate, sorted by row."""

AUDIT = pa.schema(
    [
        pa.field("id", ID, nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),  # path below the glob's fixed root
        pa.field("position", pa.int64(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("state", pa.string(), nullable=False),  # kept | dropped | failed
        pa.field("stage", pa.string()),  # label of the stage that decided; null when kept
        pa.field("reason", pa.string()),
        pa.field("value", pa.float64()),  # the signal's value where a rule decided
        pa.field("detail", pa.string()),  # one sentence where the record failed
        pa.field("failed_rules", pa.binary()),  # bit i (little endian) = rule i of the resolved recipe failed
        pa.field("cluster", ID),  # cluster id of the dedup stage that dropped it, or of the first it is in
        pa.field("kept_id", ID),  # the duplicate that was kept instead
        pa.field("bytes", pa.int64(), nullable=False),  # UTF-8 bytes of text; of the raw record where it failed
    ]
)
"""Rows of audit/*.arrow: one for each record read."""
