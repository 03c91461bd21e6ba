"""A commented recipe to start from."""

from collections.abc import Sequence

from jacorpus.errors import RecipeError, nearest
from jacorpus.resolve import known_stages
from jacorpus.rules.profile import profile_names

_ENDINGS = {"warc": "*.warc.gz", "arc": "*.arc.gz", "jsonl": "*.jsonl.zst", "parquet": "*.parquet", "arrow": "*.arrow"}

_TEXT = """# What a run of this recipe does: read, measure, cluster, decide, write.
#   jacorpus corpus run {name}.toml
# Input paths are relative to this file, `out` to the folder you run in.
name = "{name}"
seed = 42
out = "out/{name}"

[[source]]
use = "sources.{source}"
domain = "{domain}"             # documents are counted, mixed and sharded by domain
paths = {paths}
{extract}
[[stage]]
use = "normalize.width"         # half-width kana and full-width ASCII; never touches a dakuten

[[stage]]
use = "normalize.whitespace"

[[stage]]
use = "language.detect"
keep = ["ja"]

[[stage]]
use = "rules.profile"           # measures what the profile's rules need, and drops by them
profile = "{profile}"           # {profiles}

[[stage]]
use = "dedup.exact"

[[stage]]
use = "dedup.minhash"
threshold = 0.7                 # Jaccard similarity of character 5-grams

[[stage]]
use = "redact.pii"              # phone numbers, addresses, My Number, ... in the kept text
"""

_EXTRACT = """
[[stage]]
use = "extract.fast"            # or extract.quality: slower, better main content
"""


def new_recipe(name: str, source: str, paths: Sequence[str], domain: str, profile: str) -> str:
    """The TOML text. Raises RecipeError for a source or profile there is none of."""
    sources = [stage.partition(".")[2] for stage in known_stages() if stage.startswith("sources.")]
    if source not in sources:
        raise RecipeError(f"unknown source `{source}`{nearest(source, sources)}")
    if profile not in profile_names():
        raise RecipeError(f"unknown profile `{profile}`{nearest(profile, profile_names())}")
    import json

    return _TEXT.format(
        name=name,
        source=source,
        domain=domain,
        paths=json.dumps(list(paths) or [f"data/{_ENDINGS.get(source, '*')}"], ensure_ascii=False),
        extract=_EXTRACT if source in ("warc", "arc", "text") else "",
        profile=profile,
        profiles=", ".join(profile_names()),
    )
