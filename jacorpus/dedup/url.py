"""Documents fetched from the same address, by a normalized form of the URL.

The form drops what does not name another page: scheme, user, ``www.``, default port, fragment, a trailing
slash, an ``index.html``, parameters that only track visitors; host and percent-encoding get one spelling
(RFC 3986, section 6.2.2), and parameters are sorted. Documents without a URL join nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urlsplit

import numpy as np
import pyarrow as pa

from jacorpus.dedup.buckets import join_equal, partitions_for
from jacorpus.dedup.exact import KEY_SCHEMA, digests
from jacorpus.stage import Column, SignaturePart

# Parameters that analytics and advertising services document as click or campaign identifiers.
_TRACKING = re.compile(
    r"(utm_\w+|gclid|gbraid|wbraid|dclid|fbclid|msclkid|yclid|twclid|igshid|mc_cid|mc_eid|_ga|_gl)", re.I
)
_INDEX = re.compile(r"/(index\.(html?|php)|default\.aspx?)$", re.I)
_SAFE = "!$&'()*+,;=:@/-._~"


def _spelled(part: str, safe: str) -> str:
    """One spelling of percent-encoding: unreserved characters plain, others as upper-case hexadecimal."""
    kept = {ord(char) for char in "%/?#&=+;"}  # decoding these would change where the parts end
    pieces = re.split(r"((?:%[0-9A-Fa-f]{2})+)", part)
    out = []
    for piece in pieces:
        if not piece.startswith("%"):
            out.append(quote(piece, safe=safe + "%"))
            continue
        out += [f"%{byte:02X}" if byte in kept else quote(bytes([byte]), safe=safe) for byte in unquote_to_bytes(piece)]
    return "".join(out)


def normalize_url(url: str) -> str:
    """The form two addresses of one page share; empty where there is no host.

    >>> normalize_url("HTTP://www.Example.jp:80/%7Ea/index.html?utm_source=x&b=1#top")
    'example.jp/~a?b=1'
    """
    try:
        parts = urlsplit(url.strip() if "://" in url else "//" + url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return ""
    if not host:
        return ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            host = host.casefold()
    host = host.removeprefix("www.")
    if port not in (None, {"http": 80, "https": 443}.get(parts.scheme.lower(), 80)):
        host += f":{port}"
    path = _INDEX.sub("/", _spelled(parts.path, _SAFE)).rstrip("/")
    fields = sorted(
        _spelled(field, _SAFE + "?")
        for field in parts.query.split("&")
        if field and not _TRACKING.fullmatch(field.partition("=")[0])
    )
    return host + path + ("?" + "&".join(fields) if fields else "")


@dataclass(frozen=True)
class Url:
    """Finds documents of one address.

    partition_bytes: memory of one join task.
    """

    partition_bytes: int = 512 << 20

    def signature_schema(self) -> pa.Schema:
        """128 bits a document: key_high, key_low of the normalized URL."""
        return KEY_SCHEMA

    def sign(self, batch: pa.RecordBatch) -> dict[str, Column]:
        """Keys of the batch's URLs."""
        forms = [normalize_url(url).encode() if url else b"" for url in batch.column("url").to_pylist()]
        offsets = np.cumsum([0, *map(len, forms)], dtype=np.int64)
        return digests(offsets, np.frombuffer(b"".join(forms), np.uint8))

    def partitions(self, documents: int) -> int:
        """Ranges of key_high."""
        return partitions_for(documents, 1, self.partition_bytes)

    def estimate(self, documents: int) -> str:
        """Disk of the signatures and memory of one join task."""
        tasks = self.partitions(documents)
        return (
            f"url: {documents:,} documents, {documents * 16 / 1e6:,.1f} MB of keys, "
            f"{tasks} join {'task' if tasks == 1 else 'tasks'} of at most {self.partition_bytes / 1e6:,.0f} MB"
        )

    def join(self, parts: Sequence[SignaturePart], partition: int, partitions: int) -> pa.Table:
        """Edges from the first document of each address to the others."""
        return join_equal(parts, partition, partitions)
