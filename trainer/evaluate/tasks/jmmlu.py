"""JMMLU (Yin et al. 2024): questions of school and professional subjects, four answers, the letter is scored.

It comes without a split of examples: few-shot examples are other questions of the same subject, drawn anew for each
question, never the question itself. All questions are scored.
"""

from collections import defaultdict
from typing import Any

from lm_eval.api.samplers import ContextSampler

from trainer.evaluate.questions import LETTERS, jmmlu_prompt
from trainer.evaluate.tasks import Record


class SameSubject(ContextSampler):
    """Examples of the question's own subject."""

    def sample(self, n: int, eval_doc: Any = None, df: Any = None, **_: Any) -> list[Record]:
        """n examples; fewer where the subject has no more."""
        if not hasattr(self, "_by_subject"):
            self._by_subject = defaultdict(list)
            for doc in self.df:
                self._by_subject[doc["subject"]].append(doc)
        others = [doc for doc in self._by_subject[eval_doc["subject"]] if doc["id"] != eval_doc["id"]]
        return self.rnd.sample(others, min(n, len(others)))


def config(records: list[Record]) -> tuple[dict[str, Any], dict[str, list[Record]]]:
    """See trainer.evaluate.tasks."""
    fields = {
        "task": "jmmlu",
        "output_type": "multiple_choice",
        "test_split": "test",
        "fewshot_split": "test",
        "fewshot_config": {"sampler": SameSubject},
        "doc_to_text": jmmlu_prompt,
        "doc_to_choice": lambda doc: list(LETTERS[: len(doc["choices"])]),
        "doc_to_target": "answer",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    return fields, {"test": records}
