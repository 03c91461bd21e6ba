"""The server over HTTP: what it answers, and what it does not."""

import http.client
import json
import re
import threading

import pytest

from jacorpus.errors import RecipeError
from tests.trainer.serve.stages import rows, stage
from trainer.posttrain.rollout import Rollouts
from trainer.serve.rollouts import Folder
from trainer.serve.server import PAGE, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory, small_run):
    where = tmp_path_factory.mktemp("served")
    folders = [stage(where / name, small_run, cycles=2, seed=seed) for seed, name in enumerate(("03-ppo", "04-ppo"))]
    broken = rows(where / "pieces.model", "ppo", 2, 0, 2)
    broken[0]["value"][0] = float("nan")
    broken[0]["logp"][0] = float("-inf")
    Rollouts(folders[0] / "rollouts").write(2, broken)
    with Server([Folder(folder) for folder in folders]) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def ask(server):
    def asked(path, method="GET", host=None):
        connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{server.server_address[1]}")
        connection.endheaders()
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply.status, dict(reply.getheaders()), body

    return asked


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"


def test_the_page_stands_alone_under_a_strict_policy(ask):
    status, headers, body = ask("/")
    assert (status, body) == (200, PAGE.read_bytes())
    assert re.match(r"default-src 'none'; script-src 'sha256-[\w+/=]{44}'; ", headers["Content-Security-Policy"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    text = body.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//\w+\.|innerHTML|insertAdjacentHTML|document\.write", text)


@pytest.mark.parametrize(
    "path",
    [
        *("/api/about", "/api/cycles", "/api/other/cycles", "/api/cycle/1", "/api/other/cycle/1?sort=-kl&group=2"),
        *("/api/answer/1/3", "/api/other/answer/0/0", "/api/other/match?prompt_id=q1&draw=1&cycle=1"),
    ],
)
def test_what_is_there_is_json(ask, path):
    status, headers, body = ask(path)
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert json.loads(body)
    status, headers, nothing = ask(path, "HEAD")
    assert (status, headers["Content-Length"], nothing) == (200, str(len(body)), b"")


def test_both_folders_answer_to_the_same_prompt(ask):
    first, second = (json.loads(ask(f"/api/{which}answer/1/3")[2]) for which in ("", "other/"))
    assert (first["prompt_id"], first["draw"]) == (second["prompt_id"], second["draw"])
    assert first["ids"] != second["ids"]


def test_numbers_that_are_not_finite_are_words(ask):
    body = ask("/api/answer/2/0")[2]
    found = json.loads(body, parse_constant=lambda word: pytest.fail(word))["numbers"]
    assert (found["value"][0], found["logp"][0], found["gap"][0]) == ("NaN", "-Infinity", "-Infinity")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/../stage.json", 404),
        ("/stage.json", 404),
        ("/api/../../etc/passwd", 404),
        ("/api/cycle/..%2f..%2fstage.json", 404),
        ("/api/other/other/cycles", 404),
        ("/api/cycle/1/2", 404),
        ("/api/answer/1", 404),
        ("/api/answer/1/99", 404),
        ("/api/cycle/7", 404),
        ("/api/cycle/1?sort=__class__", 400),
        ("/api/cycle/1?offset=x", 400),
    ],
)
def test_other_paths_lead_nowhere(ask, path, status):
    found, _, body = ask(path)
    assert found == status
    assert set(json.loads(body)) == {"error"}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.9", "localhost.evil", " ", "["])
def test_another_name_gets_nothing(ask, host):
    for path in ("/", "/api/cycles"):
        assert ask(path, host=host)[0] == 403


def test_names_of_this_machine_are_answered(ask, server):
    port = server.server_address[1]
    assert all(ask("/api/about", host=host)[0] == 200 for host in (f"localhost:{port}", f"127.0.0.1:{port}", "[::1]:1"))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(ask, method):
    assert ask("/api/cycles", method)[0] == 501


def test_a_port_in_use_is_said(server):
    with pytest.raises(RecipeError, match="--port 0 takes a free one"):
        Server(server.folders, port=server.server_address[1])
