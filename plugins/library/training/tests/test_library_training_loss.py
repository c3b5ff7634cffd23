"""The lean loss against the plain one: transformers' own, and full logits in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_library_training import head
from tunesmith_library_training.batches import collate
from tunesmith_library_training.token_loss import token_loss

ARCHITECTURES = {
    "llama": {},
    "qwen2": {"tie_word_embeddings": True},
    "gemma2": {"query_pre_attn_scalar": 16, "final_logit_softcapping": 3.0},
    "cohere": {"logit_scale": 0.0625},
    "granite": {"logits_scaling": 8.0},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4},
    "mamba": {"state_size": 4},
}


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")


def examples(vocab_size: int = 250, weighted: bool = False) -> list[dict[str, Any]]:
    """Three sequences of different lengths, some tokens not trained, the first of one trained in vain."""
    generator = torch.Generator().manual_seed(4)
    made = []
    for length, start, stop in ((12, 5, 12), (7, 0, 4), (20, 9, 15)):
        ids = torch.randint(5, vocab_size, (length,), generator=generator).tolist()
        labels = [token if start <= at < stop else -100 for at, token in enumerate(ids)]
        example = {"input_ids": ids, "labels": labels}
        made.append({**example, "weights": [0.5 + at % 3 for at in range(length)]} if weighted else example)
    return made


def reference(model: Any, rows: list[dict[str, Any]]) -> tuple[torch.Tensor, int]:
    """transformers' own loss of each example alone, as a sum."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for row in rows:
        labels = torch.tensor([row["labels"]])
        trained = int((labels[:, 1:] != -100).sum())
        total = total + model(input_ids=torch.tensor([row["input_ids"]]), labels=labels, use_cache=False).loss * trained
        count += trained
    return total, count


@pytest.mark.parametrize("padding_free", [True, False])
@pytest.mark.parametrize("chunk_size", [1, 4, 0])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loss_and_gradients_are_transformers_own(
    architecture: str, chunk_size: int, padding_free: bool, tmp_path: Path
) -> None:
    if architecture == "mamba" and padding_free:
        pytest.skip("carries a state from one sequence to the next")
    model = load(save_tiny_model(tmp_path, architecture=architecture, **ARCHITECTURES[architecture])).eval()
    expected, count = reference(model, examples())
    expected.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)

    output = token_loss(model, collate(examples(), padding_free), chunk_size=chunk_size)
    assert output.num_items == count
    torch.testing.assert_close(output.loss.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    output.loss.backward()
    for name, parameter in model.named_parameters():
        if gradients[name] is not None:
            error = (parameter.grad - gradients[name]).abs().max() / gradients[name].abs().max().clamp(min=1e-3)
            assert error < 1e-4, name
    assert model.get_output_embeddings() not in head._opaque


def test_weights_multiply_the_loss_of_each_token(tiny_llama: Path) -> None:
    model, rows = load(tiny_llama).double(), examples(weighted=True)
    expected, total = torch.zeros((), dtype=torch.float64), 0.0
    for row in rows:
        labels, weights = torch.tensor(row["labels"][1:]), torch.tensor(row["weights"][1:], dtype=torch.float64)
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        expected += (F.cross_entropy(logits, labels, reduction="none") * weights).sum()
        total += weights[labels != -100].sum().item()
    for padding_free in (True, False):
        output = token_loss(model, collate(rows, padding_free), chunk_size=3)
        torch.testing.assert_close(output.loss.double(), expected, rtol=1e-5, atol=1e-5)
        assert output.num_items == pytest.approx(total)


def test_another_loss_of_tokens(tiny_llama: Path) -> None:
    """Any function of logits and labels can be summed, here the brier score, and ignored labels never reach it."""

    def brier(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert labels.min() >= 0
        return (logits.softmax(-1) - F.one_hot(labels, logits.shape[-1])).square().sum(-1)

    model, batch = load(tiny_llama), collate(examples(), False)
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    labels = batch["labels"][:, 1:]
    trained = labels != -100
    expected = brier(logits[trained], labels[trained]).sum()
    torch.testing.assert_close(token_loss(model, batch, brier, chunk_size=2).loss, expected)


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def wrap(kind: str, model: Any) -> Any:
    if kind == "ddp":
        return torch.nn.parallel.DistributedDataParallel(model)
    if kind == "fsdp":
        from torch.distributed.fsdp import fully_shard

        for layer in (*model.model.layers, model.lm_head):
            fully_shard(layer, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))
        return fully_shard(model, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (1,)))
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    targets = ["q_proj", "lm_head"] if kind == "lora_head" else ["q_proj", "v_proj"]
    saved = ["lm_head"] if kind == "saved_head" else None
    config = LoraConfig(r=4, target_modules=targets, modules_to_save=saved, init_lora_weights="gaussian")
    return get_peft_model(model, config)


@pytest.mark.parametrize("kind", ["ddp", "fsdp", "lora", "lora_head", "saved_head"])
def test_wrapped_models(kind: str, tiny_llama: Path, process_group: None) -> None:
    """Loss and gradients through wrappers are those of the full logits of the same wrapped model."""
    model, batch = wrap(kind, load(tiny_llama)), collate(examples(), False)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    results = []
    for lean in (False, True):
        if lean:
            loss = token_loss(model, batch, chunk_size=4).loss
        else:
            logits = model(**inputs).logits[:, :-1].flatten(0, 1)
            loss = F.cross_entropy(logits, batch["labels"][:, 1:].flatten(), reduction="sum")
        loss.backward()
        results.append((loss.detach(), [full(p.grad) for p in model.parameters() if p.grad is not None]))
        model.zero_grad(set_to_none=True)
    torch.testing.assert_close(results[1][0], results[0][0])
    assert len(results[0][1]) == len(results[1][1]) > 0
    for plain, ours in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    assert head.unwrap(model).get_output_embeddings() not in head._opaque


