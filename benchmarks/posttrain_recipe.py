"""A base model through SFT, H-DPO and GRPO by one recipe on real data, asked before and after, exported and loaded
again: ``OMP_NUM_THREADS=1 python -m benchmarks.posttrain_recipe [FOLDER]``.

The base model is a small hybrid trained by ``train pretrain`` on five domains of benchmarks.mixing_domains (not
ja-instruct: post-training learns from it). SFT: Dolly in Japanese, and questions of JCommonsenseQA's train part with
their letter. H-DPO: pairs of Japanese MT-bench answers. GRPO: other questions of the train part, rewarded by the choice
reward. Asked: questions of the valid part by fresh answers and by likelihood, commonsense morality, MGSM in Japanese.
A model of this size knows nothing of the questions; what can be seen is form and preference, and that nothing breaks.
"""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import zstandard

from benchmarks.record import DATA, save

BASE = """\
name = "base"
[mixing]
weights = {{ {weights} }}
[model]
layers = ["mamba", "window", "mamba", "window"]
d_model = 128
d_ff = 256
head_dim = 32
window = 128
[train]
tokens = 500_000
batch_tokens = 2048
seq_len = 256
lr = 6e-3
precision = "bf16"
"""

RECIPE = """\
name = "posttrain"
seed = 3
[posttrain]
template = "llm-jp"

[[posttrain.stage]]
use = "sft"
data = ["{data}/instruct/dolly_ja.jsonl.zst", "{work}/choice-chat.jsonl"]
lr = 1e-3
rows = 8
seq_len = 256
epochs = 1
steps = 150
precision = "bf16"

[[posttrain.stage]]
use = "preference"
name = "h-dpo"
data = ["{data}/preference/jmtbench_gpt4_ja.jsonl.zst"]
loss = "hdpo"
options = {{ beta = 0.05, alpha = 0.9 }}
nll = 0.1
lr = 2e-5
rows = 8
seq_len = 384
epochs = 1

[[posttrain.stage]]
use = "grpo"
prompts = ["{work}/choice-train.jsonl"]
rewards = {{ choice = 1.0, format = {{ weight = 0.2, longest = 4, ended = true }} }}
rows = 16
draws = 8
cycles = 40
max_tokens = 12
seq_len = 384
lr = 2e-4
beta = 0.02

[[posttrain.evaluate]]
name = "choice, fresh answers"
prompts = ["{work}/choice-valid.jsonl"]
rewards = {{ choice = 1.0 }}
limit = 300
max_tokens = 12

[[posttrain.evaluate]]
task = "jcommonsenseqa"
data = ["{data}/qa/choice_ja.jsonl.zst"]
limit = 300

[[posttrain.evaluate]]
task = "moral"
data = ["{data}/qa/moral_ja.jsonl.zst"]
limit = 300

[[posttrain.evaluate]]
task = "mgsm_ja"
data = ["{data}/qa/math.jsonl.zst"]
limit = 60
max_tokens = 48
"""


def main() -> int:
    """Run it; 1 where the data are not there or a command fails."""
    if not DATA.is_dir():
        print("this needs the real data, which is not here", file=sys.stderr)
        return 1
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/posttrain-recipe")
    folder.mkdir(parents=True, exist_ok=True)
    tokens = folder / "tokens"
    if not (tokens / "manifest.json").is_file():
        subprocess.run([sys.executable, "-m", "benchmarks.mixing_domains", str(folder)], check=True)
    _questions(folder)
    domains = [name for name in json.loads((tokens / "manifest.json").read_bytes())["domains"] if name != "ja-instruct"]
    weights = ", ".join(f'"{name}" = 1.0' for name in domains)
    (folder / "base.toml").write_text(BASE.format(weights=weights), "utf-8")
    (folder / "post.toml").write_text(RECIPE.format(data=DATA, work=folder), "utf-8")
    model, out = folder / "base", folder / "posttrain"
    fresh = not (out / "card.json").exists()
    times = {"train pretrain": _timed("train", "pretrain", folder / "base.toml", "--tokens", tokens, "--out", model)}
    times["train post"] = _timed("train", "post", folder / "post.toml", "--model", model, "--out", out)
    last = out / "03-grpo"
    _timed("train", "export", last, "--out", folder / "hf", "--dtype", "fp32", "--force")
    save(
        "posttrain_recipe",
        [*_rows(out), _loaded(folder / "hf"), {"seconds": times if fresh else None}],
        ["torch", "transformers"],
    )
    return 0


def _questions(folder: Path) -> None:
    """JCommonsenseQA: 1,500 of the train part as conversations, 2,000 others as prompts, the valid part."""
    with zstandard.open(DATA / "qa/choice_ja.jsonl.zst", "rt", encoding="utf-8") as stream:
        rows = [row for row in map(json.loads, stream) if row["source"] == "jcommonsenseqa"]
    rows.sort(key=lambda row: hashlib.sha256(row["id"].encode()).digest())
    known = [row for row in rows if row["split"] == "train"]
    _write(folder / "choice-chat.jsonl", [_chat(row) for row in known[:1500]])
    _write(folder / "choice-train.jsonl", known[1500:3500])
    _write(folder / "choice-valid.jsonl", [row for row in rows if row["split"] != "train"])


def _chat(row: dict[str, Any]) -> dict[str, Any]:
    listed = "\n".join(f"{'ABCDE'[i]}. {choice}" for i, choice in enumerate(row["choices"]))
    asked = f"{row['question']}\n{listed}\n記号で答えてください。"
    said = "ABCDE"[row["answer"]]
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _timed(*words: object) -> float:
    """Seconds of a command."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "cli.main", *map(str, words)], check=True)
    return round(time.monotonic() - begun, 1)


def _rows(out: Path) -> list[dict[str, Any]]:
    """What the card says, model by model."""
    found = []
    for section in json.loads((out / "card.json").read_bytes())["sections"]:
        for block in section["blocks"]:
            if section["key"] != "stages" and "rows" in block:
                found.append({"task": section["key"], "columns": block["columns"], "rows": block["rows"]})
    return found


def _loaded(folder: Path) -> dict[str, Any]:
    """The export under transformers: how its template frames a question, what it answers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    messages = [{"role": "user", "content": "日本の首都はどこですか。"}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**ids, max_new_tokens=24, do_sample=False)[0, ids["input_ids"].shape[1] :]
    return {"transformers": tokenizer.decode(ids["input_ids"][0]), "answer": tokenizer.decode(answer)}


if __name__ == "__main__":
    sys.exit(main())
