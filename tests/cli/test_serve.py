"""``jacorpus serve`` as users meet it."""

import json
import sys
import threading
import urllib.request

import pytest
import typer

import cli.main
from cli.serve import serve
from tests.trainer.serve.stages import stage


@pytest.fixture
def call(monkeypatch, capsys):
    def called(*words):
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(serve)
        monkeypatch.setattr(cli.main, "app", app)
        monkeypatch.setattr(sys, "argv", ["jacorpus", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main.main()
        streams = capsys.readouterr()
        return int(ended.value.code or 0), streams.out, streams.err

    return called


def test_it_serves_until_ctrl_c_and_opens_a_browser(call, tmp_path, monkeypatch):
    from tests.trainer.opened_model import run_folder, token_folder
    from trainer.serve.server import Server

    run = run_folder(tmp_path / "run", token_folder(tmp_path / "data", 6))
    folders = [stage(tmp_path / name, run, cycles=1) for name in ("03-ppo", "04-ppo")]
    opened, found = [], []
    monkeypatch.setattr("webbrowser.open", opened.append)

    def briefly(server):
        worker = threading.Thread(target=server.handle_request)
        worker.start()
        found.append(json.load(urllib.request.urlopen(f"{server.url}api/about", timeout=20)))
        worker.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", briefly)
    code, out, err = call(*folders)
    assert (code, opened) == (0, [out.strip()])
    assert out.startswith("http://127.0.0.1:")
    assert [each["name"] for each in found[0]["folders"]] == ["03-ppo", "04-ppo"]
    assert "reads these rollouts" not in err
    assert call(folders[0], "--no-open")[0] == 0
    assert len(opened) == 1
    assert "whoever reaches 0.0.0.0 reads these rollouts" in call(folders[0], "--no-open", "--host", "0.0.0.0")[2]


def test_a_folder_without_rollouts_is_one_sentence(call, tmp_path):
    code, out, err = call(tmp_path, "--no-open")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "first run a stage that draws answers" in err
