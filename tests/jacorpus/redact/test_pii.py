import random

import pyarrow as pa
import pytest

from jacorpus.redact.pii import DEFAULT, KINDS, Pii, luhn, my_number_check_digit
from jacorpus.schema import DOCUMENT


def batch_of(*texts):
    rows = [
        {
            "id": n.to_bytes(16, "big"),
            "text": text,
            "domain": "d",
            "url": None,
            "lang": None,
            "timestamp": None,
            "meta": None,
        }
        for n, text in enumerate(texts)
    ]
    return pa.RecordBatch.from_pylist(rows, DOCUMENT)


def redact(text, kinds=KINDS):
    return Pii(kinds=tuple(kinds)).apply(batch_of(text)).batch["text"][0].as_py()


HITS = [
    ("お電話は03-1234-5678まで。", "お電話は<PHONE>まで。"),
    ("TEL:０３－１２３４－５６７８（代表）", "TEL:<PHONE>（代表）"),
    ("TEL03-3456-7890FAX03-3456-7891", "TEL<PHONE>FAX<PHONE>"),
    ("(03)3456-7890 です", "<PHONE> です"),
    ("０３（３４５６）７８９０", "<PHONE>"),
    ("（03-3456-7890）", "（<PHONE>）"),
    ("電話 0467ー22ー3456", "電話 <PHONE>"),
    ("電話 0334567890 へ", "電話 <PHONE> へ"),
    ("電話番号 03 3456 7890", "電話番号 <PHONE>"),
    ("04992-2-3456 小笠原", "<PHONE> 小笠原"),
    ("IP電話 050-3456-7890", "IP電話 <PHONE>"),
    ("携帯は090−1234−5678、", "携帯は<MOBILE>、"),
    ("携帯は09012345678です", "携帯は<MOBILE>です"),
    ("1. 080-1234-5678", "1. <MOBILE>"),
    ("080-0123-4567", "<MOBILE>"),
    ("2020 070-1234-5678 と 080‐1234‐5678", "2020 <MOBILE> と <MOBILE>"),
    ("フリーダイヤル 0120-123-456", "フリーダイヤル <TOLL_FREE>"),
    ("0120-12-3456／0800-123-4567", "<TOLL_FREE>／<TOLL_FREE>"),
    ("+81-3-1234-5678", "<INTERNATIONAL>"),
    ("＋８１ ９０ １２３４ ５６７８", "<INTERNATIONAL>"),
    ("+81 (0)3-1234-5678.", "<INTERNATIONAL>."),
    ("メールはtaro.yamada@mail.co.jpまで", "メールは<EMAIL>まで"),
    ("ｔａｒｏ＠ｍａｉｌ．ｃｏ．ｊｐへ", "<EMAIL>へ"),
    ("09012345678@docomo.ne.jp", "<EMAIL>"),
    ("<info@city.sapporo.jp>", "<<EMAIL>>"),
    ("接続元は210.8.4.4でした", "接続元は<IPV4>でした"),
    ("210．251．121．214", "<IPV4>"),
    ("マイナンバーは1234 5678 9018です", "マイナンバーは<MY_NUMBER>です"),
    ("個人番号：１２３４５６７８９０１８", "個人番号：<MY_NUMBER>"),
    ("123456789018（マイナンバー）", "<MY_NUMBER>（マイナンバー）"),
    ("カード番号 4111 1111 1111 1111", "カード番号 <CREDIT_CARD>"),
    ("3782-822463-10005", "<CREDIT_CARD>"),
    ("３５３０１１１３３３３０００００", "<CREDIT_CARD>"),
    ("みなと銀行 青山支店 普通 1234567", "みなと銀行 青山支店 普通 <BANK>"),
    ("普通預金（口座番号：１２３４５６７）", "普通預金（口座番号：<BANK>）"),
    ("みなと銀行 店番-口座 123-4567890", "みなと銀行 店番-口座 <BANK>"),
    ("ゆうちょ銀行 記号10100 番号12345671", "ゆうちょ銀行 記号10100 番号<BANK>"),
    ("〒100-0001", "〒<POSTAL>"),
    ("郵便番号：１００ー０００１", "郵便番号：<POSTAL>"),
    ("100-0001 東京都千代田区千代田1-1", "<POSTAL> <ADDRESS>"),
    ("住所は神奈川県横浜市西区みなとみらい２丁目３番１号です", "住所は<ADDRESS>です"),
    ("北海道札幌市中央区北一条西二丁目", "<ADDRESS>"),
    ("長野県北佐久郡軽井沢町大字長倉1234番地の5、", "<ADDRESS>、"),
]


