"""The report of a finished folder, and the page in a real browser."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from jacorpus.report.corpus import corpus_report
from jacorpus.report.report import Excerpts, Histogram, Report, Table, Views, Waterfall

SECTIONS = (
    *("overview", "retention", "thresholds", "rules", "documents", "duplicates"),
    *("failures", "languages", "privacy", "recipe", "run"),
)


@pytest.fixture(scope="module")
def report(finished) -> Report:
    return corpus_report(finished.out, finished.texts)


def blocks(report: Report, key: str, kind: type):
    (section,) = [section for section in report.sections if section.key == key]
    return [block for block in section.blocks if isinstance(block, kind)]


def test_every_section_is_there(report):
    assert tuple(section.key for section in report.sections) == SECTIONS


def test_it_renders_as_json_and_markdown_too(report):
    assert len(json.loads(report.to_json())["sections"]) == len(SECTIONS)
    assert report.to_markdown().count("## ") == len(SECTIONS)


def test_waterfalls_add_up(report, finished):
    counts = json.loads((finished.out / "manifest.json").read_text())["counts"]
    for views in blocks(report, "retention", Views):
        for name, fall in views.views:
            assert isinstance(fall, Waterfall)
            losses = sum(step.value for step in fall.steps if not step.total)
            assert fall.steps[0].value - losses == fall.steps[-1].value
            if name == "documents":
                assert (fall.steps[0].value, fall.steps[-1].value) == (counts["read"], counts["kept"])


def test_histograms_count_every_measured_document(report, finished):
    manifest = json.loads((finished.out / "manifest.json").read_text())
    histograms = {block.title: block for block in blocks(report, "thresholds", Histogram)}
    assert set(histograms) == {
        "text.chars",
        "text.hiragana_ratio",
        "text.sentence_mean_chars",
        "text.dup_line_ratio",
        "text.top_2_ratio",
    }
    assert histograms["text.chars"].total == manifest["signals"][0]["rows"]
    assert histograms["text.chars"].failing == sum(len(t) < 200 for t in finished.by_id.values()) - _failed_short(
        finished
    )
    assert histograms["text.sentence_mean_chars"].unknown > 0


def _failed_short(finished) -> int:
    import pyarrow as pa

    audit = pa.ipc.open_file(finished.out / "audit/part-00000.arrow").read_all().to_pylist()
    return sum(row["state"] == "failed" and len(finished.by_id[row["id"]]) < 200 for row in audit)


def test_rules_table_lists_those_not_in_force(report):
    (table,) = blocks(report, "rules", Table)
    force = Counter(row[5] for row in table.rows)
    assert force == {"yes": 6, "recorded, tier strict": 1, "no: not measured": 1}


def test_dropped_documents_show_their_passage(report):
    groups = {block.title: block for block in blocks(report, "documents", Excerpts)}
    too_short = groups["too_short · rules"].excerpts[0]
    assert too_short.facts[0][1] == "not ≥\u00a0200"
    assert groups["few_hiragana · rules"].total > 4 == len(groups["few_hiragana · rules"].excerpts)
    marks = {piece.mark for block in groups.values() for excerpt in block.excerpts for piece in excerpt.pieces}
    assert {"hit", "removed", "added"} <= marks


def test_benchmarks_and_redactions_are_counted(report):
    redacted, benchmarks = blocks(report, "privacy", Table)
    assert redacted.rows[0] == ("pii.email", 31)
    assert [row[0] for row in benchmarks.rows] == ["jmmlu"]
    assert benchmarks.rows[0][1] > benchmarks.rows[0][2] > 0
    assert {table.columns[0].title for table in blocks(report, "languages", Table)} == {
        "language.lang",
        "extract.charset",
    }


def test_without_texts_kept_documents_are_shown_and_dropped_ones_listed(finished):
    groups = blocks(corpus_report(finished.out), "documents", Excerpts)
    assert all(bool(excerpt.pieces) == (block.tone == "kept") for block in groups for excerpt in block.excerpts)


def test_failures_say_where_and_what(report):
    tables = blocks(report, "failures", Table)
    assert {table.title.split(":")[0] for table in tables} == {"charset · extract", "timeout · extract"}
    assert all(row[0].startswith("crawl-") or row[0] == "記事.jsonl.zst" for table in tables for row in table.rows)


def test_the_report_is_the_same_twice(report, finished):
    assert corpus_report(finished.out, finished.texts).to_html() == report.to_html()


def test_an_empty_run_has_a_report(finished, tmp_path):
    manifest = json.loads((finished.out / "manifest.json").read_text())
    manifest |= {name: [] for name in ("fates", "dedup", "signals", "audit", "clusters", "shards", "inputs")}
    manifest |= {"counts": dict.fromkeys(manifest["counts"], 0), "domains": {}, "written": {}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert "0 records read" in corpus_report(tmp_path).to_html()


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("chromium is absent")
    return found


@pytest.mark.browser
def test_the_page_opens_in_a_browser_without_an_error(report, chromium, tmp_path):
    page = tmp_path / "report.html"
    probe = "document.querySelector('.tabs button:nth-child(2)').click(); document.body.dataset.ran = 'yes';"
    html = report.to_html().replace("</body>", f"<script>{probe}</script></body>")
    page.write_text(html, encoding="utf-8")
    done = _dump(chromium, page, tmp_path / "profile")
    assert "CONSOLE" not in done.stderr
    for key in SECTIONS:
        assert f'<section id="{key}">' in done.stdout
    assert 'data-ran="yes"' in done.stdout
    assert 'aria-selected="true">bytes of text' in done.stdout  # the page's own script answered the click
    assert done.stdout.count("<svg") > 8


def _dump(chromium: str, page: Path, profile: Path) -> subprocess.CompletedProcess[str]:
    """The page's DOM after its scripts ran; console messages go to standard error."""
    flags = (
        "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --enable-logging=stderr"
    )
    command = [
        chromium,
        *flags.split(),
        f"--user-data-dir={profile}",
        "--virtual-time-budget=2000",
        "--dump-dom",
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
