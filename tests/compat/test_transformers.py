"""Exports under transformers, unchanged: caches, batches, padding and packing change no logit beyond the bars.

Letters: B rows, T tokens, V vocabulary.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.compat.conftest import TEMPLATE, assert_equal_logits, conversations, open_export, open_tokenizer
from tests.trainer.export import tiny
from trainer.export import export
from trainer.export.hf import write_chat

KINDS = tiny.layer("mamba"), tiny.layer("window", 9), tiny.layer("mamba"), tiny.layer("full")
FAMILIES = {
    "plamo2": tiny.plamo2(layers=KINDS),
    "plamo3": tiny.plamo3(window=9),
    "jacorpus": tiny.odd(),
}
TYPES = {"float32": torch.float32, "float64": torch.float64}


@pytest.fixture(scope="module", params=[(family, name) for family in FAMILIES for name in TYPES], ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[tiny.Model, Any]:
    """(our model, its export in transformers), of a family and a type."""
    family, name = request.param
    model, out = tiny.model_of(FAMILIES[family]), tmp_path_factory.mktemp(family) / "out"
    export(model, out, "hf", dtype="fp32")
    dtype = TYPES[name]
    return model.requires_grad_(False).to(dtype), open_export(out, dtype)


@torch.no_grad()
def logits(model: Any, tokens: torch.Tensor, **given: Any) -> torch.Tensor:
    return model(tokens, **given).logits


def padded(prompts: list[torch.Tensor], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens, attention_mask) [B, T]; what stands in the padding is no zero."""
    width = max(map(len, prompts))
    sides = [(width - len(p), 0) if left else (0, width - len(p)) for p in prompts]
    mask = [F.pad(torch.ones_like(p), side) for p, side in zip(prompts, sides, strict=True)]
    return torch.stack([F.pad(p, s, value=7) for p, s in zip(prompts, sides, strict=True)]), torch.stack(mask)


def prompts() -> list[torch.Tensor]:
    return [tiny.prompt(n, 1, seed=n)[0] for n in (3, 71, 1, 20)]


def test_our_own_logits(pair: tuple[tiny.Model, Any]) -> None:
    ours, theirs = pair
    tokens = tiny.prompt(150)
    assert_equal_logits(logits(theirs, tokens), tiny.logits_of(ours, tokens))


