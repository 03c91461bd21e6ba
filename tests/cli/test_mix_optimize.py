"""``jacorpus mix optimize`` and ``show`` as users meet them: shards to weights to training, errors, kills."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import cli.main
from tests.cli.model_commands import Ran
from tests.trainer.token_shards import token_folder

ROOT = Path(__file__).parents[2]
VOCAB = 64

RECIPE = """
name = "two"
{top}

[mixing]
target = {{ ja = 1.0 }}
draws = 3
{mixing}

[mixing.tables]
events_per_set = 500

[mixing.proxy]
tokens = 4096
batch_tokens = 512
seq_len = 64
valid_tokens = 512
checkpoint_every = 2
model = {{ d_model = 32, d_ff = 48, head_dim = 16, window = 16, d_state = 8 }}

[model]
layers = 2
d_model = 32
d_ff = 48
head_dim = 16
window = 16
d_state = 8
mamba_head_dim = 16

[train]
tokens = 4096
batch_tokens = 512
seq_len = 64
"""


def documents(first: int, count: int, seed: int) -> list[list[int]]:
    """Tokens around ``first``, in runs that can be learned."""
    draw = random.Random(seed)
    return [[first + (draw.randrange(6) + i) % 16 for i in range(draw.randrange(20, 60))] for _ in range(count)]


def folder(where: Path, **more: dict[str, Any]) -> Path:
    """Three domains that share some words."""
    domains = {
        name: {"train": documents(first, 60, first), "valid": documents(first, 8, first + 1)}
        for name, first in (("ja-web", 1), ("ja-wiki", 9), ("en-web", 30))
    }
    return token_folder(where / "tokens", {**domains, **more}, vocab_size=VOCAB).folder


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def jacorpus(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Exit code and both streams of ``jacorpus WORDS``, in this process."""

    def call(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["jacorpus", *map(str, words)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            cli.main.main()
        streams = capsys.readouterr()
        return Ran(int(ended.value.code or 0), streams.out, streams.err)

    return call


def recipe(where: Path, mixing: str = "", top: str = "") -> Path:
    path = where / "two.toml"
    path.write_text(RECIPE.format(mixing=mixing, top=top or f'out = "{where}/out"'), "utf-8")
    return path


def test_shards_to_weights_to_training_by_one_recipe(jacorpus, tokens: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, 'languages = { ja = [0.0, 0.6] }\nkeep = { en = 0.1 }\ncompare = ["mixmax"]')
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tokens").symlink_to(tokens)
    answer = jacorpus("mix", "optimize", path)
    assert answer.code == 0, answer.err
    assert "mixmin puts" in answer.out
    assert "own_weight" in answer.out
    out = tmp_path / "out" / "mixture"
    found = json.loads((out / "mixture.json").read_bytes())
    weights = found["weights"]
    assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
    assert weights.get("ja-web", 0) + weights.get("ja-wiki", 0) <= 0.6 + 1e-9
    assert set(found["methods"]) == {"mixmin", "mixmax", "natural", "uniform", "temperature", "unimax", "own_weight"}
    assert (out / "report.html").stat().st_size > 10_000
    assert json.loads((out / "report.json").read_bytes())["sections"]
    plan = json.loads(jacorpus("train", "pretrain", path, "--dry-run", "--json").out)
    for name, weight in weights.items():
        assert plan["phases"][0]["mixture"][name] == pytest.approx(weight, abs=1 / 65_536)
    again = jacorpus("mix", "optimize", path)
    assert "--force optimizes again" in again.err
    assert json.loads(jacorpus("mix", "optimize", path, "--json").out)["weights"] == weights
    assert jacorpus("train", "pretrain", path, "--set", "mixing.target={en = 1.0}", "--dry-run").code == 2


def test_a_mixture_is_shown_in_all_units_and_forms(jacorpus, tokens: Path, tmp_path: Path) -> None:
    jacorpus("mix", "optimize", recipe(tmp_path), "--tokens", tokens, "-q")
    mixture = tmp_path / "out" / "mixture"
    assert "documents" in jacorpus("mix", "show", mixture).out
    for form in ("trainer", "megatron", "automodel", "huggingface", "energon"):
        shown = jacorpus("mix", "show", mixture, "--for", form, "--tokens", tokens)
        assert shown.code == 0, shown.err
        assert "ja-web" in shown.out
    written = jacorpus("mix", "show", mixture, "--for", "trainer", "--out", tmp_path / "files").out.split()
    assert [Path(path).is_file() for path in written] == [True]
    assert jacorpus("mix", "show", mixture, "--for", "megatrn").code == 2


def test_the_plan_is_told_before(jacorpus, tokens: Path, tmp_path: Path) -> None:
    told = jacorpus("mix", "optimize", recipe(tmp_path), "--tokens", tokens, "--dry-run")
    assert told.code == 0
    assert "ja-wiki" in told.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mixing", "code", "says"),
    [
        ('target = { fr = 1.0 }', 2, "`fr` is no domain, language or type"),
        ('bounds = { ja-wikki = 0.5 }', 2, "did you mean `ja-wiki`"),
        ('bounds = { ja-web = 0.2, ja-wiki = 0.2, en-web = 0.2 }', 2, "can't hold together"),
        ('languages = { ja = [0.9, 1.0] }\nbounds = { ja-web = 0.4, ja-wiki = 0.4 }', 2, "language ja >= 0.9"),
        ('epochs = 0.1', 2, "can't hold together"),
        ('method = "mixmix"', 2, "did you mean `mixmi"),
        ('method = "natural"', 2, "can't follow one"),
        ('method = "doremi"', 2, "can't follow one"),
        ('metod = "mixmin"', 2, "did you mean `method`"),
        ('options = { x = 1 }', 2, "unknown option `x`"),
        ('compare = ["fixd"]', 2, "did you mean `fixed`"),
    ],
)  # fmt: skip
def test_wrong_wishes_are_one_sentence(
    mixing: str, code: int, says: str, jacorpus, tokens: Path, tmp_path: Path
) -> None:
    text = RECIPE.replace("target = {{ ja = 1.0 }}", "") if mixing.startswith("target") else RECIPE
    path = tmp_path / "two.toml"
    path.write_text(text.format(mixing=mixing, top=f'out = "{tmp_path}/out"'), "utf-8")
    answer = jacorpus("mix", "optimize", path, "--tokens", tokens)
    assert (answer.code, answer.out) == (code, "")
    assert says in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "out" / "mixture" / "mixture.json").exists()


