"""Which questions lie in the training corpus: the share of a question's character n-grams that one document holds.

The rule and its figures are those of decontamination (jacorpus.decontaminate): texts folded, 10-grams, a question is in
the corpus where a document holds 70 % of it. A question under 12 folded characters is looked for with its choices; one
that is too short all the same stays unknown.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tokenizer_lab.corpus import open_corpus
from trainer.evaluate.questions import Asked

N, LEAST, COVERED = 10, 12, 0.7


def contaminated(
    asked: Sequence[Asked], corpus: str | Path, progress: Callable[[int], None] | None = None
) -> list[bool | None]:
    """Of each question whether it lies in documents of split train of a corpus run, or in any of other text files.

    progress: called with the bytes of text read. Errors as tokenizer_lab.corpus.open_corpus.
    """
    from jacorpus.kernels.contamination import build_index, contamination
    from jacorpus.kernels.fold import fold_text_naive

    folded = [fold_text_naive(each.text) for each in asked]
    folded = [
        text if len(text) >= LEAST else fold_text_naive(each.text + "".join(each.choices))
        for text, each in zip(folded, asked, strict=True)
    ]
    index = build_index(folded, N, LEAST)
    grams = [{text[i : i + N] for i in range(len(text) - N + 1)} or {text} for text in folded]
    found: list[bool | None] = [False if count else None for count in index.grams.tolist()]
    for domain in open_corpus([str(corpus)]):
        for batch in domain.documents("train" if domain.shards else None):
            _, which, hits, _ = contamination(batch["text"], index, COVERED)
            for row in np.flatnonzero(hits).tolist():
                found[which[row]] = True
                if hits[row] > 1:  # the index names the best covered alone
                    document = fold_text_naive(batch["text"][row].as_py())
                    for number, wanted in enumerate(grams):
                        if found[number] is False and _holds(document, wanted):
                            found[number] = True
            if progress:
                progress(batch["text"].nbytes)
    return found


def _holds(document: str, wanted: set[str]) -> bool:
    return sum(gram in document for gram in wanted) >= COVERED * len(wanted)
