"""Compressed streams: told apart by their bytes, and read up to the very byte where they break."""

import bz2
import gzip
import io
import lzma

import pytest
import zstandard

from jacorpus.sources.compression import Corrupt, Truncated, kind_of, pieces, skip_to

PLAIN = "".join(f"{i * 7919 % 10007} 番目の行\n" for i in range(30_000)).encode()
PACK = {
    "plain": bytes,
    "gz": lambda data: gzip.compress(data, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lzma.compress,
}


def plain(data: bytes) -> tuple[bytes, Exception | None]:
    """What a stream gives, and how it ends."""
    out = bytearray()
    try:
        for piece in pieces(io.BytesIO(data), kind_of(data)):
            out += piece
    except (Corrupt, Truncated) as error:
        return bytes(out), error
    return bytes(out), None


@pytest.mark.parametrize("kind", PACK)
def test_round_trip_and_kind(kind: str):
    packed = PACK[kind](PLAIN)
    assert kind_of(packed[:6]) == kind
    assert plain(packed) == (PLAIN, None)
    assert plain(PACK[kind](b"")) == (b"", None)


@pytest.mark.parametrize("kind", ["gz", "zst", "bz2", "xz"])
def test_members_are_joined_and_zeros_ignored(kind: str):
    members = [PACK[kind](PLAIN[i : i + 50_000]) for i in range(0, len(PLAIN), 50_000)]
    assert plain(b"".join(members) + bytes(100_000)) == (PLAIN, None)


@pytest.mark.parametrize("kind", ["gz", "zst", "bz2", "xz"])
def test_other_bytes_after_a_member_are_damage(kind: str):
    packed = PACK[kind](PLAIN)
    out, error = plain(packed + b"something else")
    assert out == PLAIN
    assert isinstance(error, Corrupt)
    assert error.offset == len(packed)


@pytest.mark.parametrize("kind", ["gz", "zst", "bz2", "xz"])
def test_truncation_keeps_what_came_before(kind: str):
    packed = PACK[kind](PLAIN)
    for cut in (3, len(packed) // 2, len(packed) - 1):
        if cut >= 6:
            out, error = plain(packed[:cut])
            assert PLAIN.startswith(out)
            assert isinstance(error, Truncated)
    assert len(plain(PACK["gz"](PLAIN)[:-1])[0]) == len(PLAIN)


def test_the_last_byte_before_the_damage_is_handed_out():
    packed = bytearray(gzip.compress(PLAIN, mtime=0))
    middle = len(packed) // 2
    packed[middle : middle + 4000] = bytes(4000)
    out, error = plain(bytes(packed))
    assert isinstance(error, Corrupt)
    honest = 0
    while honest < min(len(out), len(PLAIN)) and out[honest] == PLAIN[honest]:
        honest += 1
    assert honest > len(PLAIN) * 2 // 5  # a reader that gives up at the feed that fails has nothing of it
    assert plain(bytes(packed))[0] == out


def test_skippable_frames_are_left_out():
    frame = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    packed = PACK["zst"](PLAIN)
    assert plain(frame + packed + frame + packed) == (PLAIN * 2, None)


@pytest.mark.parametrize("position", [0, 1, 77_777, len(PLAIN) - 1])
def test_skip(position: int):
    stream, at = skip_to(pieces(io.BytesIO(PACK["zst"](PLAIN)), "zst"), position)
    assert at == position
    assert b"".join(stream) == PLAIN[position:]


def test_skip_over_the_end():
    stream, at = skip_to(pieces(io.BytesIO(PACK["gz"](PLAIN)), "gz"), len(PLAIN) + 5)
    assert at == len(PLAIN)
    assert not list(stream)


def test_a_bomb_comes_in_bounded_pieces():
    packed = zstandard.ZstdCompressor().compress(bytes(200_000_000))
    sizes = [len(piece) for piece in pieces(io.BytesIO(packed), "zst")]
    assert sum(sizes) == 200_000_000
    assert max(sizes) < 20_000_000
