"""What is measured of a synthetic document, by the signals web documents have and some that look at its seed.

    text.*, repetition.*     as in jacorpus/signals, of the document's text
    decontaminate.coverage   of benchmark items (jacorpus/decontaminate), where benchmarks are given
    seed.length_ratio        characters of the text / of the seed
    seed.overlap             share of the text's 10-grams that stand in the seed (folded)
    seed.numbers_kept        share of the seed's numbers that the text has;  seed.numbers_grounded: the reverse
    seed.names_kept          share of the seed's proper names (UniDic; Latin words with a capital) the text has
    seed.glossary_kept       share of the glossary's terms in the seed whose translation the text has
    seed.round_trip_chrf     chrF2 of the answer called ``back`` against the seed, 0-100
    answer.refusal           1 where the text declines instead of answering
    answer.constraint        1 where the answer obeys the constraint drawn for it
    answer.code              1 where the text holds a fenced Python block, and every one parses
    kept.similarity          estimated Jaccard with the nearest kept document (MinHash; 0 where no band agrees)
    judge.agree              1 where both orders prefer the same answer
    judge.gap                mean over both orders of score of the first answer minus the second's

A measure that does not apply is null, and its rule says nothing. chrF: Popovic 2015, as sacrebleu counts it.
"""

import ast
import functools
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from jacorpus.decontaminate.ngrams import Ngrams
from jacorpus.dedup.minhash import Minhash
from jacorpus.errors import RecipeError, nearest
from jacorpus.rule import Rule
from jacorpus.signals.repetition import Repetition
from jacorpus.signals.text import Text
from jacorpus.synthesize.template import Document, Template, value_at

