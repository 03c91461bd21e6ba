"""What kind of character each code point is, from one stated version of Unicode kept as a file.

Pre-tokenizers ask only a few things: is it a letter, a number, white space, a mark. Python's ``unicodedata`` and
``regex`` follow the interpreter's and the package's own Unicode version and drift away from the engines that encode;
so the table is a file, and its hash is checked on reading. It holds Unicode 16.0, which the Rust engine of tiktoken
0.14 and the Oniguruma of tokenizers 0.23 share: all 1,112,064 code points compared.

``python -m tokenizer_lab.kernels.character_classes`` writes the file anew, asking tiktoken's own engine.

Kinds: u letter in upper or title case (Lu Lt), l in lower case (Ll), o other letter (Lm Lo), m mark (M), n number (N),
s white space (``\\s``), - all else. A line of the file: first code point in hex, a space, the kind from there on.
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from jacorpus.errors import InputError

UNICODE = "16.0"
FILE = Path(__file__).resolve().parent.parent / "data" / "character_classes.txt"
SHA256 = "487089057806d6ac0a9ff33096c4211ee1ee519ba0c3210b4d4f9056e4388f28"

POINTS = 0x110000
UPPER, LOWER, LETTER, MARK, NUMBER, SPACE, OTHER = range(7)
KINDS = "ulomns-"
"""Letter of each kind in the file, by its number."""

_ASKED = {"u": r"[\p{Lu}\p{Lt}]", "l": r"\p{Ll}", "o": r"[\p{Lm}\p{Lo}]", "m": r"\p{M}", "n": r"\p{N}", "s": r"\s"}
_SURROGATES = range(0xD800, 0xE000)


def from_engine() -> np.ndarray:
    """uint8 [0x110000]: the kind of every code point as tiktoken's engine has it; slow."""
    import tiktoken

    every = "".join(chr(point) for point in range(POINTS) if point not in _SURROGATES)
    kinds = np.full(POINTS, OTHER, np.uint8)
    for kind, pattern in _ASKED.items():
        alone = {bytes([byte]): byte for byte in range(256)}
        engine = tiktoken.Encoding(kind, pat_str=pattern, mergeable_ranks=alone, special_tokens={})
        found = bytes(engine.encode_ordinary(every)).decode()
        kinds[np.frombuffer(found.encode("utf-32-le"), np.uint32)] = KINDS.index(kind)
    return kinds


def written(kinds: np.ndarray) -> bytes:
    """The file's content."""
    firsts = np.flatnonzero(np.diff(kinds, prepend=255))
    head = f"# Unicode {UNICODE}: kinds of characters from each code point on, see kernels/character_classes.py\n"
    return (head + "".join(f"{first:x} {KINDS[kinds[first]]}\n" for first in firsts)).encode()


@cache
def character_kinds() -> np.ndarray:
    """uint8 [0x110000]: UPPER, LOWER, LETTER, MARK, NUMBER, SPACE or OTHER of every code point.

    Raises InputError where the file is not the one whose hash this module states.
    """
    content = FILE.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise InputError(f"{FILE} was changed; it must hold Unicode {UNICODE}: install the package again")
    lines = [line.split() for line in content.decode().splitlines()[1:]]
    firsts = [int(first, 16) for first, _ in lines]
    kinds = np.repeat([KINDS.index(kind) for _, kind in lines], np.diff([*firsts, POINTS])).astype(np.uint8)
    kinds.flags.writeable = False
    return kinds


@cache
def python_stand_ins() -> np.ndarray:
    """uint32 [0x110000]: each code point, or another of the same kind where Python's ``regex`` has a newer Unicode
    version and takes it for something else; so texts can be shown to it as our version has them."""
    import regex

    every = "".join(chr(point) for point in range(POINTS) if point not in _SURROGATES)
    theirs = np.full(POINTS, OTHER, np.uint8)
    for kind, pattern in _ASKED.items():
        found = "".join(regex.findall(f"{pattern}+", every))
        theirs[np.frombuffer(found.encode("utf-32-le"), np.uint32)] = KINDS.index(kind)
    shown, ours = np.arange(POINTS, dtype=np.uint32), character_kinds()
    agreed = theirs == ours
    for kind in np.unique(ours[~agreed]):
        # The last of its kind: hardly ever written, and in no range that an expression names.
        shown[~agreed & (ours == kind)] = np.flatnonzero(agreed & (ours == kind) & (shown < _SURROGATES.start))[-1]
    return shown


if __name__ == "__main__":
    FILE.write_bytes(written(from_engine()))
    print(hashlib.sha256(FILE.read_bytes()).hexdigest())