@pytest.mark.parametrize(("text", "wanted"), HITS)
def test_personal_data_is_replaced(text, wanted):
    assert redact(text) == wanted


LEFT = [
    "2024-01-15 10:30:45",
    "2024年1月15日、令和6年1月15日、昭和63年12月31日",
    "平成01-02-2020 2020/01/05-2020/02/10",
    "定価1,234,567円、09,012,345,678円、¥0312345678",
    "ISBN 978-4-06-519981-7 と ISBN4-06-519981-9 と 0-306-40615-2",
    "v1.2.3.4 バージョン10.2.3.44 Version: 8.8.8.88 2.5.29.17 8.8.8.8",
    "1.2.3.4.5 256.8.8.8 192.168.1.1 127.0.0.1 10.0.0.1 172.16.0.1",
    "型番 AB-03-1234-5678、X0312345678、03-1234-5678-90、ABC090-1234-5678",
    "部品 05-1234-5678、03-0123-4567、12-3456-7890",
    "時刻09:00-10:30 受付0900-1030",
    "0.09012345678 と 3.141592653589793 と 1234567.0901234567",
    "コード 0312345678 は番号札",
    "123456789018 はただの数",
    "マイナンバーは123456789012ではない",
    "法人番号1234567890123 個人番号ではない1234567890184",
    "4111111111111112 と 1234567890123456 と 41111111111111110",
    "0.4111111111111111",
    "普通1234567円の口座残高",
    "銀行の利用者は1234567人",
    "100-0001 は郵便ではない",
    "npm@1.2.3.4 と @types/node と logo@2x.png と user@localhost と git@github.com:a/b.git と a@example.com",
    "東京都渋谷区で3番目に高い",
    "東京都千代田区は1947年に",
    "https://host.jp/item/0312345678?id=09012345678",
    "コーヒーー1杯ー2杯ー300円",
    "0000000000 00000000000",
]


@pytest.mark.parametrize("text", LEFT)
def test_other_numbers_stay(text):
    assert redact(text) == text


def test_defaults_leave_what_belongs_to_a_place_or_company():
    text = "〒100-0001 東京都千代田区千代田1-1 フリーダイヤル0120-123-456"
    assert redact(text, DEFAULT) == text


def test_counts_and_rows():
    stage = Pii(kinds=("phone", "email"), token="[{kind}]")
    batch = batch_of("a@b.jp 03-1234-5678 c@d.jp", "", "𠮷野 TEL03-1234-5678😀")
    applied = stage.apply(batch)
    assert list(stage.columns()) == ["email", "phone"] == list(applied.columns)
    assert applied.columns["email"].tolist() == [2, 0, 0]
    assert applied.columns["phone"].tolist() == [1, 0, 1]
    assert applied.batch["text"].to_pylist() == ["[EMAIL] [PHONE] [EMAIL]", "", "𠮷野 TEL[PHONE]😀"]
    assert applied.batch.drop_columns(["text"]).equals(batch.drop_columns(["text"]))
    assert applied.batch.schema == batch.schema
    assert not applied.failures
    sliced = stage.apply(batch.slice(1))
    assert sliced.columns["phone"].tolist() == [0, 1]


def test_text_without_personal_data_is_the_same_batch():
    batch = batch_of("春はあけぼの。", "2024-01-01")
    assert Pii().apply(batch).batch is batch


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="passport"):
        Pii(kinds=("passport",))


def test_check_digits():
    assert my_number_check_digit("12345678901") == 8
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")


def test_seeded_numbers_are_found_in_any_width():
    """Recall over generated numbers in running text: all of them, and not a byte else changes."""
    draw = random.Random(0)
    full = str.maketrans("0123456789-", "０１２３４５６７８９－")
    for _ in range(300):
        exchange, last = draw.randint(2000, 9999), draw.randint(0, 9999)
        number, kind = draw.choice(
            [
                (f"03-{exchange}-{last:04}", "PHONE"),
                (f"0{draw.choice('789')}0-{exchange}-{last:04}", "MOBILE"),
                (f"+81-90-{exchange}-{last:04}", "INTERNATIONAL"),
                (f"taro{last}@mail{exchange}.jp", "EMAIL"),
            ]
        )
        if draw.random() < 0.5:
            number = number.translate(full)
        left, right = draw.choice(["連絡は", "（", "2024年、", "𠮷"]), draw.choice(["まで", "）", "。2024", "、"])
        assert redact(left + number + right) == f"{left}<{kind}>{right}"


def test_false_alarms_on_literature_are_none(real_data):
    import io
    import json

    import zstandard

    with open(real_data / "ja" / "aozora.jsonl.zst", "rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(800), strict=False)]
    assert Pii().find(pa.array(texts, pa.large_string())) == []