OWN = (
    *(f"seed.{name}" for name in ("length_ratio", "overlap", "numbers_kept", "numbers_grounded", "names_kept")),
    *("seed.glossary_kept", "seed.round_trip_chrf", "answer.refusal", "answer.constraint", "answer.code"),
    *("kept.similarity", "judge.agree", "judge.gap"),
)
"""Measures beside those of our stages."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LATIN_NAME = re.compile(r"(?<![A-Za-z])[A-Z][A-Za-z]+")  # kana are \w too, so no \b
_REFUSAL = re.compile(
    r"申し訳(?:ありません|ございません|ない)が|お(?:手伝い|答え|力添え)(?:することは)?(?:でき|いたしかね)|AI(?:アシスタント)?として"
    r"|言語モデルとして|その(?:ご)?(?:要望|依頼|質問)には(?:お応え|応じ)|I(?:'m| am) sorry|[Aa]s an AI"
    r"|I can(?:'|no)t (?:help|assist)"
)
_CODE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
_REFUSAL_CHARS = 120  # a refusal comes first

CONSTRAINTS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "short": ("80字以内で答えてください。", lambda text: len(text) <= 80),
    "long": ("300字以上で答えてください。", lambda text: len(text) >= 300),
    "three_points": (
        "「・」で始まる箇条書きをちょうど三つ使って答えてください。",
        lambda text: len(re.findall(r"^\s*・", text, re.M)) == 3,
    ),
    "polite": (
        "すべての文を「です」「ます」で終えてください。",
        lambda text: all(
            re.search(r"(?:です|ます|ました|でした|ません|でしょう|ましょう)か?$", s) for s in _sentences(text)
        ),
    ),
    "no_katakana": ("カタカナを使わずに答えてください。", lambda text: not re.search("[ァ-ヺ]", text)),
    "conclusion": (
        "最後の行を「結論：」で始めてください。",
        lambda text: text.strip().split("\n")[-1].startswith("結論："),
    ),
}
"""name -> (what the prompt says, whether an answer obeys)."""


def draw_constraint(seed: str, draw: int) -> str:
    """A name of CONSTRAINTS, the same for the same seed and draw."""
    number = int.from_bytes(sha256(f"constraint\0{seed}\0{draw}".encode("utf-8", "replace")).digest()[:8], "big")
    return random.Random(number).choice(sorted(CONSTRAINTS))


class Verdict(NamedTuple):
    """failed: the first rule that drops the document, with its value. kept_id: of the kept one it is too similar to."""

    measures: dict[str, Any]
    failed: Rule | None = None
    value: float | None = None
    kept_id: bytes | None = None


@dataclass
class Checks:
    """The rules of a template, over measures. Documents are judged in order: similarity is to those kept before.

    benchmarks: JSONL files whose items must not be found. glossary: term -> translation.
    """

    template: Template
    benchmarks: tuple[str, ...] = ()
    glossary: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stages: list[tuple[str, Any]] = [("text", Text()), ("repetition", Repetition())]
        self.rules = list(self.template.rules)
        if self.benchmarks:
            stage = Ngrams(benchmarks=self.benchmarks)
            self.stages.append(("decontaminate", stage))
            self.rules.append(
                Rule("decontaminate.coverage", (("below", stage.drop_coverage),), "benchmark", "synthesize")
            )
        known = {f"{label}.{name}" for label, stage in self.stages for name in stage.columns()} | set(OWN)
        for rule in self.rules:
            if rule.signal not in known:
                raise RecipeError(
                    f"template {self.template.name}: no measure `{rule.signal}`{nearest(rule.signal, known)}"
                )
        self._minhash = Minhash()
        self._bands: dict[tuple[int, int], int] = {}
        self._kept: list[tuple[bytes, np.ndarray]] = []

    def judge(self, identity: bytes, document: Document, seed: str, values: dict[str, Any]) -> Verdict:
        """Measure a document, apply the rules, remember it where it is kept."""
        batch = pa.RecordBatch.from_pydict({"text": pa.array([document.text], pa.large_string())})
        measures: dict[str, Any] = {}
        for label, stage in self.stages:
            measures |= {f"{label}.{name}": column[0] for name, column in stage.measure(batch).items()}
        measures |= _against_seed(document.text, seed, self.glossary)
        if any(rule.signal == "seed.names_kept" for rule in self.rules):  # half the time of all measures
            wanted = names(seed)
            measures["seed.names_kept"] = _share(wanted, {name for name in wanted if name in document.text})
        measures |= self._answers(document, seed, values)
        bands, signature = self._signed(batch)
        measures["kept.similarity"], closest = self._nearest(bands, signature)
        measures = {name: value.item() if isinstance(value, np.generic) else value for name, value in measures.items()}
        for rule in self.rules:
            value = measures.get(rule.signal)
            if value is not None and rule.fails(pa.array([value]))[0]:
                return Verdict(measures, rule, float(value), closest if rule.signal == "kept.similarity" else None)
        for key in bands:
            self._bands.setdefault(key, len(self._kept))
        self._kept.append((identity, signature))
        return Verdict(measures)

    def _answers(self, document: Document, seed: str, values: dict[str, Any]) -> dict[str, Any]:
        answers = [turn["content"] for turns in document.conversations for turn in turns[1::2]]
        answers = answers or ([document.pair["chosen"]] if document.pair else [document.text])
        found: dict[str, Any] = {"answer.refusal": int(any(_REFUSAL.search(a[:_REFUSAL_CHARS]) for a in answers))}
        found["answer.code"] = int(all(map(_parses, blocks)) if (blocks := _CODE.findall(document.text)) else 0)
        if "constraint_name" in values:
            obeys = CONSTRAINTS[values["constraint_name"]][1]
            found["answer.constraint"] = int(all(obeys(answer) for answer in answers))
        if isinstance(values.get("back"), str):
            found["seed.round_trip_chrf"] = chrf(values["back"], seed)
        if self.template.judge:
            forward, backward = (value_at(values, self.template.judge[way]) for way in ("forward", "backward"))
            if "better" in forward:
                found["judge.agree"] = int({forward["better"], backward["better"]} == {"A", "B"})
            else:
                found["judge.gap"] = ((forward["a"] - forward["b"]) + (backward["b"] - backward["a"])) / 2
        return found

    def _signed(self, batch: pa.RecordBatch) -> tuple[list[tuple[int, int]], np.ndarray]:
        """((band, key) where there is a key, signature uint16 [k])."""
        columns = self._minhash.sign(batch)
        signature = np.frombuffer(columns.pop("signature")[0].as_py(), self._minhash.kind())  # type: ignore[union-attr]
        keys = [(band, int(column[0])) for band, column in enumerate(columns.values())]
        return [(band, key) for band, key in keys if key], signature

    def _nearest(self, bands: list[tuple[int, int]], signature: np.ndarray) -> tuple[float, bytes | None]:
        near = sorted({self._bands[key] for key in bands if key in self._bands})
        found = [(float(np.mean(self._kept[row][1] == signature)), self._kept[row][0]) for row in near]
        return max(found, key=lambda pair: pair[0], default=(0.0, None))


def _against_seed(text: str, seed: str, glossary: dict[str, str]) -> dict[str, float | None]:
    folded = unicodedata.normalize("NFKC", text)
    ours, theirs = set(_numbers(folded)), set(_numbers(unicodedata.normalize("NFKC", seed)))
    terms = {term for term in glossary if term in seed}
    return {
        "seed.length_ratio": len(text) / len(seed) if seed else None,
        "seed.overlap": _overlap(text, seed),
        "seed.numbers_kept": _share(theirs, ours),
        "seed.numbers_grounded": _share(ours, theirs),
        "seed.glossary_kept": _share(terms, {term for term in terms if glossary[term] in text}),
    }


def _share(wanted: set[str], found: set[str]) -> float | None:
    return len(wanted & found) / len(wanted) if wanted else None


def _numbers(text: str) -> list[str]:
    return [number.replace(",", "") for number in _NUMBER.findall(text)]


def _overlap(text: str, seed: str) -> float:
    """Share of the text's distinct 10-grams that stand in the seed; 0 for a text under 10 characters."""
    from jacorpus.kernels.contamination import build_index, contamination

    return float(contamination(pa.array([seed], pa.large_string()), build_index([text], 10, 10), 1.0)[0][0])


def names(text: str) -> set[str]:
    """Proper names of a text: UniDic's 固有名詞 of two characters or more, Latin words with a capital."""
    found = set(_LATIN_NAME.findall(text))
    for line in text.splitlines():
        words = _tagger()(line)
        found |= {word.surface for word in words if len(word.surface) > 1 and word.feature[1] == "固有名詞"}
    return found


@functools.cache
def _tagger() -> Any:
    import unidic_lite
    from fugashi import GenericTagger

    return GenericTagger(f"-r /dev/null -d '{unidic_lite.DICDIR}'")


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _sentences(text: str) -> list[str]:
    return [s.strip() for s in re.split(r"[。！？\n]", text) if s.strip()]


def chrf(hypothesis: str, reference: str, order: int = 6, beta: float = 2.0) -> float:
    """chrF of a sentence, 0-100: F over precision and recall, each averaged over the orders both sides have."""
    hypothesis, reference = "".join(hypothesis.split()), "".join(reference.split())
    precision = recall = 0.0
    orders = min(order, len(hypothesis), len(reference))
    for n in range(1, orders + 1):
        ours, theirs = (Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (hypothesis, reference))
        match = (ours & theirs).total()
        precision += match / ours.total() / orders
        recall += match / theirs.total() / orders
    weighed = beta**2 * precision + recall
    return 100 * (1 + beta**2) * precision * recall / weighed if weighed else 0.0