def test_a_cache_changes_nothing(pair: tuple[tiny.Model, Any]) -> None:
    """Token by token and in pieces; then the ids that generate gives with and without one."""
    _, theirs = pair
    tokens = tiny.prompt(90)
    whole = logits(theirs, tokens)
    for pieces in ([5] + [1] * 85, [1, 2, 30, 57], [89, 1]):
        cache, found = None, []
        for piece in tokens.split(pieces, 1):
            with torch.no_grad():
                output = theirs(piece, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            found.append(output.logits)
        assert_equal_logits(torch.cat(found, 1), whole)
    words = {"max_new_tokens": 40, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    cached, bare = (theirs.generate(tokens[:, :30], use_cache=use, **words) for use in (True, False))
    assert torch.equal(cached.sequences, bare.sequences)
    assert_equal_logits(torch.stack(cached.logits), torch.stack(bare.logits))
    assert cached.past_key_values is not None
    assert bare.past_key_values is None


@pytest.mark.parametrize("left", [True, False], ids=["left", "right"])
def test_padding_and_batches_change_nothing(pair: tuple[tiny.Model, Any], left: bool) -> None:
    _, theirs = pair
    tokens, mask = padded(prompts(), left)
    found = logits(theirs, tokens, attention_mask=mask)
    place = (mask.cumsum(1) - 1).masked_fill(mask == 0, 1)
    given = logits(theirs, tokens, attention_mask=mask, position_ids=place)
    alone = torch.cat([logits(theirs, prompt[None])[0] for prompt in prompts()])
    assert_equal_logits(found[mask.bool()], alone)
    assert_equal_logits(given[mask.bool()], alone)


def test_batched_generation_is_single_generation(pair: tuple[tiny.Model, Any]) -> None:
    _, theirs = pair
    tokens, mask = padded(prompts(), left=True)
    words = {"max_new_tokens": 25, "do_sample": False, "pad_token_id": 0}
    found = theirs.generate(tokens, attention_mask=mask, **words)[:, tokens.shape[1] :]
    for row, alone in zip(found, prompts(), strict=True):
        single = theirs.generate(alone[None], attention_mask=torch.ones_like(alone[None]), **words)
        assert torch.equal(row, single[0, len(alone) :])


LENGTHS = (1, 1, 62, 3, 65, 8, 64)


def test_generation_goes_on_from_a_cache(pair: tuple[tiny.Model, Any]) -> None:
    """As chats do: the whole text again with the cache of its beginning, or the new ids alone."""
    _, theirs = pair
    tokens, more = tiny.prompt(30), tiny.prompt(7, seed=3)
    words = {"max_new_tokens": 12, "do_sample": False, "return_dict_in_generate": True}
    first, second = (theirs.generate(tokens, **words) for _ in range(2))
    text = torch.cat((first.sequences, more), 1)
    wanted, mask = theirs.generate(text, **words).sequences, torch.ones_like(text)
    again = theirs.generate(text, past_key_values=first.past_key_values, **words).sequences
    assert torch.equal(again, wanted)
    cache = second.past_key_values
    new = text[:, cache.get_seq_length() :]
    alone = theirs.generate(new, past_key_values=cache, attention_mask=mask, **words).sequences
    assert torch.equal(alone[:, -12:], wanted[:, -12:])


def packings() -> dict[str, dict[str, torch.Tensor]]:
    """The ways to say where documents begin."""
    lengths, total = torch.tensor(LENGTHS), sum(LENGTHS)
    place = torch.cat([torch.arange(n) for n in LENGTHS])[None]
    ends = F.pad(lengths.cumsum(0), (1, 0)).int()
    number = torch.repeat_interleave(torch.arange(len(LENGTHS)), lengths)[None].int()
    return {
        "position_ids": {"position_ids": place},
        "not from 0": {"position_ids": place + 3},
        "cu_seqlens": {"cu_seqlens": ends},
        "flash": {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "position_ids": place},
        "seq_idx": {"seq_idx": number, "position_ids": torch.arange(total)[None]},
    }


@pytest.mark.parametrize("form", packings())
def test_packed_is_separate(pair: tuple[tiny.Model, Any], form: str) -> None:
    _, theirs = pair
    tokens = tiny.prompt(sum(LENGTHS), 1)
    apart = torch.cat([logits(theirs, piece) for piece in tokens.split(LENGTHS, 1)], 1)
    assert_equal_logits(logits(theirs, tokens, **packings()[form]), apart)
    with pytest.raises(AssertionError, match="apart, bar"):  # the control: nobody says where documents begin
        assert_equal_logits(logits(theirs, tokens), apart)


def test_a_document_goes_on_and_begins_behind_a_cache(pair: tuple[tiny.Model, Any]) -> None:
    """Packed rows with other boundaries in each, padded, cut where a document goes on and where one begins."""
    _, theirs = pair
    tokens = tiny.prompt(100)
    place = torch.stack([torch.cat([torch.arange(n) for n in row]) for row in ((40, 30, 30), (2, 68, 30))])
    mask = torch.ones_like(place)
    mask[1, 95:] = 0
    whole = logits(theirs, tokens, position_ids=place, attention_mask=mask)
    for cut in (1, 41, 50, 70):
        with torch.no_grad():
            first = theirs(tokens[:, :cut], position_ids=place[:, :cut], use_cache=True)
            given = {"position_ids": place[:, cut:], "attention_mask": mask[:, cut:]}
            rest = theirs(tokens[:, cut:], past_key_values=first.past_key_values, **given)
        found = torch.cat((first.logits, rest.logits), 1)
        assert_equal_logits(found[mask.bool()], whole[mask.bool()])


def gradients(model: Any, **given: Any) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(**given).loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


@pytest.fixture(scope="module")
def float64(folder: Path) -> Any:
    return open_export(folder, torch.float64)


def test_packed_gradients_are_those_of_separate_rows(float64: Any) -> None:
    """Every weight's, with a loss that is divided by num_items_in_batch."""
    tokens, lengths = tiny.prompt(70, 1), (30, 5, 35)
    labels, place = tokens.clone(), torch.cat([torch.arange(n) for n in lengths])[None]
    labels[place == 0] = -100
    packed = gradients(float64, input_ids=tokens, labels=labels, position_ids=place, num_items_in_batch=67)
    total: dict[str, torch.Tensor] = {}
    for piece in tokens.split(lengths, 1):
        for name, grad in gradients(float64, input_ids=piece, labels=piece, num_items_in_batch=67).items():
            total[name] = total.get(name, 0) + grad
    for name, grad in packed.items():
        torch.testing.assert_close(grad, total[name], rtol=0, atol=1e-6 if grad.dtype == torch.float32 else 1e-10)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_no_gradient(folder: Path, reentrant: bool) -> None:
    model, tokens = open_export(folder).train(), tiny.prompt(70)
    wanted = gradients(model, input_ids=tokens, labels=tokens)
    calls = []
    mixer = model.model.layers.layers[0].mixer
    mixer.register_forward_hook(lambda *_: calls.append(1))
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    found = gradients(model, input_ids=tokens, labels=tokens, use_cache=True)
    assert len(calls) == 2
    for name, grad in found.items():
        torch.testing.assert_close(grad, wanted[name], rtol=0, atol=1e-6)


def test_the_forms_of_a_call(float64: Any) -> None:
    """inputs_embeds, logits_to_keep as number and as places, shift_labels, tuples, no cache in training."""
    model, tokens = float64, tiny.prompt(40) + 5  # generate takes the pad id in a prompt for padding
    whole = logits(model, tokens)
    assert_equal_logits(logits(model, tokens, logits_to_keep=3), whole[:, -3:])
    assert_equal_logits(logits(model, tokens, logits_to_keep=torch.tensor([0, 7])), whole[:, [0, 7]])
    embedded = model.get_input_embeddings()(tokens).detach()
    assert_equal_logits(logits(model, None, inputs_embeds=embedded), whole)
    shifted = F.pad(tokens, (0, 1), value=-100)[:, 1:].contiguous()
    losses = [model(tokens, labels=tokens).loss, model(tokens, shift_labels=shifted).loss]
    losses.append(model(tokens, labels=tokens, num_items_in_batch=torch.tensor(78)).loss)
    for loss in losses:
        torch.testing.assert_close(loss, losses[0])
    assert isinstance(model(tokens, return_dict=False), tuple)
    assert model.train()(tokens).past_key_values is None
    model.eval()
    wanted = model.generate(tokens, max_new_tokens=10, do_sample=False)[:, 40:]
    for use in (True, False):
        words = {"max_new_tokens": 10, "do_sample": False, "use_cache": use}
        assert torch.equal(model.generate(inputs_embeds=embedded, **words), wanted)


def test_what_cannot_be_done_is_said(float64: Any) -> None:
    from transformers import DynamicCache

    tokens = tiny.prompt(10)
    with pytest.raises(TypeError, match="must be the one this model gives back, got DynamicCache"):
        float64(tokens, past_key_values=DynamicCache())
    with pytest.raises(ValueError, match="must end at the 10 tokens of one row"):
        float64(tokens, cu_seqlens=torch.tensor([0, 4, 10]))
    with pytest.raises(ValueError, match=r"assisted generation is not supported|stateful"):
        float64.generate(tokens[:1], assistant_model=float64, max_new_tokens=4)


def test_the_config_names_what_layers_remember(float64: Any) -> None:
    kinds = ["linear_attention", "sliding_attention", "linear_attention", "full_attention"]
    assert float64.config.layer_types == kinds
    assert float64.lm_head.weight is float64.model.embed_tokens.weight


def test_saved_again_it_opens_again(folder: Path, float64: Any, tmp_path: Path) -> None:
    """save_pretrained brings the code files along, and the chat template."""
    tokenizer = open_tokenizer(folder)
    float64.save_pretrained(tmp_path / "again")
    tokenizer.save_pretrained(tmp_path / "again")
    assert {p.name for p in (tmp_path / "again").glob("*.py")} == {p.name for p in folder.glob("*.py")}
    again = open_export(tmp_path / "again", torch.float64)
    assert_equal_logits(logits(again, tiny.prompt(30)), logits(float64, tiny.prompt(30)))
    assert open_tokenizer(tmp_path / "again").chat_template == TEMPLATE


def test_the_chat_template_marks_the_assistant(folder: Path) -> None:
    tokenizer, model = open_tokenizer(folder), open_export(folder)
    assert model.generation_config.eos_token_id == [2, 4]
    (row,) = conversations(1)
    words = {"tokenize": True, "return_dict": True}
    found = tokenizer.apply_chat_template(row["messages"], return_assistant_tokens_mask=True, **words)
    said = [id for id, marked in zip(found["input_ids"], found["assistant_masks"], strict=True) if marked]
    assert tokenizer.decode(said) == row["messages"][1]["content"] + "<|im_end|>"
    prompt = tokenizer.apply_chat_template(row["messages"][:1], add_generation_prompt=True, **words)["input_ids"]
    assert found["input_ids"][: len(prompt)] == prompt
    ended = model.generate(torch.tensor([prompt]), max_new_tokens=5, do_sample=False, sequence_bias={(4,): 1e4})
    assert ended[0, len(prompt) :].tolist() == [4]


def test_a_template_without_marks_is_refused(folder: Path, tmp_path: Path) -> None:
    from jacorpus.errors import InputError

    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 2}')
    with pytest.raises(InputError, match="marks no words of the assistant"):
        write_chat(tmp_path, {"name": "bare", "template": TEMPLATE.replace("generation %}", "x %}"), "stop_id": 4})
    write_chat(tmp_path, {"template": TEMPLATE, "stop_id": 2})
    assert json.loads((tmp_path / "generation_config.json").read_text()) == {"eos_token_id": [2]}
