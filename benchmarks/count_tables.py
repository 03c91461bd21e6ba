"""Count tables: their speed, and how well they predict mixtures: ``OMP_NUM_THREADS=1 python -m benchmarks.count_tables
[FOLDER]``.

Six real domains (benchmarks/mixing_domains.py, made below FOLDER or found there), up to a million tokens of each,
held-out sets of 4,000 and of 30,000 tokens each: 24k and 180k events. Grams of 1 to 3 tokens. One thread.

- build: counting, choosing concentrations, and all in between. Beside it a dictionary of tuples that counts the same
  grams, over a twentieth of the tokens, its seconds taken times twenty
- a mixture: losses and gradient of all six sets, ``counts`` and ``predictions``. Beside ours the same recursion with a
  sparse matrix product a level and numpy (its results are compared), and a matrix-vector product each way. The floor:
  bytes of all tables read once for losses and once for the gradient, over what a copy of 256 MB moves a second
- prediction: Spearman correlation with n-gram models that were trained, each on a million tokens of one of 33 mixtures
  which the tables have not seen, concentrations its own; tables of 100,000 and of 400,000 tokens a domain; mean over
  the six held-out sets. Beside it the domain's own weight. Such a truth is of the tables' own kind; tiny transformers
  are another matter
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix
from scipy.stats import spearmanr

from benchmarks.beside import compared, facts, here, in_turns
from benchmarks.mixing_domains import token_folder
from benchmarks.record import DATA, ROOT, save
from mixing.count_tables import CountTables, MixedPredictions, PooledCounts
from mixing.counting import Documents, TableSettings
from mixing.kernels.backoff import Grams
from mixing.kernels.gram_trie import events_naive
from tokenizer_lab.tokens import Tokens, TokenShard, open_tokens

EVENTS = {"24k": 4_000, "180k": 30_000}
MIXTURES = 20  # a call
PART = 20
TRAINED_TOKENS = 1_000_000
SAMPLES = (100_000, 400_000)


def documents(shard: TokenShard, first: int = 0, end: int | None = None) -> Documents:
    """Some of a shard's."""
    sizes = shard.batch["text_bytes"].to_numpy()[first:end]
    return Documents(shard.ids, shard.offsets[first : first + len(sizes) + 1], sizes)


def until(one: Documents, tokens: float) -> Documents:
    """The first ``tokens``; the last document is cut."""
    offsets = np.asarray(one.offsets)
    count = int(np.searchsorted(offsets - offsets[0], tokens))
    return Documents(one.ids, np.minimum(offsets[: count + 1], offsets[0] + int(tokens)))