@pytest.mark.parametrize(
    ("domain", "mixing", "says"),
    [
        ({"train": documents(1, 5, 1)}, "target = { ja-odd = 1.0 }", "`ja-odd` has no held-out document"),
        ({"valid": documents(1, 5, 1)}, "bounds = { ja-odd = [0.1, 1.0] }", "has no tokens to train on"),
    ],
)
def test_a_domain_without_text_is_named(domain: dict, mixing: str, says: str, jacorpus, tmp_path: Path) -> None:
    shards = folder(tmp_path, **{"ja-odd": domain})
    text = RECIPE.replace("target = {{ ja = 1.0 }}", "")
    path = tmp_path / "two.toml"
    path.write_text(text.format(mixing=mixing, top=f'out = "{tmp_path}/out"'), "utf-8")
    answer = jacorpus("mix", "optimize", path, "--tokens", shards)
    assert (answer.code, answer.out) == (1, "")
    assert says in answer.err


def test_other_shards_than_the_mixtures_are_told(jacorpus, tokens: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path)
    jacorpus("mix", "optimize", path, "--tokens", tokens, "-q")
    domains = {"ja-web": {"train": documents(1, 60, 1)}, "fr-web": {"train": documents(1, 60, 2)}}
    other = token_folder(tmp_path / "other", domains, vocab_size=VOCAB).folder
    answer = jacorpus("train", "pretrain", path, "--tokens", other, "--dry-run")
    assert answer.code == 1
    assert "no domain of the token shards" in answer.err


def _killed_and_resumed(path: Path, tokens: Path, kills: list[float]) -> dict[str, Any]:
    """The mixture after kills at so many seconds each."""
    command = [sys.executable, "-m", "cli.main", "mix", "optimize", str(path), "--tokens", str(tokens), "-q"]
    for after in kills:
        run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        run.send_signal(signal.SIGKILL)
        run.wait()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = json.loads((path.parent / "out" / "mixture" / "mixture.json").read_bytes())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "mixing",
    ["judge = 2", 'method = "doremi"\ntarget = {}', 'method = "doge"\nseeds = 2', 'method = "regmix"\nseeds = 2'],
)
def test_killed_and_resumed_the_weights_are_the_same(mixing: str, tokens: Path, tmp_path: Path) -> None:
    found = []
    for name, kills in (("whole", []), ("killed", [3.0, 4.0, 5.0, 6.5, 8.0])):
        where = tmp_path / name
        where.mkdir()
        text = RECIPE.replace("target = {{ ja = 1.0 }}", "") if "target" in mixing else RECIPE
        path = where / "two.toml"
        path.write_text(text.format(mixing=mixing, top=f'out = "{where}/out"'), "utf-8")
        found.append(_killed_and_resumed(path, tokens, kills))
    assert found[0] == found[1]


def test_killed_by_count_tables_and_resumed(tokens: Path, tmp_path: Path) -> None:
    found = []
    for name, kills in (("whole", []), ("killed", [1.5])):
        (tmp_path / name).mkdir()
        found.append(_killed_and_resumed(recipe(tmp_path / name), tokens, kills))
    assert found[0] == found[1]
