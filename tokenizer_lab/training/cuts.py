"""Where training cuts text: no token may cross such a place. Pattern, digits and MeCab's words, as set in Training.

Digits are cut by the named patterns; ``none`` and regular expressions of one's own say all there is to say.

Legend: N documents, E cuts, S bytes.
"""

import numpy as np
import pyarrow as pa

from jacorpus.kernels.buffers import text_buffers
from tokenizer_lab.kernels.patterns import PATTERNS, with_digits
from tokenizer_lab.training.settings import Training


def cuts(texts: pa.Array, training: Training) -> np.ndarray:
    """int64 [E], ascending places in the data of ``text_buffers(texts)``, each the end of a pre-token.

    Pattern ``none`` adds no cut: its line ends are up to the caller. Raises InputError for an unknown pattern.
    """
    from tokenizer_lab.kernels.pretokenize import split

    found = []
    if training.pattern != "none":
        named = training.pattern in PATTERNS
        found.append(split(texts, with_digits(training.pattern, training.digits) if named else training.pattern)[1])
    if training.words == "mecab":
        found.append(word_ends(texts))
    if not found:
        return np.zeros(0, np.int64)
    return found[0] if len(found) == 1 else np.unique(np.concatenate(found))


def word_ends(texts: pa.Array) -> np.ndarray:
    """int64 places, as in ``cuts``: ends of MeCab's words (UniDic), white space going with the word after it."""
    import fugashi

    tagger = fugashi.Tagger()  # type: ignore[attr-defined]
    offsets, _ = text_buffers(texts)
    found = []
    for text, place in zip(texts.to_pylist(), offsets.tolist(), strict=False):
        for line in (text or "").split("\n"):
            at = place
            for word in tagger(line):
                at += len(word.white_space.encode()) + len(word.surface.encode())
                found.append(at)
            place += len(line.encode()) + 1
    return np.array(found, np.int64)