def full(gradient: Any) -> torch.Tensor:
    return gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient


def test_unknown_treatment_of_logits_falls_back(tiny_llama: Path) -> None:
    """A model that does something of its own to its logits gets the right loss, in one piece."""
    model, batch = load(tiny_llama), collate(examples(), False)
    original = model.forward

    def forward(*args: Any, logits_to_keep: Any = 0, **kwargs: Any) -> Any:
        outputs = original(*args, logits_to_keep=logits_to_keep, **kwargs)
        outputs.logits = outputs.logits.clamp(max=0.05)
        return outputs

    model.forward = forward
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    expected = F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum")
    for _ in range(2):
        torch.testing.assert_close(token_loss(model, batch).loss, expected)
    assert model.lm_head in head._opaque


def test_evaluation_makes_no_graph(tiny_llama: Path) -> None:
    model, batch = load(tiny_llama), collate(examples(), True)
    with torch.no_grad():
        loss = token_loss(model, batch, chunk_size=3).loss
    assert not loss.requires_grad
    torch.testing.assert_close(loss, token_loss(model, batch).loss.detach())


def test_bf16_autocast_is_close_to_fp32(tiny_llama: Path) -> None:
    model, batch = load(tiny_llama), collate(examples(), True)
    exact = token_loss(model, batch).loss
    exact.backward()
    gradient = model.lm_head.weight.grad.clone()
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        half = token_loss(model, batch, chunk_size=4).loss
    half.backward()
    torch.testing.assert_close(half, exact, rtol=5e-3, atol=0)
    torch.testing.assert_close(model.lm_head.weight.grad, gradient, rtol=0.05, atol=0.05)


def test_the_output_layer_is_itself_again(tiny_llama: Path) -> None:
    model, batch = load(tiny_llama), collate(examples(), True)
    with pytest.raises(RuntimeError, match="inside"):
        token_loss(model, batch, lambda logits, labels: (_ for _ in ()).throw(RuntimeError("inside")))
    assert "forward" not in vars(model.lm_head)


def test_routing_loss_is_added(tmp_path: Path) -> None:
    options = {"num_experts": 4, "output_router_logits": True, "router_aux_loss_coef": 0.1, "decoder_sparse_step": 1}
    model = load(save_tiny_model(tmp_path, architecture="qwen2_moe", **options)).eval()
    row = examples()[:1]
    expected, _ = reference(model, row)
    torch.testing.assert_close(token_loss(model, collate(row, False)).loss.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("padding_free", [True, False])
def test_accuracy_counts_the_labels_with_the_highest_logit(
    padding_free: bool, weighted: bool, tiny_llama: Path
) -> None:
    """In chunks and whole, and over the weights where messages have them."""
    model, rows = load(tiny_llama).eval(), examples(weighted=weighted)
    for row in rows:  # half of the labels are what the model says
        highest = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].argmax(-1).tolist()
        for at in range(2, len(row["labels"]), 2):
            row["labels"][at] = highest[at - 1] if row["labels"][at] != -100 else -100
    right, total = 0.0, 0.0
    for row in rows:
        highest = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].argmax(-1).tolist()
        for at in range(1, len(row["labels"])):
            weight = row["weights"][at] if weighted else 1.0
            right += weight * (row["labels"][at] == highest[at - 1])
            total += weight * (row["labels"][at] != -100)
    assert 0.2 < right / total < 0.9
    layer = model.get_output_embeddings()
    for opaque in (False, True):
        if opaque:
            head._opaque.add(layer)
        output = token_loss(model, collate(rows, padding_free), chunk_size=3)
        assert output.metrics["accuracy"].item() == pytest.approx(right)
        assert float(output.num_items) == pytest.approx(total)
        assert not output.metrics["accuracy"].requires_grad


def test_a_loss_that_knows_more(tiny_llama: Path) -> None:
    """`beside` gives a chunk's share of what is known of all kept positions."""
    model, batch = load(tiny_llama), collate(examples(), False)
    keep = (batch["labels"][:, 1:] != -100).any(0).sum().item()
    known = torch.rand(len(batch["labels"]) * keep, generator=torch.Generator().manual_seed(0))

    def scaled(logits: torch.Tensor, labels: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, reduction="none") * factors

    parts = [token_loss(model, batch, scaled, size, lambda rows: known[rows]).loss for size in (0, 2)]
    labels = batch["labels"][:, 1:]
    positions = (labels != -100).any(0).nonzero().flatten()
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, positions]
    losses = F.cross_entropy(logits.flatten(0, 1), labels[:, positions].flatten(), reduction="none")
    for part in parts:
        torch.testing.assert_close(part, (losses * known).sum())


def test_a_collapsed_model_is_not_right_everywhere(tiny_llama: Path) -> None:
    """Where all logits are equal, greedy decoding says token 0, and the loss is ln V."""
    model = load(tiny_llama)
    torch.nn.init.zeros_(model.get_output_embeddings().weight)
    ids = np.array([5, 0, 7, 3, 0, 2, 9, 4, 1])
    output = token_loss(model, collate([{"input_ids": ids, "labels": ids}], padding_free=True))
    assert output.loss.item() / 8 == pytest.approx(math.log(model.config.vocab_size), rel=1e-5)
    assert output.metrics["accuracy"] == 2
