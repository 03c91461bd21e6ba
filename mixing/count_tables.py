"""Count tables: the held-out loss of a mixture, predicted without training on it.

Of each domain 1- to 3-grams are counted, only those that held-out text needs (counting.py). A mixture is scored in one
of two ways, both surrogates (surrogate.py):

    PooledCounts        what an n-gram model of the mixed text would say: with f_i the frequencies of domain i,
                            N(gram) = D sum_i shares_i f_i(gram)
                            p(x | c2 c1) = (N(c2 c1 x) + m_3 p(x | c1)) / (N(c2 c1) + m_3), and so on down to 1/V
                        not convex beyond single tokens
    MixedPredictions    sum_i shares_i p_i(x | c2 c1), p_i being the same model of domain i alone: convex, and falling
                        in every share (MixMin, arXiv 2502.10510)

Only D/m matters in the first. m is chosen where each domain weighs what was counted of it; D is what was counted of the
one counted most, so that no domain alone counts for more than was seen of it: else tables grow too sure of a domain's
sample as its share grows, and more of a domain seems to harm it (benchmarks/count_tables.py has the figures). Tables
see what domains share on the surface, and nothing else.

Legend: k domains in the order of sorted names, J held-out sets, G grams of a set, E grams at which it has events, N its
documents; losses in bits per byte of held-out text.
"""

import json
import math
import os
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np

from jacorpus.errors import InputError, RecipeError, nearest
from jacorpus.shards import storage_errors
from mixing.counting import (
    TUNING_TOKENS,
    Documents,
    HeldOutSet,
    Progress,
    TableSettings,
    Taken,
    held_out_sets,
    kept_for_tuning,
    taken,
)
from mixing.kernels.backoff import Grams, log_likelihood, probabilities, with_slope

FORMAT = 1
CONCENTRATIONS = (1000.0, 20.0, 20.0)
"""Where nothing can be kept from counting to choose them on."""

FEW_DOCUMENTS = 10
"""Fewer in a held-out set are noted."""

_STEPS = (8.0, 2.0, 1.3, 1.1)
_LEAST, _MOST = 0.1, 1e9


