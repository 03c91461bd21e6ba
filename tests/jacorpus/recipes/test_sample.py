"""The bundled documents are what their generator makes, and what it says of them is true."""

import json
import tomllib
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import jacorpus.recipes.sample
from jacorpus.recipes.sample.generate import FILES, QUESTIONS, Generated, generate, write
from jacorpus.recipes.sample.pages import CODECS
from jacorpus.recipes.sample.prose import Dice, fill, my_number
from jacorpus.sources.jsonl import Jsonl
from jacorpus.sources.paths import expand
from jacorpus.sources.warc import Warc
from jacorpus.stage import Chunk, InputFile, Source
from tests.jacorpus.sources.reading import put, read_all

FOLDER = Path(jacorpus.recipes.sample.__file__).parent
SOURCES: dict[str, Source] = {"pages.warc.gz": Warc(), "notes.jsonl": Jsonl()}


@pytest.fixture(scope="module")
def made() -> Generated:
    return generate()


@pytest.fixture(scope="module")
def read() -> dict[str, Chunk]:
    files = {name: InputFile(str(FOLDER / name), name, (FOLDER / name).stat().st_size) for name in SOURCES}
    return {name: read_all(source, files[name]) for name, source in SOURCES.items()}


def unpacked(archive: bytes) -> list[bytes]:
    """What each member holds, as far as it can be had."""
    members = []
    while archive:
        decoder, size = zlib.decompressobj(31), len(archive)
        try:
            members.append(decoder.decompress(archive))
            archive = decoder.unused_data
        except zlib.error:
            archive = archive[archive.index(b"\x1f\x8b\x08", 1) :]
        assert len(archive) < size
    return members


def test_the_bundled_files_are_what_the_generator_makes(made: Generated):
    for name in FILES:
        bundled = (FOLDER / name).read_bytes()
        if bundled != made.files[name]:  # another zlib packs the same bytes in another way
            assert name == "pages.warc.gz"
            assert unpacked(bundled)[:-1] == unpacked(made.files[name])[:-1]


def test_the_files_are_small():
    assert sum((FOLDER / name).stat().st_size for name in FILES) < 600_000


def test_written_files_come_with_the_truth(tmp_path: Path, made: Generated):
    write(tmp_path)
    lines = (tmp_path / "truth.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == made.truth


def test_every_record_read_has_its_truth(made: Generated, read: dict[str, Chunk]):
    truth = {(entry["file"], entry["position"]): entry for entry in made.truth}
    assert len(truth) == len(made.truth)
    seen = set()
    for name, chunk in read.items():
        for row in chunk.records.to_pylist():
            entry = truth[name, row["position"]]
            assert row["url"] == entry["url"]
            assert row["body"] is not None or row["text"] == entry["text"]
            seen.add((name, row["position"]))
        for lost in chunk.lost:
            assert truth[name, lost.position]["kind"] == "broken"
            seen.add((name, lost.position))
    assert seen == set(truth)


def test_the_damage_is_found(made: Generated, read: dict[str, Chunk]):
    assert [lost.reason for lost in sorted(read["pages.warc.gz"].lost, key=lambda lost: lost.reason)] == [
        "content_encoding",
        "corrupt",
        "http_header",
        "truncated",
    ]
    assert Counter(lost.reason for lost in read["notes.jsonl"].lost) == {"json": 3, "text_type": 1, "missing_text": 1}
    assert read["notes.jsonl"].skipped["blank"] > 0
    assert read["pages.warc.gz"].skipped["request"] > 0


def test_pages_are_in_the_charset_that_is_told(made: Generated, read: dict[str, Chunk]):
    truth = {entry["position"]: entry for entry in made.truth if entry["file"] == "pages.warc.gz"}
    charsets = Counter()
    for row in read["pages.warc.gz"].records.to_pylist():
        entry = truth[row["position"]]
        if entry["text"] is None or entry["damage"]:
            continue
        page = row["body"].decode(CODECS[entry["charset"]])
        assert entry["text"].partition("\n")[0] in page
        charsets[entry["charset"]] += 1
    assert min(charsets[name] for name in CODECS) >= 15


def test_there_is_some_of_everything(made: Generated):
    kinds = Counter(entry["kind"] for entry in made.truth)
    assert kinds["good"] >= 200
    assert min(kinds[kind] for kind in ("spam", "foreign", "near_duplicate", "exact_duplicate", "broken")) >= 10
    assert {entry["language"] for entry in made.truth} == {"ja", "en", "zh", "ko", "fr"}
    assert {name for entry in made.truth for name in entry["contains"]} == {"personal", "benchmark"}


def jaccard_of_all(texts: list[str]) -> np.ndarray:
    """Exact Jaccard index of the 5-grams of each pair."""
    numbers: dict[str, int] = {}
    grams = [
        np.unique([numbers.setdefault(text[i : i + 5], len(numbers)) for i in range(len(text) - 4)]) for text in texts
    ]
    member = np.zeros((len(texts), len(numbers)), np.float32)
    for row, columns in enumerate(grams):
        member[row, columns] = 1
    shared, sizes = member @ member.T, member.sum(axis=1)
    return shared / (sizes[:, None] + sizes[None, :] - shared)


def test_duplicates_are_near_and_all_others_are_not(made: Generated):
    entries = [entry for entry in made.truth if entry["kind"] in ("good", "near_duplicate", "exact_duplicate")]
    jaccard = jaccard_of_all([entry["text"] for entry in entries])
    first = np.array([entry["of"] or entry["url"] for entry in entries])
    same = first[:, None] == first[None, :]
    assert jaccard[same].min() > 0.6
    assert jaccard[~same].max() < 0.55


def test_personal_data_and_questions_are_in_the_text(made: Generated):
    for entry in made.truth:
        assert all(text in entry["text"] for text in entry["redact"])
        assert ("personal" in entry["contains"]) == bool(entry["redact"])
        if "benchmark" in entry["contains"]:
            assert any(question in entry["text"] for question, _ in QUESTIONS)


def test_my_number_has_its_check_digit():
    for i in range(50):
        digits = [int(digit) for digit in my_number(Dice("test", i))]
        weights = [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]  # the ordinance's Q for n = 11 down to 1
        rest = sum(digit * weight for digit, weight in zip(digits, weights, strict=False)) % 11
        assert digits[11] == (0 if rest <= 1 else 11 - rest)


def test_a_word_fills_no_two_slots():
    for i in range(30):
        first, second = fill("{vegetable}/{vegetable}", Dice("slots", i)).split("/")
        assert first != second


def test_the_recipe_names_files_that_are_there():
    recipe = tomllib.loads((FOLDER / "recipe.toml").read_text("utf-8"))
    for source in recipe["source"]:
        assert expand(source["paths"], FOLDER)
    stages = [stage["use"] for stage in recipe["stage"]]
    assert len(stages) == len(set(stages))


def test_damage_to_the_archive_is_told_by_position(tmp_path: Path, made: Generated):
    file = put(tmp_path, "pages.warc.gz", made.files["pages.warc.gz"])
    spans = Warc().cut(file, 50_000)
    lost = [lost.position for span in spans for chunk in Warc().read(file, span) for lost in chunk.lost]
    told = {"http_header", "content_encoding", "gzip_member", "cut_off"}
    assert lost == [entry["position"] for entry in made.truth if entry["damage"] in told]
