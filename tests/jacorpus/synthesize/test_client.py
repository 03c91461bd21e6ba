"""The client against a scripted endpoint: nothing paid twice, waits as told, bounded patience, cost kept."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jacorpus.errors import RecipeError, TaskError
from jacorpus.synthesize.answer import Unusable
from jacorpus.synthesize.cache import Store, request_key
from jacorpus.synthesize.client import BudgetSpentError, Client, Limits, Meter, Request, _seconds, endpoint_url
from tests.jacorpus.synthesize.endpoint import Endpoint, Reply, Script

FAST = {"first_wait_s": 0.01, "timeout_s": 5.0}


def _request(url: str, text: str = "こんにちは", draw: int = 0, max_tokens: int = 5) -> Request:
    return Request(endpoint_url(url), "m", ({"role": "user", "content": text},), {"max_tokens": max_tokens}, draw)


def _ask(store: Store, meter: Meter, requests: list[Request], schema: Any = None, **limits: Any) -> list[Any]:
    """All answers, errors in their place."""

    async def run() -> list[Any]:
        async with Client(Limits(**{**FAST, **limits}), store, meter) as client:
            asked = (client.ask(request, schema) for request in requests)
            return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(run())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "work" / "responses.sqlite")


def test_equal_requests_are_paid_once_now_and_later(store: Store) -> None:
    with Endpoint(lambda body: Reply("同じ", delay=0.05)) as endpoint:
        same = [_request(endpoint.url)] * 5
        meter = Meter(price_in=1e6, price_out=2e6)
        assert _ask(store, meter, same) == ["同じ"] * 5
        assert endpoint.answered.total() == 1
        assert (meter.tokens_in, meter.tokens_out, meter.spent) == (10, 5, 20.0)
        again = Meter()
        assert _ask(store, again, [_request(endpoint.url), _request(endpoint.url, draw=1)]) == ["同じ"] * 2
        assert (endpoint.answered.total(), again.cached, again.sent) == (2, 1, 1)
    assert store.totals() == {"responses": 2, "tokens_in": 20, "tokens_out": 10, "cost": 20.0}


def test_a_key_is_of_model_parameters_and_messages() -> None:
    body = _request("http://h/v1").body(0, 3)
    assert request_key(body) == request_key(dict(reversed(body.items())))
    for name, other in (("model", "n"), ("max_tokens", 6), ("seed", 1), ("messages", [])):
        assert request_key({**body, name: other}) != request_key(body)


class Late(Store):
    """The wrong twin: it counts a response as done and writes it at the end."""

    def put(self, *row: Any) -> None:
        self.__dict__.setdefault("held", []).append(row)


@pytest.mark.parametrize(("kind", "durable"), [(Store, True), (Late, False)])
def test_a_response_is_durable_before_it_counts(tmp_path: Path, kind: type[Store], durable: bool) -> None:
    path = tmp_path / "responses.sqlite"

    class Watching(Meter):
        def add(self, usage: Any) -> None:
            super().add(usage)
            other = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            seen.append(other.execute("SELECT count(*) FROM responses").fetchone()[0] == self.answered)
            other.close()

    seen: list[bool] = []
    with Endpoint(lambda body: Reply()) as endpoint:
        _ask(kind(path), Watching(), [_request(endpoint.url, str(i)) for i in range(4)])
    assert seen == [durable] * 4


def _after(failures: int, failure: Reply) -> Script:
    """Fails so many times, then answers."""
    left = [failures]

    def script(body: dict[str, Any]) -> Reply:
        left[0] -= 1
        return failure if left[0] >= 0 else Reply()

    return script


@pytest.mark.parametrize(
    ("status", "word"), [(429, "http_429"), (500, "http_500"), (503, "http_503"), (408, "http_408")]
)
def test_passing_trouble_is_tried_again(store: Store, status: int, word: str) -> None:
    with Endpoint(_after(2, Reply(status=status))) as endpoint:
        meter = Meter()
        assert _ask(store, meter, [_request(endpoint.url)]) == ["はい。"]
    assert meter.retried == {word: 2}
    assert meter.answered == 1


def test_retry_after_holds_all_requests(store: Store) -> None:
    times: list[float] = []
    trouble = _after(1, Reply(status=429, headers={"Retry-After": "0.6"}))

    def script(body: dict[str, Any]) -> Reply:
        times.append(time.monotonic())
        return trouble(body)

    with Endpoint(script) as endpoint:
        requests = [_request(endpoint.url, str(i)) for i in range(4)]
        assert _ask(store, Meter(), requests, concurrency=1) == ["はい。"] * 4
    assert times[1] - times[0] >= 0.6


def test_retry_after_as_a_date() -> None:
    import email.utils

    assert _seconds("3") == 3
    assert 50 < _seconds(email.utils.formatdate(time.time() + 60, usegmt=True)) <= 60
    assert _seconds("soon") == _seconds(None) == _seconds("-1") == 0


def test_a_timeout_is_tried_again(store: Store) -> None:
    with Endpoint(_after(1, Reply(delay=3.0))) as endpoint:
        meter = Meter()
        assert _ask(store, meter, [_request(endpoint.url)], timeout_s=0.2) == ["はい。"]
    assert meter.retried == {"timeout": 1}


RUBBISH = {
    "not_json": Reply(raw="<html>busy</html>"),
    "no_choices": Reply(raw='{"choices": []}'),
    "truncated": Reply(ended="length"),
    "schema": Reply({"wrong": 1}),
}


@pytest.mark.parametrize("reason", RUBBISH)
def test_rubbish_is_asked_again_a_bounded_number_of_times(store: Store, reason: str) -> None:
    schema = {"type": "object", "required": ["right"]} if reason == "schema" else None
    with Endpoint(lambda body: RUBBISH[reason]) as endpoint:
        for _ in range(2):  # the second time all three are known
            meter = Meter()
            (error,) = _ask(store, meter, [_request(endpoint.url)], schema)
            assert isinstance(error, Unusable)
            assert error.reason == reason
            assert meter.unusable == {reason: 3}
        assert sorted(body["seed"] for body in endpoint.bodies) == [0, 1, 2]
    assert store.totals()["responses"] == 3  # rubbish is billed, so it is kept


def test_rubbish_then_an_answer(store: Store) -> None:
    with Endpoint(_after(1, RUBBISH["not_json"])) as endpoint:
        assert _ask(store, Meter(), [_request(endpoint.url)]) == ["はい。"]


def test_a_refused_document_is_its_own_fault(store: Store) -> None:
    with Endpoint(lambda body: Reply(status=400, raw="maximum context length is 4096")) as endpoint:
        (error,) = _ask(store, Meter(), [_request(endpoint.url)])
    assert isinstance(error, Unusable)
    assert error.reason == "http_400"
    assert "context length" in error.detail


def test_refusing_everything_ends_the_run(store: Store) -> None:
    with Endpoint(lambda body: Reply(status=422, raw="unknown parameter: seed")) as endpoint:
        found = _ask(store, Meter(), [_request(endpoint.url, str(i)) for i in range(22)])
    assert sum(isinstance(error, Unusable) for error in found) == 20
    assert sum(isinstance(error, TaskError) and "unknown parameter: seed" in str(error) for error in found) == 2


def test_the_key_goes_into_the_header_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    refused = Reply(status=401, raw="Incorrect API key provided: sk-very-secret.")
    with Endpoint(_after(1, refused)) as endpoint:
        (error,) = _ask(store, Meter(), [_request(endpoint.url)], key_env="SOME_KEY")
        assert isinstance(error, TaskError)
        assert "sk-very" not in str(error)
        assert "***" in str(error)
        assert _ask(store, Meter(), [_request(endpoint.url)], key_env="SOME_KEY") == ["はい。"]
        assert {headers["Authorization"] for headers in endpoint.headers} == {"Bearer sk-very-secret"}
    for folder, _, names in os.walk(store.path.parent):
        assert not any(b"sk-very" in Path(folder, name).read_bytes() for name in names)
    monkeypatch.delenv("SOME_KEY")
    with pytest.raises(RecipeError, match="SOME_KEY is empty"):
        _ask(store, Meter(), [], key_env="SOME_KEY")


@pytest.mark.parametrize("address", ["host/v1", "ftp://host/v1", "https://me:pw@host/v1", "https://host/v1?key=1"])
def test_an_address_is_plain(address: str) -> None:
    with pytest.raises(RecipeError):
        endpoint_url(address)


def test_an_endpoint_that_is_down_is_one_sentence(store: Store) -> None:
    (error,) = _ask(store, Meter(), [_request("http://127.0.0.1:9/v1")], retries=1)
    assert isinstance(error, TaskError)
    assert "gave no answer to 2 requests" in str(error)
    assert "the same command goes on" in str(error)
    with Endpoint(lambda body: Reply(status=429, headers={"Retry-After": "86400"})) as endpoint:
        (error,) = _ask(store, Meter(), [_request(endpoint.url)])
    assert "asks to wait 86400 s" in str(error)


def test_one_request_that_always_fails_does_not_end_the_others(store: Store) -> None:
    def script(body: dict[str, Any]) -> Reply:
        return Reply(status=500) if body["messages"][0]["content"] == "7" else Reply(delay=0.02)

    with Endpoint(script) as endpoint:
        found = _ask(store, Meter(), [_request(endpoint.url, str(i)) for i in range(12)], retries=3, concurrency=2)
    assert [i for i, answer in enumerate(found) if answer != "はい。"] == [7]
    assert isinstance(found[7], Unusable)
    assert found[7].reason == "http_500"


@pytest.mark.parametrize("limits", [{"rpm": 1200}, {"tpm": 1200 * 46}])  # a request is bounded by 41 + 5 tokens
def test_requests_keep_the_pace(store: Store, limits: dict[str, float]) -> None:
    with Endpoint(lambda body: Reply(usage=(41, 5))) as endpoint:
        start = time.monotonic()
        _ask(store, Meter(), [_request(endpoint.url, f"{i:025}") for i in range(9)], **limits)
        assert time.monotonic() - start >= 8 * 60 / 1200
        store.close()


def _most(meter: Meter, endpoint: Endpoint, store: Store, count: int) -> list[Any]:
    return _ask(store, meter, [_request(endpoint.url, f"{i:04}") for i in range(count)], concurrency=8)


@pytest.mark.parametrize("make", [lambda: 0.0, lambda: 0.5])
def test_the_budget_is_never_passed(store: Store, make: Callable[[], float]) -> None:
    """A request costs 25 by its bound (4 bytes, 16 of roles, 5 of the answer) and 15 in truth."""
    with Endpoint(lambda body: Reply(usage=(10, 5), delay=make() / 10)) as endpoint:
        meter = Meter(price_in=1e6, price_out=1e6, max_cost=100)
        found = _most(meter, endpoint, store, 20)
        assert meter.spent == 15 * endpoint.answered.total() == 90  # 90 + 25 is over
        assert sum(isinstance(answer, BudgetSpentError) for answer in found) == 14
        later = Meter(price_in=1e6, price_out=1e6, max_cost=130, before=90)
        _most(later, endpoint, store, 20)
        assert (later.cached, later.spent) == (6, 30)
