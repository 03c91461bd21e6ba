"""A finished output folder as the report sees it: the manifest, and where its parts lie."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jacorpus.report.ledger import Fate
from jacorpus.rules.rule import Rule, rule_from_json

_PHASES = {
    "transform": 0,
    "signal": 0,
    "dedup": 2,
    "cut": 3,
    "write": 3,
}  # kind of a stage -> when it takes documents away


@dataclass(frozen=True)
class Folder:
    """An output folder with its manifest read."""

    out: Path
    manifest: dict[str, Any]

    def parts(self, kind: str) -> list[Path]:
        """Files of ``signals``, ``audit`` or ``shards``, in manifest order."""
        return [self.out / part["path"] for part in self.manifest.get(kind, [])]

    @property
    def rules(self) -> list[Rule]:
        """All rules of the resolved recipe, in order."""
        return [
            rule_from_json({"tier": None, "optional": False, "domains": None, **listed})
            for listed in self.manifest["rules"]
        ]

    @property
    def dropping(self) -> frozenset[int]:
        """Numbers of the rules that drop documents: in force, and of no stricter tier."""
        return frozenset(rule["index"] for rule in self.manifest["rules"] if rule["active"] and not rule.get("tier"))

    def fates(self, domain: str | None = None, weight: str = "documents") -> list[tuple[Fate, int]]:
        """(fate, documents or bytes) in the order they are decided, kept ones aside."""
        sums: Counter[Fate] = Counter()
        for fate in self.manifest["fates"]:
            if domain in (None, fate["domain"]) and fate["state"] != "kept":
                sums[fate["state"], fate["stage"] or "", fate["reason"] or ""] += fate[weight]
        steps = {stage["label"]: (_PHASES.get(stage["kind"], 0), i) for i, stage in enumerate(self.manifest["stages"])}
        rules = {(rule["stage"], rule["reason"]): rule["index"] for rule in reversed(self.manifest["rules"])}

        def place(fate: Fate) -> tuple[int, int, Fate]:
            """Failures of reading and measuring come first, then rules, duplicates, failures of writing."""
            if fate[0] == "dropped" and fate[1:] in rules:
                return 1, rules[fate[1:]], fate
            return (*steps.get(fate[1], (0, -1)), fate)

        return [(fate, sums[fate]) for fate in sorted(sums, key=place) if sums[fate]]
