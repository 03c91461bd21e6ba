from jacorpus.rules.bounds import Bounds, bounds_rules


def test_rules_keep_their_order_and_stage():
    stage = Bounds([{"signal": "text.chars", "min": 5, "reason": "short"}, {"signal": "bytes", "max": 9}])
    rules = bounds_rules(stage, "mine", ("web",))
    assert [(r.signal, r.stage, r.reason, r.domains) for r in rules] == [
        ("text.chars", "mine", "short", ("web",)),
        ("bytes", "mine", "bytes", ("web",)),
    ]
