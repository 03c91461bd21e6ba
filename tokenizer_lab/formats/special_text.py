"""Strings of special tokens in a text as their ids, the way the original libraries do it when asked to.

What lies between is encoded as texts of its own. Where two special strings begin alike the longer one is taken.

Legend: N documents, T tokens.
"""

import re
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

Encode = Callable[[pa.Array], tuple[np.ndarray, np.ndarray]]
"""Texts -> (offsets int64 [N + 1], ids uint32 [T])."""


def encode_specials(texts: pa.Array, specials: Mapping[str, int], encode: Encode) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64 [N + 1], ids uint32 [T]) of string [N], each special string as its id."""
    if not specials:
        return encode(texts)
    finder = re.compile("(" + "|".join(map(re.escape, sorted(specials, key=len, reverse=True))) + ")")
    # Every second part is a special string; it is encoded as an empty text, and its id put in its place.
    rows = [finder.split(text or "") for text in texts.to_pylist()]
    parts = [part if at % 2 == 0 else "" for row in rows for at, part in enumerate(row)]
    offsets, ids = encode(pa.array(parts, pa.large_string()))
    found = [specials.get(part, -1) if at % 2 else -1 for row in rows for at, part in enumerate(row)]
    special = np.array(found, np.int64)
    here = special >= 0
    ids = np.insert(ids, offsets[1:][here], special[here].astype(np.uint32))
    places = offsets + np.concatenate([np.zeros(1, np.int64), np.cumsum(here)])
    return places[np.cumsum([0, *map(len, rows)])], ids
