import io
import json
from collections import Counter

import pyarrow as pa
import pytest
import zstandard

from jacorpus.dedup.paragraphs import Paragraphs
from jacorpus.schema import DOCUMENT
from jacorpus.stage import Cut, SignaturePart

MENU = ["ホーム", "お問い合わせ", "サイトマップ"]


def batch_of(texts):
    rows = [{"id": n.to_bytes(16, "big"), "text": text, "domain": "d"} for n, text in enumerate(texts)]
    return pa.RecordBatch.from_pylist(rows, DOCUMENT)


def parts_of(stage, texts, folder, size):
    parts = []
    for first in range(0, len(texts), size):
        chosen = texts[first : first + size]
        table = pa.table(stage.sign(batch_of(texts).slice(first, size)), schema=stage.signature_schema())
        path = folder / f"{first}-{size}.arrow"
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
        parts.append(SignaturePart(path, first, len(chosen)))
    return parts


def counted(stage, parts, partitions):
    return pa.concat_tables([stage.count(parts, p, partitions) for p in range(partitions)])


def run(stage, texts, folder, size=100, partitions=1):
    parts = parts_of(stage, texts, folder, size)
    frequent = counted(stage, parts, partitions)
    signatures = pa.concat_tables([part.table() for part in parts])
    measured = stage.measure(signatures, frequent)
    assert list(measured) == list(stage.columns())
    return stage.cut(batch_of(texts), frequent), {name: pa.array(c).to_pylist() for name, c in measured.items()}


def pages(count):
    return ["\n".join([*MENU, "", f"第{n}話の本文です。", "", "著作権所有"]) for n in range(count)]


def test_menus_and_footers_go(tmp_path):
    stage = Paragraphs(frequency=5)
    assert isinstance(stage, Cut)
    texts = [*pages(5), "＜ホーム＞\n本文が先\nホーム\n本文が後", "ただの文"]
    batch, columns = run(stage, texts, tmp_path)
    assert batch["text"].to_pylist() == [
        *(f"第{n}話の本文です。" for n in range(5)),
        "本文が先\nホーム\n本文が後",
        "ただの文",
    ]
    assert batch.schema == batch_of(texts).schema
    assert batch.drop_columns(["text"]).equals(batch_of(texts).drop_columns(["text"]))
    assert columns["chars"] == [*[9] * 5, 11, 4]
    assert columns["cut_chars"] == [*[20] * 5, 5, 0]
    assert columns["cut_ratio"][0] == 20 / 29


def test_rare_paragraphs_stay(tmp_path):
    texts = pages(4)
    batch, columns = run(Paragraphs(frequency=5), texts, tmp_path)
    assert batch["text"].to_pylist() == texts
    assert columns["cut_chars"] == [0] * 4


def test_run_is_an_option(tmp_path):
    texts = [f"始め{n}\nあ\nい\n終わり{n}" for n in range(5)]
    assert run(Paragraphs(frequency=5), texts, tmp_path)[0]["text"].to_pylist() == texts
    cut = run(Paragraphs(frequency=5, run=2), texts, tmp_path)[0]["text"].to_pylist()
    assert cut == [f"始め{n}\n終わり{n}" for n in range(5)]


@pytest.mark.parametrize(("size", "partitions"), [(1, 1), (3, 2), (7, 5), (100, 64)])
def test_parts_and_partitions_do_not_matter(tmp_path, size, partitions):
    stage = Paragraphs(frequency=3, copies=True)
    texts = [*pages(7), *pages(3), "", "\n\n"]
    frequent = counted(stage, parts_of(stage, texts, tmp_path, size), partitions)
    assert frequent.equals(stage.count(parts_of(stage, texts, tmp_path, 100), 0, 1))
    assert frequent["hash"].to_pylist() == sorted(frequent["hash"].to_pylist())
    assert Counter(frequent["count"].to_pylist()) == {10: 4, 2: 3}


def test_copies_keeps_about_that_many(tmp_path):
    """200 copies of one text, copies 5: about 5 stay; texts of their own all stay."""
    texts = ["同じ文章の一行目\n同じ文章の二行目"] * 200 + [f"独自の文章{n}" for n in range(50)]
    _, columns = run(Paragraphs(copies=True), texts, tmp_path)
    assert columns["frequency_05"] == [200] * 200 + [1] * 50
    kept = [share <= 5 for share in columns["copies_05"]]
    assert 1 <= sum(kept[:200]) <= 12
    assert all(kept[200:])


def test_percentile_is_from_below(tmp_path):
    texts = ["\n".join([f"固有{n}-{k}" for k in range(2)] + ["共通の行"] * 38) for n in range(3)] + [""]
    _, columns = run(Paragraphs(copies=True), texts, tmp_path)
    assert columns["frequency_05"] == [114, 114, 114, 0]
    texts = ["\n".join([f"固有{n}-{k}" for k in range(3)] + ["共通の行"] * 37) for n in range(3)]
    _, columns = run(Paragraphs(copies=True), texts, tmp_path)
    assert columns["frequency_05"] == [1] * 3
    assert columns["frequency_10"] == [111] * 3


def test_nothing_frequent_is_the_same_batch():
    stage, batch = Paragraphs(), batch_of(["あ", ""])
    assert stage.cut(batch, pa.table({})) is batch
    assert stage.sign(batch.slice(0, 0))["hash"].to_pylist() == []


def test_memory_decides_the_partitions():
    assert Paragraphs().partitions(1000) == 1
    assert Paragraphs(memory_mb=64).partitions(10_000_000) == 458


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="frequency"):
        Paragraphs(frequency=1)


def test_boilerplate_of_real_pages_is_cut(real_data, tmp_path):
    with open(real_data / "ja" / "docs.jsonl.zst", "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(1500), strict=False)]
    batch, columns = run(Paragraphs(frequency=100), texts, tmp_path, 500, 3)
    assert 0 < sum(columns["cut_chars"]) < 0.2 * sum(columns["chars"])
    for before, after in zip(texts, batch["text"].to_pylist(), strict=True):
        remaining = iter(before.split("\n"))
        assert after == "" or all(line in remaining for line in after.split("\n"))