@dataclass(frozen=True, eq=False)
class CountTables:
    """Counts at the events of held-out sets. Build with ``CountTables.build``, or ``load``.

    domains: names, sorted; tokens int64 [k]: events counted of each; concentrations float64 [order]; vocab: V.
    """

    domains: tuple[str, ...]
    tokens: np.ndarray
    held_out: tuple[HeldOutSet, ...]
    concentrations: np.ndarray
    vocab: int
    settings: TableSettings

    @staticmethod
    def build(
        train: Mapping[str, Documents],
        held_out: Mapping[str, Documents],
        settings: TableSettings,
        progress: Progress | None = None,
        *,
        vocab_size: int = 0,
        eos_id: int | None = None,
    ) -> "CountTables":
        """Count. train: every domain a mixture may name, without documents where there are none; in random order, since
        the first are taken. held_out: sets of any names; one without a token is left out. vocab_size: V, 0 for the
        largest id and 1. eos_id: counted as the end of each document that is taken whole, and as what each begins with.

        Raises InputError where no domain, or no held-out set, has a token, and for held-out text without bytes.
        """
        eos = -1 if eos_id is None else eos_id
        vocab = vocab_size or _largest(train, held_out, eos) + 1
        if eos >= vocab:
            raise InputError(f"eos_id {eos} is outside the vocabulary of {vocab:,} ids")
        domains, most = tuple(sorted(train)), settings.tokens_per_domain
        counted, kept = [], []
        for name in domains:
            first = 0 if settings.concentrations else kept_for_tuning(train[name], most)
            counted.append(taken(name, train[name], first, most, most, vocab))
            kept.append((name, taken(name, _first(train[name], first), 0, TUNING_TOKENS, most, vocab)))
        sizes = settings.events_per_set, settings.events_per_document
        scored = [(name, taken(name, held_out[name], 0, *sizes, vocab)) for name in sorted(held_out)]
        kept, scored = ([pair for pair in pairs if pair[1].tokens] for pairs in (kept, scored))
        tokens = np.array([text.events(eos).sum() for text in counted], np.int64)
        _check(tokens, scored)
        sets = held_out_sets(counted, [*kept, *scored], settings.order, eos, progress)
        tuning, rest = sets[: len(kept)], sets[len(kept) :]
        weights = [int(tokens[domains.index(one.name)]) for one in tuning]
        concentrations = _concentrations(tuning, weights, len(domains), vocab, settings)
        return CountTables(domains, tokens, tuple(rest), concentrations, vocab, settings)

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the J held-out sets, sorted."""
        return tuple(one.name for one in self.held_out)

    def documents(self, name: str) -> int:
        """How many documents of a held-out set are scored, whole or in part."""
        return len(self.held_out[self.place(name)].document_bytes)

    def place(self, name: str) -> int:
        """Of a held-out set among ``sets``. Raises RecipeError for an unknown one."""
        if name not in self.sets:
            raise RecipeError(f"the tables have no held-out set `{name}`{nearest(name, self.sets)}")
        return self.sets.index(name)

    @cached_property
    def predictions(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each set (places of the grams that have events [E], what each domain's own model gives them [k, E])."""
        k, found = len(self.domains), []
        for one in self.held_out:
            places = np.unique(one.gram)
            alone = [
                probabilities(one.grams, rates, self.concentrations, 1 / self.vocab)[places] for rates in np.eye(k)
            ]
            found.append((places, np.stack(alone)))
        return found

    def surrogate(self, mixing: Literal["counts", "predictions"] | None = None) -> "PooledCounts | MixedPredictions":
        """As the settings have it, or another way."""
        return MixedPredictions(self) if (mixing or self.settings.mixing) == "predictions" else PooledCounts(self)

    def save(self, path: Path) -> None:
        """Write one .npz; readers see the old file or the new one, never half. A full disk is a StorageError."""
        head = {"format": FORMAT, "domains": self.domains, "sets": self.sets, "vocab": self.vocab}
        arrays = {"head": np.frombuffer(json.dumps({**head, "settings": asdict(self.settings)}).encode(), np.uint8)}
        arrays |= {"tokens": self.tokens, "concentrations": self.concentrations}
        for j, one in enumerate(self.held_out):
            arrays |= {f"{j}.{field}": getattr(one, field) for field in _COLUMNS}
            arrays |= {f"{j}.grams.{field}": array for field, array in one.grams._asdict().items()}
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as stream:
                    np.savez(stream, **arrays)  # type: ignore[arg-type]
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    @staticmethod
    def load(path: Path) -> "CountTables":
        """What ``save`` wrote. Raises InputError for a file that is missing, damaged or of another version."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            head = json.loads(arrays["head"].tobytes())
            if head["format"] != FORMAT:
                raise ValueError(f"format {head['format']}, not {FORMAT}")
            sets = []
            for j, name in enumerate(head["sets"]):
                grams = Grams(*(arrays[f"{j}.grams.{field}"] for field in Grams._fields))
                sets.append(HeldOutSet(name, grams, *(arrays[f"{j}.{field}"] for field in _COLUMNS)))
            settings = TableSettings.of(head["settings"])
            common = arrays["tokens"], tuple(sets), arrays["concentrations"], head["vocab"], settings
            return CountTables(tuple(head["domains"]), *common)
        except (*_DAMAGE, RecipeError) as error:
            raise InputError(f"{path} holds no count tables ({error}); delete it to have them counted again") from error


_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile)
_COLUMNS = ("document", "gram", "times", "document_bytes")


def _first(documents: Documents, count: int) -> Documents:
    return Documents(documents.ids, np.asarray(documents.offsets)[: count + 1])


def _largest(train: Mapping[str, Documents], held_out: Mapping[str, Documents], eos: int) -> int:
    every = [*train.values(), *held_out.values()]
    return max([eos, *(int(np.max(one.ids, initial=0)) for one in every)])


def _check(tokens: np.ndarray, scored: list[tuple[str, Taken]]) -> None:
    if not tokens.sum():
        raise InputError("no domain has a token to count; add documents and encode the corpus again")
    if not scored:
        raise InputError(
            "no held-out set has a token to score; hold out documents with valid_ratio in the corpus recipe and encode "
            "again"
        )
    for name, text in scored:
        if not text.text_bytes[text.ends > text.starts].sum() > 0:
            raise InputError(f"the held-out set `{name}` has no bytes of text; give text_bytes of its documents")


def _concentrations(
    tuning: list[HeldOutSet], weights: list[int], domains: int, vocab: int, settings: TableSettings
) -> np.ndarray:
    """float64 [order]: of least loss on documents kept from counting, each domain of the weight of its tokens."""
    if settings.concentrations:
        return np.array(settings.concentrations, np.float64)
    found = np.array(CONCENTRATIONS[: settings.order])
    events = [one.weights() * (weight / one.events) for one, weight in zip(tuning, weights, strict=True)]

    def loss(m: np.ndarray) -> float:
        rates = np.ones(domains)
        chances = [probabilities(one.grams, rates, m, 1 / vocab) for one in tuning]
        return -math.fsum(log_likelihood(p, w) for p, w in zip(chances, events, strict=True))

    if not sum(weights):
        return found
    best = loss(found)
    for step in _STEPS:
        moved = True
        while moved:
            moved = False
            for n in range(settings.order):
                for factor in (step, 1 / step):
                    other = found.copy()
                    other[n] = min(max(other[n] * factor, _LEAST), _MOST)
                    if (value := loss(other)) < best:
                        best, found, moved = value, other, True
    return found


@dataclass(frozen=True, eq=False)
class _Scored:
    """Tables with the held-out documents that count: each once, or as a bootstrap drew them (int64 [N] a set)."""

    tables: CountTables
    draws: tuple[np.ndarray, ...] | None = None

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the J held-out sets."""
        return self.tables.sets

    @property
    def notes(self) -> tuple[str, ...]:
        """What a report should say of them."""
        few = [name for name in self.sets if self.documents(name) < FEW_DOCUMENTS]
        if not few:
            return ()
        counts = ", ".join(f"{name} ({self.documents(name)})" for name in few)
        return (f"too few held-out documents for a bootstrap to tell how sure a loss is: {counts}",)

    def documents(self, name: str) -> int:
        """How many documents of a held-out set are scored."""
        return self.tables.documents(name)

    def resampled(self, seed: int) -> Self:
        """As many documents of each set, drawn with replacement. A set's draw depends on the seed and its name."""
        draws = []
        for one in self.tables.held_out:
            texts = np.unique(one.document)
            texts = texts[one.document_bytes[texts] > 0]
            draw = np.random.default_rng([seed, *one.name.encode()])
            draws.append(np.zeros(len(one.document_bytes), np.int64))
            draws[-1][texts] = draw.multinomial(len(texts), np.full(len(texts), 1 / len(texts)))
        return replace(self, draws=tuple(draws))

    @cached_property
    def _weights(self) -> list[np.ndarray]:
        """Of each set float64 [G]: what a nat at each gram adds to the loss: events over bytes and log 2."""
        found = []
        for j, one in enumerate(self.tables.held_out):
            draws = None if self.draws is None else self.draws[j]
            size = math.fsum(one.document_bytes if draws is None else one.document_bytes * draws)
            found.append(one.weights(draws) / (size * math.log(2)))
        return found

    def _checked(self, shares: np.ndarray) -> np.ndarray:
        found = np.asarray(shares, np.float64)
        k = len(self.tables.domains)
        if found.shape != (k,) or not np.all(np.isfinite(found)) or np.any(found < 0) or not found.sum() > 0:
            raise RecipeError(
                f"shares must be {k} numbers, 0 or more and not all 0, one for each of "
                f"{', '.join(self.tables.domains)}; got {found.tolist()}"
            )
        return found


