"""Conversations as token ids: a chat template of Jinja text, bound to a tokenizer; which tokens are trained.

A template marks what an assistant says, its stop token included, by ``{% generation %} ... {% endgeneration %}``, as
transformers knows it. Trained are those tokens and no others: no system, user or tool text, no header.

A template is rendered with marks in place of contents, so that its own text is told apart from them: what a user writes
stays plain text, even where it spells a control token, and a content has the same ids wherever it is encoded. Ids of
what stands before an answer and ids of the answer are those of the whole conversation, cut in two.

Templates by name, in templates/: the forms that Japanese model families publish. plamo: PLaMo 13B instruct, with its
opening where there is no system turn. llm-jp: llm-jp-3 instruct. swallow: Llama 3's, as Swallow's instruct models.
sarashina: Sarashina2.2 instruct. elyza: Llama 2's, as ELYZA's. plain: two words and a line.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from jacorpus.errors import InputError, RecipeError, nearest
from tokenizer_lab.tokenizer import Kind, Tokenizer

Role = Literal["system", "user", "assistant", "tool"]
FOLDER = Path(__file__).parent / "templates"

OPEN, SHUT, BEGIN, END, EOS, BOS = (chr(0xF8F0 + i) for i in range(6))
"""Marks in a rendered template, from the private use area: a content's number, what is trained, control tokens."""

EOT = "<|eot_id|>"
_BOS = "<|begin_of_text|>", "<|plamo:bos|>", "<s|LLM-jp>", "<s>"
_BRACKETS = re.compile(r"[<\[].+[>\]]")
_CONTENT = re.compile(f"{OPEN}(\\d+){SHUT}")
_MARKS = re.compile(f"{OPEN}(\\d+){SHUT}|([{BEGIN}{END}{EOS}{BOS}])")


@dataclass(frozen=True)
class Turn:
    """What one side says. trained: of an assistant's turn, whether it counts in the loss."""

    role: Role
    content: str
    trained: bool = True


@dataclass(frozen=True)
class Conversation:
    """turns: in order. where: file and line, for errors."""

    turns: tuple[Turn, ...]
    id: str = ""
    where: str = ""


@dataclass(frozen=True)
class Encoded:
    """ids: int64 [T]. trained: bool [T]; token i is a target of the loss. The first never is."""

    ids: np.ndarray
    trained: np.ndarray
    id: str = ""
    where: str = ""


@dataclass(frozen=True)
class _Piece:
    """A part of a rendered conversation. kind: text of the template, content, eos or bos; turn: of the assistant's that
    is trained here, or -1."""

    kind: str
    text: str
    turn: int


