"""A finished output folder as the report sees it: the manifest, and where its parts lie."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jacorpus.report.ledger import Fate
from jacorpus.rules.rule import Rule, rule_from_json


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
        """(fate, documents or bytes) in the order of stages and rules, kept ones aside."""
        sums: Counter[Fate] = Counter()
        for fate in self.manifest["fates"]:
            if domain in (None, fate["domain"]) and fate["state"] != "kept":
                sums[fate["state"], fate["stage"] or "", fate["reason"] or ""] += fate[weight]
        stages = [stage["label"] for stage in self.manifest["stages"]]
        rules = [(rule["stage"], rule["reason"]) for rule in self.manifest["rules"]]

        def place(fate: Fate) -> tuple[int, int, Fate]:
            stage = stages.index(fate[1]) if fate[1] in stages else -1
            return stage, rules.index(fate[1:]) if fate[1:] in rules else len(rules), fate

        return [(fate, sums[fate]) for fate in sorted(sums, key=place) if sums[fate]]
