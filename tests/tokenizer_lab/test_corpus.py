"""Domains out of the words of a command line, their splits, and the draw that training sees."""

import gzip
import json
from pathlib import Path

import pytest

from jacorpus.errors import InputError
from tests.small import prose, run_small, write_corpus
from tokenizer_lab.corpus import draw, open_corpus


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), "utf-8")
    return path


def texts_of(domains: list, split: str | None = None) -> list[str]:
    return [t for domain in domains for batch in domain.documents(split) for t in batch["text"].to_pylist()]


def test_names_and_files(tmp_path: Path) -> None:
    (tmp_path / "ja").mkdir()
    write(tmp_path / "ja/a.jsonl", ["一", "二"])
    write(tmp_path / "b.jsonl", ["三"])
    domains = open_corpus([str(tmp_path / "ja/a.jsonl"), f"x={tmp_path}/b.jsonl"])
    assert [domain.name for domain in domains] == ["ja/a", "x"]
    assert texts_of(domains) == ["一", "二", "三"]


def test_a_corpus_run_brings_its_domains_and_split(tmp_path: Path) -> None:
    write_corpus(tmp_path / "in")
    manifest = run_small(tmp_path / "in", tmp_path / "out", valid_ratio=0.2)
    domains = open_corpus([str(tmp_path / "out")])
    assert [domain.name for domain in domains] == ["web"]
    train, held = texts_of(domains, "train"), texts_of(domains, "valid")
    assert held
    assert len(train) + len(held) == manifest["counts"]["kept"] == len(texts_of(domains))
    assert not set(train) & set(held)


def test_other_files_hold_out_documents_by_hash(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [prose(i, 1) for i in range(2000)])
    domains = open_corpus([str(path)])
    train, held = texts_of(domains, "train"), texts_of(domains, "valid")
    assert 2 <= len(held) <= 30
    assert len(train) + len(held) == 2000


@pytest.mark.parametrize(
    ("name", "words"), [("a.warc.gz", "curate them first"), ("a.xyz", "of no known kind"), ("", "none-")]
)
def test_what_is_no_corpus(tmp_path: Path, name: str, words: str) -> None:
    if name:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=words):
        open_corpus([str(tmp_path / (name or "none-*.jsonl"))])


def test_two_domains_of_one_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ["一"])
    with pytest.raises(InputError, match="NAME=PATH"):
        open_corpus([f"x={path}", f"x={path}"])


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\n{"text": "\xff"}\nnonsense\n')
    domains = open_corpus([str(tmp_path / "a.jsonl")])
    assert texts_of(domains) == ["a"]
    assert domains[0].lost == {"a.jsonl: json": 2}


def test_a_draw_does_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.jsonl", [prose(100 * i + j, 2) for j in range(50)])
    one = draw(open_corpus([f"x={tmp_path}"]), 20_000, seed=3)
    reverse = ",".join(str(tmp_path / f"{i}.jsonl") for i in reversed(range(4)))
    other = draw(open_corpus([f"x={reverse}"]), 20_000, seed=3)
    assert one.texts.equals(other.texts)
    assert 15_000 < one.taken_bytes["x"] <= 20_000
    assert not draw(open_corpus([f"x={tmp_path}"]), 20_000, seed=4).texts.equals(one.texts)


def test_weights_share_the_budget(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [prose(i, 2) for i in range(100)])
    b = write(tmp_path / "b.jsonl", [prose(i + 1000, 2) for i in range(400)])
    drawn = draw(open_corpus([f"a={a}", f"b={b}"]), 16_000, weights={"a": 3, "b": 1})
    assert drawn.taken_bytes["a"] == pytest.approx(12_000, rel=0.1)
    assert drawn.taken_bytes["b"] == pytest.approx(4_000, rel=0.2)
    with pytest.raises(InputError, match="the corpus has a, b"):
        draw(open_corpus([f"a={a}", f"b={b}"]), 16_000, weights={"c": 1.0})


def test_nothing_to_draw(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ["", ""])
    with pytest.raises(InputError, match="nothing to read"):
        draw(open_corpus([str(path)]), 1000)


def test_compressed_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress('{"text": "圧縮"}\n'.encode(), mtime=0))
    assert texts_of(open_corpus([str(tmp_path / "a.jsonl.gz")])) == ["圧縮"]


def test_text_files_are_documents_with_their_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + "あ\nい\n".encode())
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("日本語の文章です。".encode("cp932") * 9, mtime=0))
    (tmp_path / "c.md").write_bytes(b"")
    (tmp_path / "d.txt").write_bytes(bytes(range(32)) * 9)
    domains = open_corpus([f"x={tmp_path}"])
    assert texts_of(domains) == ["あ\nい\n", "日本語の文章です。" * 9]
    assert domains[0].lost == {"c.md: empty": 1, "d.txt: over_budget": 1}
    assert draw(domains, 1000, split=None).documents == {"x": 2}


def test_what_was_lost_is_told_where_nothing_is_left_and_counted_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "x"}\n' * 3, "utf-8")
    domains = open_corpus([str(tmp_path / "a.jsonl")])
    for _ in range(2):
        with pytest.raises(InputError, match=r"3 records could not be read \(a.jsonl: missing_text\).*--column"):
            draw(domains, 1000)
