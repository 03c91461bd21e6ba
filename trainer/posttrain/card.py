"""What each stage did: the same questions asked of the model before the first stage and after every one.

    OUT/items/STAGE/TASK.jsonl    answers, item by item; a cache too
    OUT/card.html  card.md  card.json

A stage's difference is that of the same items, with an interval; where the whole of it lies below 0 the stage is said
to have regressed.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jacorpus.errors import InputError, RecipeError, nearest
from jacorpus.report.report import Column, Fact, Facts, Paragraph, Report, Section, Table
from jacorpus.shards import storage_errors
from trainer.evaluate.items import Answers, Item, config_hash, mean_interval, paired, read_answers, write_answers
from trainer.opened import Opened, open_model

if TYPE_CHECKING:
    from trainer.loop import Watcher

_TASK = ("task", "data", "limit", "max_tokens", "shots", "chat")
_REWARD = ("rewards", "prompts", "limit", "draws", "max_tokens", "temperature", "name", "lang")


class Judge:
    """Asks the tables [[posttrain.evaluate]] of one model after another.

    tables: {task, data, limit, max_tokens, shots} for a task of trainer.evaluate.answering, or {rewards, prompts, name,
    limit, draws, max_tokens, temperature}: the mean reward of fresh answers; of prompts that no stage trained on it
    says more.
    """

    def __init__(self, tables: Sequence[Mapping[str, Any]], out: Path, template: str, seed: int, device: str) -> None:
        for number, table in enumerate(tables, 1):
            known = _TASK if "task" in table else _REWARD
            for key in table:
                if key not in known:
                    raise RecipeError(f"[[posttrain.evaluate]] {number}: unknown key `{key}`{nearest(key, known)}")
            for name in ("data", "prompts"):
                for path in table.get(name, ()):
                    if not Path(path).exists():
                        raise InputError(f"[[posttrain.evaluate]] {number}: {path} isn't there")
        self.tables, self.out, self.template, self.seed, self.device = tables, out, template, seed, device
        self.found: dict[str, list[Answers]] = {}

    def ask(self, name: str, folder: Path, watcher: "Watcher") -> None:
        """Ask everything of the model in a folder, or read what it answered before."""
        if not self.tables:
            return
        watcher.say(f"evaluate {name}")
        device = "cpu" if self.device == "auto" else self.device
        opened = open_model(folder, device)
        out = self.out / "items" / name
        self.found[name] = [answers for table in self.tables for answers in self._answers(table, opened, out)]

    def _answers(self, table: Mapping[str, Any], opened: Opened, out: Path) -> list[Answers]:
        if "rewards" in table:
            return [self._rewarded(table, opened, out)]
        from trainer.evaluate.answering import answer_tasks

        wants_chat = table.get("chat", True)
        return answer_tasks(
            opened,
            self._chat(opened) if wants_chat else None,
            [table["task"]],
            [Path(path) for path in table.get("data", ())],
            table.get("limit"),
            self.seed,
            table.get("max_tokens", 128),
            shots=table.get("shots", 0 if wants_chat else None),
            out=out,
        )

    def _chat(self, opened: Opened) -> Any:
        from trainer.posttrain.chat import Chat

        if opened.eos_id is None:
            raise InputError(f"{opened.folder} names no end-of-text token, and an answer must end; save it with one")
        return Chat.open(self.template, opened.need_tokenizer(), opened.eos_id)

    def _rewarded(self, table: Mapping[str, Any], opened: Opened, out: Path) -> Answers:
        from collections import Counter

        from trainer.posttrain.conversations import read_prompts
        from trainer.posttrain.rewarding import drawn, rewards_of
        from trainer.posttrain.stage import file_digest
        from trainer.sampling import Sampling

        name, chat = table.get("name", "reward"), self._chat(opened)
        path = out / f"{name}.jsonl"
        asked = {"table": dict(table), "files": [file_digest(Path(p)) for p in table["prompts"]]}
        weights = file_digest(opened.folder / "model.safetensors")
        config = config_hash({**asked, "weights": weights, "chat": chat.fingerprint, "seed": self.seed})
        if path.is_file():
            before, made_with = read_answers(path)
            if made_with == config:
                return before
        paths = [Path(p) for p in table["prompts"]]
        prompts = list(read_prompts(paths, Counter(), table.get("lang")))[: table.get("limit")]
        draws = range(table.get("draws", 1))
        options = Sampling(
            max_tokens=table.get("max_tokens", 64),
            temperature=table.get("temperature", 1.0),
            seed=self.seed,
            stop_ids=(chat.stop_id,),
        )
        asked_with = [(prompt, chat.prompt(prompt.turns)) for prompt in prompts for _ in draws]
        keys = [f"{prompt.id} {draw}" for prompt in prompts for draw in draws]
        rewards = rewards_of(table["rewards"], "[[posttrain.evaluate]]", self.out)
        items = []
        for key, s in zip(keys, drawn(opened.model, chat, asked_with, keys, options, rewards), strict=True):
            about = {**s.parts, "unit": s.prompt.id}  # answers to one question are not independent
            items.append(Item(key, s.prompt.turns[-1].content, s.text, s.prompt.reference, s.reward, None, about))
        found = Answers(name, "reward", "", items)
        write_answers(path, found, config)
        return found

    def write(self, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The card of what was asked so far. results: of the stages, in order. Returns its figures."""
        figures = self._figures()
        report = self._report(figures, results)
        with storage_errors(self.out):
            for suffix, text in (("html", report.to_html()), ("md", report.to_markdown()), ("json", report.to_json())):
                (self.out / f"card.{suffix}").write_text(text, "utf-8")
        return figures

    def _figures(self) -> dict[str, Any]:
        """Task -> rows of (model, mean, less the model before, less the first one)."""
        found: dict[str, Any] = {}
        for place, answers in enumerate(next(iter(self.found.values()), [])):
            rows, names = [], list(self.found)
            for number, name in enumerate(names):
                mine = self.found[name][place]
                last = paired(self.found[names[number - 1]][place], mine, self.seed) if number else None
                first = paired(self.found[names[0]][place], mine, self.seed) if number else None
                rows.append((name, mean_interval(mine, self.seed), last, first, len(mine.items)))
            found[answers.task] = {"metric": answers.metric, "rows": rows, "licence": answers.licence}
        return found

    def _report(self, figures: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> Report:
        sections, fell = [], []
        for task, about in figures.items():
            columns = ("after stage", about["metric"], "less the one before", "less the first", "items", "regressed")
            units = ("text", "number", "number", "number", "count", "text")
            rows = []
            for name, mean, last, first, items in about["rows"]:
                down = last is not None and last.difference.high < 0
                fell += [f"{name} on {task}"] if down else []
                steps = (last.difference, first.difference) if last is not None else (None, None)
                rows.append((name, mean, *steps, items, "yes" if down else ""))
            table = Table("", tuple(Column(c, u) for c, u in zip(columns, units, strict=True)), tuple(rows))  # type: ignore[arg-type]
            licence = f"Licence of the questions: {about['licence']}." if about["licence"] else ""
            sections.append(Section(task, task, (*((Paragraph(licence),) if licence else ()), table)))
        told = "; ".join(fell) if fell else "none; no difference to the stage before lies wholly below 0"
        facts = Facts((Fact("stages", len(results), "count"), Fact("stages that regressed", len(fell), "count")))
        about = Table(
            "",
            (Column("stage"), Column("what it says of itself")),
            tuple((str(r["stage"]), json.dumps(_short(r), ensure_ascii=False)) for r in results),
        )
        opening = Section("stages", "Stages", (facts, Paragraph(f"Regressed: {told}."), about))
        intro = "The same questions before the first stage and after each; intervals hold 95 % of resampled means"
        return Report("Post-training", intro, (opening, *sections))


def _short(result: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in ("stage", "folder", "use")}
