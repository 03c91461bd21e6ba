"""``jacorpus evaluate --tasks``, item by item: what was wanted, the answers, and another model's beside them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import console

if TYPE_CHECKING:
    from jacorpus.report.report import Block, Section, Table
    from trainer.evaluate.items import Answers
    from trainer.opened import Opened
    from trainer.posttrain.chat import Chat

BY_LM_EVAL = frozenset({"jcommonsenseqa", "jmmlu"})
BENCHES = ("pfgen", "mt_bench")


@dataclass(frozen=True)
class Wanted:
    """The options that concern tasks."""

    names: tuple[str, ...]
    data: tuple[Path, ...]
    shots: int | None
    limit: int | None
    chat: str
    compare: Path | None
    commercial_only: bool
    contamination: Path | None
    judge: tuple[str, str]  # its URL, and the model asked there
    max_tokens: int
    seed: int
    out: Path | None
    device: str

    @property
    def by_item(self) -> bool:
        """Whether one of the options or tasks needs the answers item by item; else lm-eval gives the figures."""
        options = self.chat or self.compare or self.commercial_only or self.contamination or len(self.data) > 1
        return bool(self.names) and (bool(options) or not set(self.names) <= BY_LM_EVAL)

    @property
    def tasks(self) -> list[str]:
        return [name for name in self.names if name not in BENCHES]

    def check(self) -> None:
        """Raise RecipeError for words that don't go together."""
        from jacorpus.errors import RecipeError
        from trainer.evaluate.questions import task_names

        task_names(self.tasks)
        if "mt_bench" in self.names and not self.judge[0]:
            raise RecipeError("mt_bench is graded by a judge; name its endpoint: --judge http://HOST:PORT/v1")
        if set(self.names) & set(BENCHES) and len(self.names) > 1:
            raise RecipeError("pfgen and mt_bench have questions of their own; evaluate them by themselves")


@dataclass(frozen=True)
class Items:
    """answers: of the model. others: of what it is compared with. notes: lines below the tables."""

    answers: "list[Answers]"
    others: "list[Answers]"
    notes: list[str]
    seed: int

    @property
    def tables(self) -> "list[tuple[str, Table]]":
        from trainer.evaluate.compare import answers_table, compare_table

        tables = [("answers", answers_table(self.answers, self.seed))]
        return [*tables, ("comparison", compare_table(self.others, self.answers, self.seed))] if self.others else tables

    @property
    def sections(self) -> "tuple[Section, ...]":
        from jacorpus.report.report import Paragraph, Section
        from trainer.evaluate.compare import RULE, answers_table, card

        blocks: list[Block] = [Paragraph(RULE), answers_table(self.answers, self.seed)]
        blocks += [Paragraph(note) for note in self.notes]
        found = [Section("answers", "Answers", tuple(blocks))]
        return (*found, card(self.others, self.answers, self.seed)) if self.others else tuple(found)

    def figures(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            title: [
                {column.title: _plain(cell) for column, cell in zip(table.columns, row, strict=True)}
                for row in table.rows
            ]
            for title, table in self.tables
        }


def _plain(cell: Any) -> Any:
    return vars(cell) if hasattr(cell, "low") else cell


def ask_items(model: Path, opened: "Opened | None", wanted: Wanted, meter: console.Meter) -> Items:
    """All answers. opened: None where ``model`` is a file of stored ones."""
    meter.bytes = False
    meter.step("answers")
    notes: list[str] = []
    folder = wanted.out / "items" if wanted.out else None
    answers = _answers(model, opened, wanted, folder, meter, notes)
    others: list[Answers] = []
    if wanted.compare:
        meter.step("answers to compare with")
        others = _others(wanted, folder, meter, notes)
    return Items(answers, others, notes, wanted.seed)


def _others(wanted: Wanted, folder: Path | None, meter: console.Meter, notes: list[str]) -> "list[Answers]":
    """Stored items, or those of another model."""
    from trainer.evaluate.items import read_answers
    from trainer.opened import check_device, default_dtype, open_model

    there = wanted.compare
    assert there is not None
    if there.is_dir() and (there / "config.json").is_file():
        other = open_model(there, wanted.device, default_dtype(check_device(wanted.device)))
        return _answers(there, other, wanted, folder / "compared" if folder else None, meter, notes)
    if (
        there.is_file()
        and set(wanted.names) & set(BENCHES)
        and '"metric"' not in there.open("rb").readline().decode(errors="replace")
    ):
        return _answers(there, None, wanted, folder / "compared" if folder else None, meter, notes)
    inside = there / "items" if (there / "items").is_dir() else there
    files = sorted(inside.glob("*.jsonl")) if inside.is_dir() else [inside]
    return [read_answers(path)[0] for path in files if path.name != "judge.jsonl"]


