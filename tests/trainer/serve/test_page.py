"""The page in a real browser: what is read there is what is on disk."""

import json
import threading

import pytest

from tests.trainer.serve.browser import browser, chromium
from tests.trainer.serve.stages import stage
from trainer.posttrain.rollout import Rollouts
from trainer.serve.rollouts import Folder
from trainer.serve.server import Server

pytestmark = pytest.mark.browser
READY = "document.querySelector('.side') && document.querySelector('#answer').getAttribute('aria-busy') === 'false'"
QUANTITIES = ("trainer_logp", "advantage", "kl", "token_reward", "gap", "value", "logp")


@pytest.fixture(scope="module")
def served(tmp_path_factory, small_run):
    where = tmp_path_factory.mktemp("page")
    folders = [stage(where / "03-ppo", small_run), stage(where / "04-online", small_run, "online", 2, seed=5)]
    with Server([Folder(folder) for folder in folders]) as both, Server([Folder(folders[1])]) as one:
        for each in (both, one):
            threading.Thread(target=each.serve_forever, daemon=True).start()
        yield both, one, folders
        both.shutdown()
        one.shutdown()


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    found = chromium()
    if found is None:
        pytest.skip("chromium is absent")
    with browser(found, tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def page(tab, served):
    tab.complaints.clear()
    tab.size(1280)
    yield lambda address, which=0: (tab.open(served[which].url + address), tab.wait(READY))
    assert tab.run("1 + 1") == 2  # complaints come before an answer
    assert tab.complaints == []


def numbers(tab, selector):
    cells = tab.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)")
    return [float(cell.replace("−", "-")) for cell in cells]


def test_it_opens_at_the_last_cycle(page, tab):
    page("")
    assert tab.run("document.title") == "Rollouts of 03-ppo and 04-online"
    assert tab.run("location.hash") == "#c=2&r=0"
    assert tab.run("document.querySelector('.cycles tr[aria-current] td').textContent") == "2"
    assert tab.run("document.querySelectorAll('.cycles tbody tr').length") == 3
    assert tab.run("document.querySelectorAll('#cycles svg .line').length") == 3  # the second stage has no KL
    assert tab.run("document.querySelectorAll('.group').length") == 3


def test_tokens_and_sums_are_those_on_disk(page, tab, served):
    page("#c=1&r=3")
    row = Rollouts(served[2][0] / "rollouts").read(1)[3]
    shown = tab.run("[...document.querySelectorAll('.side:not(.b) .tok')].map((e) => e.textContent)")
    assert len(shown) == len(row["ids"])
    said = "".join(shown).replace("␣", " ").replace("⏎", "\n")
    assert said.replace("⟨F0⟩⟨A0⟩⟨AE⟩⟨B7⟩", "𠮷").lstrip(" ") == row["text"].lstrip(" ")
    assert tab.run("document.querySelectorAll('.side:not(.b) .tok.given').length") == 2
    for name in ("logp", "trainer_logp", "ref_logp", "token_reward"):
        assert numbers(tab, f".side:not(.b) [data-sum={name}] td:nth-child(2)") == [
            pytest.approx(sum(row[name]), rel=1e-5)
        ]
    assert tab.run("document.querySelector('.side:not(.b) .balance').dataset.holds") == "true"
    taken = 0.1 * sum(p - r for p, r in zip(row["trainer_logp"], row["ref_logp"], strict=True))
    assert sum(row["token_reward"]) + taken == pytest.approx(row["reward"], abs=1e-6)
    assert "token rewards" in tab.run("document.querySelector('.balance').textContent")


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_the_address_chooses_the_color(page, tab, served, quantity):
    page(f"#c=0&r=1&q={quantity}")
    pressed = "document.querySelector('.quantities [aria-pressed=true]').title"
    assert tab.run(pressed) == f"key {QUANTITIES.index(quantity) + 1}"
    assert tab.run("document.querySelector('.tokens').dataset.quantity") == quantity
    values = Folder(served[2][0]).answer(0, 1)["numbers"][quantity]
    place = max(range(2, len(values)), key=lambda i: abs(values[i]))
    style = tab.run(f"document.querySelector('.side:not(.b) .tok[data-i=\"{place}\"]').getAttribute('style')")
    assert f"var({'--up' if values[place] >= 0 else '--down'})" in style
    given = tab.run("document.querySelector('.side:not(.b) .tok.given').getAttribute('style')")
    assert given == "background:transparent"


