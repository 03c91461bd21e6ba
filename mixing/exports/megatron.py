"""A blend of Megatron-LM's indexed datasets: shares of **tokens**.

    blend.txt     "0.7 PREFIX 0.3 PREFIX": the words of --train-data-path or --data-path, or a file for --data-args-path
    blend.json    {"train": [...], "valid": [...], "test": null}: a file for --per-split-data-args-path

Megatron-LM draws samples in proportion to the weights, always from the dataset furthest behind its share, and a
sample of a GPTDataset is a window of a fixed number of tokens over documents laid end to end; so a share of samples is
a share of tokens, however long documents are. Prefixes are those of ``jacorpus tokenizer encode --export megatron``.

The held-out blend has the same weights, over the domains that have held-out text: its loss is that of the mixture.
Without weights Megatron-LM would end when it has seen the held-out text once, and a short one ends before the
evaluation does.

Source: NVIDIA/Megatron-LM at d98e8a6, megatron/core/datasets: utils.py (get_blend_from_list),
blended_megatron_dataset_builder.py, blended_dataset.py (weights must be above 0), helpers.cpp (build_blending_indices,
build_sample_idx); megatron/training/utils/common_utils.py (get_blend_and_blend_per_split: a file is split at white
space, and each of the three keys must be there).
"""

import json
from collections.abc import Mapping

from jacorpus.errors import RecipeError
from mixing.exports import decimals
from mixing.mixture import Mixture


def files(mixture: Mixture, tokens: str) -> dict[str, str]:
    """{"blend.txt", "blend.json": text}. Raises RecipeError for a name or folder with white space in it."""
    weights = mixture.in_unit("token")
    train = blend(weights, tokens, "train")
    held_out = {name: weight for name, weight in weights.items() if mixture.domains[name].valid_tokens}
    splits = {"train": train, "valid": blend(held_out, tokens, "valid") if held_out else None, "test": None}
    return {
        "blend.txt": " ".join(train) + "\n",
        "blend.json": json.dumps(splits, ensure_ascii=False, indent=1) + "\n",
    }


def blend(weights: Mapping[str, float], tokens: str, split: str) -> list[str]:
    """[weight, prefix, weight, prefix, ...]."""
    return [word for name, share in decimals(weights).items() for word in (share, prefix(tokens, name, split))]


def prefix(tokens: str, domain: str, split: str) -> str:
    """Path of a domain's split without .bin and .idx. Raises RecipeError for white space, which would cut it in two."""
    found = f"{tokens.rstrip('/')}/export/megatron/{domain}-{split}"
    if found.split() != [found]:
        raise RecipeError(
            f"`{found}` has white space in it, where Megatron-LM would cut it; give domain and folder other names"
        )
    return found
