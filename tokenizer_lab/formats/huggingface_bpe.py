"""Which byte-level BPE ``tokenizer.json`` files our kernels read exactly as the library does.

Known ways to cut text: ``ByteLevel`` with its own pattern (GPT-2's), or ``Split`` with one of our named patterns before
``ByteLevel``. The library reads patterns with Oniguruma, which takes ``\\p{N}{1,3}+`` (as tiktoken's cl100k has it) for
a repeat of up to three digits, that is for any number of them: such a file cuts numbers otherwise than tiktoken.
"""

from typing import Any

from tokenizer_lab.formats.huggingface_library import byte_alphabet, parts_of, pieces_of
from tokenizer_lab.kernels.bpe import BytePairs
from tokenizer_lab.kernels.bpe_tables import from_merges
from tokenizer_lab.kernels.patterns import PATTERNS, pattern_name

_POSSESSIVE = "{1,3}+"
_WHOLE = (("Isolated", False), ("Removed", True))
"""Settings of Split that keep the matches as pieces; the named patterns leave nothing between them."""


def byte_bpe_chain(content: dict[str, Any]) -> BytePairs | str:
    """The encoder, or one sentence on why the library has to encode."""
    pattern = _pattern(content)
    if isinstance(pattern, str):
        return pattern
    model = content["model"]
    unlike = [
        name
        for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
        if model.get(name) not in (None, "")
    ]
    if unlike:
        return f"the model has the setting {unlike[0]}"
    alphabet, ids = byte_alphabet(), {piece: id for id, piece in pieces_of(content).items()}
    letters = {byte: letter for letter, byte in alphabet.items()}
    if any(letters[byte] not in ids for byte in range(256)):
        return "the vocabulary lacks some of the 256 bytes"
    decoded = {id: bytes(alphabet[c] for c in p) for p, id in ids.items() if all(c in alphabet for c in p)}
    merges = []
    for merge in model["merges"]:
        left, right = merge if isinstance(merge, list) else merge.split(" ")
        parts = (ids[left], ids[right], ids[left + right])
        if not all(id in decoded for id in parts):
            return f"the merge of {left!r} and {right!r} is not in bytes"
        merges.append(parts)
    hidden = {token["id"] for token in content.get("added_tokens") or [] if token["special"]}
    shared = next((made for *_, made in merges if made in hidden), None)
    if shared is not None:
        return f"merges make the special token {decoded[shared].decode('utf-8', 'replace')!r}"
    whole = {token: id for id, token in decoded.items() if id not in hidden} if model.get("ignore_merges") else None
    try:
        tables = from_merges([ids[letters[byte]] for byte in range(256)], merges, decoded, whole)
    except ValueError as error:
        return str(error)
    return BytePairs(tables, pattern[0])


def _pattern(content: dict[str, Any]) -> tuple[str] | str:
    """(name of the pattern,) or why not."""
    cutter = parts_of(content.get("pre_tokenizer"))
    kinds = [step["type"] for step in cutter]
    if content.get("normalizer") is not None:
        return f"its normalizer {content['normalizer']['type']} is none that our kernel knows"
    if kinds not in (["ByteLevel"], ["Split", "ByteLevel"]):
        return f"the chain {', '.join(kinds) or 'without a pre-tokenizer'} is none that our kernel knows"
    if cutter[-1].get("add_prefix_space", True):
        return "ByteLevel puts a space before the text"
    if kinds == ["ByteLevel"]:
        return ("gpt2",) if cutter[0].get("use_regex", True) else "text is not cut into pre-tokens"
    split = cutter[0]
    if cutter[1].get("use_regex", True) or (split["behavior"], bool(split.get("invert"))) not in _WHOLE:
        return "Split and ByteLevel are set in a way that our kernel does not know"
    name = oniguruma_name(next(iter(split["pattern"].values()))) if "Regex" in split["pattern"] else None
    return (name,) if name else "its pattern is none of the named ones"


def oniguruma_name(expression: str) -> str | None:
    """Name of the pattern that cuts as Oniguruma does with this expression, None where there is none.

    >>> oniguruma_name(r"[^\\n]*\\n|[^\\n]+")
    'none'
    """
    if _POSSESSIVE in expression:
        name = pattern_name(expression)
        return f"{name}-uncut" if name and f"{name}-uncut" in PATTERNS else None
    repeats = {known.replace(_POSSESSIVE, "{1,3}"): name for name, known in PATTERNS.items()}
    return pattern_name(expression) or repeats.get(expression)
