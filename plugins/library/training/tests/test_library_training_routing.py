"""The balance loss of routers: its value by its own formula, what is added, logged and trained, and when it is on."""

import logging

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith_library_testing.parts import collate, examples, load_plain
from tunesmith_library_training.log_probs import sequence_log_probs
from tunesmith_library_training.routing import choose_balance, coefficient_in_use, refuse_without_balance
from tunesmith_library_training.token_loss import token_loss
from tunesmith_library_weights.experts import routers

TOP_K, EXPERTS = 2, 4


def balance(model, rows) -> torch.Tensor:
    """E Σ f P over the tokens of all layers, in float64, from the inputs that each router gets of each row alone."""
    seen = {name: [] for name in routers(model)}
    handles = [
        module.register_forward_pre_hook(lambda _, given, name=name: seen[name].append(given[0]))
        for name, module in routers(model).items()
    ]
    for row in rows:
        model(input_ids=torch.tensor([row["input_ids"]]), use_cache=False)
    for handle in handles:
        handle.remove()
    chances = []
    for name, module in routers(model).items():
        logits = torch.cat([given.reshape(-1, 64) for given in seen[name]]).double() @ module.weight.double().T
        chances.append(logits.softmax(-1))
    chances = torch.cat(chances)
    chosen = torch.zeros_like(chances).scatter(1, chances.topk(TOP_K).indices, 1.0)
    return EXPERTS * (chosen.mean(0) * chances.mean(0)).sum()


@pytest.fixture
def model(tiny_mixtures):
    return load_plain(tiny_mixtures["qwen3_moe"])


@pytest.mark.parametrize("padding_free", [True, False])
def test_what_is_added_and_logged(model, tiny_bpe, padding_free: bool) -> None:
    """Coefficient times the formula for every item, whatever is padded, and its gradient in the routers."""
    rows = examples(tiny_bpe)
    batch = collate(rows, padding_free)
    choose_balance(model, "off", None)
    without = token_loss(model, batch)
    assert "router_aux_loss" not in without.metrics
    without.loss.backward()
    before = model.model.layers[0].mlp.gate.weight.grad.clone()
    choose_balance(model, "on", 0.3)
    model.zero_grad()
    output = token_loss(model, batch)
    output.loss.backward()
    gradient = model.model.layers[0].mlp.gate.weight.grad - before
    count = output.num_items
    expected = balance(model, rows)
    torch.testing.assert_close(output.metrics["router_aux_loss"].double() / count, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close((output.loss - without.loss).double(), 0.3 * expected * count, rtol=1e-3, atol=0)
    model.zero_grad()
    (0.3 * count * balance(model, rows)).backward()
    torch.testing.assert_close(gradient, model.model.layers[0].mlp.gate.weight.grad, rtol=1e-2, atol=1e-4)


def test_it_is_the_same_with_activations_computed_again(model, tiny_bpe) -> None:
    batch = collate(examples(tiny_bpe), True)
    choose_balance(model.train(), "on", 0.3)
    found = []
    for again in (False, True):
        if again:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.zero_grad()
        output = token_loss(model, batch)
        output.loss.backward()
        found.append((output.loss.detach(), model.model.layers[0].mlp.gate.weight.grad.clone()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_preferences_have_it_for_each_item(model, tiny_bpe) -> None:
    rows = examples(tiny_bpe)
    choose_balance(model, "on", 0.3)
    found = sequence_log_probs(model, collate(rows, True))
    expected = balance(model, rows)
    torch.testing.assert_close(found.routing_loss.double(), 0.3 * expected, rtol=1e-5, atol=0)
    count = collate(rows, True)["num_items"]
    torch.testing.assert_close(found.routing["router_aux_loss"].double(), expected * count, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("wanted", "routers_learn", "own", "on", "why"),
    [
        ("auto", True, False, True, "routers are trained"),
        ("auto", False, False, False, "no router is trained"),
        ("auto", False, True, True, "the model's config"),
        ("on", False, False, True, "model.router_aux_loss"),
        ("off", True, True, False, "model.router_aux_loss"),
    ],
)
def test_when_it_is_on(model, caplog, wanted, routers_learn, own, on, why) -> None:
    model.requires_grad_(False)
    for router in routers(model).values():
        router.requires_grad_(routers_learn)
    model.config.output_router_logits = own
    with caplog.at_level(logging.INFO, logger="tunesmith"):
        choose_balance(model, wanted, None)
    assert model.config.output_router_logits is on
    assert f"balance loss of the routers: {'times 0.001' if on else 'off'} ({why})" in caplog.text


def test_what_another_loop_is_told(model, tiny_llama) -> None:
    found = []
    for wanted in ("on", "off"):
        choose_balance(model, wanted, 0.2)
        found.append(coefficient_in_use(model))
    assert [*found, coefficient_in_use(load_plain(tiny_llama))] == [0.2, 0.0, None]


def test_a_stage_that_has_no_place_for_it(model, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="tunesmith"):
        choose_balance(model, "auto", None, has_place=False)
    assert not model.config.output_router_logits
    assert "balance loss of the routers: none (the stage's loss has no place for it)" in caplog.text


def test_models_without_one(tiny_llama, caplog) -> None:
    plain = load_plain(tiny_llama)
    with caplog.at_level(logging.INFO, logger="tunesmith"):
        choose_balance(plain, "auto", None)
    assert "balance" not in caplog.text
    with pytest.raises(TunesmithError, match="LlamaForCausalLM is no mixture of experts"):
        refuse_without_balance(plain)
