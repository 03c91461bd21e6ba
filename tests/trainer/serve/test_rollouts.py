"""What the page is told of rollouts, against the numbers that were written."""

import shutil

import numpy as np
import pytest

from jacorpus.errors import InputError, RecipeError
from tests.trainer.opened_model import piece_model
from tests.trainer.serve.stages import BETA, rows, stage
from tokenizer_lab.formats.sniff import read
from trainer.posttrain.rollout import Rollouts
from trainer.serve.pieces import pieces
from trainer.serve.rollouts import TOLERANCE, Folder


@pytest.fixture(scope="module")
def ppo(tmp_path_factory, small_run):
    return stage(tmp_path_factory.mktemp("serve") / "03-ppo", small_run)


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "pieces.model").write_bytes(piece_model())
    return read(tmp_path / "pieces.model", None, ())


def test_a_cycle_is_summed_up_as_by_hand(ppo):
    found = Folder(ppo).cycles()
    assert found["unread"] == []
    assert [each["cycle"] for each in found["cycles"]] == [0, 1, 2]
    for each in found["cycles"]:
        written = Rollouts(ppo / "rollouts").read(each["cycle"])
        apart = [
            p - r
            for row in written
            for p, r, m in zip(row["trainer_logp"], row["ref_logp"], row["mask"], strict=True)
            if m
        ]
        assert each["kl"] == pytest.approx(np.mean(apart), abs=1e-12)
        assert each["reward"] == pytest.approx(np.mean([row["reward"] for row in written]))
        assert each["length"] == pytest.approx(np.mean([len(row["ids"]) for row in written]))
        assert (each["ended"], each["answers"], each["groups"]) == (0.5, 6, 3)
        assert each["log"] == {"loss": 2 * each["cycle"] + 0.5, "reward": each["cycle"] + 0.25}


def test_an_answer_has_the_numbers_on_disk(ppo):
    folder = Folder(ppo)
    for place, row in enumerate(Rollouts(ppo / "rollouts").read(1)):
        found = folder.answer(1, place)
        for name in ("logp", "trainer_logp", "ref_logp", "value", "advantage", "token_reward"):
            assert found["numbers"][name] == row[name]
            assert found["sums"][name] == pytest.approx(sum(row[name]), abs=1e-12)
        assert found["numbers"]["kl"] == np.subtract(row["trainer_logp"], row["ref_logp"]).tolist()
        assert found["numbers"]["gap"] == np.subtract(row["logp"], row["trainer_logp"]).tolist()
        assert found["agrees"] is True
        assert (found["text"], found["mask"], found["parts"]["format"]) == (row["text"], row["mask"], 1.0)
        assert len(found["pieces"]) == len(row["ids"])


def test_token_rewards_sum_up_to_the_reward_and_a_wrong_one_does_not(ppo, small_run, tmp_path):
    folder = Folder(ppo)
    for cycle in range(3):
        for place in range(6):
            balance = folder.answer(cycle, place)["balance"]
            assert balance["holds"]
            assert balance["tokens"] + balance["kl"] == pytest.approx(balance["reward"], abs=TOLERANCE)
    wrong = Rollouts(ppo / "rollouts").read(0)
    wrong[0]["token_reward"][1] += 1e-4
    out = stage(tmp_path / "wrong", small_run, cycles=0)
    Rollouts(out / "rollouts").write(0, wrong)
    assert not Folder(out).answer(0, 0)["balance"]["holds"]
    assert Folder(out).answer(0, 1)["balance"]["holds"]


def test_without_what_ppo_takes_off_for_kl_the_sum_is_another(ppo):
    found = Folder(ppo).answer(0, 1)
    assert abs(found["sums"]["token_reward"] - found["reward"]) > 1e-2
    assert found["balance"]["kl"] == pytest.approx(BETA * found["sums"]["kl"])


def test_zeros_of_a_stage_without_credit_are_no_numbers(small_run, tmp_path):
    found = Folder(stage(tmp_path / "online", small_run, "online", 1))
    assert found.cycles()["cycles"][0]["kl"] is None
    answer = found.answer(0, 0)
    assert answer["balance"] is None
    lacks = {name for name, value in answer["numbers"].items() if value is None}
    assert lacks == {"ref_logp", "kl", "token_reward", "advantage", "value"}


