"""A finished output folder as the report sees it: the manifest, and where its parts lie."""

import json
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jacorpus.report.ledger import Fate
from jacorpus.rule import Rule, rule_from_json

# Kind of a stage -> when it takes documents away; rules do between 0 and 2.
_PHASES = {"transform": 0, "signal": 0, "dedup": 2, "cut": 3, "write": 3}


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
        return [rule_from_json(listed) for listed in self.manifest["rules"]]

    @cached_property
    def uses(self) -> dict[str, str]:
        """Label -> use, for the stages that run."""
        return {stage["label"]: str(stage["use"]) for stage in self.manifest["stages"]}

    def is_benchmark(self, signal: str) -> bool:
        """Whether a signal says which benchmark a document holds text of."""
        return self.uses.get(signal.split(".")[0], "").startswith("decontaminate.")

    @cached_property
    def _resolved(self) -> list[dict[str, Any]]:
        path = self.out / "recipe.resolved.toml"
        return tomllib.loads(path.read_text("utf-8")).get("stage", []) if path.is_file() else []

    @property
    def rule_stages(self) -> list[dict[str, Any]]:
        """Stages of the resolved recipe that bring rules and measure nothing themselves."""
        return [stage for stage in self._resolved if stage["label"] not in self.uses]

    @cached_property
    def options(self) -> dict[str, dict[str, Any]]:
        """Label -> options, as in the resolved recipe (with this machine's paths), else as in the manifest."""
        found = {stage["label"]: stage["options"] for stage in self.manifest["stages"]}
        return found | {stage["label"]: stage for stage in self._resolved if stage["label"] in found}

    def keywords(self, signal: str) -> tuple[str, ...]:
        """The words behind ``label.NAME_hits`` and its like; none where the list can't be read any more."""
        label, _, column = signal.partition(".")
        listed = self.options.get(label, {}).get("lists", {}).get(column.rpartition("_")[0])
        if not isinstance(listed, str):
            return ()
        path = Path(self.run.get("folder", ".")) / listed
        return tuple(word.strip() for word in path.read_text("utf-8-sig").splitlines()) if path.is_file() else ()

    @cached_property
    def run(self) -> dict[str, Any]:
        """What run.json says of times and this machine; empty where it is gone."""
        path = self.out / "run.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

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
