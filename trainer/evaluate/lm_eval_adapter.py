"""Our model behind lm-eval's interface, and its tasks on local files, without network.

Continuations are scored in batches of like lengths. A prompt longer than the context loses its beginning. Where a
context is empty the end-of-text token stands in for it, as lm-eval has it; our models never saw a document begin so.

Needs the package lm-eval; importing this module without it raises RecipeError.
"""

import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from jacorpus.errors import InputError, RecipeError
from trainer.evaluate.scoring import BATCH_TOKENS, Scores, Span, Windows, score
from trainer.evaluate.tasks import task_config
from trainer.generate import complete, encode
from trainer.opened import Opened
from trainer.sampling import Sampling

os.environ |= {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}  # read when datasets is imported
try:
    import datasets
    import lm_eval.api.task
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
except ImportError as _error:
    raise RecipeError(f"tasks need the package lm-eval ({_error}): pip install 'lm-eval>=0.4.9'") from _error

POOL = 512
"""Requests that are sorted by length and scored at a time."""


class Adapter(TemplateLM):
    """loglikelihood, loglikelihood_rolling and generate_until of an opened model with a tokenizer and an end of text.

    progress: called with the number of requests done.
    """

    def __init__(
        self,
        opened: Opened,
        windows: Windows | None = None,
        batch_tokens: int = BATCH_TOKENS,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        self.opened, self.windows, self.batch_tokens = opened, windows or Windows(), batch_tokens
        self.vocabulary = opened.need_tokenizer()
        self.progress = progress or (lambda _: None)

    @property
    def eot_token_id(self) -> int:
        if self.opened.eos_id is None:
            raise InputError(f"{self.opened.folder} names no end-of-text token, and a request has an empty context")
        return self.opened.eos_id

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        return encode(self.vocabulary, [string])[0]

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        return super().loglikelihood(requests, disable_tqdm=True)

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
        most = self.windows.context + 1
        spans = []
        for _words, context, continuation in requests:
            ids = np.array([*context, *continuation], np.int64)
            cut = max(0, len(ids) - most) if len(continuation) < most else 0
            spans.append(Span(ids[cut:], len(context) - cut))
        scores = self._scored(spans)
        return [(-float(each.nats.sum()), each.hits is not None and bool(each.hits.all())) for each in scores]

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> list[float]:
        texts = encode(self.vocabulary, [request.args[0] for request in requests])
        spans = [Span(np.array([self.eot_token_id, *ids], np.int64)) for ids in texts]
        return [-float(each.nats.sum()) for each in self._scored(spans)]

    def _scored(self, spans: list[Span]) -> list[Scores]:
        found: list[Scores] = []
        for start in range(0, len(spans), POOL):
            pool = spans[start : start + POOL]
            found += score(self.opened.model, pool, self.windows, self.batch_tokens)
            self.progress(len(pool))
        return found

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        found = [""] * len(requests)
        groups: dict[Sampling, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(_sampling(request.args[1]), []).append(number)
        for options, numbers in groups.items():
            numbers.sort(key=lambda number: len(requests[number].args[0]))  # like lengths side by side
            answers = complete(self.opened, [requests[number].args[0] for number in numbers], options)
            for number, answer in zip(numbers, answers, strict=True):
                found[number] = answer.text
            self.progress(len(numbers))
        return found


def _sampling(words: dict[str, Any]) -> Sampling:
    """lm-eval's generation words as ours; greedy unless ``do_sample``."""
    until = words.get("until") or ()
    most = next((int(words[key]) for key in ("max_gen_toks", "max_new_tokens", "max_tokens") if key in words), 256)
    draws = bool(words.get("do_sample", float(words.get("temperature", 0)) > 0))
    return Sampling(
        max_tokens=most,
        temperature=float(words.get("temperature", 1.0)) if draws else 0.0,
        top_k=int(words.get("top_k", 0)),
        top_p=float(words.get("top_p", 1.0)),
        stop=(until,) if isinstance(until, str) else tuple(until),
    )


@dataclass(frozen=True)
class TaskResult:
    """metrics: name -> (value, standard error or None where a single question leaves it unknown). chance: accuracy of
    guessing. shots: examples in each prompt."""

    task: str
    questions: int
    shots: int
    chance: float
    metrics: dict[str, tuple[float, float | None]]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        metrics = {name: {"value": value, "stderr": error} for name, (value, error) in self.metrics.items()}
        return {**vars(self), "metrics": metrics}


def evaluate_tasks(
    opened: Opened,
    names: Sequence[str],
    data: str | Path,
    shots: int = 0,
    limit: int | None = None,
    seed: int = 0,
    windows: Windows | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[TaskResult]:
    """lm-eval's figures of tasks (trainer.evaluate.tasks) on the questions in ``data``.

    shots: examples before each question. limit: questions a task, a sample by hash. seed: of the draw of examples.
    Raises RecipeError for an unknown task and for shots without examples, InputError for data that don't hold it.
    """
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tasks = {name: make_task(name, Path(data), shots, seed) for name in names}
    adapter = Adapter(opened, windows, progress=progress)
    with patch.object(lm_eval.api.task, "tqdm", lambda items, **_: items):  # its bars would run into ours
        found = evaluate(
            adapter,
            {"tasks": dict(tasks), "groups": {}, "group_map": {}},
            limit=limit,
            bootstrap_iters=1000,  # means have their standard error by formula; 0 would leave it out
            log_samples=False,
        )
    return [_result(name, task, shots, limit, found["results"][name]) for name, task in tasks.items()]


def make_task(name: str, data: Path, shots: int = 0, seed: int = 0) -> ConfigurableTask:
    """A task of lm-eval over local records."""
    fields, splits = task_config(name, data)
    if shots and "fewshot_split" not in fields:
        raise RecipeError(f"{data} has no examples of {name} (split train); leave --shots out")
    made = datasets.DatasetDict({key: datasets.Dataset.from_list(rows) for key, rows in splits.items() if rows})
    task = ConfigurableTask(config={**fields, "custom_dataset": lambda **_: made, "num_fewshot": shots})
    task.set_fewshot_seed(seed)
    return task


def _result(name: str, task: ConfigurableTask, shots: int, limit: int | None, row: dict[str, Any]) -> TaskResult:
    docs = list(task.eval_docs)[:limit]
    chance = sum(1 / len(doc["choices"]) for doc in docs) / len(docs)
    metrics = {}
    for key, value in row.items():
        metric, comma, kind = key.partition(",")
        if comma and not metric.endswith("_stderr"):
            error = row.get(f"{metric}_stderr,{kind}")
            known = error if isinstance(error, int | float) and math.isfinite(error) else None
            metrics[metric] = (float(value), known)
    return TaskResult(name, len(docs), shots, chance, metrics)
