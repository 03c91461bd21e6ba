"""The judge against an endpoint on this machine: scores, retries, rubbish, timeouts; a resume pays nothing twice."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jacorpus.errors import JacorpusError, RecipeError
from trainer.rewards import Answered
from trainer.rewards.judge import Judge, read_score

Reply = Callable[[int, dict], tuple[int, object]]


@contextmanager
def endpoint(reply: Reply) -> Iterator[tuple[str, list[dict]]]:
    """(url, the bodies that were asked). reply: (number of the request, body) -> (status, verdict or raw bytes)."""
    asked: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            status, said = reply(len(asked), body)
            raw = (
                said if isinstance(said, bytes) else json.dumps({"choices": [{"message": {"content": said}}]}).encode()
            )
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
            except OSError:
                pass  # the client gave up

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def judge(url: str, cache: Path, **options: object) -> Judge:
    return Judge(url, "m", str(cache), **{"wait_s": 0.001, "threads": 2, "attempts": 3, "timeout_s": 5, **options})  # type: ignore[arg-type]


def answers(count: int) -> list[Answered]:
    return [Answered((), f"回答{n}", "参考", {"id": n}) for n in range(count)]


def test_scores_and_nothing_paid_twice(tmp_path: Path) -> None:
    def by_text(number: int, body: dict) -> tuple[int, str]:
        said = body["messages"][1]["content"]
        return 200, f"良い。点数: [[{next(n for n in range(9) if f'回答{n}' in said) + 1}]]"

    with endpoint(by_text) as (url, asked):
        first = judge(url, tmp_path)([*answers(3), *answers(1)])
        assert first == [0, 1 / 9, 2 / 9, 0]
        assert len(asked) == 3
        assert judge(url, tmp_path)(answers(3)) == first[:3]
        assert len(asked) == 3
        judge(url, tmp_path, temperature=0.5)(answers(1))
        assert len(asked) == 4


def test_errors_that_pass_are_tried_again(tmp_path: Path) -> None:
    said = [(500, "x"), (200, b"<html>"), (200, "点数: [[10]]")]
    with endpoint(lambda number, body: said[number - 1]) as (url, asked):
        assert judge(url, tmp_path)(answers(1)) == [1.0]
        assert len(asked) == 3


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((503, "x"), "status 503"),
        ((200, "すばらしい回答です。"), "without a score"),
        ((200, "点数: [[11]]"), "without a score"),
        ((200, b'{"choices": []}'), "no chat completion"),
        ((200, b'{"choices": [{"message": {"content": null}}]}'), "without text"),
    ],
)
def test_rubbish_is_one_clear_sentence(tmp_path: Path, reply: tuple[int, object], words: str) -> None:
    with endpoint(lambda number, body: reply) as (url, asked):
        with pytest.raises(JacorpusError, match="prompt 0") as caught:
            judge(url, tmp_path)(answers(1))
        assert words in str(caught.value)
        assert len(asked) == 3
        assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_not_tried_again(tmp_path: Path) -> None:
    with endpoint(lambda number, body: (401, b"bad key")) as (url, asked):
        with pytest.raises(JacorpusError, match="401"):
            judge(url, tmp_path)(answers(1))
        assert len(asked) == 1


def test_a_slow_endpoint_times_out(tmp_path: Path) -> None:
    def slow(number: int, body: dict) -> tuple[int, str]:
        time.sleep(0.4)
        return 200, "[[5]]"

    with endpoint(slow) as (url, _), pytest.raises(JacorpusError, match=r"within 0\.05 s"):
        judge(url, tmp_path, timeout_s=0.05, attempts=2)(answers(1))
    with pytest.raises(JacorpusError, match="can't be reached"):
        judge("http://127.0.0.1:9/v1", tmp_path, attempts=1)(answers(1))


def test_a_run_that_broke_off_keeps_its_verdicts(tmp_path: Path) -> None:
    """What came before the endpoint refused is not asked for again; a file that a crash cut is."""
    refuses = [True]

    def quota(number: int, body: dict) -> tuple[int, object]:
        return (400, b"quota") if refuses[0] and number > 3 else (200, "[[7]]")

    with endpoint(quota) as (url, asked):
        with pytest.raises(JacorpusError, match="400"):
            judge(url, tmp_path, threads=1)(answers(6))
        kept = sorted(tmp_path.glob("*.json"))
        assert len(kept) == 3
        kept[0].write_text('{"verdict": "[[7')
        refuses[0], before = False, len(asked)
        assert judge(url, tmp_path)(answers(6)) == [6 / 9] * 6
        assert len(asked) - before == 4


@pytest.mark.parametrize(
    ("verdict", "score"),
    [
        ("理由。点数: [[8]]", 8),
        ("[[3]] いや [[4]]", 4),
        ("点数：9", 9),
        ("スコア: 7/10", 7),
        ("Rating: 6.5", 6.5),
        *[("八点", None), ("[[0]]", None), ("10点満点", None), ("", None)],
    ],
)
def test_reading_a_score(verdict: str, score: float | None) -> None:
    assert read_score(verdict) == score


def test_options_are_checked(tmp_path: Path) -> None:
    for options in ({"url": "ftp://x"}, {"threads": 0}, {"key_variable": "NO_SUCH_VARIABLE_HERE"}):
        with pytest.raises(RecipeError, match="judge"):
            Judge(**{"url": "http://x", "model": "m", "cache": str(tmp_path), **options})  # type: ignore[arg-type]
