"""Measures of synthetic documents against closed forms and an oracle; rules that keep and drop at their bounds."""

import itertools
from typing import Any

import pytest

from jacorpus.errors import RecipeError
from jacorpus.rule import rule_from_table
from jacorpus.synthesize.checks import CONSTRAINTS, Checks, chrf, draw_constraint, names
from jacorpus.synthesize.template import Document, Template, load_template
from tests.small import prose

SEED = "1964年10月10日、東京で開会式が開かれた。参加したのは93の国と地域、およそ5,133人である。"


def _template(rules: list[dict[str, Any]], judge: bool = False) -> Template:
    made = tuple(rule_from_table(rule, "synthesize", None, "here") for rule in rules)
    told = {"forward": "forward", "backward": "backward"} if judge else {}
    return Template("t", "1", "text", (), {"text": "{x}"}, told, made, 0, "")


def _measures(text: str, seed: str = SEED, values: Any = None, glossary: Any = None) -> dict[str, Any]:
    rules = [{"signal": "seed.names_kept", "min": 0}]
    return Checks(_template(rules), (), glossary or {}).judge(b"0" * 16, Document(text), seed, values or {}).measures


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("the cat sat on the mat", "the cat is on the mat"),
        ("猫は畳の上に座った。", "猫が畳の上に座っている。"),
        ("短い", "短い"),
        ("あ", "あいうえおかきくけこ"),
        ("まったく別", "unrelated"),
        ("", "空"),
        (prose(1), prose(2)),
        (prose(3), prose(3) + prose(4)),
    ],
)
def test_chrf_is_sacrebleus(ours: str, theirs: str) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    assert chrf(ours, theirs) == pytest.approx(sacrebleu.sentence_chrf(ours, [theirs]).score, abs=1e-9)


def test_numbers_and_names_of_the_seed() -> None:
    found = _measures("東京大会は１９６４年に開かれ、93の国と地域から5133人と2頭が来た。")
    assert found["seed.numbers_kept"] == pytest.approx(3 / 4)  # 1964, 10, 93, 5133 but 10
    assert found["seed.numbers_grounded"] == pytest.approx(3 / 4)  # 2 comes from nowhere
    assert found["seed.names_kept"] == 1
    assert _measures("京都で開かれた。")["seed.names_kept"] == 0
    assert _measures("何もない。", "何もない。")["seed.numbers_kept"] is None
    assert {"東京", "Linus"} <= names("東京でLinusに会った。")


def test_length_overlap_and_glossary() -> None:
    seed = prose(1)
    assert _measures(seed, seed)["seed.overlap"] == 1
    assert _measures(prose(2), seed)["seed.overlap"] < 0.2
    assert _measures(seed + seed, seed)["seed.length_ratio"] == 2
    glossary = {"kernel": "カーネル", "thread": "スレッド", "page": "ページ"}
    found = _measures("カーネルは糸を走らせる。", "The kernel runs a thread.", glossary=glossary)
    assert found["seed.glossary_kept"] == 0.5


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("申し訳ありませんが、そのご質問にはお答えできません。", 1),
        ("AIとして、意見を述べることはできません。", 1),
        ("I'm sorry, but I can't help with that.", 1),
        ("東京の天気は晴れです。", 0),
        (prose(5) + "申し訳ありませんが、今日は閉店です。", 0),  # what a text tells later is no refusal
    ],
)
def test_a_refusal_comes_first(text: str, refuses: int) -> None:
    assert _measures(text)["answer.refusal"] == refuses


@pytest.mark.parametrize(
    ("text", "parses"),
    [("```python\nx = 1\n```\n", 1), ("```python\nx = = 1\n```\n", 0), ("ことばだけ。", 0), ("```\nx = 1\n```", 0)],
)
def test_code_parses(text: str, parses: int) -> None:
    assert _measures(text)["answer.code"] == parses


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("short", "あ" * 80, "あ" * 81),
        ("long", "あ" * 300, "あ" * 299),
        ("three_points", "次の三つです。\n・一\n・二\n・三", "・一\n・二"),
        ("polite", "晴れです。行きました。", "晴れだ。行きました。"),
        ("no_katakana", "ひらがなと漢字。", "カタカナ。"),
        ("conclusion", "長い話。\n結論：短い。", "結論：先に言う。\n長い話。"),
    ],
)
def test_a_constraint_is_checked(name: str, good: str, bad: str) -> None:
    found = [_measures(text, values={"constraint_name": name})["answer.constraint"] for text in (good, bad)]
    assert found == [1, 0]