def test_sorted_grouped_and_paged(ppo):
    folder = Folder(ppo)
    whole = folder.answers(2)
    assert [(row["group"], row["draw"]) for row in whole["rows"]] == [(g, d) for g in range(3) for d in range(2)]
    assert whole["groups"][1]["prompt_id"] == "q1"
    assert whole["groups"][1]["reward"] == pytest.approx(np.mean([r["reward"] for r in whole["rows"][2:4]]))
    for sort in ("reward", "kl", "length"):
        for sign in ("", "-"):
            keys = [row[sort] for row in folder.answers(2, sign + sort)["rows"]]
            assert keys == sorted(keys, reverse=bool(sign))
    parts = [folder.answers(2, "-kl", offset=first, limit=2)["rows"] for first in (0, 2, 4, 6)]
    assert [row["row"] for part in parts for row in part] == [r["row"] for r in folder.answers(2, "-kl")["rows"]]
    assert [row["group"] for row in folder.answers(2, group=1)["rows"]] == [1, 1]
    with pytest.raises(RecipeError, match="choose group, reward"):
        folder.answers(2, "size")


def test_the_same_prompt_is_found_in_the_nearest_cycle(ppo):
    found = Folder(ppo).matches("q2", 1, 1)
    assert found["best"] == {"cycle": 1, "row": 5, "draw": 1}
    assert {each["cycle"] for each in found["all"]} == {0, 1, 2}
    assert Folder(ppo).matches("q2", 7, 9)["best"] == {"cycle": 2, "row": 4, "draw": 0}
    assert Folder(ppo).matches("absent", 0, 0) == {"best": None, "all": []}


def test_a_cycle_is_left_out_until_it_is_whole(small_run, tmp_path):
    out = stage(tmp_path / "going", small_run, cycles=1)
    whole = (out / "rollouts" / "00000000.arrow").read_bytes()
    (out / "rollouts" / ".00000001.arrow.77").write_bytes(whole[:900])
    (out / "rollouts" / "00000002.arrow").write_bytes(whole[:900])
    folder = Folder(out)
    found = folder.cycles()
    assert ([each["cycle"] for each in found["cycles"]], found["unread"]) == ([0], ["00000002.arrow"])
    with pytest.raises(InputError, match="no cycle 1"):
        folder.cycle(1)
    Rollouts(out / "rollouts").write(2, rows(tmp_path / "pieces.model", "ppo", 2, 0, 2))
    assert [each["cycle"] for each in folder.cycles()["cycles"]] == [0, 2]


def test_a_folder_without_rollouts_says_what_to_run(small_run, tmp_path):
    with pytest.raises(InputError, match=r"holds no rollouts; first run a stage .* `jacorpus train post`"):
        Folder(small_run)
    stage(tmp_path / "03-ppo", small_run, cycles=1)
    with pytest.raises(InputError, match=r"give the folder of one with rollouts: 03-ppo$"):
        Folder(tmp_path)


def test_a_stage_that_trains_nothing_has_the_tokenizer_of_the_one_before(small_run, tmp_path):
    shutil.copytree(small_run, tmp_path / "01-sft")
    out = stage(tmp_path / "02-best", small_run, "rejection", 1)
    (out / "config.json").unlink()
    assert Folder(out).answer(0, 0)["agrees"] is True
    shutil.rmtree(tmp_path / "01-sft")
    alone = Folder(out).answer(0, 0)
    assert (alone["agrees"], alone["pieces"][0]) == (None, {"text": str(alone["ids"][0]), "kind": "id"})


def test_another_tokenizer_is_noticed(small_run, tmp_path):
    out = stage(tmp_path / "other", small_run, cycles=0)
    written = rows(tmp_path / "pieces.model", "ppo", 0, 0, 2)
    written[0]["text"] = "別の文"
    Rollouts(out / "rollouts").write(0, written)
    assert [Folder(out).answer(0, place)["agrees"] for place in (0, 1)] == [False, True]


def test_a_character_of_several_tokens_is_shown_by_its_bytes(tokenizer):
    table = tokenizer.vocabulary
    of = {part: i for i, part in enumerate(table.token_bytes) if len(part) == 1 and table.kinds[i] == 6}
    ids = [of[bytes([b])] for b in "鰯".encode()]
    found = pieces(tokenizer, [*ids, ids[0], 2, len(table)])
    assert [each["text"] for each in found] == ["⟨E9⟩", "⟨B0⟩", "⟨AF⟩", "⟨E9⟩", "</s>", str(len(table))]
    assert [each["kind"] for each in found] == ["part"] * 4 + ["control", "id"]
    assert [each.get("whole") for each in found[:4]] == ["鰯", "鰯", "鰯", ""]
