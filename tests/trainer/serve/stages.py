"""Folders as stages leave them: a tokenizer, settings, a log and rollouts of Japanese text by Rollouts itself."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.small import prose
from tests.trainer.opened_model import piece_model
from tokenizer_lab.formats.sniff import read
from trainer.losses.policy import gae, normalized, token_rewards
from trainer.posttrain.rollout import Rollouts, answer_texts

BETA = 0.1
PROMPTS = ("<b>山</b>では何を見ますか。", "春の本について\n話してください。", "𠮷野の駅はどこですか。")


def stage(out: Path, run: Path, use: str = "ppo", cycles: int = 3, seed: int = 0, draws: int = 2) -> Path:
    """A stage's folder; ``run`` has the tokenizer. Cycle n has step 2 n."""
    shutil.copytree(run, out)
    settings = {"use": use, **({"beta": BETA, "reward_clip": 20.0} if use in ("ppo", "grpo") else {})}
    (out / "stage.json").write_text(json.dumps(settings), "utf-8")
    log = [{"step": s, "tokens": s, "loss": float(s), "reward": s / 2, "wall_s": 0.1} for s in range(2 * cycles)]
    (out / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log), "utf-8")
    (out.parent / "pieces.model").write_bytes(piece_model())
    for cycle in range(cycles):
        Rollouts(out / "rollouts").write(cycle, rows(out.parent / "pieces.model", use, cycle, seed, draws))
    return out


def rows(path: Path, use: str, cycle: int, seed: int, draws: int) -> list[dict[str, Any]]:
    """Answers to PROMPTS, with numbers of a generator and the rewards of tokens that PPO makes of them. The first draw
    ends; the others are cut, begin with two tokens that were given, and hold a character made of bytes."""
    tokenizer, generator = read(path, None, ()), np.random.default_rng([seed, cycle])
    found = []
    for group, prompt in enumerate(PROMPTS):
        for draw in range(draws):
            text = prose(seed + 10 * cycle + draw, 1)[:24] + ("\n𠮷と話した。" if draw else "。")
            ids = _encoded(tokenizer, text) + ([] if draw else [2])
            prompt_ids, size = _encoded(tokenizer, prompt), len(ids)
            said = answer_texts(tokenizer, [prompt_ids], [ids if draw else ids[:-1]])[0]
            mask = np.arange(size) >= (2 if draw else 0)
            logp, reference, value = (np.where(mask, -generator.gamma(1, 1, size), 0) for _ in range(3))
            row = {"cycle": cycle, "step": 2 * cycle, "prompt_id": f"q{group}", "group": group, "draw": draw}
            row |= {"prompt": prompt, "text": said, "end": "length" if draw else "eos", "prompt_ids": prompt_ids}
            row |= {"ids": ids, "mask": mask.tolist(), "trainer_logp": logp.astype(np.float32).tolist()}
            row |= {"logp": np.where(mask, logp + 1e-3, 0).tolist(), "value": value.tolist()}
            row |= {"ref_logp": reference.astype(np.float32).tolist(), "reward": float(generator.integers(0, 3)) / 2}
            row["parts"] = [("exact", row["reward"]), ("format", 1.0)]
            found.append(_credited(row, use))
    return found


def _credited(row: dict[str, Any], use: str) -> dict[str, Any]:
    if use == "ppo":
        names = ("trainer_logp", "ref_logp", "value", "mask")
        logp, reference, value, mask = (torch.tensor([row[name]], dtype=torch.float32) for name in names)
        reward = token_rewards(torch.tensor([row["reward"]]), logp, reference, mask.bool(), BETA)
        advantage = normalized(gae(reward, value, mask.bool(), 1.0, 0.95)[0], mask.bool())
        return row | {"token_reward": reward[0].tolist(), "advantage": advantage[0].tolist()}
    zeros = [0.0] * len(row["ids"])
    return row | dict.fromkeys(("token_reward", "advantage", "value", "ref_logp"), zeros)


def _encoded(tokenizer: Any, text: str) -> list[int]:
    import pyarrow as pa

    return tokenizer.encode(pa.array([text], pa.large_string())).to_pylist()[0]
