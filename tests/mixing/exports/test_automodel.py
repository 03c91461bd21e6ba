"""NeMo AutoModel's blend: weights for training, none for the held-out text, no split that is null."""

import json

from mixing.exports import export
from mixing.mixture import Mixture
from tests.mixing.worlds import domains


def test_training_has_weights_and_the_held_out_split_has_none() -> None:
    mixture = Mixture({"ja-web": 0.7, "en-web": 0.3}, domains(ja_web=(9000, 500), en_web=(500, 0)))
    found = json.loads(export(mixture, "automodel", "t")["automodel.json"])
    assert list(found) == ["train", "valid"]
    assert found["train"] == export(mixture, "megatron", "t")["blend.txt"].split()
    assert all(isinstance(word, str) for word in found["train"])
    assert found["valid"] == ["t/export/megatron/ja-web-valid"]


def test_a_split_that_is_not_there_is_left_out() -> None:
    found = json.loads(export(Mixture({"ja-web": 1.0}, domains(ja_web=(9000, 0))), "automodel", "t")["automodel.json"])
    assert found == {"train": ["1.0", "t/export/megatron/ja-web-train"]}
