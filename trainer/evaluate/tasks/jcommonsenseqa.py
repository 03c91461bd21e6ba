"""JCommonsenseQA (Kurihara et al. 2022, JGLUE): a question, five words to choose from.

The choices are listed; each is scored as the answer's text, so that a base model can do it. acc takes the likeliest,
acc_norm the likeliest a character. Few-shot examples are of split train, questions of split valid.
"""

from typing import Any

from jacorpus.errors import InputError
from trainer.evaluate.questions import jcommonsenseqa_prompt
from trainer.evaluate.tasks import Record


def config(records: list[Record]) -> tuple[dict[str, Any], dict[str, list[Record]]]:
    """See trainer.evaluate.tasks."""
    splits = {split: [r for r in records if r["split"] == split] for split in ("train", "valid")}
    if not splits["valid"]:
        raise InputError("jcommonsenseqa: no question is of split valid, and those of train are the examples")
    fields = {
        "task": "jcommonsenseqa",
        "output_type": "multiple_choice",
        "validation_split": "valid",
        "doc_to_text": jcommonsenseqa_prompt,
        "doc_to_choice": lambda doc: doc["choices"],
        "doc_to_target": "answer",
        "target_delimiter": "",
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")
        ],
    }
    if splits["train"]:
        fields |= {"training_split": "train", "fewshot_split": "train"}
    return fields, splits
