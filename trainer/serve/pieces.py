"""What each token of an answer says, also where a character is spread over several tokens."""

from collections.abc import Iterator, Sequence
from typing import Any

from tokenizer_lab.tokenizer import Kind, Tokenizer


def pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> list[dict[str, Any]]:
    """One for each id: text, kind and, of a token with a part of a character, whole: that character.

    kind: ``text``; ``part``, whose bytes that are no whole character are written ⟨E3⟩; ``control``, a token without
    text by its name; ``id``, of which the tokenizer knows nothing.
    """
    table = tokenizer.vocabulary
    said = [table.token_bytes[i] if 0 <= i < len(table) else b"" for i in ids]
    owners = [place for place, part in enumerate(said) for _ in part]
    found: list[dict[str, Any]] = [{"text": "", "kind": "text"} for _ in ids]
    stream = b"".join(said)
    for first, end in _characters(stream):
        character = stream[first:end].decode("utf-8", "ignore")
        if character and owners[first] == owners[end - 1]:
            found[owners[first]]["text"] += character
            continue
        for place in range(first, end):
            token = found[owners[place]]
            token |= {"text": f"{token['text']}⟨{stream[place]:02X}⟩", "kind": "part"}
            whole = token.setdefault("whole", "")
            token["whole"] = whole if whole.endswith(character) else whole + character
    for i, token, part in zip(ids, found, said, strict=True):
        if not 0 <= i < len(table):
            token |= {"text": f"{i}", "kind": "id"}
        elif table.kinds[i] == Kind.CONTROL or not part:
            token |= {"text": table.pieces[i].decode("utf-8", "replace"), "kind": "control"}
    return found


def _characters(stream: bytes) -> Iterator[tuple[int, int]]:
    """[first, end) of each character of UTF-8; a byte that belongs to none stands alone."""
    place = 0
    while place < len(stream):
        lead = stream[place]
        size = 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        try:
            stream[place : place + size].decode("utf-8")
        except UnicodeDecodeError:
            size = 1
        size = min(size, len(stream) - place)
        yield place, place + size
        place += size