class Chat:
    """A template bound to a tokenizer.

    name: for people. source: the template's text. stop_id: what ends an assistant's turn: the template's own stop where
    the tokenizer has it as one control token, else the end of text. fingerprint: of all that decides ids and masks.
    """

    def __init__(self, name: str, source: str, tokenizer: Tokenizer, eos_id: int) -> None:
        self.name, self.source, self.tokenizer, self.eos_id = name, source, tokenizer, eos_id
        self._specials, defined = _specials(tokenizer, source)
        self._spelled = re.compile("|".join(f"(?<={re.escape(t[0])}){re.escape(t[1:])}" for t in defined) or "(?!)")
        self._bos = next((self._specials[text] for text in _BOS if text in self._specials), None)
        self._split = re.compile("|".join(map(re.escape, sorted(self._specials, key=len, reverse=True))) or "(?!)")
        self._render = _compiled(source)
        self._before, self._anchor = self._anchored()
        self.stop_id = eos_id
        self.stop_id = self._stop()
        self._check_answers()
        parts = (source, tokenizer.fingerprint, eos_id, self.stop_id, "2")
        self.fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()

    @classmethod
    def open(cls, template: str, tokenizer: Tokenizer, eos_id: int) -> "Chat":
        """A template by its name, a .jinja file, or the chat_template of a tokenizer_config.json. Raises RecipeError
        for a name that isn't there, InputError for a template that trains no assistant text or no stop token, or other
        text than an answer."""
        named = FOLDER / f"{template}.jinja"
        if named.is_file():
            text = named.read_text("utf-8")
            if EOT not in tokenizer.vocabulary.specials:  # else spelled out in pieces, at the end of every turn
                text = text.replace(f"'{EOT}'", "eos_token")
            return cls(template, text, tokenizer, eos_id)
        path = Path(template)
        if not path.is_file():
            known = sorted(each.stem for each in FOLDER.glob("*.jinja"))
            raise RecipeError(
                f"there is no chat template `{template}`{nearest(template, known)}; write {', '.join(known)}, or the "
                f"path of a .jinja file"
            )
        try:
            text = path.read_text("utf-8")
            if path.suffix == ".json":
                text = json.loads(text)["chat_template"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} holds no chat template ({error!r}); give a .jinja file") from error
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{path} holds no chat template of one text; give a .jinja file")
        return cls(path.stem, text, tokenizer, eos_id)

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded]:
        """Ids and masks. A conversation without a trained turn has no trained token. Raises InputError, showing the
        conversation, where a trained turn doesn't end with the stop token."""
        pieces = [self._pieces(each.turns) for each in conversations]
        found = []
        for conversation, (ids, turns) in zip(conversations, self._ids(pieces), strict=True):
            trained = np.array([turn >= 0 and conversation.turns[turn].trained for turn in turns], bool)
            trained[:1] = False
            encoded = Encoded(np.array(ids, np.int64), trained, conversation.id, conversation.where)
            self._check(conversation, encoded, turns)
            found.append(encoded)
        return found

    def prompt(self, turns: Sequence[Turn]) -> list[int]:
        """Ids of what stands before an answer, the assistant's header included."""
        return self._ids([self._pieces(turns, True)])[0][0]

    def completion(self, text: str, stop: bool = True) -> list[int]:
        """Ids of an answer after ``prompt``, as ``encode`` has them."""
        pieces = [_Piece("content", text, 0)]
        return self._ids([pieces], first=False)[0][0] + ([self.stop_id] if stop else [])

    def text(self, turns: Sequence[Turn], generation: bool = False) -> str:
        """The conversation as text; control tokens by their names."""
        names = {"eos": self._name(self.eos_id), "bos": self._name(self._bos)}
        return "".join(names.get(piece.kind, piece.text) for piece in self._pieces(turns, generation))

    def shown(self, encoded: Encoded) -> str:
        """The text with what is trained in 【 】; tokens without text by their ids."""
        out, on = [], False
        for run, trained in _runs(encoded):
            if trained != on:
                out.append("【" if trained else "】")
                on = trained
            out.append(self._decoded(run))
        return "".join(out) + ("】" if on else "")

    def _pieces(self, turns: Sequence[Turn], generation: bool = False) -> list[_Piece]:
        """The rendered conversation in parts, the stop of assistant turns as one."""
        contents = [turn.content for turn in turns]
        messages = [{"role": turn.role, "content": f"{OPEN}{i}{SHUT}"} for i, turn in enumerate(turns)]
        parts: list[_Piece] = []
        turn = -1
        at, inside = 0, False
        rendered = self._render(messages, generation)
        as_it_is = [{"role": turn.role, "content": turn.content} for turn in turns]
        if self._render(as_it_is, generation) != _CONTENT.sub(lambda mark: contents[int(mark[1])], rendered):
            raise InputError(
                f"the chat template {self.name} changes a content or asks what it holds (trim, strip, if), and a "
                f"content is encoded as it is; take that out of the template"
            )
        for mark in _MARKS.finditer(rendered):
            if mark.start() > at:
                parts.append(_Piece("text", rendered[at : mark.start()], turn if inside else -1))
            at = mark.end()
            if mark[1] is not None:
                turn = int(mark[1]) if inside else turn
                parts.append(_Piece("content", contents[int(mark[1])], turn if inside else -1))
            elif mark[2] in (BEGIN, END):
                inside = mark[2] == BEGIN
            else:
                parts.append(_Piece("eos" if mark[2] == EOS else "bos", "", turn if inside else -1))
        if at < len(rendered):
            parts.append(_Piece("text", rendered[at:], turn if inside else -1))
        return parts

    def _ids(self, conversations: Sequence[Sequence[_Piece]], first: bool = True) -> list[tuple[list[int], list[int]]]:
        """(ids, the trained turn of each or -1) of rendered conversations; first: they stand at the very start."""
        found = []
        for pieces in conversations:
            ids: list[int] = []
            turns: list[int] = []
            for run, turn in self._runs(pieces):
                new = [run] if isinstance(run, int) else self._run(run, first=first and not ids)
                ids += new
                turns += [turn] * len(new)
            found.append((ids, turns))
        return found

    def _runs(self, pieces: Sequence[_Piece]) -> Iterator[tuple[str | int, int]]:
        """Plain text and control ids, each with its trained turn. Text is cut at control tokens and where training
        begins or ends, nowhere else."""
        text, turn = "", -1
        for piece in pieces:
            if piece.turn != turn and text:
                yield text, turn
                text = ""
            turn = piece.turn
            for part in self._parts(piece):
                if isinstance(part, str) and part:
                    text += part
                    continue
                if text:
                    yield text, turn
                    text = ""
                if isinstance(part, int):
                    yield part, turn
        if text:
            yield text, turn

    def _parts(self, piece: _Piece) -> Iterator[str | int]:
        """Plain text and control ids; "" is a place to cut text at."""
        if piece.kind == "content":
            at = 0
            for found in self._spelled.finditer(piece.text):  # else the tokenizer gives the id that the template means
                yield piece.text[at : found.start()]
                yield ""
                at = found.start()
            yield piece.text[at:]
        elif piece.kind == "eos":
            yield self.eos_id
        elif piece.kind == "bos":
            if self._bos is not None:
                yield self._bos
        elif piece.turn >= 0 and not self._split.search(piece.text) and piece.text.strip():
            yield self.eos_id  # the template's own stop, which this tokenizer has no token for
        else:
            at = 0
            for match in self._split.finditer(piece.text):
                if match.start() > at:
                    yield piece.text[at : match.start()]
                yield self._specials[match[0]]
                at = match.end()
            if at < len(piece.text):
                yield piece.text[at:]

    def _run(self, text: str, first: bool = False) -> list[int]:
        """Ids of plain text. Some tokenizers put a space before every text; here that is so at the very start alone."""
        if first or not text:
            return self._plain(text)
        after = self._plain(self._before + text)
        size = len(self._anchor)
        return after[size:] if after[:size] == self._anchor else self._plain(text)

    def _anchored(self) -> tuple[str, list[int]]:
        """A text that encoding keeps, and its ids: what stands before a run, so that no space is put there. Some
        normalizers drop a line feed."""
        for text in "\n。":
            ids = self._plain(text)
            if b"".join(self.tokenizer.vocabulary.token_bytes[i] for i in ids).strip(b" ") == text.encode():
                return text, ids
        return "\n", self._plain("\n")

    def _plain(self, text: str) -> list[int]:
        return self.tokenizer.encode(pa.array([text], pa.large_string()))[0].as_py()

    def _decoded(self, ids: Sequence[int]) -> str:
        from trainer.posttrain.rollout import answer_texts

        out: list[str] = []
        plain: list[int] = []
        for token in ids:
            if token in self._specials.values() or token == self.eos_id:
                out += [answer_texts(self.tokenizer, [self._anchor], [plain])[0], self._name(token)]
                plain = []
            else:
                plain.append(token)
        return "".join([*out, answer_texts(self.tokenizer, [self._anchor], [plain])[0]])

    def _name(self, token: int | None) -> str:
        if token is None:
            return ""
        return next((text for text, i in self._specials.items() if i == token), f"<{token}>")

    def _stop(self) -> int:
        """The last token of an assistant's turn. Raises InputError for a template that can't be learned from."""
        probe = (Turn("user", "問"), Turn("assistant", "答"))
        pieces = self._pieces(probe)
        if not any(piece.turn >= 0 for piece in pieces):
            raise InputError(
                f"the chat template {self.name} marks nothing as the assistant's; put {{% generation %}} before its "
                f"content and {{% endgeneration %}} after its stop token"
            )
        ids, turns = self._ids([pieces])[0]
        last = max(i for i, turn in enumerate(turns) if turn >= 0)
        if ids[last] != self.eos_id and ids[last] not in self._specials.values():
            after = self._decoded(ids[last + 1 :])
            raise InputError(
                f"the chat template {self.name} trains no stop token: an assistant's turn ends with "
                f"{self._decoded(ids[last : last + 1])!r}, and {after!r} lies outside; put the stop token before "
                f"{{% endgeneration %}}, or answers will never end"
            )
        return ids[last]

    def _check_answers(self) -> None:
        """Over two rounds: what is trained is an answer and its stop, after the same ids as a prompt has. Raises
        InputError for a template that asks in one way and teaches in another."""
        turns = (Turn("user", "問"), Turn("assistant", "答"), Turn("user", "聞"), Turn("assistant", "応"))
        ids, of = self._ids([self._pieces(turns)])[0]
        for number in (1, 3):
            asked, told = self.prompt(turns[:number]), self.completion(turns[number].content)
            end = len(asked) + len(told)
            trained = [i for i, turn in enumerate(of) if turn == number]
            if ids[:end] != asked + told or trained != list(range(len(asked), end)):
                raise InputError(
                    f"the chat template {self.name} does not prompt as it trains: the text before an answer must be "
                    f"what add_generation_prompt gives, the text in {{% generation %}} the content and the stop token "
                    f"alone, and an earlier round the same whatever follows; mend the template"
                )

    def _check(self, conversation: Conversation, encoded: Encoded, turns: Sequence[int]) -> None:
        for number, turn in enumerate(conversation.turns):
            if turn.role != "assistant" or not turn.trained:
                continue
            places = [i for i, of in enumerate(turns) if of == number]
            if not places or encoded.ids[places[-1]] != self.stop_id:
                what = "is not trained at all" if not places else "does not end with the stop token"
                raise InputError(
                    f"{conversation.where or 'a conversation'}: assistant turn {number + 1} {what} under the chat "
                    f"template {self.name}; mend the template's generation tags. Trained text in 【 】:\n"
                    f"{self.shown(encoded)}"
                )


