"""Ruby goes, the base stays; on real Aozora files nothing but markup goes."""

import io
import re
import tarfile

import pytest
import zstandard

from jacorpus.normalize.ruby import Ruby, without_ruby
from tests.jacorpus.normalize.documents import apply_texts


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("木挽《こびき》の万更｜白痴《たわけ》だ", "木挽の万更白痴だ"),
        ("｜Paris《パリ》へ", "Parisへ"),
        ("人々《ひとびと》が", "人々が"),
        ("彼は《時計》と言った", "彼は《時計》と言った"),
        ("<ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>と", "漢字と"),
        ("題［＃「題」は中見出し］", "題［＃「題」は中見出し］"),
        ("一｜二", "一｜二"),
    ],
)
def test_takes_out(text, plain):
    assert apply_texts(Ruby(), [text, "なし"]) == [plain, "なし"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("題［＃「題」は中見出し］", "題"),
        ("※［＃「てへん＋劣」、第3水準1-84-77］《もぎ》る", "挘る"),
        ("※［＃「口＋世」、U+546D、12-3］", "呭"),
        ("※［＃「不明」、12-3］", "〓"),
    ],
)
def test_notes_are_an_option(text, plain):
    assert apply_texts(Ruby(notes=True), [text]) == [plain]


def test_agrees_with_cleaned_aozora_texts(real_data):
    archive = real_data / "raw" / "aozora_sjis_txt.tar.zst"
    clean = {}
    with zstandard.open(real_data / "ja" / "aozora.jsonl.zst", "rt", encoding="utf-8", newline="\n") as lines:
        import orjson

        for line in lines:
            row = orjson.loads(line)
            clean[row["id"].removeprefix("aozora-")] = row["text"]
    with zstandard.open(archive, "rb") as stream, tarfile.open(fileobj=io.BytesIO(stream.read())) as files:
        wanted = [member for member in files if member.isfile()][:40]
        agreed = total = 0
        for member in wanted:
            name = member.name.rsplit("/", 1)[-1].removesuffix(".txt")
            if name not in clean:
                continue
            raw = files.extractfile(member).read().decode("cp932", "replace").replace("\r\n", "\n")
            mine = {line.strip("　 ") for line in without_ruby(raw, notes=True).split("\n")}
            lines = [line.strip("　 ") for line in clean[name].split("\n") if re.search(r"\w", line)]
            agreed += sum(line in mine for line in lines)
            total += len(lines)
    assert total > 1000
    assert agreed / total > 0.98