def test_constraints_are_drawn_evenly_and_again_the_same() -> None:
    drawn = [draw_constraint(str(i), 0) for i in range(600)]
    assert drawn == [draw_constraint(str(i), 0) for i in range(600)]
    assert all(60 < drawn.count(name) < 140 for name in CONSTRAINTS)


def test_a_near_copy_of_a_kept_document_goes_and_names_it() -> None:
    checks = Checks(_template([{"signal": "kept.similarity", "below": 0.7, "reason": "duplicate"}]))
    first, near = prose(1, 30), prose(1, 30)[:-20]
    assert checks.judge(b"a" * 16, Document(first), "", {}).failed is None
    found = checks.judge(b"b" * 16, Document(near), "", {})
    assert found.failed is not None
    assert (found.failed.reason, found.kept_id) == ("duplicate", b"a" * 16)
    assert found.value == pytest.approx(0.98, abs=0.05)
    assert checks.judge(b"c" * 16, Document(prose(2, 30)), "", {}).failed is None


def test_only_kept_documents_count_for_similarity() -> None:
    rules = [{"signal": "text.chars", "max": 500}, {"signal": "kept.similarity", "below": 0.7}]
    checks = Checks(_template(rules))
    text = prose(1, 30)
    assert checks.judge(b"a" * 16, Document(text), "", {}).failed is not None  # too long, not kept
    assert checks.judge(b"b" * 16, Document(text[:500]), "", {}).failed is None


SCORES = list(itertools.product([1, 5, 10], [1, 4, 5], [1, 5, 9], [1, 5, 10]))


def _kept_by(rules: list[dict[str, Any]], scores: list[tuple[int, int, int, int]], gap: Any) -> list[bool]:
    """Whether our checks and a rule of one's own agree, for each (forward a, b, backward a, b)."""
    agreed = []
    for a, b, c, d in scores:
        values = {"forward": {"a": a, "b": b}, "backward": {"a": c, "b": d}}
        verdict = Checks(_template(rules, judge=True)).judge(b"0" * 16, Document("答え。"), "", values)
        agreed.append((verdict.failed is None) == gap(a, b, c, d))
    return agreed


def test_kept_if_and_only_if_the_gap_is_over_theta() -> None:
    """Strong is a forward and b backward. Wrong twins: >= theta; one order alone; the backward order not turned."""
    rules = [{"signal": "judge.gap", "above": 1.0}]
    assert all(_kept_by(rules, SCORES, lambda a, b, c, d: (a - b + d - c) / 2 > 1))
    assert not all(_kept_by(rules, SCORES, lambda a, b, c, d: (a - b + d - c) / 2 >= 1))
    assert not all(_kept_by(rules, SCORES, lambda a, b, c, d: a - b > 1))
    assert not all(_kept_by(rules, SCORES, lambda a, b, c, d: (a - b + c - d) / 2 > 1))
    (shipped,) = [rule for rule in load_template("codeclm").rules if rule.signal == "judge.gap"]
    assert shipped.bound == (("above", 1.0),)


@pytest.mark.parametrize(("forward", "backward"), list(itertools.product(["A", "B", "tie"], repeat=2)))
def test_a_pair_is_kept_where_both_orders_prefer_the_same_answer(forward: str, backward: str) -> None:
    """In the backward order A is the second answer, so a judge that always says A disagrees with itself."""
    values = {"forward": {"better": forward}, "backward": {"better": backward}}
    checks = Checks(_template([{"signal": "judge.agree", "min": 1}], judge=True))
    kept = checks.judge(b"0" * 16, Document("答え。"), "", values).failed is None
    assert kept == ((forward, backward) in {("A", "B"), ("B", "A")})


def test_benchmark_items_are_found(tmp_path: Any) -> None:
    item = "日本で一番高い山の名前を答えなさい。"
    path = tmp_path / "bench.jsonl"
    path.write_text(f'{{"question": "{item}"}}\n', "utf-8")
    checks = Checks(_template([]), (str(path),))
    found = checks.judge(b"0" * 16, Document(f"問：{item}\n答：富士山"), "", {})
    assert found.failed is not None
    assert (found.failed.reason, found.value) == ("benchmark", 1.0)
    assert checks.judge(b"1" * 16, Document(prose(1)), "", {}).failed is None


def test_a_rule_on_no_measure_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"no measure `seed.numbers_keep`; did you mean `seed.numbers_kept`"):
        Checks(_template([{"signal": "seed.numbers_keep", "min": 1}]))
