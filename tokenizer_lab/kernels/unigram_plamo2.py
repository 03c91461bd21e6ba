"""Unigram as PLaMo-2 reads it: whole numbers, from the end of the text to its beginning.

At each character the candidates are all pieces that start there, and the character alone as unknown, which costs
10,000,000. The cheapest way to the end wins; of equally cheap ones the longest piece, and any piece before the unknown.
An unknown character leaves as the tokens of its bytes. Whole numbers do not drift: a text of any length is
exact. Source: PLaMo-2's published ``tokenization_plamo.py`` and ggml-org/llama.cpp#14560.

Legend: N documents, S bytes of UTF-8, T tokens.
"""

import numpy as np
import pyarrow as pa

UNKNOWN_COST = 10_000_000


def unigram_plamo2_naive(
    array: pa.Array, pieces: dict[str, tuple[int, int]], byte_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``unigram_plamo2`` over pieces -> (id, cost), a character and a candidate at a time."""
    offsets: list[int] = [0]
    ids: list[int] = []
    sizes: list[int] = []
    longest = max(map(len, pieces), default=0)
    for text in array.to_pylist():
        text = text or ""
        cost, taken = [0] * (len(text) + 1), [0] * len(text)
        for i in range(len(text) - 1, -1, -1):
            cost[i] = 1 << 60
            for length in range(min(longest, len(text) - i), 0, -1):
                piece = text[i : i + length]
                if piece in pieces and pieces[piece][1] + cost[i + length] < cost[i]:
                    cost[i], taken[i] = pieces[piece][1] + cost[i + length], length
            if UNKNOWN_COST + cost[i + 1] < cost[i]:
                cost[i], taken[i] = UNKNOWN_COST + cost[i + 1], 0
        i = 0
        while i < len(text):
            piece = text[i : i + max(taken[i], 1)]
            encoded = piece.encode()
            ids += [pieces[piece][0]] if taken[i] else byte_ids[list(encoded)].tolist()
            sizes += [len(encoded)] if taken[i] else [1] * len(encoded)
            i += len(piece)
        offsets.append(len(ids))
    return np.array(offsets, np.int64), np.array(ids, np.uint32), np.array(sizes, np.int64)
