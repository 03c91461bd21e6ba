"""Numbers of a finished output: counts, the spread of each signal, the values of each name."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jacorpus.output.finished import finished
from jacorpus.shards import read_table

SAMPLE_ROWS = 1_000_000
MOST_NAMES = 30


def stats(out: Path) -> dict[str, Any]:
    """{"manifest", "signals": [{signal, known, p05, median, p95, mean}], "names": {signal: {value: documents}}}.

    Quantiles are over every k-th document, k such that at most SAMPLE_ROWS are read; counts are of all.
    """
    folder = finished(out)
    total = sum(entry["documents"] for entry in folder.manifest["signals"])
    step = max(1, total // SAMPLE_ROWS)
    columns = {"bytes": "int64", **folder.manifest["columns"]}
    paths = [out / entry["path"] for entry in folder.manifest["signals"]]
    numbers, names = [], {}
    for name, kind in columns.items():
        chunks = [read_table(path, [name])[name] for path in paths]
        column = pa.chunked_array(chunks, chunks[0].type) if chunks else pa.chunked_array([], pa.float64())
        if kind in ("string", "large_string"):
            counts = sorted(pc.value_counts(column).to_pylist(), key=lambda c: (-c["counts"], str(c["values"])))
            names[name] = {
                str(c["values"]) if c["values"] is not None else "-": c["counts"] for c in counts[:MOST_NAMES]
            }
            continue
        known = column.drop_null()
        values = known.to_numpy()[::step].astype(np.float64) if len(known) else np.zeros(0)
        values = values[np.isfinite(values)]
        numbers.append({"signal": name, "known": len(known), **_spread(values)})
    return {"manifest": folder.manifest, "signals": numbers, "names": names}


def _spread(values: np.ndarray) -> dict[str, float | None]:
    if not len(values):
        return {"p05": None, "median": None, "p95": None, "mean": None}
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {"p05": float(low), "median": float(middle), "p95": float(high), "mean": float(values.mean())}
