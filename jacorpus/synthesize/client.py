"""An asynchronous client of OpenAI-style chat endpoints that pays for nothing twice.

A response is on the disk before its request counts as done. Requests wait for their turn (so many at once, requests
and tokens a minute); 408, 429, 5xx, broken connections and timeouts are tried again after a random wait that doubles
its range (or what Retry-After says, for all requests); an answer that can't be used is asked for again with another
``seed``, a bounded number of times. The key comes from an environment variable and goes into a header, nowhere else.
"""

import asyncio
import email.utils
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from jacorpus.errors import RecipeError, TaskError
from jacorpus.synthesize.answer import Unusable, Usage, read_answer, usage_of
from jacorpus.synthesize.cache import Store, request_key

MAX_RESPONSE_BYTES = 16 << 20
LONGEST_WAIT_S = 600.0
"""A Retry-After beyond this ends the run; the same command goes on later."""
_TRANSIENT = (408, 429)
_REFUSALS = 20  # so many and no answer: then it is no document's fault
_OVERHEAD_TOKENS = 16  # of roles and separators, a message


class BudgetSpentError(Exception):
    """No further request fits into the maximal cost."""


@dataclass(frozen=True)
class Limits:
    """How a client behaves.

    concurrency: requests at once. rpm, tpm: requests and tokens a minute over all (0: no limit). timeout_s: of one
    request. retries: after 429, 5xx, timeouts, broken connections. tries: of an answer that can't be used.
    first_wait_s: range of the first random wait. key_env: name of the variable that holds the key; "": none.
    """

    concurrency: int = 16
    rpm: float = 0.0
    tpm: float = 0.0
    timeout_s: float = 120.0
    retries: int = 6
    tries: int = 3
    first_wait_s: float = 1.0
    key_env: str = ""


@dataclass
class Meter:
    """Tokens and money. price_in, price_out: for a million tokens. before: what earlier runs spent on this output."""

    price_in: float = 0.0
    price_out: float = 0.0
    max_cost: float = 0.0
    before: float = 0.0
    spent: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    sent: int = 0
    answered: int = 0
    cached: int = 0
    retried: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)

    def cost(self, usage: Usage) -> float:
        """What these tokens cost."""
        return (usage.tokens_in * self.price_in + usage.tokens_out * self.price_out) / 1e6

    def add(self, usage: Usage) -> None:
        """A response was received."""
        self.answered += 1
        self.tokens_in += usage.tokens_in
        self.tokens_out += usage.tokens_out
        self.spent += self.cost(usage)

    def as_json(self) -> dict[str, Any]:
        """How run.json lists it."""
        names = ("tokens_in", "tokens_out", "sent", "answered", "cached", "price_in", "price_out", "max_cost")
        counts = {"retried": dict(self.retried), "unusable": dict(self.unusable)}
        money = {"cost": round(self.spent, 6), "cost_in_all": round(self.before + self.spent, 6)}
        return {name: getattr(self, name) for name in names} | counts | money


@dataclass(frozen=True)
class Request:
    """One question. url: of the endpoint. params: temperature, max_tokens and so on. draw: its number among equals."""

    url: str
    model: str
    messages: tuple[dict[str, str], ...]
    params: dict[str, Any]
    draw: int = 0

    def body(self, attempt: int, tries: int) -> dict[str, Any]:
        """What is sent. ``seed`` tells draws and attempts apart, for the endpoint and for the cache."""
        messages = list(self.messages)
        return {"model": self.model, "messages": messages, **self.params, "seed": self.draw * tries + attempt}

    def bound(self) -> Usage:
        """At most so many tokens: a token has at least a byte, an answer ends at its limit."""
        sizes = [len(m["content"].encode("utf-8", "replace")) + _OVERHEAD_TOKENS for m in self.messages]
        return Usage(sum(sizes), self.limit())

    def limit(self) -> int:
        """Most tokens of the answer."""
        return int(self.params.get("max_tokens") or self.params.get("max_completion_tokens") or 0)


