"""HojiChar's 13 document filters that need no MeCab, at their defaults, in one Compose.

``filters_hojichar.py IN.jsonl``. Dropped documents skip the filters after the one that dropped them, as in use.
"""

import sys
from typing import Any

from clock import measured, say
from hojichar import Compose, document_filters


def composed() -> Any:
    """JSON in, JSON out."""
    f = document_filters
    filters = [
        f.AcceptJapanese(),
        f.DiscardRareKuten(),
        f.DiscardBBSComments(),
        f.DiscardAds(),
        f.DiscardAdultContentJa(),
        f.DiscardAdultContentEn(),
        f.DiscardDiscriminationContentJa(),
        f.DiscardViolenceContentJa(),
        f.CharRepetitionRatioFilter(),
        f.DiscardTooManySpecialToken(),
        f.SingleCharacterRepetitionFilter(),
        f.DiscardTooManyEndingEllipsis(),
        f.DiscardTooShortLines(),
    ]
    return Compose([f.JSONLoader(key="text"), *filters, f.JSONDumper()])


def run(lines: list[str]) -> int:
    """Documents kept."""
    cleaner = composed()
    return sum(1 for line in lines if cleaner(line))


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = file.readlines()
    run(lines[:50])
    cpu, wall, kept = measured(lambda: run(lines))
    say(["hojichar", "emoji"], cpu, wall, kept=kept, documents=len(lines))
