"""The noise: its size for each sequence, when it is there, and transformers' own as a reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith.errors import ConfigError
from tunesmith_library_testing import PatchSuite
from tunesmith_library_testing.parts import StubPlan, collate, compute_loss, examples, load_plain
from tunesmith_patch_neftune import Neftune, with_noise


class TestNeftune(PatchSuite):
    plugin = Neftune


class Base:
    """The plain loss, as the stage would give it."""

    from tunesmith import hookimpl

    @hookimpl
    def compute_loss(self, model: Any, batch: dict[str, Any]) -> Any:
        return compute_loss(getattr(model, "module", model), batch)


def noise_of(model: Any, batch: dict[str, Any], **options: Any) -> torch.Tensor:
    """What compute_loss changes of the embeddings (B, T, d), as the first layer gets them."""
    seen = []
    inner = getattr(model, "module", model)
    hook = inner.model.layers[0].register_forward_pre_hook(
        lambda module, inputs, named: seen.append((inputs[0] if inputs else named["hidden_states"]).detach()),
        with_kwargs=True,
    )
    TestNeftune().manager(Base(), **options).hook.compute_loss(model=model, batch=batch)
    hook.remove()
    (embedded,) = seen
    return embedded - inner.get_input_embeddings()(batch["input_ids"]).detach()


@pytest.mark.parametrize("padding_free", [True, False])
def test_size_of_the_noise_is_that_of_the_sequence(padding_free: bool, tiny_llama: Path, tiny_bpe: Any) -> None:
    """|noise| ≤ a / √(L·d) and its variance is a third of that squared, L being each sequence's own length."""
    rows = [*examples(tiny_bpe), {"input_ids": list(range(5, 9)), "labels": list(range(5, 9))}]
    lengths = [len(row["input_ids"]) for row in rows]
    batch = collate(rows, padding_free)
    draws = torch.stack([noise_of(load_plain(tiny_llama).train(), batch, noise_alpha=7.0) for _ in range(8)])
    if padding_free:
        pieces = draws[:, 0].split(lengths, dim=1)
    else:
        pieces = [draws[:, number, :length] for number, length in enumerate(lengths)]
    assert len(set(lengths)) == 3
    for length, noise in zip(lengths, pieces, strict=True):
        bound = 7.0 / math.sqrt(length * 64)
        assert 0.98 * bound < noise.abs().max().item() <= bound * (1 + 1e-4)
        assert noise.square().mean().item() == pytest.approx(bound**2 / 3, rel=0.1)
        assert abs(noise.mean().item()) < 0.1 * bound


def test_is_transformers_own() -> None:
    """One sequence without padding: the same noise from the same random state."""
    neftune = pytest.importorskip("transformers.integrations.neftune")
    layer = torch.nn.Embedding(10, 16).train()
    layer.neftune_noise_alpha = 5.0
    embedded = layer(torch.arange(7)[None])
    torch.manual_seed(3)
    expected = neftune.neftune_post_forward_hook(layer, None, embedded.clone())
    torch.manual_seed(3)
    torch.testing.assert_close(with_noise(embedded, {}, 5.0), expected)


def test_no_noise_in_evaluation_and_none_left_behind(tiny_llama: Path, tiny_bpe: Any) -> None:
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    assert not noise_of(model, batch).any()
    assert noise_of(model.train(), batch).any()
    assert not model.get_input_embeddings()._forward_hooks
    embedded = model.get_input_embeddings()
    torch.testing.assert_close(embedded(batch["input_ids"]), embedded.weight[batch["input_ids"]])


def test_part_of_the_model_in_evaluation(tiny_llama: Path, tiny_bpe: Any) -> None:
    """A reference pass of a stage, which switches the model to evaluation for a while, has no noise."""
    model, batch = load_plain(tiny_llama).train(), collate(examples(tiny_bpe))
    model.get_input_embeddings().eval()
    assert not noise_of(model, batch).any()


def test_wrapped_and_adapted_models(tiny_llama: Path, tiny_bpe: Any) -> None:
    import peft

    class Wrapper(torch.nn.Module):
        def __init__(self, module: Any) -> None:
            super().__init__()
            self.module = module

    batch = collate(examples(tiny_bpe), padding_free=True)
    assert noise_of(Wrapper(load_plain(tiny_llama)).train(), batch).any()
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    model = peft.get_peft_model(load_plain(tiny_llama), config).train()
    before = TestNeftune().manager(Base()).hook.compute_loss(model=model.eval(), batch=batch).loss.item()
    after = TestNeftune().manager(Base()).hook.compute_loss(model=model.train(), batch=batch).loss
    assert abs(after.item() - before) > 1e-4
    after.backward()
    saved = [weight.grad for name, weight in model.named_parameters() if "modules_to_save" in name]
    assert saved and all(bool(gradient.any()) for gradient in saved)


def test_check() -> None:
    with pytest.raises(ConfigError, match="noise_alpha cannot be 0"):
        TestNeftune.make(noise_alpha=0.0)
    assert Neftune().check(plan=StubPlan({})) == []
    (problem,) = Neftune().check(plan=StubPlan({}, values={"trainer.torch_compile": True}))
    assert problem.key == "trainer.torch_compile"