class Corpus:
    """The domains' documents, and tables of them."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.shards = {name: tokens.of(name, "train")[0] for name in tokens.domains}
        self.train = {name: documents(shard) for name, shard in self.shards.items()}
        self.held_out = {name: documents(tokens.of(name, "valid")[0]) for name in tokens.domains}

    def tables(self, train: dict[str, Documents] | None = None, **options: Any) -> CountTables:
        """Of all documents, or of others."""
        given = self.train if train is None else train
        vocab, eos = self.tokens.vocab_size, self.tokens.eos_id
        return CountTables.build(given, self.held_out, TableSettings(**options), vocab_size=vocab, eos_id=eos)

    def split(self, sample: int) -> tuple[dict[str, Documents], dict[str, Documents]]:
        """Documents for tables of ``sample`` tokens a domain (and what is kept to choose concentrations), the rest."""
        first, rest = {}, {}
        for name, shard in self.shards.items():
            at = int(np.searchsorted(shard.offsets, 1.02 * sample + 12_000))
            first[name], rest[name] = documents(shard, 0, at), documents(shard, at)
        return first, rest


def dictionary(corpus: Corpus, part: int) -> Callable[[], int]:
    """Counts a part of each domain in dictionaries of tuples; which grams held-out text has, it knows before."""
    eos, wanted = corpus.tokens.eos_id, set()
    assert eos is not None
    for one in corpus.held_out.values():
        for row in rows(until(one, EVENTS["180k"])):
            for grams in events_naive(row, True, 3, eos):
                wanted.update(grams)
    contexts = {gram[:-1] for gram in wanted}
    parts = [rows(until(one, 1_000_000 // part)) for one in corpus.train.values()]

    def count() -> int:
        for texts in parts:
            seen: Counter[tuple[int, ...]] = Counter()
            followed: Counter[tuple[int, ...]] = Counter()
            for row in texts:
                for grams in events_naive(row, True, 3, eos):
                    seen.update(gram for gram in grams if gram in wanted)
                    followed.update(gram[:-1] for gram in grams if gram[:-1] in contexts)
        return sum(sum(map(len, texts)) for texts in parts)

    return count


def rows(one: Documents) -> list[list[int]]:
    """Token lists."""
    return [one.ids[a:b].tolist() for a, b in zip(one.offsets[:-1], one.offsets[1:], strict=True)]


class Sparse:
    """The rival of pooled counts: a sparse product a level, numpy for the rest."""

    def __init__(self, surrogate: PooledCounts) -> None:
        self.tables = tables = surrogate.tables
        self.weights, self.per_share = surrogate._weights, surrogate._per_share
        k = len(tables.domains)
        self.sets = []
        for one in tables.held_out:
            g, size = one.grams, int(one.grams.context_levels[-1])
            columns = (g.seen_counts.astype(float), g.seen_grams, g.seen_starts)
            seen = csc_matrix(columns, (len(g.contexts), k)).tocsr()
            columns = (g.followed_counts.astype(float), g.followed_contexts, g.followed_starts)
            followed = csc_matrix(columns, (size, k)).tocsr()
            m = np.repeat(tables.concentrations, np.diff(g.context_levels))
            self.sets.append((g, seen, followed, seen.T.tocsr(), followed.T.tocsr(), m))

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As PooledCounts.gradient."""
        rates = shares * self.per_share
        found = [self._one(rates, w, *one) for one, w in zip(self.sets, self.weights, strict=True)]
        return np.array([-value for value, _ in found]), np.array([-slope * self.per_share for _, slope in found])

    def _one(
        self, rates: np.ndarray, weights: np.ndarray, g: Grams, seen: Any, followed: Any, seen_t: Any, followed_t: Any,
        m: np.ndarray,
    ) -> tuple[float, np.ndarray]:  # fmt: skip
        counts, inverse = seen @ rates, 1 / (followed @ rates + m)
        p = np.empty(len(g.contexts))
        p[0] = 1 / self.tables.vocab
        spans = [slice(a, b) for a, b in zip(g.levels[:-1], g.levels[1:], strict=True)]
        for span, level in zip(spans, self.tables.concentrations, strict=True):
            p[span] = (counts[span] + level * p[g.suffixes[span]]) * inverse[g.contexts[span]]
        drive = weights / p
        for span, level in reversed(list(zip(spans, self.tables.concentrations, strict=True))):
            drive[span] *= inverse[g.contexts[span]]
            drive += np.bincount(g.suffixes[span], level * drive[span], len(drive))
        drive[0] = 0
        by_total = np.bincount(g.contexts, drive * p, len(m))
        return float(weights @ np.log(p)), seen_t @ drive - followed_t @ by_total


