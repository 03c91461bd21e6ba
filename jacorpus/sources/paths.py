"""From the ``paths`` of a recipe to the files they name.

A path is a glob, a single file, a folder (all files below it that are not hidden) or ``@list``: a file,
perhaps compressed, that holds one such path a line. Each may be local (below the recipe's folder, or
absolute) or a URL that fsspec opens (``s3://``, ``gs://``, ``https://``).
"""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jacorpus.errors import InputError, nearest
from jacorpus.sources import compression
from jacorpus.stage import InputFile

_MAGIC = re.compile(r"[*?\[]")
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}


def expand(patterns: Sequence[str], base: Path) -> list[InputFile]:
    """The files of all patterns, sorted by name.

    A file's name is its path below the fixed root of its pattern: the folders before the first wildcard, the
    folder itself, or the folder of a single file. A line of a list names its file by the line as it stands,
    where it is relative. Raises InputError when a pattern matches nothing, a list is empty, the same file is
    named twice, or two files get the same name.
    """
    files: list[InputFile] = []
    for pattern in patterns:
        files += _from_list(pattern[1:], base) if pattern.startswith("@") else _match(pattern, base)
    _refuse_twins(files)
    return sorted(files, key=lambda file: (file.name, file.uri))


def fixed_root(pattern: str) -> str:
    """The folders before the first wildcard, with the slash at the end: ``data/a*/b`` -> ``data/``."""
    magic = _MAGIC.search(pattern)
    head = pattern[: magic.start()] if magic else pattern
    return head[: head.rfind("/") + 1]


def _match(pattern: str, base: Path) -> list[InputFile]:
    found = list(_remote(pattern) if "://" in pattern else _local(pattern, base))
    if not found:
        raise InputError(_no_match(pattern, base))
    return found


def _local(pattern: str, base: Path) -> Iterator[InputFile]:
    path = os.path.abspath(os.path.join(base, os.path.expanduser(pattern)))
    if os.path.exists(path):
        root = path + os.sep if os.path.isdir(path) else os.path.dirname(path) + os.sep
        matches = _below(path) if os.path.isdir(path) else [path]
    else:
        root = fixed_root(path)
        matches = [match for match in glob.glob(path, recursive=True) if not os.path.isdir(match)]
    for match in matches:
        if not os.path.exists(match):
            raise InputError(f"{match} is a link to a file that is not there; mend it or take it away")
        yield InputFile(match, os.path.relpath(match, root).replace(os.sep, "/"), os.path.getsize(match))


def _below(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.join(parent, name) for name in names if not name.startswith("."))


def _remote(pattern: str) -> Iterator[InputFile]:
    store, path = _store(pattern)
    try:
        if _MAGIC.search(path):
            details, root = store.glob(path, detail=True), fixed_root(path)
        elif store.isdir(path):
            details, root = store.find(path, detail=True), path.rstrip("/") + "/"
        elif store.exists(path):
            details, root = {path: store.info(path)}, fixed_root(path)
        else:
            return
    except OSError as error:
        raise InputError(f"can't list {pattern}: {error}") from error
    for found, info in details.items():
        if info.get("type", "file") != "file":
            continue
        if info.get("size") is None:
            raise InputError(f"the server does not tell the size of {found}; copy it to a disk or object store first")
        yield InputFile(store.unstrip_protocol(found), found.removeprefix(root), int(info["size"]))


def _store(pattern: str) -> tuple[Any, str]:
    import fsspec

    scheme = pattern.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(pattern)
    except ImportError as error:
        package = _PACKAGES.get(scheme, "its fsspec package")
        raise InputError(f"reading {scheme}:// needs the package {package}: pip install {package}") from error
    except ValueError as error:
        raise InputError(f"can't open {pattern}: {error}") from error


def _from_list(listed: str, base: Path) -> list[InputFile]:
    """The files that the lines of one or more lists name."""
    files: list[InputFile] = []
    for source in _match(listed, base):
        try:
            with source.open() as handle:
                kind = compression.kind_of(handle.read(6))
                handle.seek(0)
                lines = b"".join(compression.pieces(handle, kind)).decode().splitlines()
        except (compression.Damaged, UnicodeDecodeError) as error:
            raise InputError(f"the path list {source.uri} can't be read: {error}") from error
        lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not lines:
            raise InputError(f"the path list {source.uri} is empty")
        for line in lines:
            found = _match(line, base)
            relative = "://" not in line and not os.path.isabs(line) and len(found) == 1 and not _MAGIC.search(line)
            files += [InputFile(found[0].uri, line, found[0].size)] if relative else found
    return files


def _refuse_twins(files: list[InputFile]) -> None:
    by_place: dict[str, InputFile] = {}
    by_name: dict[str, InputFile] = {}
    for file in files:
        place = file.uri if "://" in file.uri else os.path.realpath(file.uri)
        if place in by_place:
            raise InputError(f"the file {file.uri} is named twice by the paths of one source; name it once")
        if file.name in by_name:
            raise InputError(
                f"{by_name[file.name].uri} and {file.uri} would both be called {file.name!r}, so their records would"
                " get the same ids; use one pattern over both folders, or a source each"
            )
        by_place[place] = by_name[file.name] = file


def _no_match(pattern: str, base: Path) -> str:
    if "://" in pattern:
        return f"no file matches {pattern}"
    path = os.path.abspath(os.path.join(base, os.path.expanduser(pattern)))
    folder, name = os.path.dirname(fixed_root(path)), path[len(fixed_root(path)) :]
    if os.path.islink(path):
        return f"{path} is a link to a file that is not there; mend it or take it away"
    if os.path.isdir(path):
        return f"the folder {path} holds no files"
    while not os.path.isdir(folder):
        folder, name = os.path.dirname(folder), os.path.basename(folder)
    return f"no file matches {pattern!r} in {folder}{nearest(name, sorted(os.listdir(folder))[:200])}"
