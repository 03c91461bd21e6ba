"""Plans: what a step is follows from its number; adding to a plan changes nothing before."""

import json

import pytest

from jacorpus.errors import InputError, RecipeError
from trainer.plan import Phase, Plan, linear_pieces


def phase(tokens: int = 1000, seq_len: int = 10, batch_tokens: int = 100, **more) -> Phase:
    return Phase(
        tokens, {"mixture": {"a": 1, "b": 3}, **more}["mixture"], seq_len, batch_tokens, more.get("pieces", ())
    )


def test_steps_and_tokens():
    plan = Plan((phase(950), phase(400, 20, 200), phase(1)))
    assert plan.first_steps == (0, 10, 12, 13)
    assert (plan.steps, plan.tokens, plan.block) == (13, 1500, 20)
    assert [plan.index_of(step) for step in (0, 9, 10, 11, 12)] == [0, 0, 1, 1, 2]
    assert [plan.tokens_at(step) for step in (0, 9, 10, 11, 12, 13)] == [0, 900, 1000, 1200, 1400, 1500]
    assert plan.phase_of(11) is plan.phases[1]
    for step in (-1, 13):
        with pytest.raises(InputError, match="append a phase"):
            plan.phase_of(step)


def test_json_there_and_back_is_the_same_plan():
    plan = Plan((phase(pieces=((300, 5),)), phase(seq_len=20, mixture={"b": 0.1, "c": 0.7})))
    again = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again.to_dict() == plan.to_dict()
    assert again.hash == plan.hash
    assert sum(plan.to_dict()["phases"][1]["mixture"].values()) == 65536


def test_hash_is_of_what_is_done():
    plan = Plan((phase(),))
    assert plan.hash == Plan((phase(mixture={"b": 0.75, "a": 0.25, "c": 0}),)).hash
    changed = [phase(1100), phase(seq_len=20), phase(batch_tokens=50), phase(mixture={"a": 1}), phase(pieces=((9, 5),))]
    assert len({plan.hash, Plan((phase(),), 20).hash, *(Plan((one,)).hash for one in changed)}) == 7


def test_domains_keep_their_numbers():
    first = phase(mixture={"m": 1, "c": 1})
    assert Plan((first,)).domains == ("c", "m")
    assert Plan((first, phase(mixture={"a": 1, "m": 1}))).domains == ("c", "m", "a")


def test_cursors_carry_over_and_round_up_to_the_next_rows():
    plan = Plan((phase(400, mixture={"a": 3, "b": 1}), phase(400, 40, 400), phase(10, mixture={"c": 1})))
    # 40 rows of 10: a has 30, b 10; then 10 rows of 40, a has 2 or 3
    assert plan.cursors[0] == {"a": 0, "b": 0, "c": 0}
    assert plan.cursors[1] == {"a": 320, "b": 120, "c": 0}
    had = plan.phases[1].schedule.count("a", 10)
    assert plan.cursors[2] == {"a": 320 + had * 40, "b": 120 + (10 - had) * 40, "c": 0}


def test_pieces():
    plan = Plan((phase(pieces=((200, 2), (350, 5))), phase()))
    assert [plan.piece_len(step) for step in range(6)] == [2, 2, 5, 5, 10, 10]
    assert plan.piece_len(10) == 10
    pieces = linear_pieces(256, 3000)
    assert pieces == ((1000, 64), (2000, 128), (3000, 192))
    assert linear_pieces(64, 3000) == ()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Plan(()), "no phase"),
        (lambda: phase(0), "tokens"),
        (lambda: phase(seq_len=0), "seq_len"),
        (lambda: phase(seq_len=30), "try 90"),
        (lambda: phase(seq_len=200), "try 200"),
        (lambda: phase(mixture={"a": -1}), "weight"),
        (lambda: phase(pieces=((20, 5), (10, 2))), "rise"),
        (lambda: Plan((phase(), phase(seq_len=4))), "divide"),
        (lambda: Plan((phase(seq_len=20),), 10), "block"),
        (lambda: Plan((phase(),)).extended(phase(seq_len=20)), "block"),
    ],
)
def test_what_cannot_be_is_told(make, says):
    with pytest.raises(RecipeError, match=says):
        make()


def test_a_plan_goes_on_where_nothing_trained_has_changed():
    old = Plan((phase(1000), phase(500, mixture={"a": 1})), 20)
    saved = json.loads(json.dumps(old.to_dict()))
    longer = Plan((phase(1000), phase(900, mixture={"a": 1}), phase(seq_len=20)), 20)
    for step in (0, 5, 10, 12, 15):
        old.check_continues(saved, step)
        longer.check_continues(saved, step)
    Plan((phase(700), phase(mixture={"b": 1})), 20).check_continues(saved, 7)  # a phase cut short where it stands
    Plan((phase(1000), phase(mixture={"b": 1})), 20).check_continues(saved, 10)  # a phase not yet begun
    for wrong, says in (
        (Plan((phase(1000), phase(mixture={"b": 1})), 20), "differs"),
        (Plan((phase(1100), phase(500, mixture={"a": 1})), 20), "differs"),
        (Plan((phase(500),), 20), "differs"),
        (Plan(old.phases), "block = 20"),
    ):
        with pytest.raises(InputError, match=says):
            wrong.check_continues(saved, 12)
    with pytest.raises(InputError, match="format"):
        Plan.from_dict({**saved, "format": 0})
