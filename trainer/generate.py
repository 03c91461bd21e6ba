"""Text from a model: prompts decoded side by side, token by token, and shown as soon as it is certain.

    generate      prompts of ids -> (row, id) as they come
    stream_text   prompts of text -> Chunk(row, text), never half a character, nothing of a stop string
    complete      the same, collected: one Answer a prompt

Prompts of different lengths are padded on the left with an earlier document; documents don't see each other, so a
row's logits are those it has alone. The prompt goes through the model once, then every token costs one step over the
state of Mamba layers and the keys of attention layers (trainer.cache). On a GPU the step is a CUDA graph: one launch
in place of hundreds.

Letters: B rows, T tokens of a row, V vocabulary.
"""

import codecs
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import torch

from jacorpus.errors import InputError, RecipeError
from tokenizer_lab.tokenizer import Tokenizer, token_lists
from trainer.cache import Cache
from trainer.model import Model
from trainer.opened import Opened
from trainer.sampling import Sampling, choose, uniform_numbers

ROWS = 32
"""Prompts decoded side by side."""

End = Literal["", "eos", "stop", "length"]
Wanted = Callable[[int, int], bool]
_UNKNOWN = "\N{REPLACEMENT CHARACTER}".encode()


@torch.no_grad()
def generate(
    model: Model, prompts: Sequence[Sequence[int]], options: Sampling, wanted: Wanted | None = None, rows: int = ROWS
) -> Iterator[tuple[int, int]]:
    """(row, id) as they are drawn; the id that ends a row is among them.

    A row ends with one of ``options.stop_ids``, after ``max_tokens``, or when ``wanted(row, id)`` says no more.
    Rows of a group of ``rows`` go on until the last of them ends. Raises RecipeError for an empty prompt (the first
    token of a document is nobody's target in training), InputError for a model whose logits are not finite.
    """
    for row, prompt in enumerate(prompts):
        if not len(prompt):
            raise RecipeError(f"prompt {row} is empty, and a model never learned how a text begins; give it some words")
    for first in range(0, len(prompts), rows):
        yield from _group(model, prompts[first : first + rows], options, wanted, first)


def _group(
    model: Model, prompts: Sequence[Sequence[int]], options: Sampling, wanted: Wanted | None, first: int
) -> Iterator[tuple[int, int]]:
    device = model.embed.weight.device
    tokens_BT, document_BT = padded(prompts, device)
    dtype = model.compute_dtype or model.embed.weight.dtype
    cache = Cache(model.config, len(prompts), tokens_BT.shape[1] + options.max_tokens, device, dtype)
    numbers = [uniform_numbers(options.seed, first + i, options.max_tokens) for i in range(len(prompts))]
    uniform_NB = torch.stack(numbers, 1).to(device)
    seen_BV = None
    if options.repetition_penalty != 1:
        seen_BV = torch.zeros(len(prompts), model.config.vocab_size, dtype=torch.bool, device=device)
        for i, prompt in enumerate(prompts):
            seen_BV[i, torch.as_tensor(prompt, dtype=torch.int64, device=device)] = True
    logits = model.prefill(tokens_BT, document_BT, cache)
    if not torch.isfinite(logits).all():
        raise InputError("the model's logits are not finite: its training diverged, or its weights are damaged")
    step = Decoder(model, cache).step
    going = set(range(len(prompts)))
    for number in range(options.max_tokens):
        tokens_B = choose(logits, uniform_NB[number], options, seen_BV)
        for i, token in enumerate(tokens_B.tolist()):
            if i in going:
                yield first + i, token
                if token in options.stop_ids or (wanted is not None and not wanted(first + i, token)):
                    going.discard(i)
        if not going or number + 1 == options.max_tokens:
            return
        if seen_BV is not None:
            seen_BV.scatter_(1, tokens_B[:, None], True)
        logits = step(tokens_B)


def padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(tokens int64 [B, T], document int32 [B, T]): prompts that end together, before them padding as document 0.

    document is None where nothing had to be padded.
    """
    longest = even_length(max(map(len, prompts)), device)
    tokens = np.zeros((len(prompts), longest), np.int64)
    document = np.zeros((len(prompts), longest), np.int32)
    for i, prompt in enumerate(prompts):
        tokens[i, longest - len(prompt) :] = prompt
        document[i, longest - len(prompt) :] = 1
    whole = bool(document.all())
    return torch.from_numpy(tokens).to(device), None if whole else torch.from_numpy(document).to(device)


def even_length(length: int, device: torch.device) -> int:
    """The length rows are padded to. On a GPU a power of two: its attention is compiled anew for each shape."""
    return length if device.type != "cuda" else max(128, 1 << (length - 1).bit_length())


class Decoder:
    """One step of decoding after another over a cache that a prompt filled; on a GPU a graph, replayed."""

    def __init__(self, model: Model, cache: Cache) -> None:
        self.model, self.cache = model, cache
        self.graph: torch.cuda.CUDAGraph | None = None

    def step(self, tokens_B: torch.Tensor) -> torch.Tensor:
        """Logits [B, V] after one more token a row; good until the next step."""
        if not tokens_B.is_cuda:
            return self.model.step(tokens_B, self.cache)
        if self.graph is None:
            self._capture(tokens_B)
        assert self.graph is not None
        self.tokens_B.copy_(tokens_B)
        self.graph.replay()
        return self.logits_BV

    def _capture(self, tokens_B: torch.Tensor) -> None:
        """Record the step. The runs that warm up change the cache, so it is put back after them."""
        states = [self.cache.position_B, self.cache.time]
        states += [tensor for layer in self.cache.layers for tensor in vars(layer).values()]
        before = [tensor.clone() for tensor in states]
        self.tokens_B = tokens_B.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self.model.step(self.tokens_B, self.cache)
        torch.cuda.current_stream().wait_stream(side)
        for tensor, kept in zip(states, before, strict=True):
            tensor.copy_(kept)
        del before
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.logits_BV = self.model.step(self.tokens_B, self.cache)


@dataclass(frozen=True)
class Chunk:
    """Text of a row that is certain now. end: why the row ended, empty while it goes on. tokens: drawn so far."""

    row: int
    text: str
    end: End
    tokens: int


@dataclass(frozen=True)
class Answer:
    """A row's whole text. tokens: its ids, the one that ended it included."""

    text: str
    tokens: tuple[int, ...]
    end: End


