"""What text there is to train on: sources with their unique tokens, from manifests, by hand, or published figures.

    token shards     tokens of each domain's train split, exactly, by the tokenizer that made them
    a corpus run     bytes of its kept text over its bytes_per_token: an estimate
    NAME=412B:ja     as somebody says
    nothing          published figures, which are told to be that

Published figures count text before anybody's own filters; web corpora of one language are cut from the same crawl, so
they stand for each other and don't add up.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jacorpus.errors import InputError, RecipeError, nearest
from mixing.domains import LANGUAGES, Domains, axes_of_name

BYTES_PER_TOKEN = 4.0
"""Of Japanese UTF-8 text, assumed where only bytes are known; an own tokenizer's is in its report."""

JAPANESE_CORPORA: tuple[tuple[str, str], ...] = (
    ("FineWeb-2 jpn_Jpan", "400.1M documents, 331.1B words, 1.650e12 UTF-8 bytes"),
    ("Swallow v1", "312.1B characters (known from accounts of others)"),
    ("LLM-jp v1.0.1, by its tokenizer", "ja mC4 135.9B + wiki 1.5B, en Pile 136.0B + wiki 5.1B, code 136.0B tokens"),
)
"""Published sizes that a plan shows where it has no text of one's own. The Japanese ones are of the same web."""

_FACTORS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}


@dataclass(frozen=True)
class Source:
    """tokens: unique ones, of the train split. told: where the figure is from, a few words."""

    name: str
    language: str
    tokens: float
    told: str


def defaults(bytes_per_token: float = BYTES_PER_TOKEN) -> tuple[Source, ...]:
    """Published figures: Japanese of FineWeb-2, English and code of LLM-jp v1.0.1."""
    return (
        Source("code", "code", 136.0e9, "LLM-jp v1.0.1, code"),
        Source("pile-en", "en", 136.0e9, "LLM-jp v1.0.1, Pile"),
        Source("web-ja", "ja", 1.650e12 / bytes_per_token, f"FineWeb-2, 1.650e12 bytes at {bytes_per_token:g} a token"),
        Source("wiki-en", "en", 5.1e9, "LLM-jp v1.0.1, English Wikipedia"),
    )


def number_of(word: str, what: str) -> float:
    """``412e9``, ``412B``, ``1.5T``, ``300M``, ``412_000_000``. Raises RecipeError for what is no number over 0."""
    found = re.fullmatch(r"\s*([0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)\s*([KMBGTkmbgt]?)\s*", word)
    value = float(found[1].replace("_", "")) * _FACTORS[found[2].upper()] if found else math.nan
    if not (math.isfinite(value) and value > 0):
        raise RecipeError(f"{what} must be a number over 0, such as 412e9 or 412B, got `{word}`")
    return value


def source_of(words: str) -> Source:
    """``NAME=TOKENS[:LANGUAGE]``; without a language, a name such as web-ja tells it."""
    name, equals, rest = words.partition("=")
    tokens, colon, language = rest.partition(":")
    if not (name and equals and tokens):
        raise RecipeError(f"--source {words}: write NAME=TOKENS:LANGUAGE, such as web=412B:ja")
    if colon:
        check_language(language)
    told = language if colon else axes_of_name(name)["language"]
    return Source(name, told, number_of(tokens, f"--source {name}: the number of tokens"), "as given")


def check_language(code: str) -> None:
    """Raises RecipeError for what is no language's code."""
    if code not in LANGUAGES:
        raise RecipeError(f"`{code}` is no language; write a code of two letters such as ja or en, or code, und")


def sources_of(folder: Path) -> tuple[Source, ...]:
    """Sources of a folder (or a manifest.json) of token shards or of a corpus run.

    Raises InputError where there is neither, or no text in it.
    """
    path = folder / "manifest.json" if folder.is_dir() else folder
    try:
        manifest = json.loads(path.read_bytes())
        found = _of_tokens(manifest) if manifest.get("kind") == "tokens" else _of_corpus(manifest)
    except FileNotFoundError:
        raise InputError(f"no manifest at {path}; give folders of token shards or of finished corpus runs") from None
    except OSError as error:
        raise InputError(
            f"{path} can't be read ({error.strerror}); give folders of token shards or corpus runs"
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); encode or run the corpus again") from None
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no manifest of token shards or of a corpus run ({error!r})") from None
    found = tuple(source for source in found if source.tokens > 0)
    if not found:
        raise InputError(f"{path} lists no text to train on")
    return found


def _of_tokens(manifest: Mapping[str, Any]) -> tuple[Source, ...]:
    told = f"token shards, {manifest['tokenizer']['name']}"
    return tuple(Source(d.name, d.language, float(d.tokens), told) for d in Domains.from_manifest(manifest).all)


