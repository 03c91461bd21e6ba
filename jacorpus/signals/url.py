"""Where a document comes from: host, top-level domain, and hits in lists of hosts.

A list names hosts, or hosts with the beginning of a path. A host blocks its subdomains too, so
``wikipedia.org`` also blocks ``ja.wikipedia.org``, but not ``notwikipedia.org`` (Swallow's ``endswith`` does; and
its look-up in UT1 asks for the exact host, so that a listed site's subdomains pass there).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from jacorpus.stage import Column


@dataclass(frozen=True)
class Url:
    """``host``, ``tld`` and, for each list NAME, ``NAME_hit`` (1 or 0); all null where there is no url.

    host: lower case, no port, no user, no final dot, international names in their ASCII form. tld: its last
    label, null for addresses in numbers.
    blocklists: name -> path of a file, one host or host/path a line (a scheme and ``www.`` are ignored, ``#``
    starts a comment), or of a folder: then all files named ``domains`` or ``urls`` in it and below it, as in the
    lists of the university of Toulouse (UT1). hosts: name -> such lines, given in the recipe.

    Raises OSError for a missing list, ValueError for an empty one and for a name given twice.
    """

    blocklists: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    costly: ClassVar[bool] = False

    def __post_init__(self) -> None:
        twice = sorted(set(self.blocklists) & set(self.hosts))
        if twice:
            raise ValueError(f"signals.url: {twice[0]!r} is named in `blocklists` and in `hosts`; rename one")

    def columns(self) -> Mapping[str, pa.DataType]:
        hits = {f"{name}_hit": pa.int32() for name in (*self.blocklists, *self.hosts)}
        return {"host": pa.string(), "tld": pa.string(), **hits}

    def measure(self, batch: pa.RecordBatch) -> dict[str, Column]:
        urls = [split_url(url) if url else None for url in batch.column("url").to_pylist()]
        hosts = [parts[0] if parts else None for parts in urls]
        columns: dict[str, Column] = {
            "host": pa.array(hosts, pa.string()),
            "tld": pa.array([top_level(host) if host else None for host in hosts], pa.string()),
        }
        lists = {name: _blocklist(path) for name, path in self.blocklists.items()}
        lists |= {name: _inline(tuple(lines)) for name, lines in self.hosts.items()}
        for name, blocked in lists.items():
            known: dict[str, bool] = {}  # hosts repeat within a batch
            hits = np.zeros(len(urls), np.int32)
            for row, parts in enumerate(urls):
                if parts is not None:
                    host, path = parts
                    if host not in known:
                        known[host] = blocked.has_host(host)
                    hits[row] = known[host] or blocked.has_path(host, path)
            columns[f"{name}_hit"] = pa.array(hits, mask=np.array([parts is None for parts in urls], bool))
        return columns


def split_url(url: str) -> tuple[str, str] | None:
    """(host, path with query) of a URL with or without scheme; None where no host can be read."""
    url = url.strip()
    scheme, mark, rest = url.partition("://")
    if not mark or "/" in scheme or "?" in scheme:
        rest = url[2:] if url.startswith("//") else url
    end = min((at for at in map(rest.find, "/?#\\") if at >= 0), default=len(rest))
    host = rest[:end].rpartition("@")[2]
    host = host.partition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
    host = _ascii(host.rstrip(".").lower())
    if not host or any(map(str.isspace, host)):
        return None
    return host, rest[end:].partition("#")[0]


def _ascii(host: str) -> str:
    """Punycode, where the host has other letters and they can be encoded."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return host


def top_level(host: str) -> str | None:
    """Last label of a host; None for IPv4 and IPv6 addresses."""
    last = host.rpartition(".")[2]
    return None if last.isdecimal() or ":" in host else last


@dataclass(frozen=True)
class Blocklist:
    """Hosts, and host -> beginnings of paths that are blocked below it."""

    hosts: frozenset[str]
    paths: Mapping[str, tuple[str, ...]]

    def has_host(self, host: str) -> bool:
        """Whether the host, or one it lies below, is listed."""
        while True:
            if host in self.hosts:
                return True
            _, dot, host = host.partition(".")
            if not dot:
                return False

    def has_path(self, host: str, path: str) -> bool:
        """Whether the path starts with a listed one and goes on, if at all, with a new part."""
        for start in self.paths.get(host.removeprefix("www."), ()):
            if path.startswith(start) and (start[-1] in "/?=&" or path[len(start) : len(start) + 1] in ("", *"/?&;")):
                return True
        return False


def blocklist(lines: Iterable[str]) -> Blocklist:
    """A list out of its lines. Raises ValueError when there is none in it."""
    hosts: set[str] = set()
    paths: dict[str, list[str]] = {}
    for line in lines:
        parts = split_url(line.partition("#")[0])
        if parts is None:
            continue
        host, path = parts[0].removeprefix("www."), parts[1]
        if path in ("", "/"):
            hosts.add(host)
        else:
            paths.setdefault(host, []).append(path)
    if not hosts and not paths:
        raise ValueError("no host in the list")
    return Blocklist(frozenset(hosts), {host: tuple(sorted(set(starts))) for host, starts in paths.items()})


def _lines(path: Path) -> Iterator[str]:
    files = sorted(file for file in path.rglob("*") if file.name in ("domains", "urls")) if path.is_dir() else [path]
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as lines:
            yield from lines


@cache
def _blocklist(path: str) -> Blocklist:
    try:
        return blocklist(_lines(Path(path)))
    except ValueError as error:
        raise ValueError(f"blocklist {path}: {error}") from error


@cache
def _inline(lines: tuple[str, ...]) -> Blocklist:
    return blocklist(lines)