class _Pace:
    """So many units a minute, evenly."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute, self.at = per_minute, 0.0

    def take(self, units: float) -> float:
        """The moment at which these units may go (time.monotonic)."""
        if not self.per_minute:
            return 0.0
        start = max(self.at, time.monotonic())
        self.at = start + units * 60 / self.per_minute
        return start

    def give_back(self, units: float) -> None:
        """Units that were taken and not used."""
        if self.per_minute:
            self.at -= units * 60 / self.per_minute


@dataclass
class _Failure:
    """A request that got no response. word: what is counted. wait: seconds Retry-After asks for."""

    word: str
    detail: str
    wait: float = 0.0


class Client:
    """Use as ``async with``. Raises TaskError where an endpoint is down or refuses the client as such."""

    def __init__(self, limits: Limits, store: Store, meter: Meter) -> None:
        self.limits, self.store, self.meter = limits, store, meter
        self._key = _key(limits.key_env)
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._requests, self._tokens = _Pace(limits.rpm), _Pace(limits.tpm)
        self._paused_until, self._refused = 0.0, 0
        self._flying: dict[str, asyncio.Task[str]] = {}
        self._reserved: dict[str, float] = {}
        self._released = asyncio.Event()
        self.stopped = False  # the budget is spent: nothing new is asked

    async def __aenter__(self) -> "Client":
        import aiohttp

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = aiohttp.ClientTimeout(total=self.limits.timeout_s)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector)
        return self

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        wait = error is None or error is BudgetSpentError  # for what is under way: it will be billed
        for task in () if wait else self._flying.values():
            task.cancel()
        await asyncio.gather(*self._flying.values(), return_exceptions=True)
        await self._session.close()

    async def ask(self, request: Request, schema: dict[str, Any] | None = None) -> Any:
        """The answer: text, or the schema's value. Raises Unusable (this document's), BudgetSpentError, TaskError."""
        tries = self.limits.tries
        for attempt in range(tries):
            response = await self._response(request, request.body(attempt, tries))
            try:
                return read_answer(response, schema)
            except Unusable as error:
                self.meter.unusable[error.reason] += 1
                last = error
        raise Unusable(last.reason, f"{last.detail}; the last of {tries} answers that can't be used")

    async def _response(self, request: Request, body: dict[str, Any]) -> str:
        """From the disk; else from a request under way that is the same; else from a new one."""
        key = request_key(body)
        if (text := self.store.get(key)) is not None:
            self.meter.cached += 1
            return text
        if key not in self._flying:
            self._flying[key] = asyncio.ensure_future(self._paid(key, request, body))
            self._flying[key].add_done_callback(lambda task: self._landed(key, task))
        return await asyncio.shield(self._flying[key])

    def _landed(self, key: str, task: "asyncio.Task[str]") -> None:
        self._flying.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen, even where nobody waits for it any more

    async def _paid(self, key: str, request: Request, body: dict[str, Any]) -> str:
        bound = request.bound()
        await self._reserve(key, self.meter.cost(bound))
        failure = _Failure("none", "nothing was sent")
        try:
            answered = self.meter.answered
            for attempt in range(self.limits.retries + 1):
                found = await self._send(request.url, body, bound)
                if isinstance(found, str):
                    usage = usage_of(found, bound)
                    self.store.put(key, request.model, found, *usage, self.meter.cost(usage))
                    self.meter.add(usage)
                    self._tokens.give_back(sum(bound) - sum(usage))
                    return found
                failure = found
                self.meter.retried[found.word] += 1
                self._tokens.give_back(sum(bound))
                if attempt < self.limits.retries:
                    await self._back_off(attempt, found, request.url)
        finally:
            self._reserved.pop(key)
            self._released.set()
        raise self._given_up(request.url, failure, answered)

    async def _reserve(self, key: str, cost: float) -> None:
        """Wait until the cost fits beside what is under way; what is under way may cost less than it could."""
        meter = self.meter
        while not self.stopped and meter.max_cost:
            if meter.before + meter.spent + sum(self._reserved.values()) + cost <= meter.max_cost:
                break
            self.stopped = not self._reserved
            if self._reserved:
                self._released.clear()
                await self._released.wait()
        if self.stopped:
            raise BudgetSpentError
        self._reserved[key] = cost

    async def _send(self, url: str, body: dict[str, Any], bound: Usage) -> "str | _Failure":
        """The body of a response with status 200, or why there is none. Raises Unusable and TaskError."""
        import aiohttp

        async with self._slots:
            start = max(self._requests.take(1), self._tokens.take(sum(bound)), self._paused_until)
            while (wait := max(start, self._paused_until) - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self.meter.sent += 1
            try:
                async with self._session.post(url, json=body, allow_redirects=False) as response:
                    text = await _read(response)
                    after = _seconds(response.headers.get("Retry-After"))
                    status = response.status
            except TimeoutError:
                return _Failure("timeout", f"no response within {self.limits.timeout_s:g} s")
            except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
                raise RecipeError(f"{url} is no address of an endpoint; write https://HOST/v1") from error
            except (aiohttp.ClientError, OSError) as error:
                return _Failure("connection", self._masked(str(error) or type(error).__name__))
        if status == 200:
            return text
        detail = f"status {status}: {self._masked(' '.join(text[:300].split()))}"
        if status in _TRANSIENT or status >= 500:
            return _Failure(f"http_{status}", detail, after)
        if status in (400, 413, 422) and (self.meter.answered or self.meter.cached or self._refused < _REFUSALS):
            self._refused += 1  # this document's fault: too long for the model, as a rule
            raise Unusable(f"http_{status}", f"the endpoint refused the request with {detail}")
        raise TaskError(f"{url} answers with {detail}; check the address, the model's name and the key (--key-env)")

    async def _back_off(self, attempt: int, failure: _Failure, url: str) -> None:
        if failure.wait > LONGEST_WAIT_S:
            raise TaskError(f"{url} asks to wait {failure.wait:.0f} s; run the same command again after that")
        if failure.wait:
            self._paused_until = max(self._paused_until, time.monotonic() + failure.wait)
        await asyncio.sleep(failure.wait + random.uniform(0, min(60.0, self.limits.first_wait_s * 2**attempt)))

    def _given_up(self, url: str, failure: _Failure, answered: int) -> Exception:
        """An endpoint that answered others meanwhile is up: the request is to blame, unless it was told to wait."""
        tries = self.limits.retries + 1
        if self.meter.answered > answered and failure.word != "http_429":
            return Unusable(failure.word, f"{tries} requests got no answer, the last: {failure.detail}")
        return TaskError(
            f"{url} gave no answer to {tries} requests, the last: {failure.detail}; what was received is kept, "
            "the same command goes on from there"
        )

    def _masked(self, text: str) -> str:
        """Without the key: some servers quote it in their complaint."""
        return text.replace(self._key, "***") if self._key else text


def endpoint_url(address: str) -> str:
    """``https://host/v1`` -> ``https://host/v1/chat/completions``. Raises RecipeError where it can't be an address."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RecipeError(f"{address!r} is no address of an endpoint; write https://HOST/v1")
    if parts.username or parts.password or parts.query:
        raise RecipeError("the address of an endpoint holds no key or query; put the key in a variable, see --key-env")
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith("/chat/completions") else f"{path}/chat/completions").geturl()


def _key(name: str) -> str:
    if not name:
        return ""
    key = os.environ.get(name, "").strip()
    if not key:
        raise RecipeError(f"the environment variable {name} is empty; set it to the endpoint's key")
    return key


async def _read(response: Any) -> str:
    """The body as text; what is over MAX_RESPONSE_BYTES is cut off, so that it is no JSON."""
    pieces, size = [], 0
    async for piece in response.content.iter_chunked(1 << 16):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_RESPONSE_BYTES:
            break
    return b"".join(pieces).decode("utf-8", "replace")


def _seconds(retry_after: str | None) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date; 0 where there is none."""
    if not retry_after:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
