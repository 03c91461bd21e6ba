"""A finished output folder: its manifest, rules, signals and clusters, as the decide phase takes them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jacorpus.decide import Clusters, Older, SignalPart, id_words, number_parts
from jacorpus.manifest import load_manifest
from jacorpus.rule import Rule, rule_from_json
from jacorpus.shards import read_batches, read_table


@dataclass(frozen=True)
class Finished:
    """out: the folder. manifest: as written by the run."""

    out: Path
    manifest: dict[str, Any]

    def rules(self) -> tuple[list[Rule], list[bool]]:
        """The rules of the run and which were active."""
        listed = self.manifest["rules"]
        return [rule_from_json(rule) for rule in listed], [rule["active"] for rule in listed]

    def parts(self) -> list[SignalPart]:
        """Signals in manifest order."""
        return number_parts(
            [(self.out / p["path"], p["documents"], p["domain"], p["priority"]) for p in self.manifest["signals"]]
        )

    def clusters(self) -> list[Clusters]:
        """Each dedup stage's clusters."""
        return [self._clusters(entry) for entry in self.manifest["clusters"]]

    def _clusters(self, entry: dict[str, Any]) -> Clusters:
        table = read_table(self.out / entry["path"])
        rows = table["row"].to_numpy().astype(np.int64)
        names = pa.chunked_array(table["cluster_id"]).combine_chunks().dictionary_encode()
        index = names.indices.to_numpy()
        smallest = np.full(len(names.dictionary), np.iinfo(np.int64).max)
        np.minimum.at(smallest, index, rows)
        return Clusters(
            entry["label"],
            rows,
            smallest[index] if len(rows) else rows,
            table["cluster_size"].to_numpy().astype(np.int32),
            table["similarity"].to_numpy(),
            _older(table),
        )

    def audit(self) -> Iterator[pa.RecordBatch]:
        """All audit rows, batch by batch."""
        for entry in self.manifest["audit"]:
            yield from read_batches(self.out / entry["path"])

    def recipe_folder(self) -> Path:
        """Where the recipe lay when it was run."""
        return Path(json.loads((self.out / "run.json").read_bytes())["folder"])


def _older(table: pa.Table) -> Older | None:
    """What older crawls keep, as the run knew it."""
    snapshot = table["snapshot"].combine_chunks()
    if snapshot.null_count == len(snapshot):
        return None
    words = id_words(table["kept_id"].combine_chunks())
    return Older(words[:, 0], words[:, 1], snapshot)


def finished(out: Path) -> Finished:
    """Open an output folder. Raises JacorpusError when no run finished there."""
    return Finished(out, load_manifest(out))
