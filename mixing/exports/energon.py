"""A metadataset of Megatron-Energon: shares of **documents**.

    metadataset.yaml    splits: train: blend: [{weight, path}, ...]

Energon draws training samples in proportion to the weights, and a sample is what its dataset holds, here a document,
before any packing; so weights are converted as for Hugging Face (huggingface.py). Its datasets are of a format of
their own: ``path`` names a folder for each domain beside the file, which is to be prepared with its tools.

Source: nvidia.github.io/Megatron-Energon, basic/metadataset.html (MetadatasetV2: "out of the yielded training
samples"). Not run against the library.
"""

import json

from mixing.exports import decimals
from mixing.mixture import Mixture


def files(mixture: Mixture, tokens: str) -> dict[str, str]:
    """{"metadataset.yaml": text}; paths are quoted as in JSON, which YAML reads."""
    lines = ["__module__: megatron.energon", "__class__: MetadatasetV2", "splits:", "  train:", "    blend:"]
    for name, share in decimals(mixture.in_unit("document")).items():
        lines += [f"      - weight: {share}", f"        path: {json.dumps(f'./{name}', ensure_ascii=False)}"]
    return {"metadataset.yaml": "\n".join(lines) + "\n"}