def test_hovering_shows_all_numbers_of_a_token(page, tab, served):
    page("#c=0&r=0&q=kl")
    row = Folder(served[2][0]).answer(0, 0)
    tab.mouse('.side:not(.b) .tok[data-i="3"]')
    tab.wait("!document.getElementById('tip').hidden")
    found = numbers(tab, "#tip td:nth-child(2)")
    names = ("logp", "trainer_logp", "gap", "ref_logp", "kl", "value", "advantage", "token_reward")
    assert found == [pytest.approx(row["numbers"][name][3], rel=1e-5, abs=1e-9) for name in names]
    assert tab.run("document.querySelector('#tip .lit td').textContent").startswith("KL")


def test_keys_go_from_answer_to_answer_and_color_to_color(page, tab):
    page("#c=0&r=0")
    tab.key("j")
    tab.wait("document.querySelector('.answer[aria-current]').dataset.row === '1'")
    tab.key("j")
    tab.wait("location.hash.includes('r=2')")
    tab.key("k")
    tab.wait("document.querySelector('.answer[aria-current]').dataset.row === '1'")
    tab.key("3")
    tab.wait("document.querySelector('.tokens').dataset.quantity === 'kl'")
    tab.key("ArrowRight")
    tab.wait(
        "document.querySelector('.tok[aria-current]')?.dataset.i === '0' && !document.getElementById('tip').hidden"
    )


def test_order_and_one_prompt_alone(page, tab, served):
    page("#c=1&r=0&s=-reward")
    rewards = numbers(tab, ".answer .facts b")
    assert rewards == sorted((row["reward"] for row in Rollouts(served[2][0] / "rollouts").read(1)), reverse=True)
    page("#c=1&r=2&g=1")
    assert tab.run("document.querySelectorAll('.answer').length") == 2
    tab.mouse(".cycles tbody tr:first-child", press=True)
    tab.wait("location.hash.startsWith('#c=0') && document.querySelectorAll('.answer').length === 6")


def test_two_models_answer_the_same_prompt_side_by_side(page, tab, served):
    page("#c=1&r=4")
    written = [Rollouts(folder / "rollouts").read(1)[4] for folder in served[2]]
    assert tab.run("document.querySelectorAll('.side').length") == 2
    assert tab.run("[...document.querySelectorAll('.side h2')].map((e) => e.textContent)") == ["03-ppo", "04-online"]
    assert [len(row["ids"]) for row in written] == tab.run(
        "[...document.querySelectorAll('.side')].map((e) => e.querySelectorAll('.tok').length)"
    )
    assert tab.run("document.querySelector('.side.b .balance')") is None
    assert tab.run("document.querySelectorAll('.side.b option').length") == 4  # two cycles, two answers in each
    page("#c=1&r=4&o=0.5")
    assert tab.run("document.querySelector('.side.b select').value") == "0.5"


def test_what_a_model_wrote_is_text(page, tab):
    page("#c=0&r=0")
    assert tab.run("document.querySelector('.group .prompt').textContent").startswith("<b>山</b>")
    assert tab.run("document.querySelector('.prompt b')") is None


def test_what_is_not_there_is_said(page, tab, served):
    page("#c=0&r=0&q=kl", 1)
    assert "no such number" in tab.run("document.querySelector('.side').textContent")
    assert "no token rewards" in tab.run("document.querySelector('.side').textContent")
    assert "KL of a token: none" in tab.run("document.querySelector('#cycles').textContent")
    tab.run("location.hash = '#c=77'")
    tab.wait("document.querySelector('#groups .bad')?.textContent.includes('no cycle 77')")
    tab.wait("true")
    tab.complaints[:] = [line for line in tab.complaints if "404" not in line]  # the browser's own word for it


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 500])
def test_it_fits_its_window(page, tab, width, dark):
    page("#c=1&r=3&q=advantage")
    tab.size(width, dark=dark)
    tab.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert tab.run("document.documentElement.scrollWidth") <= width
    wide = (
        "[...document.querySelectorAll('.side *')].filter((e) => e.getBoundingClientRect().right"
        " > e.closest('.side').getBoundingClientRect().right + 1).length"
    )
    assert tab.run(wide) == 0
    light = tab.run("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0] > 128")
    assert light is not dark
