"""Tiny tasks that a policy must solve: one-digit sums, and one exact string. A hybrid model, a tokenizer of characters.

All goes through the stages themselves: folders, chat template, loop, rewards.
"""

import io
import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from tokenizer_lab.tokenizer import open_tokenizer
from trainer.config import LayerConfig, ModelConfig
from trainer.model import Model
from trainer.opened import open_model, save_model
from trainer.posttrain.rollout import draw
from trainer.posttrain.stage import Context
from trainer.rewards import Answered
from trainer.sampling import Sampling

TEMPLATE = "{% for message in messages %}{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ message.content }}{% endif %}{% endfor %}"  # noqa: E501
EOS = 2
Sums = list[tuple[str, str]]
LAYERS = LayerConfig("mamba", 128), LayerConfig("window", 128, heads=4, kv_heads=2, window=8)
STRING = "abcaddbcab"


class Silent:
    """A watcher that keeps what it hears."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def begin(self, name: str, steps: int) -> None: ...

    def update(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def say(self, line: str) -> None: ...


@cache
def _characters(letters: str) -> bytes:
    """A SentencePiece model with an id for each letter and </s> as id 2; no first space."""
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([letters] * 2),
        model_writer=made,
        model_type="char",
        vocab_size=len(set(letters)) + 4,
        hard_vocab_limit=False,
        character_coverage=1.0,
        add_dummy_prefix=False,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    return made.getvalue()


def model_folder(folder: Path, letters: str, seed: int = 0, width: int = 64) -> Path:
    """A model with random weights, its tokenizer and the template ``toy.jinja`` beside it."""
    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer" / "letters.model").write_bytes(_characters(letters))
    tokenizer = open_tokenizer(folder / "tokenizer" / "letters.model")
    entry: dict[str, Any] = {
        "name": "letters",
        "path": "tokenizer/letters.model",
        "pattern": None,
        "specials_given": [],
    }
    entry |= {"fingerprint": tokenizer.fingerprint, "vocab_size": tokenizer.vocab_size, "eos_id": EOS}
    sizes: dict[str, Any] = {
        "head_dim": width // 4,
        "mamba_heads": 4,
        "mamba_head_dim": width // 2,
        "d_state": 16,
        "dt_rank": 8,
    }
    config = ModelConfig(tokenizer.vocab_size, width, LAYERS, **sizes)
    save_model(folder, Model(config).init(seed), entry, EOS, step=0)
    (folder / "toy.jinja").write_text(TEMPLATE)
    return folder


def context(start: Path, folder: Path, **more: Any) -> Context:
    """Where a stage of a toy works."""
    base = start if (start / "toy.jinja").is_file() else start.parent / "base"
    return Context(start, folder, str(base / "toy.jinja"), Silent(), device="cpu", **more)


def written(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    """A file of JSON lines; its path as text."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def sums(digits: int = 10) -> Sums:
    """(prompt, answer) of all sums of two digits below ``digits``."""
    return [(f"{a}+{b}=", str(a + b)) for a in range(digits) for b in range(digits)]


def sum_prompts(folder: Path, digits: int = 10) -> str:
    """The sums as a file of prompts."""
    rows = [{"id": prompt, "prompt": prompt, "reference": answer} for prompt, answer in sums(digits)]
    return written(folder / f"sums-{digits}.jsonl", rows)


def taught_sums(folder: Path, seed: int = 0, steps: int = 800, digits: int = 10) -> Path:
    """A model that knows half of it: supervised on sums of which half are wrong, each time another way."""
    from trainer.posttrain.sft import Sft

    generator = random.Random(seed)
    rows = []
    for copy in range(16):
        for prompt, right in sums(digits):
            said = right if copy % 2 else generator.choice([a for _, a in sums(digits) if a != right])
            rows.append({"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": said}]})
    data = written(folder / "half-wrong.jsonl", rows)
    base = model_folder(folder / "base", "0123456789+=", seed)
    options: dict[str, Any] = {"data": (data,), "epochs": 200, "rows": 8, "seq_len": 64, "lr": 3e-3}
    Sft(**options, steps=steps, valid_every=0, checkpoint_every=10_000, seed=seed).run(context(base, folder / "sft"))
    return folder / "sft"


