"""The passage a rule objects to, and the spans in which two texts differ."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacorpus.report.passages import differing, excerpt, merge, offending
from tests.strategies import japanese_text


def marked(signal: str, text: str, keywords=()) -> list[str]:
    return [text[start:stop] for start, stop in offending(signal, text, keywords)]


@pytest.mark.parametrize(
    ("signal", "text", "spans"),
    [
        ("lines.dup_line_ratio", "同じ行\n違う行\n同じ行", ["同じ行", "同じ行"]),
        ("lines.dup_sentence_chars_ratio", "雨だ。晴れだ。雨だ。", ["雨だ。", "雨だ。"]),
        ("repetition.dup_5_type_ratio", "あいうえおxyzあいうえお", ["あいうえお", "あいうえお"]),
        ("repetition.top_2_ratio", "かさ、かさ、き", ["かさ", "かさ"]),
        ("repetition.top_2_ratio", "ああああ", ["ああああ"]),
        ("text.run_max_chars", "abbbbcc", ["bbbb"]),
        ("text.sentence_max_chars", "短い。とてもとても長い文です。", ["とてもとても長い文です。"]),
        ("text.kuten_gap_chars", "あ。句点がないまま続く文", ["句点がないまま続く文"]),
        ("lines.ellipsis_line_ratio", "続きは…\n終わり。\nもっと...", ["続きは…", "もっと..."]),
        ("lines.short_line_ratio", "メニュー\n" + "長い" * 8, ["メニュー"]),
        ("lines.bullet_line_ratio", "- 項目\n本文。", ["- 項目"]),
        ("lines.terminal_line_ratio", "見出し\n本文です。", ["見出し"]),
        ("text.katakana_ratio", "今日はセールです", ["セール"]),
        ("language.label", "これは日本語の文の中の русский です", ["русский"]),
        ("language.label", "日本語の文の中に、한국어 の語がある。", ["한국어"]),
        ("language.label", "это русский です", []),
        ("words.dup_5_word_cover_ratio", "一二三四五六七八九十x一二三四五六七八九十", ["一二三四五六七八九十"] * 2),
        ("text.chars", "短い", []),
        ("text.unheard_of", "何か", []),
        ("lines.dup_line_ratio", "", []),
    ],
)
def test_each_family_marks_its_passage(signal, text, spans):
    assert marked(signal, text) == spans


def test_keywords_are_marked_but_not_inside_longer_katakana():
    assert marked("ng.bad_hits", "アスパラガスとアス、悪い語", ("アス", "悪い語", "悪い")) == ["アス", "悪い語"]


def test_merge_joins_what_touches():
    assert merge([(5, 6), (0, 2), (2, 3), (1, 2), (9, 9)]) == [(0, 3), (5, 6)]


def test_excerpt_shows_the_window_with_most_marks():
    text = "x" * 1000 + "悪" * 10 + "y" * 1000
    pieces = excerpt(text, [(3, 4), (1000, 1010)], shown=100)
    assert [piece.mark for piece in pieces] == ["gap", "", "hit", "", "gap"]
    assert sum(len(piece.text) for piece in pieces) == 100


@given(japanese_text, st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80)), max_size=6))
@settings(max_examples=60, deadline=None)
def test_excerpt_of_a_short_text_is_the_text(text, spans):
    assert "".join(piece.text for piece in excerpt(text, merge(spans))).replace("⏎", "") == text[:600]


def test_blank_lines_are_marked_where_they_count_as_equal():
    text = "一行。\n\n二行。\n \n三行。"
    assert offending("lines.dup_line_ratio", text) == []
    pieces = excerpt(text, offending("lines.dup_line_ratio", text, blank_lines=True))
    assert [p.text for p in pieces if p.mark] == ["⏎\n", "⏎\n"]


def test_differing_names_what_each_has_alone():
    pieces = differing("朝の港に船が並ぶ。", "朝の港に車が並ぶ。")
    assert [(p.text, p.mark) for p in pieces if p.mark] == [("船", "removed"), ("車", "added")]


def test_differing_starts_at_the_first_difference_and_shortens_what_is_shared():
    shared = "".join(chr(0x4E00 + i) for i in range(900))
    pieces = differing(shared + "A。" + shared + "B", shared + "C。" + shared + "D", shown=600)
    assert pieces[0].mark == "gap"
    assert {p.text for p in pieces if p.mark == "removed"} == {"A", "B"}
    assert sum(len(p.text) for p in pieces) < 300


def test_a_comparison_that_is_cut_claims_no_difference_at_its_end():
    long = "猫が鳴く。" * 2000
    pieces = differing("犬。" + long, "鳥。" + long + "終わり")
    assert [p.text for p in pieces if p.mark in ("removed", "added")] == ["犬", "鳥"]


@given(japanese_text, japanese_text)
@settings(max_examples=60, deadline=None)
def test_differing_gives_both_texts_back(a, b):
    pieces = differing(a[:60], b[:60], around=100)
    assert "".join(p.text for p in pieces if p.mark != "added").replace("⏎", "") == a[:60]
    assert "".join(p.text for p in pieces if p.mark != "removed").replace("⏎", "") == b[:60]
