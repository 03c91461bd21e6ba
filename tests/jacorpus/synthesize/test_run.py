"""Whole runs against a scripted endpoint: each seed in one state, nothing paid twice, lineage to a corpus's audit."""

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from jacorpus.engine.inline import Inline
from jacorpus.errors import RecipeError, TaskError
from jacorpus.output.explain import explain
from jacorpus.recipe import recipe_from_tables
from jacorpus.run import run_recipe
from jacorpus.shards import read_table
from jacorpus.synthesize.client import Limits
from jacorpus.synthesize.run import Job, Synthesis
from jacorpus.synthesize.seeds import identity_of, read_seeds
from jacorpus.synthesize.template import template_names
from tests.conftest import ROOT
from tests.jacorpus.synthesize.endpoint import Endpoint, Reply, answers_of, fluent, number_of, schema_of
from tests.small import prose


def _seeds(folder: Path, count: int = 24) -> Path:
    path = folder / "seeds.jsonl"
    rows = [{"id": f"doc-{i}", "text": prose(i + 1), "url": f"https://example.jp/{i}"} for i in range(count)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def _job(url: str, seeds: Path, template: str = "qa", **more: Any) -> Job:
    models = {"main": "big", "weak": "small", "judge": "big"}
    limits = more.pop("limits", Limits(concurrency=4, first_wait_s=0.01, retries=1))
    return Job((str(seeds),), template, models, dict.fromkeys(models, url), "Apache-2.0", limits=limits, **more)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _files(out: Path) -> dict[str, bytes]:
    """What has to be the same whatever happened on the way."""
    return {p.name: p.read_bytes() for p in sorted(out.iterdir()) if p.is_file() and p.name != "run.json"}


LOOSE = """
name = "loose"
version = "3"
output = "text"
[[step]]
name = "answer"
user = "{text}"
params = { max_tokens = 50 }
[document]
text = "{answer}"
[[rule]]
signal = "text.chars"
min = 20
reason = "short"
"""


@pytest.fixture
def loose(tmp_path: Path) -> str:
    path = tmp_path / "loose.toml"
    path.write_text(LOOSE, "utf-8")
    return str(path)


@pytest.mark.parametrize("name", template_names())
def test_each_template_asks_and_accounts_for_every_seed(tmp_path: Path, name: str) -> None:
    """A model that answers by the schema: all answers are valid, whatever the rules then say of them."""
    with Endpoint(fluent) as endpoint:
        synthesis = Synthesis(_job(endpoint.url, _seeds(tmp_path, 4), name))
        manifest = synthesis.run(tmp_path / "out")
        steps = len(synthesis.template.steps)
        assert endpoint.answered.total() == 4 * steps == len(endpoint.answered)
    counts = manifest["counts"]
    assert counts["read"] == 4 == counts["kept"] + counts["dropped"]
    assert counts["failed"] == 0
    assert json.loads((tmp_path / "out" / "run.json").read_bytes())["unusable"] == {}
    assert len(read_table(tmp_path / "out" / "audit.arrow")) == 4


def test_states_lineage_and_ids(tmp_path: Path, loose: str) -> None:
    """Seed 1 is answered shortly, 2 is rubbish, 3 is refused as too long, 4 is no JSON, 5 has the id of seed 0."""
    seeds = _seeds(tmp_path, 4)
    with seeds.open("a", encoding="utf-8") as stream:
        stream.write("{broken\n")
        stream.write(json.dumps({"id": "doc-0", "text": "二度目"}) + "\n")
    replies = {1: Reply("短い。"), 2: Reply(raw="busy"), 3: Reply(status=400, raw="too long")}

    def script(body: dict[str, Any]) -> Reply:
        text = body["messages"][0]["content"]
        number = next(i for i in range(4) if prose(i + 1) == text)
        return replies.get(number, Reply(prose(number + 50)))

    with Endpoint(script) as endpoint:
        manifest = Synthesis(_job(endpoint.url, seeds, loose)).run(tmp_path / "out")
    assert manifest["counts"] == {"read": 6, "kept": 1, "dropped": 1, "failed": 4}
    assert manifest["reasons"] == {
        "dropped(synthesize, short)": 1,
        "failed(read, duplicate_id)": 1,
        "failed(read, json)": 1,
        "failed(synthesize, http_400)": 1,
        "failed(synthesize, not_json)": 1,
    }
    rows = read_table(tmp_path / "out" / "audit.arrow").to_pylist()
    assert [row["state"] for row in rows] == ["kept", "dropped", "failed", "failed", "failed", "failed"]
    assert rows[1]["value"] == 3
    assert rows[0]["id"] == identity_of("doc-0", "loose", "3", 0)
    assert [row["seed"] for row in rows[:4]] == [f"doc-{i}" for i in range(4)]
    (document,) = _lines(tmp_path / "out" / "documents.jsonl")
    assert document["id"] == rows[0]["id"].hex()
    assert document["url"] == rows[0]["url"] == "synthetic://loose/3/doc-0/0"
    told = ("seed", "seed_url", "template", "template_version", "generator", "generator_license")
    assert [document[name] for name in told] == ["doc-0", "https://example.jp/0", "loose", "3", "big", "Apache-2.0"]


def test_a_corpus_run_leads_back_to_the_seed(tmp_path: Path, loose: str) -> None:
    def script(body: dict[str, Any]) -> Reply:
        return Reply(prose(number_of(body), 3 + number_of(body) % 3))

    with Endpoint(script) as endpoint:
        Synthesis(_job(endpoint.url, _seeds(tmp_path, 5), loose, draws=2)).run(tmp_path / "out")
    lengths = sorted(len(row["text"]) for row in _lines(tmp_path / "out" / "documents.jsonl"))
    source = {"use": "sources.jsonl", "domain": "synthetic", "paths": ["out/documents.jsonl"]}
    rule = {"use": "rules.bounds", "rules": [{"signal": "text.chars", "max": lengths[4], "reason": "long"}]}
    tables = {"source": [source], "stage": [{"use": "signals.text"}, rule], "valid_ratio": 0.0}
    run_recipe(recipe_from_tables(tables, tmp_path, "t"), tmp_path / "corpus", Inline())
    stories = [explain(tmp_path / "corpus", f"synthetic://loose/3/doc-{i}/{n}")[0] for i in range(5) for n in range(2)]
    assert len({story["id"] for story in stories}) == 10
    dropped = [story for story in stories if story["state"] == "dropped"]
    assert dropped
    assert {(story["stage"], story["reason"]) for story in dropped} == {("bounds", "long")}
    (shard,) = (tmp_path / "corpus" / "shards").glob("*.arrow")
    rows = read_table(shard).to_pylist()
    assert len(rows) == 10 - len(dropped)
    for row in rows:
        meta = json.loads(row["meta"])
        assert row["url"] == f"synthetic://loose/3/{meta['seed']}/{meta['draw']}"
        assert (meta["generator"], meta["generator_license"]) == ("big", "Apache-2.0")


def test_seeds_may_be_a_corpus(tmp_path: Path) -> None:
    _seeds(tmp_path, 3)
    source = {"use": "sources.jsonl", "domain": "web", "paths": ["seeds.jsonl"]}
    run_recipe(recipe_from_tables({"source": [source], "stage": []}, tmp_path, "t"), tmp_path / "corpus", Inline())
    seeds = list(read_seeds((str(tmp_path / "corpus"),), "text"))
    assert sorted(seed.fields["text"] for seed in seeds) == sorted(prose(i + 1) for i in range(3))
    story = explain(tmp_path / "corpus", seeds[0].id)[0]
    assert story["url"] == seeds[0].url
    assert seeds[0].lineage()["seed_domain"] == "web"


def test_chat_and_preference_files(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Reply:
        schema = schema_of(body)
        if schema and "better" in schema["properties"]:
            first = body["messages"][1]["content"].split("<応答A>\n")[1].split("\n</応答A>")[0]
            second = body["messages"][1]["content"].split("<応答B>\n")[1].split("\n</応答B>")[0]
            return Reply({"reason": "", "better": "A" if first > second else "B"})
        return Reply(answers_of(schema, number_of(body)))

    with Endpoint(script) as endpoint:
        seeds = _seeds(tmp_path, 4)
        Synthesis(_job(endpoint.url, seeds, "preference")).run(tmp_path / "pref")
        pairs = _lines(tmp_path / "pref" / "preference.jsonl")
        assert len(pairs) == 4
        assert all(pair["chosen"] > pair["rejected"] and pair["generator_license"] == "Apache-2.0" for pair in pairs)
        Synthesis(_job(endpoint.url, seeds, "dialogue")).run(tmp_path / "talk")
        (first, *_) = _lines(tmp_path / "talk" / "chat.jsonl")
        assert [turn["role"] for turn in first["messages"]] == ["user", "assistant"]
        assert first["generator_license"] == "Apache-2.0"


RUN = """
import sys
from pathlib import Path
from jacorpus.synthesize import cache, run
url, seeds, template, out, kind = sys.argv[1:]
limits = run.Limits(concurrency=4, retries=1)
job = run.Job((seeds,), template, {"main": "big"}, {"main": url}, "Apache-2.0", limits=limits)
if kind == "late":
    class Late(cache.Store):
        def put(self, *row):
            self.__dict__.setdefault("held", []).append(row)
            if len(self.held) == 20:
                [cache.Store.put(self, *row) for row in self.held]
                self.held.clear()
    run.Store = Late
run.Synthesis(job).run(Path(out))
"""


def _killed(endpoint: Endpoint, seeds: Path, loose: str, out: Path, kind: str, after: int) -> None:
    """A run that is killed with SIGKILL when so many responses were received; the requests beyond are not answered."""
    words = [sys.executable, "-c", RUN, endpoint.url, str(seeds), loose, str(out), kind]
    process = subprocess.Popen(words, cwd=ROOT)
    end = time.monotonic() + 60
    while endpoint.answered.total() < after and time.monotonic() < end:
        time.sleep(0.02)
    store = out / "work" / "responses.sqlite"
    end = time.monotonic() + (20 if kind == "store" else 0.5)
    while _stored(store) < after and time.monotonic() < end:
        time.sleep(0.02)
    process.kill()
    process.wait()


def _stored(path: Path) -> int:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(database.execute("SELECT count(*) FROM responses").fetchone()[0])
    finally:
        database.close()


@pytest.mark.parametrize(("kind", "repeated"), [("store", 0), ("late", 10)])
def test_killed_and_resumed_pays_nothing_twice(tmp_path: Path, loose: str, kind: str, repeated: int) -> None:
    """The wrong twin writes responses in groups: killed, it asks again for what it had been given."""
    seeds, after = _seeds(tmp_path), [10]

    def script(body: dict[str, Any]) -> Reply:
        return fluent(body) if after[0] < 0 or endpoint.answered.total() < after[0] else Reply(held=True)

    with Endpoint(script) as endpoint:
        _killed(endpoint, seeds, loose, tmp_path / "out", kind, after[0])
        assert endpoint.answered.total() == 10
        after[0] = -1
        manifest = Synthesis(_job(endpoint.url, seeds, loose)).run(tmp_path / "out")
        assert manifest["counts"]["read"] == 24
        assert sum(count - 1 for count in endpoint.answered.values()) == repeated
        assert len(endpoint.answered) == 24
    with Endpoint(fluent) as endpoint:
        Synthesis(_job(endpoint.url, seeds, loose)).run(tmp_path / "whole")
    assert _files(tmp_path / "out") == _files(tmp_path / "whole")


def test_order_of_answers_and_concurrency_change_nothing(tmp_path: Path, loose: str) -> None:
    def slow(body: dict[str, Any]) -> Reply:
        reply = fluent(body)
        reply.delay = number_of(body) % 5 / 100
        return reply

    seeds = _seeds(tmp_path)
    with Endpoint(slow) as endpoint:
        for concurrency in (1, 9):
            limits = Limits(concurrency=concurrency)
            Synthesis(_job(endpoint.url, seeds, loose, limits=limits)).run(tmp_path / str(concurrency))
    assert _files(tmp_path / "1") == _files(tmp_path / "9")


def test_the_budget_stops_a_run_cleanly_and_more_goes_on(tmp_path: Path, loose: str) -> None:
    seeds = _seeds(tmp_path)
    prices = {"price_in": 1e3, "price_out": 1e3}
    with Endpoint(fluent) as endpoint:
        cost = 1.5  # a request is bounded by 50 + about 1,000 bytes of tokens: 1.1 to 1.5; it costs 0.015
        manifest = Synthesis(_job(endpoint.url, seeds, loose, max_cost=cost, **prices)).run(tmp_path / "out")
        told = json.loads((tmp_path / "out" / "run.json").read_bytes())
        assert not manifest["complete"]
        assert 0 < manifest["counts"]["read"] < 24
        assert told["cost_in_all"] == pytest.approx(0.015 * endpoint.answered.total())
        assert told["cost_in_all"] <= cost
        manifest = Synthesis(_job(endpoint.url, seeds, loose, max_cost=9, **prices)).run(tmp_path / "out")
        assert manifest["complete"]
        assert manifest["counts"]["read"] == 24
        assert max(endpoint.answered.values()) == 1
        assert json.loads((tmp_path / "out" / "run.json").read_bytes())["cost_in_all"] == pytest.approx(0.36)


def test_an_endpoint_that_goes_down_stops_the_run_and_it_goes_on_later(tmp_path: Path, loose: str) -> None:
    seeds, up = _seeds(tmp_path), [8]

    def script(body: dict[str, Any]) -> Reply:
        up[0] -= 1
        return fluent(body) if up[0] >= 0 else Reply(status=503)

    with Endpoint(script) as endpoint:
        with pytest.raises(TaskError, match="the same command goes on from there"):
            Synthesis(_job(endpoint.url, seeds, loose)).run(tmp_path / "out")
        assert not (tmp_path / "out" / "documents.jsonl").exists()
        up[0] = 1000
        assert Synthesis(_job(endpoint.url, seeds, loose)).run(tmp_path / "out")["counts"]["read"] == 24
        assert max(endpoint.answered.values()) == 1


def test_another_template_needs_another_folder(tmp_path: Path, loose: str) -> None:
    with Endpoint(fluent) as endpoint:
        Synthesis(_job(endpoint.url, _seeds(tmp_path, 1), loose)).run(tmp_path / "out")
        with pytest.raises(RecipeError, match="holds documents of template loose version 3"):
            Synthesis(_job(endpoint.url, _seeds(tmp_path, 1), "qa")).run(tmp_path / "out")


def test_an_estimate_sends_nothing(tmp_path: Path) -> None:
    with Endpoint(fluent) as endpoint:
        job = _job(endpoint.url, _seeds(tmp_path, 6), "codeclm", price_in=1.0, price_out=2.0, json_schema=True)
        found = Synthesis(job).estimate()
        assert endpoint.bodies == []
    assert found["requests"] == 6 * 6
    assert found["tokens_out"] == 6 * (400 + 800 + 2048 + 2048 + 600 + 600)
    assert found["cost"] == pytest.approx((found["tokens_in"] + 2 * found["tokens_out"]) / 1e6)
    assert found["request"]["response_format"]["json_schema"]["name"] == "meta"
    assert prose(1) in found["request"]["messages"][1]["content"]
