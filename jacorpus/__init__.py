"""Raw web archives, JSONL, Parquet and dumps in; curated Arrow shards, an audit and a report out."""

__version__ = "0.1.0"
