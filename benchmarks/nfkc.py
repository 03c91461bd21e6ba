"""NFKC beside unicodedata, polars and pyarrow: ``python -m benchmarks.nfkc``.

16 MB of literature and of documentation each, from Arrow or from the form the rival works on; everybody's result is
compared with unicodedata's before the clock starts.
"""

import unicodedata
from typing import Any

import polars as pl
import pyarrow.compute as pc

from benchmarks.beside import compared, facts, here, in_turns
from benchmarks.normalize import TEXTS, documents
from benchmarks.record import save
from jacorpus.kernels.nfkc import normal_form


def main() -> None:
    """Measure, print and save."""
    made: list[dict[str, Any]] = []
    for path in TEXTS[:2]:
        texts = documents(path).column("text")
        megabytes, strings, series = pc.sum(pc.binary_length(texts)).as_py() / 1e6, texts.to_pylist(), pl.Series(texts)
        forms = {
            "ours": lambda texts=texts: normal_form(texts, "NFKC"),
            "unicodedata": lambda strings=strings: [unicodedata.normalize("NFKC", text) for text in strings],
            "polars": lambda series=series: series.str.normalize("NFKC"),
            "pyarrow": lambda texts=texts: pc.utf8_normalize(texts, "NFKC"),
        }
        truth = forms["unicodedata"]()
        equal = {name: _listed(form()) == truth for name, form in forms.items()}
        answers = in_turns({name: here(form) for name, form in forms.items()}, 5)
        speed = {name: megabytes / answer["cpu_s"] for name, answer in answers.items()}
        what = f"NFKC, {path.parent.name}/{path.name.split('.')[0]}"
        more = {"unit": "MB/s", "equal_to_unicodedata": equal["ours"]}
        row = compared(f"{what}, byte for byte unicodedata's", ">= 1,000 MB/s", speed["ours"], least=1000, **more)
        row["met"] = row["met"] and equal["ours"]
        made.append(row)
        for rival in ("unicodedata", "polars", "pyarrow"):
            more = {"unit": "MB/s", "equal_to_unicodedata": equal[rival]}
            made.append({**compared(what, "", speed["ours"], rival, speed[rival], **more), "met": None})
        made += facts(answers)
    save("nfkc", made, ["numba", "polars", "pyarrow"])


def _listed(result: Any) -> list[str]:
    if isinstance(result, list):
        return result
    found: list[str] = result.to_list() if isinstance(result, pl.Series) else result.to_pylist()
    return found


if __name__ == "__main__":
    main()
