"""Hypothesis strategies for Japanese text: the corners where English-first tools break."""

from hypothesis import strategies as st

HALF_WIDTH_KANA = "".join(map(chr, range(0xFF61, 0xFFA0)))
COMBINING = "か\u3099は\u309aカ\u3099ハ\u309a゛゜\u3099\u309a"
SUPPLEMENTARY = "𠮷𩸽𠀋😀👨‍👩‍👧"
COMMON = "日本語の文章、テスト。ひらがなカタカナ漢字ABCabc0123 \n\t・…！？「」ー〜～－"

japanese_chars = st.one_of(
    st.sampled_from(COMMON),
    st.sampled_from(HALF_WIDTH_KANA),
    st.sampled_from(COMBINING),
    st.sampled_from(SUPPLEMENTARY),
    st.characters(codec="utf-8"),
)
japanese_text = st.text(japanese_chars, max_size=200)
japanese_texts = st.lists(st.one_of(st.none(), japanese_text), max_size=12)
