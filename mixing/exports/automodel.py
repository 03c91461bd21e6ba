"""A blend for NeMo AutoModel, which trains on Megatron-LM's indexed datasets: shares of **tokens**.

    automodel.json    {"train": ["0.7", PREFIX, "0.3", PREFIX], "valid": [PREFIX, ...]}

Its file is given as ``paths`` of MegatronPretraining. Weights mean what they mean to Megatron-LM (megatron.py). The
held-out split has none: AutoModel reads all of it once by default, and does not take weights then. A split that is not
there is left out, as AutoModel refuses null.

Source: NVIDIA-NeMo/Automodel at 36044ad, nemo_automodel/components/datasets/llm/megatron_dataset.py
(MegatronPretraining, try_load_blend_from_json), docs/guides/llm/pretraining.mdx.
"""

import json

from mixing.exports.megatron import blend, prefix
from mixing.mixture import Mixture


def files(mixture: Mixture, tokens: str) -> dict[str, str]:
    """{"automodel.json": text}. Raises RecipeError for a name or folder with white space in it."""
    weights = mixture.in_unit("token")
    splits = {"train": blend(weights, tokens, "train")}
    held_out = [name for name in sorted(weights) if mixture.domains[name].valid_tokens]
    if held_out:
        splits["valid"] = [prefix(tokens, name, "valid") for name in held_out]
    return {"automodel.json": json.dumps(splits, ensure_ascii=False, indent=1) + "\n"}
