"""[train] to settings and a plan: what is written, what is refused."""

import pytest

from jacorpus.errors import RecipeError
from trainer.settings import Selective, TrainSettings, plan_of, schedule_of, settings_from_table

MIXTURE = {"web": 3.0, "wiki": 1.0}


def test_what_is_not_written_has_the_documented_default() -> None:
    assert settings_from_table({}) == TrainSettings()


def test_numbers_may_be_written_as_people_write_them() -> None:
    settings = settings_from_table({"tokens": 1e9, "lr": 1, "betas": [0.9, 0.99], "select": {"reference": "out/ref"}})
    assert (settings.tokens, settings.lr, settings.betas) == (1_000_000_000, 1.0, (0.9, 0.99))
    assert settings.select == Selective("out/ref", 0.6)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"learning_rate": 1e-3}, "no key `learning_rate`"),
        ({"seq_length": 8}, "did you mean `seq_len`"),
        ({"optimizer": "sgd"}, "adamw, muon"),
        ({"tokens": 1.5}, "whole number"),
        ({"tokens": -1}, "whole number"),
        ({"lr": "fast"}, "finite number"),
        ({"lr": float("nan")}, "finite number"),
        ({"checkpointing": 1}, "true or false"),
        ({"betas": [1.0]}, "two numbers"),
        ({"betas": ["a", "b"]}, "two numbers"),
        ({"tokens": float("inf")}, "whole number"),
        ({"weight_decay": -1}, "weight_decay must be 0 or more"),
        ({"muon_lr": 0}, "muon_lr must be over 0"),
        ({"device": "tpu"}, "auto, cpu, cuda"),
        ({"phase": [{"tokens": 5, "mixture": 3}]}, "domain = weight"),
        ({"select": "out/ref"}, "reference"),
        ({"select": {"reference": 3}}, "reference"),
        ({"select": {"reference": "x", "ratio": "y"}}, "select.ratio must be a finite number"),
        ({"clip": 0}, "clip must be over 0"),
        ({"seq_len": 0}, "seq_len must be over 0"),
        ({"phase": {"tokens": 5}}, "[[train.phase]]"),
        ({"phase": [{"seq_len": 64}]}, "needs `tokens`"),
        ({"phase": [{"tokens": 5, "lr": 1}]}, "no key `lr`"),
        ({"select": {"ratio": 0.5}}, "reference"),
        ({"select": {"reference": "x", "ratio": 2}}, "(0, 1]"),
        ({"select": {"reference": "x", "share": 2}}, "no key `share`"),
        ({"wandb": 3}, "must be a word"),
    ],
)
def test_what_does_not_fit_is_one_sentence(table: dict, told: str) -> None:
    with pytest.raises(RecipeError, match="train") as error:
        settings_from_table(table)
    assert told in str(error.value)


def test_a_plan_is_one_phase_of_tokens_or_epochs() -> None:
    small = {"batch_tokens": 512, "seq_len": 128}
    by_tokens = plan_of(settings_from_table({"tokens": 5000, **small}), MIXTURE, 10_000)
    assert (by_tokens.steps, by_tokens.phases[0].rows) == (10, 4)
    by_epochs = plan_of(settings_from_table({"epochs": 0.5, **small}), MIXTURE, 10_000)
    assert by_epochs.hash == by_tokens.hash
    assert by_tokens.phases[0].mixture == MIXTURE


def test_rows_longer_than_the_training_are_refused() -> None:
    with pytest.raises(RecipeError, match="longer than the 5,000 tokens"):
        plan_of(settings_from_table({"tokens": 5000, "seq_len": 8192}), MIXTURE, 0)


@pytest.mark.parametrize(
    ("table", "told"), [({"warmup": 2}, "warm-up"), ({"decay": -1}, "decay"), ({"floor": 9}, "floor")]
)
def test_a_schedule_fits_its_steps(table: dict, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        schedule_of(settings_from_table(table), 100)


def test_phases_have_what_they_write_and_the_rest_from_above() -> None:
    table = {
        "batch_tokens": 512,
        "seq_len": 128,
        "phase": [{"tokens": 1024}, {"tokens": 1024, "seq_len": 256, "mixture": {"wiki": 1}}],
    }
    plan = plan_of(settings_from_table(table), MIXTURE, 0)
    assert [(p.seq_len, p.rows, set(p.mixture)) for p in plan.phases] == [
        (128, 4, {"web", "wiki"}),
        (256, 2, {"wiki"}),
    ]


def test_short_pieces_warm_up_the_first_phase() -> None:
    settings = settings_from_table(
        {"tokens": 100_000, "batch_tokens": 512, "seq_len": 256, "length_warmup_tokens": 6000}
    )
    plan = plan_of(settings, MIXTURE, 0)
    lengths = [plan.piece_len(step) for step in range(plan.steps)]
    assert lengths[0] == 64
    assert lengths[-1] == 256
    assert lengths == sorted(lengths)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "doesn't say how long"),
        ({"tokens": 5, "epochs": 1}, "leave one out"),
        ({"tokens": 5, "phase": [{"tokens": 5}]}, "phases say how long"),
        ({"tokens": 500, "seq_len": 100, "batch_tokens": 250}, "multiple"),
    ],
)
def test_a_plan_that_can_not_be_is_one_sentence(table: dict, told: str) -> None:
    with pytest.raises(RecipeError) as error:
        plan_of(settings_from_table(table), MIXTURE, 100)
    assert told in str(error.value)
