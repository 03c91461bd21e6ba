"""Compressed files as streams of plain bytes: gzip, zstd, bzip2, xz, or none, told apart by their first bytes.

A stream ends in one of three ways: at its end, in ``Truncated`` (the file stops inside a compressed member)
or in ``Corrupt``. Both are raised only after every byte before the damage has been handed out.
"""

import bz2
import lzma
from collections.abc import Iterator
from typing import IO, Any, Literal

Kind = Literal["plain", "gz", "zst", "bz2", "xz"]

_FEED = 1 << 16  # compressed bytes given to a decoder at once
_PIECE = 4 << 20  # aim for no more than this many decompressed bytes at once
_MAX_WINDOW = 1 << 31  # zstd --long=31
SKIPPABLE = tuple(bytes((0x50 + i, 0x2A, 0x4D, 0x18)) for i in range(16))


class Damaged(Exception):
    """A compressed stream can't be read on. offset: where in the file the bad member starts, in bytes."""

    reason = "corrupt"

    def __init__(self, offset: int, detail: str):
        super().__init__(detail)
        self.offset = offset
        self.detail = detail


class Truncated(Damaged):
    """The file ends inside a compressed member."""

    reason = "truncated"


class Corrupt(Damaged):
    """A compressed member holds bytes its format does not allow, or its checksum is wrong."""

    reason = "corrupt"


def kind_of(head: bytes) -> Kind:
    """The compression that these first bytes (six are enough) show; names and endings are not asked."""
    if head.startswith(b"\x1f\x8b"):
        return "gz"
    if head.startswith(b"\x28\xb5\x2f\xfd") or head.startswith(SKIPPABLE):
        return "zst"
    if head.startswith(b"BZh"):
        return "bz2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    return "plain"


def decoder(kind: Kind, dictionary: bytes | None = None) -> Any:
    """A decompressor of one member: ``decompress(data)``, ``eof``, ``unused_data``; raises one of ``ERRORS``."""
    if kind == "gz":
        from isal import isal_zlib

        return isal_zlib.decompressobj(wbits=31)
    if kind == "zst":
        import zstandard

        words = zstandard.ZstdCompressionDict(dictionary) if dictionary else None
        return zstandard.ZstdDecompressor(dict_data=words, max_window_size=_MAX_WINDOW).decompressobj(
            write_size=1 << 20
        )
    return bz2.BZ2Decompressor() if kind == "bz2" else lzma.LZMADecompressor(lzma.FORMAT_XZ)


def errors() -> tuple[Any, ...]:
    """What the decompressors raise on bad input."""
    import zlib

    import zstandard
    from isal import isal_zlib

    return (zlib.error, isal_zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError)


def pieces(handle: IO[bytes], kind: Kind) -> Iterator[bytes]:
    """The plain bytes of an open file, from its start, a few MB at a time.

    Members that follow one another are joined. What follows the last member and begins no other (zero
    padding, say) counts as Corrupt unless it is all zero bytes. Raises Truncated or Corrupt.
    """
    if kind == "plain":
        yield from iter(lambda: handle.read(_PIECE), b"")
        return
    feed, pending, start, given, read, step = b"", None, 0, 0, 0, 1 << 8
    failures = errors()
    while True:
        feed = feed or handle.read(step)
        read_end = read + len(feed)
        if not feed:
            break
        if pending is None:
            if not feed.strip(b"\0"):
                read, feed = read_end, b""
                continue
            feed += handle.read(6)  # enough to know the format of the next member
            read_end = read + len(feed)
            if kind_of(feed) != kind:
                raise Corrupt(read, f"bytes that are no {kind} data follow the member that ends at byte {read}")
            if kind == "zst" and feed.startswith(SKIPPABLE):
                read = _skip_frame(handle, feed, read)
                feed = b""
                continue
            pending, start, given = decoder(kind), read, 0
        try:
            plain = pending.decompress(feed)
        except failures as error:
            yield from _rescue(handle, kind, start, read, given)
            raise Corrupt(start, f"{kind} member at byte {start} is damaged before byte {read_end}: {error}") from error
        given += len(plain)
        if plain:
            yield plain
        step = _next_step(len(feed), len(plain))
        feed = pending.unused_data if pending.eof else b""
        read = read_end - len(feed)
        if pending.eof:
            pending = None
    if pending is not None:
        raise Truncated(start, f"the file ends at byte {read} inside the {kind} member that starts at byte {start}")


def _rescue(handle: IO[bytes], kind: Kind, start: int, good: int, given: int) -> Iterator[bytes]:
    """What a damaged member still gives beyond its first ``given`` plain bytes, which were handed out already.

    The decoders keep nothing of a feed that fails, so the member is decoded once more, from ``good`` on byte
    by byte until the damage.
    """
    handle.seek(start)
    again, left = decoder(kind), given
    for size in [*[_FEED] * ((good - start) // _FEED), (good - start) % _FEED, *[1] * (_FEED + 16)]:
        try:
            plain = again.decompress(handle.read(size)) if size else b""
        except errors():
            return
        if len(plain) > left:
            yield plain[left:]
        left = max(0, left - len(plain))
        if again.eof:
            return


def _next_step(taken: int, given: int) -> int:
    """Compressed bytes to feed next, so that a bomb (one byte to thousands) stays within about _PIECE."""
    return max(1 << 8, min(_FEED, _PIECE * taken // max(given, 1)))


def _skip_frame(handle: IO[bytes], feed: bytes, read: int) -> int:
    """Leave a skippable zstd frame behind; returns the file offset after it."""
    head = feed + handle.read(max(0, 8 - len(feed)))
    if len(head) < 8:
        raise Truncated(read, f"the file ends inside the skippable frame at byte {read}")
    end = read + 8 + int.from_bytes(head[4:8], "little")
    handle.seek(end)
    return end


def skip_to(stream: Iterator[bytes], position: int) -> tuple[Iterator[bytes], int]:
    """The stream from decompressed byte ``position`` on, and the byte it really begins at.

    That is less than ``position`` only where the data ends before; then the stream is empty.
    """
    at = 0
    for piece in stream:
        if at + len(piece) > position:
            return _chain(piece[position - at :], stream), position
        at += len(piece)
    return iter(()), at


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
