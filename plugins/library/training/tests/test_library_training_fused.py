"""A kernel in place of output layer and cross entropy: what it is called with, and when it is not called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_training.batches import collate
from tunesmith_library_training.token_loss import fused, token_loss

ARCHITECTURES = {
    "llama": {},
    "qwen2": {"tie_word_embeddings": True},
    "gemma2": {"query_pre_attn_scalar": 16, "final_logit_softcapping": 3.0},
    "cohere": {"logit_scale": 0.0625},
    "granite": {"logits_scaling": 8.0},
    "phi": {},  # its output layer has a bias
}


class Kernel:
    """Output layer and cross entropy as torch would write them, and how often they were called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self, hidden: Any, weight: Any, bias: Any, labels: Any, weights: Any, softcap: float | None
    ) -> tuple[Any, Any]:
        self.calls += 1
        logits = F.linear(hidden, weight, bias)
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        losses = F.cross_entropy(logits, labels, reduction="none")
        return (losses if weights is None else losses * weights).sum(), logits.argmax(dim=-1)


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")


def examples(weighted: bool) -> list[dict[str, Any]]:
    """Two sequences, some of whose tokens are trained."""
    generator = torch.Generator().manual_seed(4)
    made = []
    for length, start, stop in ((12, 5, 12), (20, 9, 15)):
        ids = torch.randint(5, 250, (length,), generator=generator).tolist()
        labels = [token if start <= at < stop else -100 for at, token in enumerate(ids)]
        made.append({"input_ids": ids, "labels": labels})
        if weighted:
            made[-1]["weights"] = [0.5 + at % 3 for at in range(length)]
    return made


def results(model: Any, batch: dict[str, Any], **options: Any) -> dict[str, torch.Tensor]:
    """Loss, accuracy and the gradients of all weights."""
    output = token_loss(model, batch, **options)
    output.loss.backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return {"loss": output.loss.detach(), "accuracy": output.metrics["accuracy"], **gradients}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("padding_free", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_same_loss_and_gradients(architecture: str, padding_free: bool, weighted: bool, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "m", architecture=architecture, **ARCHITECTURES[architecture])
    model, batch, kernel = load(folder), collate(examples(weighted), padding_free), Kernel()
    expected = results(model, batch)
    with fused(kernel):
        found = results(model, batch)
    assert kernel.calls == 1
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: name + text)


def test_not_outside_of_the_block(tiny_llama: Path) -> None:
    model, batch, kernel = load(tiny_llama), collate(examples(False), True), Kernel()
    with fused(kernel):
        pass
    token_loss(model, batch)
    assert kernel.calls == 0


def test_not_for_other_losses(tiny_llama: Path) -> None:
    model, batch, kernel = load(tiny_llama), collate(examples(False), True), Kernel()

    def squared(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, reduction="none").square()

    with fused(kernel):
        found = token_loss(model, batch, squared).loss
    torch.testing.assert_close(found, token_loss(model, batch, squared).loss)
    assert kernel.calls == 0


def test_not_for_an_adapted_output_layer(tiny_llama: Path) -> None:
    """LoRA on the output layer changes what it computes; its bare weight would be wrong."""
    import peft

    config = peft.LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False)
    model, batch, kernel = peft.get_peft_model(load(tiny_llama), config), collate(examples(False), True), Kernel()
    expected = results(model, batch)
    with fused(kernel):
        found = results(model, batch)
    assert kernel.calls == 0
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_not_for_a_quantised_output_layer(tiny_llama: Path) -> None:
    """A layer that is a Linear by name only: its weight is packed."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    model, batch, kernel = load(tiny_llama), collate(examples(False), True), Kernel()
    dense = model.lm_head
    packed = bitsandbytes.nn.Linear4bit(dense.in_features, dense.out_features, bias=False, quant_type="nf4")
    packed.load_state_dict(dense.state_dict())
    model.lm_head = packed.to("cpu")
    with fused(kernel):
        loss = token_loss(model, batch).loss
    assert kernel.calls == 0
    torch.testing.assert_close(loss, token_loss(model, batch).loss)