def _runs(encoded: Encoded) -> Iterator[tuple[list[int], bool]]:
    cuts = np.flatnonzero(np.diff(encoded.trained.astype(np.int8))) + 1
    for part in np.split(np.arange(len(encoded.ids)), cuts):
        if len(part):
            yield encoded.ids[part].tolist(), bool(encoded.trained[part[0]])


def _specials(tokenizer: Tokenizer, source: str) -> tuple[dict[str, int], list[str]]:
    """(control tokens by their text, those that plain text gives too: user-defined symbols the template spells)."""
    vocabulary = tokenizer.vocabulary
    ids = np.flatnonzero(vocabulary.kinds == Kind.USER_DEFINED).tolist()
    symbols = {vocabulary.token_bytes[i].decode("utf-8", "replace"): i for i in ids}
    defined = {text: i for text, i in symbols.items() if _BRACKETS.fullmatch(text) and text in source}
    return {text: i for text, i in (vocabulary.specials | defined).items() if text}, sorted(defined, key=len)[::-1]


@cache
def _compiled(source: str) -> Any:
    """(messages, whether an answer follows) -> text with marks."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The tag: what is inside is the assistant's."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            marks = [nodes.Output([nodes.TemplateData(mark)]) for mark in (BEGIN, END)]
            return [node.set_lineno(line) for node in (marks[0], *body, marks[1])]

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    try:
        template = environment.from_string(source)
    except TemplateError as error:
        raise InputError(f"the chat template can't be read ({error}); mend it") from error

    def render(messages: list[dict[str, str]], generation: bool) -> str:
        try:
            return template.render(messages=messages, add_generation_prompt=generation, eos_token=EOS, bos_token=BOS)
        except Exception as error:
            roles = ", ".join(message["role"] for message in messages)
            raise InputError(
                f"the chat template refuses a conversation of {roles} ({type(error).__name__}: {error}); mend the "
                f"template or leave such conversations out"
            ) from error

    return render