class PooledCounts(_Scored):
    """Losses of n-gram models whose counts are those of the domains together."""

    convex = False

    @cached_property
    def _per_share(self) -> np.ndarray:
        """float64 [k]: what a count weighs at a share of 1, D / tokens."""
        tokens = self.tables.tokens
        return (self.tables.settings.tokens or tokens.max()) / np.maximum(tokens, 1)

    def _chances(self, shares: np.ndarray, j: int) -> np.ndarray:
        rates = self._checked(shares) * self._per_share
        return probabilities(self.tables.held_out[j].grams, rates, self.tables.concentrations, 1 / self.tables.vocab)

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """float64 [J]: bits per byte. shares: float64 [k], 0 or more, of sum 1 or, where repeats are worth less, below.

        Raises RecipeError for other shapes and for shares that are all 0.
        """
        return np.array([-log_likelihood(self._chances(shares, j), w) for j, w in enumerate(self._weights)])

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], their derivatives by share [J, k])."""
        rates, tables = self._checked(shares) * self._per_share, self.tables
        losses, slopes = np.empty(len(self.sets)), np.empty((len(self.sets), len(rates)))
        for j, (one, weights) in enumerate(zip(tables.held_out, self._weights, strict=True)):
            value, slope = with_slope(one.grams, rates, tables.concentrations, 1 / tables.vocab, weights)
            losses[j], slopes[j] = -value, -slope * self._per_share
        return losses, slopes

    def document_losses(self, shares: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(bits, bytes of text), float64 [N] each, of a set's documents as given, each once."""
        one = self.tables.held_out[j := self.tables.place(name)]
        return one.sums(-np.log2(self._chances(shares, j))), one.document_bytes