class TextStream:
    """Ids in, text out, as soon as later ids can't change it.

    before: the prompt's ids: what a token looks like depends on its place (a first space that is no text). A character
    in several byte tokens waits for the last. What may be the beginning of a stop string waits too.
    """

    def __init__(self, tokenizer: Tokenizer, before: Sequence[int], stop: Sequence[str] = ()) -> None:
        self.tokenizer, self.stop = tokenizer, [string for string in stop if string]
        self.stopped = False
        self._before = [*before[-4:]]
        while len(self._before) < len(before) and not self._decode(self._before):
            self._before = [*before[-2 * len(self._before) :]]
        self._fresh: list[int] = []
        self._sent = 0  # bytes of _fresh that went to _bytes
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def add(self, token: int) -> str:
        """The text that is certain with one more id."""
        self._fresh.append(token)
        return self._certain(self._text(False), False)

    def end(self) -> str:
        """The rest, when no id follows: half a character becomes U+FFFD."""
        return "" if self.stopped else self._certain(self._text(True), True)

    def _text(self, last: bool) -> str:
        """Whole characters of what is fresh and was not sent."""
        whole = self._decode(self._before + self._fresh)[len(self._decode(self._before)) :]
        if not last and whole.endswith(_UNKNOWN) and len(self._fresh) < 4:
            return ""  # a library that writes U+FFFD for a character whose bytes are still coming
        text = self._bytes.decode(whole[self._sent :], last)
        self._sent = len(whole)
        if whole and not self._bytes.getstate()[0]:
            # A list of ids whose text is only a first space has none, and would take the next one's too.
            self._before = self._fresh if self._decode(self._fresh) else self._before + self._fresh
            self._fresh, self._sent = [], 0
        return text

    def _certain(self, text: str, last: bool) -> str:
        self._held += text
        places = [place for place in (self._held.find(string) for string in self.stop) if place >= 0]
        if places:
            self.stopped = True
            return self._held[: min(places)]
        wait = 0 if last else max((_overlap(self._held, string) for string in self.stop), default=0)
        out, self._held = self._held[: len(self._held) - wait], self._held[len(self._held) - wait :]
        return out

    def _decode(self, ids: list[int]) -> bytes:
        offsets = np.array([0, len(ids)], np.int64)
        return self.tokenizer.decode(token_lists(offsets, np.array(ids, np.uint32)))[0].as_py()


def _overlap(text: str, string: str) -> int:
    """How many characters at the end of a text are the beginning of a longer string."""
    return next((n for n in range(min(len(text), len(string) - 1), 0, -1) if text.endswith(string[:n])), 0)


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Ids of texts; the text of a special token is plain text."""
    return tokenizer.encode(pa.array(texts, pa.large_string())).to_pylist()


def stream_text(opened: Opened, prompts: Sequence[str], options: Sampling, rows: int = ROWS) -> Iterator[Chunk]:
    """What each prompt goes on with, piece by piece; rows come mixed. The last chunk of a row says why it ended.

    Raises InputError where the model has no tokenizer, RecipeError for an empty prompt.
    """
    yield from (chunk for chunk, _ in _streamed(opened, encode(opened.need_tokenizer(), prompts), options, rows))


def complete(opened: Opened, prompts: Sequence[str], options: Sampling, rows: int = ROWS) -> list[Answer]:
    """What each prompt goes on with, whole, in the order of the prompts; errors as ``stream_text``."""
    ids = encode(opened.need_tokenizer(), prompts)
    found: list[_Growing] = [_Growing() for _ in prompts]
    for chunk, token in _streamed(opened, ids, options, rows):
        grown = found[chunk.row]
        grown.text.append(chunk.text)
        grown.tokens.append(token)
        grown.end = chunk.end
    return [Answer("".join(each.text), tuple(each.tokens), each.end) for each in found]


@dataclass
class _Growing:
    text: list[str] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    end: End = ""


def _streamed(opened: Opened, prompts: list[list[int]], options: Sampling, rows: int) -> Iterator[tuple[Chunk, int]]:
    """Each drawn id with the chunk it brings about."""
    tokenizer = opened.need_tokenizer()
    ends = {*options.stop_ids} | ({opened.eos_id} if opened.eos_id is not None else set())
    options = replace(options, stop_ids=tuple(sorted(ends)))
    streams: dict[int, TextStream] = {}
    counts = [0] * len(prompts)

    def wanted(row: int, token: int) -> bool:
        return not streams[row].stopped

    for row, token in generate(opened.model, prompts, options, wanted, rows):
        if row not in streams:
            streams[row] = TextStream(tokenizer, prompts[row], options.stop)
        stream = streams[row]
        counts[row] += 1
        end: End = "eos" if token in ends else ""
        # A padded vocabulary has rows the tokenizer has no text for; a model that draws one says nothing by it.
        text = "" if end or token >= tokenizer.vocab_size else stream.add(token)
        if not end:
            end = "stop" if stream.stopped else "length" if counts[row] == options.max_tokens else ""
        yield Chunk(row, text + (stream.end() if end else ""), end, counts[row]), token