def _answers(
    model: Path, opened: "Opened | None", wanted: Wanted, folder: Path | None, meter: console.Meter, notes: list[str]
) -> "list[Answers]":
    from trainer.evaluate.answering import answer_tasks
    from trainer.evaluate.items import config_hash, write_answers

    chat = _chat(opened, wanted)
    if "pfgen" in wanted.names or "mt_bench" in wanted.names:
        bench = _pfgen if "pfgen" in wanted.names else _mt_bench
        answers = bench(model, opened, chat, wanted, folder, notes)
        if folder:
            config = config_hash({"model": str(model), **{k: str(v) for k, v in vars(wanted).items()}})
            write_answers(folder / f"{answers.task}.jsonl", answers, config)
        return [answers]
    assert opened is not None
    return answer_tasks(
        opened,
        chat,
        wanted.tasks,
        wanted.data,
        wanted.limit,
        wanted.seed,
        wanted.max_tokens,
        shots=wanted.shots,
        only_commercial=wanted.commercial_only,
        corpus=wanted.contamination,
        out=folder,
        progress=meter.add,
    )


def _chat(opened: "Opened | None", wanted: Wanted) -> "Chat | None":
    from jacorpus.errors import InputError

    if not wanted.chat or opened is None:
        return None
    from trainer.posttrain.chat import Chat

    if opened.eos_id is None:
        raise InputError(
            f"{opened.folder} names no end-of-text token, and a chat needs one; export it with its tokenizer"
        )
    return Chat.open(wanted.chat, opened.need_tokenizer(), opened.eos_id)


def _pfgen(
    model: Path, opened: "Opened | None", chat: "Chat | None", wanted: Wanted, folder: Path | None, notes: list[str]
) -> "Answers":
    from trainer.evaluate.answering import written
    from trainer.evaluate.pfgen import pfgen_answers, prompts, read_given, read_questions
    from trainer.generate import encode
    from trainer.sampling import Sampling

    asked = read_questions(wanted.data[0])[: wanted.limit]
    if opened is None:
        given = read_given(model)
        return pfgen_answers(asked, {each.text: given[each.text] for each in asked if each.text in given})
    texts = prompts(wanted.data[0], asked, wanted.seed)
    options = Sampling(300, 1.0, seed=wanted.seed, stop=("Q:", "\n\n"))
    if chat is None:
        ids = encode(opened.need_tokenizer(), texts)
    else:
        from trainer.posttrain.chat import Turn

        ids = [chat.prompt([Turn("user", text.removesuffix("\nA:"))]) for text in texts]
        options = replace(options, stop_ids=(chat.stop_id,))
    replies = written(opened, ids, options)
    return pfgen_answers(asked, {each.text: [text.strip()] for each, (text, _) in zip(asked, replies, strict=True)})


def _mt_bench(
    model: Path, opened: "Opened | None", chat: "Chat | None", wanted: Wanted, folder: Path | None, notes: list[str]
) -> "Answers":
    from jacorpus.errors import RecipeError
    from trainer.evaluate.mt_bench import Judge, graded, read_dialogs, read_replies, write_replies

    dialogs = read_dialogs(wanted.data[0], wanted.limit)
    if opened is None:
        replies: dict[str, list[str]] = read_replies(model)
    elif chat is None:
        raise RecipeError("mt_bench asks dialogs; name the model's template: --chat TEMPLATE")
    else:
        replies = write_replies(opened, chat, dialogs, wanted.max_tokens, wanted.seed)
    if wanted.out is None:
        raise RecipeError("mt_bench keeps what the judge said; name a folder for it: --out FOLDER")
    judge = Judge(*wanted.judge, wanted.out / "judge.jsonl")
    answers, missing = graded(dialogs, replies, judge)
    if missing:
        notes.append(f"{missing} turns were not judged: the judge gave no grade in {judge.attempts} replies.")
    return answers