def taught_letters(folder: Path, seed: int = 0, steps: int = 60) -> Path:
    """A model that answers ``?`` with ten letters of four, any of them."""
    from trainer.posttrain.sft import Sft

    generator = random.Random(seed)
    texts = ["".join(generator.choice("abcd") for _ in STRING) for _ in range(800)]
    rows = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": t}]} for t in texts]
    base = model_folder(folder / "base", "abcd?", seed)
    options: dict[str, Any] = {
        "data": (written(folder / "letters.jsonl", rows),),
        "epochs": 40,
        "rows": 8,
        "seq_len": 64,
        "lr": 3e-3,
    }
    Sft(**options, steps=steps, valid_every=0, checkpoint_every=10_000, seed=seed).run(context(base, folder / "sft"))
    return folder / "sft"


def accuracy(folder: Path, wanted: Sequence[tuple[str, str]], draws: int = 10, length: int = 3) -> float:
    """Share of sampled answers that are right, with their stop token where they have one."""
    opened = open_model(folder)
    tokenizer = opened.need_tokenizer()
    import pyarrow as pa

    ids = tokenizer.encode(pa.array([p for p, _ in wanted] + [a for _, a in wanted], pa.large_string())).to_pylist()
    prompts, answers = ids[: len(wanted)] * draws, ids[len(wanted) :] * draws
    sampling = Sampling(max_tokens=length, seed=1234, stop_ids=(EOS,))
    with torch.no_grad():
        found = draw(opened.model, prompts, [str(i) for i in range(len(prompts))], sampling, 250)
    right = [d.ids[: len(d.ids) - d.ended].tolist() == a for d, a in zip(found, answers, strict=True)]
    return sum(right) / len(right)


class Faulty:
    """Counts ``1`` in answers; raises ``error`` in its call number ``at`` of this process."""

    at = -1
    error: BaseException = ValueError("out of order")
    calls = 0

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        Faulty.calls += 1
        if Faulty.calls == Faulty.at:
            raise Faulty.error
        return [float(answered.text.count("1")) for answered in answers]


class Shuffled:
    """The negative control: exact rewards, dealt out to other answers of the batch."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = random.Random(seed)

    def __call__(self, answers: Sequence[Answered]) -> list[float]:
        found = [float(answered.text == answered.reference) for answered in answers]
        self.generator.shuffle(found)
        return found


def letter_ids(folder: Path, letters: str = "abc") -> list[int]:
    """Ids of letters."""
    import pyarrow as pa

    tokenizer = open_model(folder).need_tokenizer()
    return [ids[0] for ids in tokenizer.encode(pa.array(list(letters), pa.large_string())).to_pylist()]


@torch.no_grad()
def next_token(folder: Path) -> torch.Tensor:
    """float64 [V]: how likely each id is after the prompt ``?``."""
    opened = open_model(folder)
    hidden = opened.model(torch.tensor([letter_ids(folder, "?")]))
    return opened.model.logits(hidden[0, -1]).double().softmax(-1)


def one_of_three(folder: Path, shares: Sequence[float]) -> Path:
    """A model that answers ``?`` with a, b or c, so often; other ids hardly ever."""
    start = model_folder(folder / "base", "abc?", width=32)
    opened = open_model(start)
    model, ids = opened.model.requires_grad_(True), letter_ids(start)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    wanted = torch.full((model.config.vocab_size,), 1e-5)
    wanted[ids] = torch.tensor(shares)
    for _ in range(150):
        logits = model.logits(model(torch.tensor([letter_ids(start, "?")]))[0, -1])
        loss = torch.nn.functional.kl_div(logits.log_softmax(-1), wanted / wanted.sum(), reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_model(start, model.requires_grad_(False))
    return start


def string_found(folder: Path, seed: int, shares: Sequence[float] = (0.0, 0.5, 1.0)) -> dict[float, float]:
    """DR-PO: how often an answer is the one exact string, by the share of restarts; 19,200 episodes each."""
    from trainer.posttrain.ppo import Ppo

    start = taught_letters(folder, seed)
    prompts = written(folder / "string.jsonl", [{"id": "1", "prompt": "?", "reference": STRING}])
    options: dict[str, Any] = {"prompts": (prompts,), "rewards": {"exact": 1.0}, "max_tokens": len(STRING) + 1}
    options |= {"rows": 64, "cycles": 300, "epochs": 4, "minibatches": 1, "beta": 0.02, "lr": 2e-3, "seq_len": 32}
    # Hardly any answer has a reward at first: what is scaled up to deviation 1 would be noise.
    options |= {"whiten": False, "value_norm": False, "value_weight": 0.1}
    found = {}
    for share in shares:
        stage = Ppo(**options, restart=share, schedule="linear", checkpoint_every=10_000, seed=seed)
        stage.run(context(start, folder / f"restart-{share}"))
        found[share] = accuracy(folder / f"restart-{share}", [("?", STRING)], 500, len(STRING) + 1)
    return found
