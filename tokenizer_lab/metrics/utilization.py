"""How much of the vocabulary a text uses: different ids used / V, and ids seen at least 100 times / V.

No interval: drawing documents again can only lose ids, so the draws would all lie below the figure.
"""

import numpy as np

from tokenizer_lab.comparison.encoded import Encoded
from tokenizer_lab.comparison.metric import Figure, Single

TITLE = "Utilization"
FORMULA = "ids used / V; ids seen at least 100 times / V"
TRAP = "It grows with the corpus, and text of one language says little on the vocabulary of a tokenizer of many."
MATERIAL = "text"

OFTEN = 100


def measure(encoded: Encoded) -> list[Figure]:
    uses, size = encoded.uses_V, encoded.tokenizer.vocab_size
    return [
        Single("ids used", int(np.count_nonzero(uses)) / size, "share"),
        Single(f"seen {OFTEN} times", int((uses >= OFTEN).sum()) / size, "share"),
    ]
