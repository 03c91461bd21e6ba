"""The judge of dialogs behind a loopback endpoint: grades, rubbish, silence, and nothing paid for twice."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jacorpus.errors import InputError, JacorpusError
from trainer.evaluate.mt_bench import Dialog, Judge, graded, preferred, read_dialogs, read_replies

DIALOGS = [Dialog("d1", "math", ("1足す1は？", "では2足す2は？")), Dialog("d2", "writing", ("詩を書いて", "短くして"))]
REPLIES = {"d1": ["2です", "4です"], "d2": ["春の海", "海"]}


@pytest.fixture
def endpoint():
    """(url, what was asked, how to answer: a function of the last message)."""
    seen, how = [], [lambda text: "良い。[[7]]"]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(body)
            reply = how[0](body["messages"][-1]["content"])
            raw = (
                reply
                if isinstance(reply, bytes)
                else json.dumps({"choices": [{"message": {"content": reply}}]}).encode()
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", seen, how
    server.shutdown()
    server.server_close()


def test_every_turn_is_graded_with_what_was_said_before(endpoint, tmp_path):
    url, seen, how = endpoint
    how[0] = lambda text: "[[1]]ではなく [[9]]" if "4です" in text else "[[6]]"
    found, missing = graded(DIALOGS, REPLIES, Judge(url, "j", tmp_path / "judge.jsonl"))
    assert missing == 0
    assert [(item.id, item.score) for item in found.items] == [("d1-1", 6), ("d1-2", 9), ("d2-1", 6), ("d2-2", 6)]
    assert "2です" in seen[1]["messages"][-1]["content"]
    assert seen[0]["model"] == "j"


def test_what_was_paid_for_is_not_asked_again(endpoint, tmp_path):
    url, seen, how = endpoint
    cache = tmp_path / "judge.jsonl"
    whole, _ = graded(DIALOGS, REPLIES, Judge(url, "j", cache))
    kept = cache.read_bytes()
    lines = kept.splitlines(keepends=True)
    cache.write_bytes(b"".join(lines[:2]) + lines[2][:20])  # killed while it wrote
    judge = Judge(url, "j", cache)
    assert graded(DIALOGS, REPLIES, judge)[0] == whole
    assert judge.asked == 2
    assert cache.read_bytes() == kept
    how[0] = lambda text: pytest.fail("asked again")
    assert graded(DIALOGS, REPLIES, Judge(url, "j", cache))[0] == whole
    assert len(seen) == 6


def test_rubbish_is_asked_again_and_then_counted(endpoint, tmp_path):
    url, seen, how = endpoint
    how[0] = lambda text: "評価できません [[11]] [[0]]" if "海" in text else "[[10]]"
    found, missing = graded(DIALOGS, REPLIES, Judge(url, "j", tmp_path / "judge.jsonl", attempts=2))
    assert (len(found.items), missing) == (2, 2)
    assert len(seen) == 6
    how[0] = lambda text: b"no json"
    with pytest.raises(JacorpusError, match="gave no reply"):
        graded(DIALOGS, REPLIES, Judge(url, "other", tmp_path / "judge.jsonl", attempts=2))


def test_a_judge_that_is_silent_or_absent_is_said(endpoint, tmp_path):
    url, _, how = endpoint
    how[0] = lambda text: time.sleep(0.5) or "[[5]]"
    with pytest.raises(JacorpusError, match=r"gave no reply .*timed out"):
        graded(DIALOGS, REPLIES, Judge(url, "j", tmp_path / "a.jsonl", timeout=0.05, attempts=1))
    with pytest.raises(JacorpusError, match="gave no reply"):
        graded(DIALOGS, REPLIES, Judge("http://127.0.0.1:9/v1", "j", tmp_path / "b.jsonl", attempts=1))


def test_a_judge_that_loves_the_first_place_decides_nothing(endpoint, tmp_path):
    url, _, how = endpoint
    other = {"d1": ["3です", "5です"], "d2": ["夏の山", "山"]}
    how[0] = lambda text: "[[A]]"
    biased = preferred(DIALOGS, REPLIES, other, Judge(url, "j", tmp_path / "a.jsonl"))
    assert [(item.score, item.meta["agreed"]) for item in biased.items] == [(0.5, False)] * 2
    how[0] = lambda text: "[[A]]" if {"4です", "山"} & set(text.partition("## B")[0].split("\n")) else "[[B]]"
    fair = preferred(DIALOGS, REPLIES, other, Judge(url, "k", tmp_path / "a.jsonl"))
    assert [(item.id, item.score, item.meta["agreed"]) for item in fair.items] == [("d1", 0.0, True), ("d2", 1.0, True)]


def test_files(real_data, tmp_path):
    dialogs = read_dialogs(real_data / "instruct/dialog_ja.jsonl.zst")
    assert {len(dialog.turns) for dialog in dialogs} == {2}
    assert len(dialogs) == 55
    (tmp_path / "r.jsonl").write_text('{"id": "d1", "answers": ["一つ"]}\n')
    with pytest.raises(InputError, match="dialog d1 has 1 of 2 answers"):
        graded(DIALOGS, read_replies(tmp_path / "r.jsonl"), Judge("http://127.0.0.1:9", "j", tmp_path / "j"))