class MixedPredictions(_Scored):
    """Losses of the domains' own models, mixed: p = sum of shares times p_i, of a sum below 1 where shares are."""

    convex = True

    @cached_property
    def _scored_events(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each set predictions [k, E] and weights [E]."""
        pairs = zip(self.tables.predictions, self._weights, strict=True)
        return [(chances, weights[places]) for (places, chances), weights in pairs]

    def losses(self, shares: np.ndarray) -> np.ndarray:
        """float64 [J]: bits per byte; see ``PooledCounts.losses``."""
        given = self._checked(shares)
        return np.array([-np.sum(weights * np.log(_mixed(given, p))) for p, weights in self._scored_events])

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(losses [J], their derivatives by share [J, k])."""
        given = self._checked(shares)
        losses, slopes = np.empty(len(self.sets)), np.empty((len(self.sets), len(given)))
        for j, (chances, weights) in enumerate(self._scored_events):
            p = _mixed(given, chances)
            losses[j] = -np.sum(weights * np.log(p))
            slopes[j] = -np.einsum("ke,e->k", chances, weights / p)
        return losses, slopes

    def document_losses(self, shares: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(bits, bytes of text), float64 [N] each, of a set's documents as given, each once."""
        one = self.tables.held_out[j := self.tables.place(name)]
        places, chances = self.tables.predictions[j]
        bits = np.zeros(len(one.grams.contexts))
        bits[places] = -np.log2(_mixed(self._checked(shares), chances))
        return one.sums(bits), one.document_bytes

    def events(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(predictions [k, E], weights [E] of sum 1) of all sets' events for ``mixmin_em``. target: float64 [J],
        weights of the sets' losses."""
        flat = np.concatenate([share * w for share, (_, w) in zip(target, self._scored_events, strict=True)])
        return np.concatenate([chances for chances, _ in self._scored_events], axis=1), flat / math.fsum(flat)


def _mixed(shares: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """float64 [E]; no library's product of matrices, whose rounding depends on the number of threads."""
    return np.einsum("k,ke->e", shares, chances)


def mixmin_em(predictions: np.ndarray, weights: np.ndarray, start: np.ndarray, steps: int) -> np.ndarray:
    """float64 [k]: the mixture that MixMin's EM reaches; a readable oracle, slow where sources are much alike
    or a weight goes to 0.

    predictions: p_i of each event [k, E]; weights: of the target's events [E], of sum 1. Each step takes w_i to w_i
    times the target's mean of p_i / sum_j w_j p_j, which never lowers its likelihood.
    """
    shares = np.asarray(start, np.float64)
    for _ in range(steps):
        shares = shares * (predictions @ (weights / (shares @ predictions)))
    return shares
