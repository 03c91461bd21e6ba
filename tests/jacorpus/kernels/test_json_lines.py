"""Lines the kernel decides are what a full JSON parser finds; all others are left alone."""

import json

import numpy as np
import orjson
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jacorpus.kernels.json_lines import text_lines, text_lines_naive
from tests.strategies import japanese_text


def decided(data: bytes, key: str = "text") -> list[tuple[str, dict] | None]:
    lines = text_lines(data, key)
    found: list[tuple[str, dict] | None] = []
    for i, text in enumerate(lines.texts.to_pylist()):
        rest = lines.rest[lines.rest_offsets[i] : lines.rest_offsets[i + 1]]
        try:
            found.append((text, orjson.loads(rest) if rest else {}) if lines.decided[i] else None)
        except orjson.JSONDecodeError:
            found.append(None)
    starts = [0, *(i + 1 for i, byte in enumerate(data) if byte == 10)]
    assert lines.starts.tolist() == [start for start in starts if start < len(data)]
    assert lines.ends.tolist() == [data.find(b"\n", s) % (len(data) + 1) for s in lines.starts.tolist()]
    return found


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | japanese_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), values, max_size=3)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(objects, japanese_text, st.integers(0, 3)), max_size=6), st.booleans(), st.booleans())
def test_well_formed_lines_are_decided(rows, ascii_only, spaced):
    lines, separators = [], (" , ", " : ") if spaced else (",", ":")
    for other, text, place in rows:
        members = [(name, value) for name, value in other.items() if name != "text"]
        members.insert(place, ("text", text))
        lines.append(json.dumps(dict(members), ensure_ascii=ascii_only, separators=separators).encode() + b"\n")
    data = b"".join(lines)
    found = decided(data)
    naive = text_lines_naive(data, "text")
    assert all(entry is None or entry == other for entry, other in zip(found, naive, strict=True))
    escaped = [any("\\" in json.dumps(name, ensure_ascii=ascii_only) for name in other) for other, _, _ in rows]
    assert [entry is None for entry in found] == escaped


fragments = st.sampled_from(
    [b'{"text":', b'"', b"\\", b"\\u3042", b"\\ud83d\\ude00", b"\\ud83d", b"}", b"{", b"[", b"]", b",", b":", b"1",
     b'"a"', "あ".encode(), b"\xff", b"\n", b"\t", b"\\n", b"null", b'"text"', b'{"text":"x"}', b"\r", b"\x00", b" ",
     b"12345678"]
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.lists(fragments, max_size=14).map(b"".join))
@example(b'{"text":"x"}')
@example(b'{"text":"x"}\n\n{"text":"')
@example(b'{"text":"a","text":"b"}')
@example(b'{"text":"a","n":1,}')
@example(b'{"text":"a","n":[1}}')
def test_what_is_decided_in_noise_is_right(data):
    try:
        found = decided(data)
    except UnicodeDecodeError:
        return  # texts are not checked to be UTF-8
    for fast, slow in zip(found, text_lines_naive(data, "text"), strict=True):
        assert fast is None or fast == slow


@pytest.mark.parametrize(
    "text", ["", "a", "x" * 7, "x" * 8, "あ" * 50, '\\"/\b\f\n\r\t', "\x7f\u0080\u07ff\u0800\uffff𠮷😀", "é" * 9]
)
def test_escapes_and_lengths(text: str):
    for ascii_only in (True, False):
        data = json.dumps({"n": 1, "text": text}, ensure_ascii=ascii_only).encode()
        assert decided(data) == [(text, {"n": 1})]


def test_another_key_and_one_that_can_not_be_looked_for():
    assert decided('{"本文":"a","text":"b"}'.encode(), "本文") == [("a", {"text": "b"})]
    assert decided(b'{"a\\"b":"x"}', 'a"b') == [None]


def test_nothing():
    lines = text_lines(b"", "text")
    assert len(lines.texts) == len(lines.starts) == 0


def test_real_lines(real_data):
    with (real_data / "lid" / "lid.jsonl.zst").open("rb") as file:
        data = zstandard.ZstdDecompressor().stream_reader(file).read(1_500_000)
    found = decided(data[: data.rfind(b"\n") + 1])
    assert found == text_lines_naive(data[: data.rfind(b"\n") + 1], "text")
    assert None not in found
    assert np.all(text_lines(data, "text").decided[:-1])
