"""Tasks asked item by item, offline: choices by likelihood, problems by greedy generation.

Questions are answered in pools of ``rows``, in an order that does not change; each pool is written down when it is
done. An evaluation that was killed goes on after the last whole pool and gives the same file; one that is done, with
the same weights, prompts and options, is read and not made again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch

from jacorpus.shards import storage_errors
from trainer.evaluate.contamination import contaminated
from trainer.evaluate.items import Answers, Item, config_hash, item_line, item_of, read_answers, write_answers
from trainer.evaluate.likelihood import Pair, log_likelihoods, token_pairs
from trainer.evaluate.questions import TASKS, Asked, questions, task_names
from trainer.generate import ROWS, TextStream, encode, generate
from trainer.model import Model
from trainer.opened import Opened
from trainer.sampling import Sampling

if TYPE_CHECKING:
    from trainer.posttrain.chat import Chat

_Prompt: TypeAlias = tuple[str, list[Pair]]

BASE_STOP = ("\n\n", "問題：", "Question:")
"""Where a base model's answer ends: after it another example would begin."""


def answer_tasks(
    opened: Opened,
    chat: "Chat | None",
    names: Sequence[str],
    data: Sequence[Path],
    limit: int | None = None,
    seed: int = 0,
    max_tokens: int = 256,
    rows: int = ROWS,
    *,
    shots: int | None = None,
    only_commercial: bool = False,
    corpus: Path | None = None,
    out: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Answers]:
    """Answers to each task (trainer.evaluate.questions; ``math`` is two) on the questions in files.

    chat: None asks a base model, with examples. shots: examples, None for the task's own number. corpus: folder of a
    corpus run in which questions are looked for. out: folder for TASK.jsonl, which is a cache too. progress: called
    with the number of questions done. Raises RecipeError for an unknown task, InputError for files without it.
    """
    names = task_names(names)
    asked = {
        name: questions(name, data, limit, seed, 0 if chat and shots is None else shots, only_commercial)
        for name in names
    }
    weights = weights_hash(opened.model) if out else ""
    found = []
    for name in names:
        prompts = [_prompt(opened, chat, each) for each in asked[name]]
        made_of = [(pairs, each.id, each.reference) for (_, pairs), each in zip(prompts, asked[name], strict=True)]
        digest = hashlib.sha256(repr(made_of).encode()).hexdigest()
        config = config_hash({"weights": weights, "prompts": digest, "max_tokens": max_tokens, "rows": rows})
        ask = partial(_pool, opened, chat, name, max_tokens)
        items = _kept(ask, asked[name], prompts, rows, out / f"{name}.jsonl" if out else None, config, progress)
        marks = contaminated(asked[name], corpus) if corpus else [None] * len(items)
        items = [replace(item, contaminated=mark) for item, mark in zip(items, marks, strict=True)]
        licences = ", ".join(sorted({each.licence for each in asked[name]}))
        found.append(Answers(name, TASKS[name].metric, licences, items))
        if out:
            write_answers(out / f"{name}.jsonl", found[-1], config)
    return found


def _kept(
    ask: Callable[[Sequence[Asked], Sequence[_Prompt]], list[Item]],
    asked: Sequence[Asked],
    prompts: Sequence[_Prompt],
    rows: int,
    path: Path | None,
    config: str,
    progress: Callable[[int], None] | None,
) -> list[Item]:
    """The items: read where they were made before, else made pool by pool and written down."""
    items: list[Item] = []
    if path:
        if path.is_file() and (before := read_answers(path))[1] == config:
            return list(before[0].items)
        part = path.with_name(f".{path.stem}.{config}.part")
        with storage_errors(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            lines = part.read_text("utf-8").split("\n")[:-1] if part.is_file() else []
            items = [item_of(line) for line in lines[: len(lines) // rows * rows]]
            part.write_text("".join(map(item_line, items)), "utf-8")
    for first in range(len(items), len(asked), rows):
        pool = ask(asked[first : first + rows], prompts[first : first + rows])
        items += pool
        if path:
            with storage_errors(part), part.open("a", encoding="utf-8") as file:
                file.write("".join(map(item_line, pool)))
        if progress:
            progress(len(pool))
    if path:
        part.unlink(missing_ok=True)
    return items


def _prompt(opened: Opened, chat: "Chat | None", asked: Asked) -> _Prompt:
    """Without choices the continuation is empty."""
    if chat is None:
        text = asked.before + asked.prompt
        pairs = token_pairs(opened, text, asked.choices)
        return text, pairs or [(encode(opened.need_tokenizer(), [text])[0], [])]
    from trainer.posttrain.chat import Turn

    turns = (Turn("user", asked.request),)
    before = chat.prompt(turns)
    after = [chat.completion(choice, stop=False) for choice in asked.choices] or [[]]
    return chat.text(turns, generation=True), [(before, ids) for ids in after]


def _pool(
    opened: Opened, chat: "Chat | None", name: str, max_tokens: int, asked: Sequence[Asked], prompts: Sequence[_Prompt]
) -> list[Item]:
    if asked[0].choices:
        return _chosen(opened, asked, prompts)
    from trainer.rewards import Answered, load_reward

    options = Sampling(max_tokens, 0.0, stop=() if chat else BASE_STOP, stop_ids=(chat.stop_id,) if chat else ())
    texts = written(opened, [pairs[0][0] for _, pairs in prompts], options)
    judged = [
        Answered((), text, each.reference, {"id": each.id}, ended)
        for each, (text, ended) in zip(asked, texts, strict=True)
    ]
    scores = load_reward("numeric", {})(judged)
    return [
        Item(each.id, prompt, text, each.reference, float(score), meta={"ended": ended})
        for each, (prompt, _), (text, ended), score in zip(asked, prompts, texts, scores, strict=True)
    ]


def _chosen(opened: Opened, asked: Sequence[Asked], prompts: Sequence[_Prompt]) -> list[Item]:
    """The likeliest choice; the first of equals."""
    values = iter(log_likelihoods(opened, [pair for _, pairs in prompts for pair in pairs]))
    items = []
    for each, (prompt, _) in zip(asked, prompts, strict=True):
        logs = [next(values) for _ in each.choices]
        best = logs.index(max(logs))
        meta = {"log_likelihoods": logs, "choices": list(each.choices)}
        items.append(Item(each.id, prompt, each.choices[best], each.reference, float(best == each.answer), meta=meta))
    return items


def written(
    opened: Opened, prompts: Sequence[Sequence[int]], options: Sampling, rows: int = ROWS
) -> list[tuple[str, bool]]:
    """(text, whether it ended by itself) after each prompt of ids."""
    tokenizer = opened.need_tokenizer()
    ends = {*options.stop_ids} | ({opened.eos_id} if opened.eos_id is not None else set())
    options = replace(options, stop_ids=tuple(sorted(ends)))
    streams = [TextStream(tokenizer, prompt, options.stop) for prompt in prompts]
    texts, ended = [""] * len(prompts), [False] * len(prompts)
    for row, token in generate(opened.model, prompts, options, lambda row, _: not streams[row].stopped, rows):
        if token not in ends and token < tokenizer.vocab_size:
            texts[row] += streams[row].add(token)
        ended[row] = token in ends or streams[row].stopped
    return [(text + stream.end(), end) for text, stream, end in zip(texts, streams, ended, strict=True)]


def weights_hash(model: Model) -> str:
    """SHA-256 of names, types and bytes of the weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
