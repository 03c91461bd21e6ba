"""Probabilities for ``datasets.interleave_datasets`` of Hugging Face: shares of **documents**.

    probabilities.json    {"unit": "document", "probabilities": {domain: share}}
    interleave.py         the call, with a dataset for each domain of ``encode --export huggingface``

The library draws a domain for each row, and a row is a document. Where domains' documents differ in length, a share of
documents is another share of tokens: for the token weights a_i and the mean tokens of a document m_i, the probability
of domain i is a_i / m_i over the sum of all. So this is right where documents are used whole. Where each is cut to a
length, or ended by a token (documents are counted without one), means change and with them the shares.

"all_exhausted" begins a small domain anew when it ends, and stops when every document was drawn once: the shares hold
all along, and there may be far more rows than documents; take as many as are to be trained on.

Source: huggingface/datasets 5.2.0, src/datasets/combine.py (interleave_datasets).
"""

import json

from mixing.exports import decimals
from mixing.mixture import Mixture

_SCRIPT = '''"""Domains drawn document by document, so often that each has its share of the tokens."""

from datasets import Dataset, interleave_datasets, load_from_disk

# domain: probability of a document
PROBABILITIES = {{
{rows}
}}


def domains(folder: str = {folder}) -> dict[str, Dataset]:
    """Documents to train on, by domain, of what `jacorpus tokenizer encode --export huggingface` wrote."""
    train = load_from_disk(folder)["train"]
    rows: dict[str, list[int]] = {{name: [] for name in PROBABILITIES}}
    for row, name in enumerate(train["domain"]):
        if name in rows:
            rows[name].append(row)
    return {{name: train.select(mine) for name, mine in rows.items()}}


def mixed(parts: dict[str, Dataset], seed: int = 0) -> Dataset:
    """Rows in the order to train on; small domains come again. Take as many as you train on: .select(range(rows))."""
    return interleave_datasets(
        [parts[name] for name in PROBABILITIES],
        probabilities=list(PROBABILITIES.values()),
        seed=seed,
        stopping_strategy="all_exhausted",
    )
'''


def files(mixture: Mixture, tokens: str) -> dict[str, str]:
    """{"probabilities.json", "interleave.py": text}."""
    shares, of_tokens = decimals(mixture.in_unit("document")), decimals(mixture.in_unit("token"))
    content = {"unit": "document", "probabilities": {name: float(share) for name, share in shares.items()}}
    rows = "\n".join(
        f"    {_quoted(name)}: {share},  # {of_tokens.get(name, '0')} of the tokens" for name, share in shares.items()
    )
    script = _SCRIPT.format(rows=rows, folder=_quoted(f"{tokens.rstrip('/')}/export/huggingface"))
    return {"probabilities.json": json.dumps(content, ensure_ascii=False, indent=1) + "\n", "interleave.py": script}


def _quoted(text: str) -> str:
    """A string literal of Python, which reads those of JSON."""
    return json.dumps(text, ensure_ascii=False)
