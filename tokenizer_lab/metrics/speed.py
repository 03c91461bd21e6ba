"""MB of raw text per CPU second, cold: the first quarter of the documents warms up, the others are encoded once.

CPU seconds of the whole process, so that threads of a library count. What is timed is ``Tokenizer.encode``, Arrow in
and out: for a library that wants one Python string a text, making those is part of it. Lines of 100 kB of the timed
text also go through the original library, and the ids must be equal: a fast encoder that is wrong has no speed.
"""

from tokenizer_lab.comparison.encoded import Encoded
from tokenizer_lab.comparison.metric import Figure, Single

TITLE = "Speed"
FORMULA = "MB of raw text / CPU seconds of this process, each text once, after a warm-up on other text"
TRAP = "Repeated text flatters caches by a factor of three and more; numbers change from machine to machine."
MATERIAL = "text"


def measure(encoded: Encoded) -> list[Figure]:
    speed = encoded.speed
    if speed is None:
        return []
    rate = speed.bytes / 1e6 / speed.cpu_s if speed.cpu_s > 0 else None
    return [
        Single("MB per CPU second", rate),
        Single("lines compared", speed.lines, "count"),
        Single("lines with other ids", speed.lines_differ, "count"),
    ]