class Products:
    """The rival of mixed predictions: a product each way."""

    def __init__(self, surrogate: MixedPredictions) -> None:
        self.sets = [(np.ascontiguousarray(chances.T), weights) for chances, weights in surrogate._scored_events]

    def gradient(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As MixedPredictions.gradient."""
        losses, slopes = [], []
        for chances, weights in self.sets:
            p = chances @ shares
            losses.append(-weights @ np.log(p))
            slopes.append(-(weights / p) @ chances)
        return np.array(losses), np.array(slopes)


def bytes_moved(surrogate: PooledCounts | MixedPredictions) -> int:
    """Of a gradient at the least: pooled counts are read twice, predictions and weights once; p is written and read."""
    if isinstance(surrogate, MixedPredictions):
        return sum(chances.nbytes + 8 * len(places) for places, chances in surrogate.tables.predictions)
    sizes = [sum(a.nbytes for a in one.grams) for one in surrogate.tables.held_out]
    return sum(2 * size + 4 * w.nbytes for size, w in zip(sizes, surrogate._weights, strict=True))


def speeds(corpus: Corpus) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows on seconds."""
    draw = np.random.default_rng(0)
    mixtures = draw.dirichlet(np.ones(len(corpus.shards)), MIXTURES)
    block = draw.random(1 << 24)
    space = np.empty_like(block)
    calls: dict[str, Callable[[], Any]] = {"copy": partial(np.copyto, space, block)}
    sizes = {}
    for name, events in EVENTS.items():
        calls[f"build, {name}"] = partial(corpus.tables, events_per_set=events)
        tables = corpus.tables(events_per_set=events)
        rivals: dict[str, Callable[[Any], Sparse | Products]] = {"counts": Sparse, "predictions": Products}
        for kind, rival in rivals.items():
            surrogate = tables.surrogate(kind)  # type: ignore[arg-type]
            other = rival(surrogate)
            for mine, theirs in zip(surrogate.gradient(mixtures[0]), other.gradient(mixtures[0]), strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-9)
            what = f"{kind}, {name}"
            sizes[what] = bytes_moved(surrogate), sum(one.events for one in tables.held_out)
            calls[what] = partial(each, surrogate.gradient, mixtures)
            calls[f"{what}, losses alone"] = partial(each, surrogate.losses, mixtures)
            calls[f"{what}, numpy"] = partial(each, other.gradient, mixtures)
            calls[f"{what}, resampled"] = partial(again, surrogate)
    calls["dictionary"] = dictionary(corpus, PART)
    answers = in_turns({name: here(call) for name, call in calls.items()})
    cpu = {name: answer["cpu_s"] for name, answer in answers.items()}
    a_second = 2 * block.nbytes / cpu["copy"]
    made = [
        _row("build, 180k events, 6 x 1M tokens, s", 10, cpu["build, 180k"], "dictionary", PART * cpu["dictionary"]),
        _row("build, 24k events, 6 x 1M tokens, s", None, cpu["build, 24k"]),
    ]
    for what, (moved, events) in sizes.items():
        mine, theirs, losses, drawn = (
            1000 / MIXTURES * cpu[name]
            for name in (what, f"{what}, numpy", f"{what}, losses alone", f"{what}, resampled")
        )
        floor = 1000 * moved / a_second
        row = _row(f"a mixture, {what}, loss and gradient, ms", 15 if "24k" in what else None, mine, "numpy", theirs)
        more = {"losses_alone_ms": round(losses, 3), "resampled_ms": round(drawn, 3), "events": events}
        more |= {"mb_moved": round(moved / 1e6, 2), "floor_ms": round(floor, 3), "over_floor": round(mine / floor, 1)}
        made.append({**row, **more, "copy_gb_s": round(a_second / 1e9, 1), "1000_mixtures_s": round(mine, 2)})
    return made, facts(answers)


def each(call: Callable[[np.ndarray], Any], mixtures: np.ndarray) -> int:
    """Call it with every mixture."""
    for shares in mixtures:
        call(shares)
    return len(mixtures)


def again(surrogate: PooledCounts | MixedPredictions) -> int:
    """Bootstrap draws, ready for use."""
    for seed in range(MIXTURES):
        _ = surrogate.resampled(seed)._weights
    return MIXTURES


def _row(what: str, most: float | None, ours: float, rival: str | None = None, theirs: float | None = None) -> Any:
    row = compared(what, f"<= {most}" if most else "", ours, rival, theirs)
    return {**row, "ours": round(ours, 3), "met": None if most is None else ours <= most}


def predictions(corpus: Corpus) -> list[dict[str, Any]]:
    """Rows on correlations with trained n-gram models."""
    k, made = len(corpus.shards), []
    draw = np.random.default_rng(0)
    mixtures = np.array(
        [np.full(k, 1 / k), *(draw.dirichlet(np.full(k, a)) for a in (0.3, 0.6, 1, 2) for _ in range(8))]
    )
    for sample in SAMPLES:
        first, rest = corpus.split(sample)
        truth = np.array([trained(corpus, rest, shares) for shares in mixtures])
        tables = corpus.tables(first, tokens_per_domain=sample)
        whole = replace(tables.settings, tokens=float(tables.tokens.sum()))
        predicted = {
            "counts": tables.surrogate("counts"),
            "counts, D = all that was counted": replace(tables, settings=whole).surrogate("counts"),
            "predictions": tables.surrogate("predictions"),
        }
        own = correlation(-mixtures, truth)
        for name, surrogate in predicted.items():
            mine = correlation(np.array([surrogate.losses(shares) for shares in mixtures]), truth)
            row = compared(
                f"rank correlation, {name}, {sample:,} tokens a domain", "", mine.mean(), "own weight", own.mean()
            )
            row |= {"ours": round(mine.mean(), 3), "theirs": round(own.mean(), 3), "met": None}
            by_set = {name: round(r, 3) for name, r in zip(tables.sets, mine.tolist(), strict=True)}
            made.append({**row, "by_set": by_set, "mixtures": len(mixtures)})
    return made


def trained(corpus: Corpus, rest: dict[str, Documents], shares: np.ndarray) -> np.ndarray:
    """float64 [J]: losses of the model of a million tokens of a mixture."""
    taken = {name: until(rest[name], w * TRAINED_TOKENS) for name, w in zip(sorted(rest), shares, strict=True)}
    tables = corpus.tables(taken)
    natural = tables.tokens / tables.tokens.sum()
    counted = replace(tables.settings, tokens=float(tables.tokens.sum()))
    return replace(tables, settings=counted).surrogate("counts").losses(natural)


def correlation(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """float64 [J]: Spearman, by held-out set."""
    return np.array([spearmanr(predicted[:, j], truth[:, j])[0] for j in range(truth.shape[1])])


def main() -> None:
    """Measure, print and save."""
    if not DATA.is_dir():
        raise SystemExit("count tables are measured on the real texts, which are not here; nothing was measured")
    folder = Path(*sys.argv[1:2] or [str(ROOT / "out" / "mixing-domains")])
    corpus = Corpus(open_tokens(token_folder(folder)))
    made, told = speeds(corpus)
    save("count_tables", [*made, *predictions(corpus), *told], ["numpy", "numba", "scipy"])


if __name__ == "__main__":
    main()
