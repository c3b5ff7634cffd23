"""The engine over a model that is trained meanwhile: it follows the weights and their numbers, and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith.types import Delta, Engine, Request, Sampling
from tunesmith_engine_transformers import Transformers
from tunesmith_library_testing.parts import handle_of, load_plain, source_of

PROMPTS = [[5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 11], [12, 13]]
DRAWN = Sampling(max_new_tokens=10, temperature=1.0, top_p=1.0, top_k=0)


def opened(model: Any, folder: Path, tokenizer: Any, **options: Any) -> Any:
    """An engine over a model at hand, as a training opens it."""
    handle = replace(handle_of(folder, tokenizer, load=lambda: model), source=source_of(folder, training=True))
    return Transformers(**options).open_engine(handle)


def drawn(engine: Any) -> list[Delta]:
    requests = [Request(prompt, replace(DRAWN, seed=seed)) for seed in range(6) for prompt in PROMPTS]
    return [answer.result() for answer in engine.submit_all(requests)]


def with_adapter(folder: Path, dtype: str = "float32") -> Any:
    """A model with an adapter that is not nothing, and an output layer that is trained as a whole, both in fp32."""
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(r=4, target_modules="all-linear", exclude_modules=["lm_head"], modules_to_save=["lm_head"])
    model = get_peft_model(load_plain(folder, dtype), adapter)
    for weight in model.parameters():
        weight.data = weight.data.float() if weight.requires_grad else weight.data
    moved(model, 0)
    return model


def moved(model: Any, seed: int) -> None:
    """Change what is trained, as an optimizer does: where it is."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += torch.randn(weight.shape, generator=generator) * 0.05


def test_it_follows_weights_that_change_under_it(tiny_llama: Path, tiny_bpe: Any) -> None:
    """Nothing that was computed with the former ones is used, and what it draws is what a new engine draws."""
    model = with_adapter(tiny_llama)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    engine = opened(model, tiny_llama, tiny_bpe)
    found = [drawn(engine)]
    for seed in (1, 2):
        moved(model, seed)
        engine.load_weights(())
        found.append(drawn(engine))
        other = opened(model, tiny_llama, tiny_bpe)
        assert found[-1] == drawn(other)
        other.close()
    engine.close()
    assert found[0] != found[1] != found[2]
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == trained
    assert model.active_adapter == "default"


def test_it_computes_in_the_numbers_in_which_it_is_opened(tiny_llama: Path, tiny_bpe: Any) -> None:
    """A base in bf16 under weights in fp32 needs autocast, which torch has by thread; and gradients find their way
    afterwards, which casts that the engine made would have cut off."""
    model = with_adapter(tiny_llama, "bfloat16")
    with torch.autocast("cpu", torch.bfloat16):
        engine = opened(model, tiny_llama, tiny_bpe)
        told = engine.submit(Request(PROMPTS[0], replace(DRAWN, temperature=0.0), log_probs=0)).result()
    engine.load_weights(())
    ids = torch.tensor([[*PROMPTS[0], *told.token_ids]])
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=ids).logits[0, len(PROMPTS[0]) - 1 : -1].float()
    expected = logits.log_softmax(-1).gather(1, ids[0, len(PROMPTS[0]) :, None])[:, 0]
    assert [of.value for of in told.log_probs] == pytest.approx(expected.tolist(), abs=0.05)
    expected.sum().backward()
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained and not [name for name, weight in trained.items() if weight.grad is None or not weight.grad.any()]
    engine.close()


def test_a_model_goes_on_as_it_was_when_the_engine_is_closed(tiny_llama: Path, tiny_bpe: Any) -> None:
    """Also when the last that answered was the base, for which the adapter is switched off."""
    model, ids = with_adapter(tiny_llama), torch.tensor([PROMPTS[0]])
    before = model(input_ids=ids).logits
    engine: Engine = opened(model, tiny_llama, tiny_bpe)
    base = engine.score([PROMPTS[0]], adapter="base")[0]
    engine.submit(Request(PROMPTS[0], DRAWN, adapter="base")).result()
    engine.close()
    assert torch.equal(model(input_ids=ids).logits, before)
    plain = load_plain(tiny_llama)(input_ids=ids).logits[0, :-1].log_softmax(-1)
    expected = plain.gather(1, ids[0, 1:, None])[:, 0].tolist()
    assert [of.value for of in base] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("options", "searches"), [({}, False), ({"num_beams": 4}, True)])
def test_traits(options: dict[str, Any], searches: bool) -> None:
    traits = Transformers(**options).traits
    assert traits.runs_modules and traits.searches is searches and not traits.loads_weights
