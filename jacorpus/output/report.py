"""Write report.html beside a finished output."""

from functools import partial
from pathlib import Path

from jacorpus.output.explain import texts_of
from jacorpus.output.finished import finished
from jacorpus.report.corpus import corpus_report
from jacorpus.shards import storage_errors


def write_report(out: Path) -> Path:
    """Build the report, with texts of dropped documents where the work folder has them; returns its path."""
    report = corpus_report(out, partial(texts_of, finished(out)))
    path = out / "report.html"
    temporary = path.with_name(f".{path.name}.tmp")
    with storage_errors(out):
        temporary.write_text(report.to_html(), "utf-8")
        temporary.replace(path)
        (out / "report.json").write_text(report.to_json(), "utf-8")
    return path