def _of_corpus(manifest: Mapping[str, Any]) -> tuple[Source, ...]:
    rate, sizes = float(manifest["bytes_per_token"]), dict.fromkeys(manifest["domains"], 0)
    for shard in manifest["shards"]:
        if shard["split"] == "train":
            sizes[shard["domain"]] += shard["text_bytes"]
    told = f"kept text at {rate:g} bytes a token"
    return tuple(Source(name, axes_of_name(name)["language"], size / rate, told) for name, size in sizes.items())


def gathered(
    sources: Iterable[Source], languages: Mapping[str, str] | None = None, kept: Mapping[str, float] | None = None
) -> tuple[Source, ...]:
    """By name, sorted. languages: {source: code}, over what was told. kept: {source or language: share that filters
    leave}. Raises RecipeError for a name twice or unknown, and for shares that are none."""
    found = {}
    for source in sources:
        if source.name in found:
            raise RecipeError(f"two sources are named `{source.name}`; give each name once")
        found[source.name] = source
    for name, code in (languages or {}).items():
        check_language(code)
        if name not in found:
            raise RecipeError(f"--language {name}={code}: no source `{name}`{nearest(name, found)}")
        found[name] = replace(found[name], language=code)
    for word, share in (kept or {}).items():
        if not 0 < share <= 1:
            raise RecipeError(f"--keep {word}={share:g}: the share that filters leave is over 0 and at most 1")
        names = [word] if word in found else [name for name in found if found[name].language == word]
        if not names:
            known = [*found, *(source.language for source in found.values())]
            raise RecipeError(f"--keep {word}: no source or language `{word}`{nearest(word, set(known))}")
        for name in names:
            cut = replace(found[name], tokens=found[name].tokens * share)
            found[name] = replace(cut, told=f"{cut.told}, {share:.3g} of it kept")
    return tuple(found[name] for name in sorted(found))


def by_language(sources: Sequence[Source], shares: Mapping[str, float]) -> np.ndarray:
    """float64 [k]: each language's total as ``shares`` says, those left out share the rest; natural within.

    Raises RecipeError for a language no source has, and for shares that can't be.
    """
    there = sorted({source.language for source in sources})
    for code, share in shares.items():
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise RecipeError(f"--share {code}={share:g}: a share is from 0 to 1")
        if code not in there:
            raise RecipeError(f"--share {code}: no source is of language `{code}`{nearest(code, there)}")
    left = 1 - math.fsum(shares.values())
    rest = [source.language not in shares for source in sources]
    if left < -1e-9 or (left > 1e-9 and not any(rest)):
        missing = "more than 1" if left < 0 else "less than 1, and no other language is left to take the rest"
        raise RecipeError(f"--share: the shares sum to {1 - left:.4g}, {missing}")
    tokens, found = np.array([source.tokens for source in sources]), np.zeros(len(sources))
    groups = [(np.array([s.language == code for s in sources]), share) for code, share in shares.items()]
    for members, share in [*groups, (np.array(rest), max(left, 0.0))]:
        if members.any():
            found[members] = share * tokens[members] / math.fsum(tokens[members])
    return found / math.fsum(found)


def by_name(sources: Sequence[Source], weights: Mapping[str, float], told: str) -> np.ndarray:
    """float64 [k]: as weights by source say, of any scale; sources left out have 0. told: whose weights these are."""
    names = [source.name for source in sources]
    for name, weight in weights.items():
        if name not in names:
            raise RecipeError(f"{told} gives a weight to `{name}`, which is no source here{nearest(name, names)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise RecipeError(f"{told}: the weight of `{name}` must be a number, 0 or more, got {weight!r}")
    found = np.array([float(weights.get(name, 0.0)) for name in names])
    if not found.any():
        raise RecipeError(f"{told} gives no source here a weight above 0")
    return found / math.fsum(found)


def weights_of_file(path: Path) -> dict[str, float]:
    """Token weights of a mixture.json, or of the folder it lies in: {"weights": {name: weight}}.

    Raises InputError for what can't be read, and for weights that are not of tokens.
    """
    path = path / "mixture.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_bytes())
        if content.get("unit", "token") == "token":
            return dict(content["weights"])
        return dict(content["shares"]["token"])
    except OSError as error:
        raise InputError(
            f"{path} can't be read ({error.strerror}); `jacorpus mix optimize` makes such a file"
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); `jacorpus mix optimize` makes such a file") from None
    except (AttributeError, KeyError, TypeError):
        raise InputError(f'{path} has no token weights; it must hold {{"weights": {{"web": 0.7, ...}}}}') from None
