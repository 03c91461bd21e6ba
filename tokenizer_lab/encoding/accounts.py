"""The accounts of an encoding: every record read is a document written or a record that could not be read.

Inputs and what was lost are told by the corpus' domain. Documents are told by the domain they were written to, which
is another one (NAME-LANGUAGE) where a corpus was split by language.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jacorpus.errors import InputError, TaskError
from tokenizer_lab.corpus import Domain
from tokenizer_lab.encoding.reading import UNKNOWN, Part

COUNTS = ("documents", "tokens", "text_bytes")


def accounts(parts: list[tuple[Part, dict[str, Any]]], shards: list[dict[str, Any]]) -> dict[str, Any]:
    """What the manifest tells of counts: ``counts``, ``domains``, ``inputs``, ``lost`` and ``skipped``.

    parts: each part with what its task gave. shards: entries of the manifest. Raises TaskError where what was written
    is not what was read (a bug, never the input's fault).
    """
    domains = _domains(parts)
    for name, splits in domains.items():
        for split, counts in splits.items():
            listed = [shard for shard in shards if (shard["domain"], shard["split"]) == (name, split)]
            written = {key: sum(shard[key] for shard in listed) for key in COUNTS}
            if written != {key: counts[key] for key in COUNTS}:
                raise TaskError(
                    f"{name} {split}: read {counts}, wrote {written}; delete the folder's work/ and run again"
                )
    lost = _by_place(parts, "lost")
    total = {key: sum(c[key] for d in domains.values() for c in d.values()) for key in (*COUNTS, "empty")}
    return {
        "counts": {"read": total["documents"] + _sum(lost), **total, "lost": _sum(lost)},
        "domains": domains,
        "inputs": _inputs(parts),
        "lost": lost,
        "skipped": _by_place(parts, "skipped"),
    }


def check_any(domains: Sequence[Domain], parts: list[tuple[Part, dict[str, Any]]]) -> None:
    """Raises InputError where a corpus holds no document at all (an empty one is one), telling what was lost."""
    if any(_documents(result) for _, result in parts):
        return
    names, lost = ", ".join(domain.name for domain in domains), _by_place(parts, "lost")
    why = f": {_sum(lost):,} records lost ({lost[0]['reason']} in {lost[0]['file']})" if lost else ""
    raise InputError(f"there is no document in {names}{why}; is the text in another --column?")


def axes(parts: list[tuple[Part, dict[str, Any]]], languages: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """{domain written to: its ``language``, and ``type``, the corpus' domain, where that was split by language}.

    languages: of whole domains, as they were told. Raises InputError where two domains of a corpus would become one.
    """
    found = {name: {"language": code} for name, code in languages.items()}
    origins: dict[str, str] = {}
    for part, result in parts:
        for name in result["counts"]:
            origin = origins.setdefault(name, part.domain)
            if origin != part.domain:
                raise InputError(
                    f"by language, documents of {origin} and of {part.domain} both go to the domain {name}; "
                    "name one of the two apart: NAME=PATH"
                )
            if part.by_language:
                found[name] = {"language": name.removeprefix(f"{part.domain}-"), "type": part.domain}
    return dict(sorted(found.items()))


def without_language(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Domains that were split by language and have no document of a known one. found: of ``axes``."""
    known = {table["type"] for table in found.values() if "type" in table and table["language"] != UNKNOWN}
    return sorted({table["type"] for table in found.values() if "type" in table} - known)


def _documents(result: dict[str, Any]) -> int:
    return sum(counts["documents"] for splits in result["counts"].values() for counts in splits.values())


def _sum(rows: list[dict[str, Any]]) -> int:
    return sum(row["records"] for row in rows)


def _domains(parts: list[tuple[Part, dict[str, Any]]]) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by domain and split; a split without documents is not there."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for _, result in parts:
        for name, by_split in result["counts"].items():
            splits = found.setdefault(name, {})
            for split, counts in by_split.items():
                if counts["documents"]:
                    sums = splits.setdefault(split, dict.fromkeys(counts, 0))
                    for key, number in counts.items():
                        sums[key] += number
    return {name: dict(sorted(splits.items())) for name, splits in sorted(found.items())}


def _inputs(parts: list[tuple[Part, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Documents of each file, sorted."""
    found: dict[tuple[str, str], int] = {}
    for part, result in parts:
        key = (part.domain, part.file.name)
        found[key] = found.get(key, 0) + _documents(result)
    return [{"domain": domain, "file": file, "documents": n} for (domain, file), n in sorted(found.items())]


def _by_place(parts: list[tuple[Part, dict[str, Any]]], what: str) -> list[dict[str, Any]]:
    """Records that are no documents, by domain, file and reason."""
    found: dict[tuple[str, str, str], int] = {}
    for part, result in parts:
        for reason, number in result[what].items():
            key = (part.domain, part.file.name, reason)
            found[key] = found.get(key, 0) + number
    return [{"domain": d, "file": f, "reason": r, "records": n} for (d, f, r), n in sorted(found.items())]
