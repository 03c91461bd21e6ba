"""The table [mixing] of a recipe, for ``jacorpus train pretrain``: shares of **tokens**.

The trainer deals rows of one length to domains (mixing/schedule.py), so a weight is a share of rows and thus of tokens.
Token weights hold for the tokenizer they were made for; the first line says which one that is.
"""

import json
import re

from mixing.exports import decimals
from mixing.mixture import Mixture

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def files(mixture: Mixture, tokens: str) -> dict[str, str]:
    """{"mixing.toml": text}; put it in a recipe in place of its [mixing]."""
    made_for = f", for the tokenizer {mixture.tokenizer[:12]}" if mixture.tokenizer else ""
    weights = ", ".join(f"{_key(name)} = {share}" for name, share in decimals(mixture.in_unit("token")).items())
    return {"mixing.toml": f"# shares of tokens{made_for}\n[mixing]\nweights = {{ {weights} }}\n"}


def _key(name: str) -> str:
    """A key of TOML 1.0: bare where its letters allow, else a basic string, whose escapes are those of JSON."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007F")
