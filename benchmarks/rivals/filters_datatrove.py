"""datatrove's Gopher repetition, FineWeb quality and Gopher quality filters with FineWeb-2's Japanese bounds.

``filters_datatrove.py IN.jsonl``. Dropped documents skip the filters after the one that dropped them, and words
are found once a document (datatrove remembers its last ones), as in use.
"""

import sys
from collections.abc import Iterator
from typing import Any

from clock import documents, measured, say
from datatrove.data import Document
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.utils.typeshelper import Languages

LANGUAGE = Languages.japanese__jpan
STOP_WORDS = ["の", "に", "を", "は", "が", "と", "で", "た", "し", "て", "な", "も", "れ", "する", "さ", "ます"]


def filters() -> list[Any]:
    """In the order of FineWeb-2's pipeline; the bounds of its Japanese configuration."""
    covers = ((5, 0.243), (6, 0.225), (7, 0.207), (8, 0.19), (9, 0.175), (10, 0.159))
    return [
        GopherRepetitionFilter(
            dup_line_frac=0.328,
            dup_para_frac=None,
            dup_line_char_frac=None,
            dup_para_char_frac=None,
            top_n_grams=((2, 0.239), (3, 0.196), (4, 0.172)),
            dup_n_grams=covers,
            language=LANGUAGE,
        ),
        FineWebQualityFilter(
            line_punct_thr=0.096, short_line_thr=999, char_duplicates_ratio=0.1, new_line_ratio=0.13, language=LANGUAGE
        ),
        GopherQualityFilter(
            min_avg_word_length=1,
            max_avg_word_length=6,
            max_non_alpha_words_ratio=0.759,
            min_stop_words=2,
            stop_words=STOP_WORDS,
            language=LANGUAGE,
        ),
    ]


def run(texts: list[str]) -> int:
    """Documents kept."""
    data: Iterator[Document] = (Document(text=text, id=str(i)) for i, text in enumerate(texts))
    for one in filters():
        data = one.run(data)
    return sum(1 for _ in data)


if __name__ == "__main__":
    texts = [row["text"] for row in documents(sys.argv[1])]
    run(texts[:10])
    cpu, wall, kept = measured(lambda: run(texts))
    say(["datatrove", "spacy", "SudachiPy"], cpu, wall, kept=kept, documents=len(texts))
