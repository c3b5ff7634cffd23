"""Output layer and cross entropy in one pass, against the same written out for autograd, and against float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_training import head, linear_cross_entropy
from tunesmith_library_training.batches import collate
from tunesmith_library_training.head import PostProcessing
from tunesmith_library_training.linear_cross_entropy import cross_entropies, rows_at_a_time, summed_cross_entropy
from tunesmith_library_training.log_probs import sequence_log_probs
from tunesmith_library_training.token_loss import token_loss

PROCESSES = {"plain": PostProcessing(), "scale": PostProcessing(0.25), "cap": PostProcessing(1.5, 2.0)}


def layer_of(vocabulary: int, width: int, dtype: torch.dtype, *, bias: bool = False) -> torch.nn.Linear:
    torch.manual_seed(vocabulary)
    layer = torch.nn.Linear(width, vocabulary, bias=bias)
    with torch.no_grad():
        layer.weight.normal_(std=0.5)
    return layer.to(dtype)


def rows_of(count: int, vocabulary: int, width: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Hidden states, labels and factors, some of them 0."""
    torch.manual_seed(count)
    factors = torch.rand(count) * 3
    factors[::3] = 0
    return torch.randn(count, width).to(dtype), torch.randint(0, vocabulary, (count,)), factors


def by_autograd(
    hidden: torch.Tensor, layer: torch.nn.Linear, process: PostProcessing, labels: torch.Tensor, factors: torch.Tensor
) -> torch.Tensor:
    """The losses (K,) as their definition, in the numbers of the layer but for the softmax of 16 bits."""
    logits = F.linear(hidden, layer.weight, layer.bias)
    logits = process(logits if logits.dtype == torch.float64 else logits.float())
    return F.cross_entropy(logits, labels, reduction="none") * factors


def gradients(loss: torch.Tensor, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, tensors, retain_graph=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("count", "vocabulary", "chunk"), [(1, 100, 0), (37, 128, 0), (37, 101, 8), (12, 128, 1)])
def test_loss_and_gradients(
    count: int,
    vocabulary: int,
    chunk: int,
    bias: bool,
    process: PostProcessing,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In fp32 to 1e-6 of the largest number; in bf16 as near to float64 as what autograd makes of the same logits, but
    for the rounding of what is known before it is multiplied."""
    monkeypatch.setattr(linear_cross_entropy, "_BLOCK_ON_CPU", 5 * vocabulary)
    layer, (hidden, labels, factors) = layer_of(vocabulary, 16, dtype, bias=bias), rows_of(count, vocabulary, 16, dtype)
    factors[0] = 1.5
    exact_layer = layer_of(vocabulary, 16, dtype, bias=bias).double()
    exact_hidden = hidden.double().requires_grad_()
    hidden.requires_grad_()
    parameters, exact_parameters = list(layer.parameters()), list(exact_layer.parameters())

    exact = by_autograd(exact_hidden, exact_layer, process, labels, factors.double())
    plain = by_autograd(hidden, layer, process, labels, factors)
    loss, found = summed_cross_entropy(hidden, layer, process, labels, factors, chunk)
    likeliest = process(F.linear(hidden, layer.weight, layer.bias).float()).argmax(1)
    assert torch.equal(found.highest, (likeliest == labels).float())

    ours = [found.losses, *gradients(3 * loss, [hidden, *parameters])]
    theirs = [plain, *gradients(3 * plain.sum(), [hidden, *parameters])]
    wanted = [exact, *gradients(3 * exact.sum(), [exact_hidden, *exact_parameters])]
    for mine, other, right in zip(ours, theirs, wanted, strict=True):
        largest = right.abs().max()
        error, allowed = (mine - right).abs().max(), (other - right).abs().max()
        rounding = 1e-6 if dtype == torch.float32 or right is exact else 2**-7
        assert error <= allowed + rounding * largest
        assert mine.dtype == other.dtype
    torch.testing.assert_close(loss, found.losses.sum())


@pytest.mark.parametrize("chunk", [0, 4])
def test_each_row_has_a_factor_that_comes_back(chunk: int) -> None:
    layer, (hidden, labels, factors) = layer_of(128, 16, torch.float32), rows_of(23, 128, 16, torch.float32)
    layer.requires_grad_(False)
    hidden.requires_grad_()
    outer = torch.linspace(-2, 2, 23)
    found = cross_entropies(hidden, layer, PostProcessing(), labels, factors, chunk)
    plain = by_autograd(hidden, layer, PostProcessing(), labels, factors)
    torch.testing.assert_close(found, plain)
    (ours,), (theirs,) = gradients((found * outer).sum(), [hidden]), gradients((plain * outer).sum(), [hidden])
    assert (ours - theirs).abs().max() <= 1e-6 * theirs.abs().max()


def test_only_what_is_trained() -> None:
    """A frozen layer under trained states, trained weights over frozen states, nothing at all, and no graph."""
    layer, (hidden, labels, factors) = layer_of(64, 8, torch.float32), rows_of(9, 64, 8, torch.float32)
    plain = by_autograd(hidden, layer, PostProcessing(), labels, factors).sum()
    loss, found = summed_cross_entropy(hidden, layer, PostProcessing(), labels, factors, 4)
    assert found.hidden is None
    (ours,), (theirs,) = gradients(loss, [layer.weight]), gradients(plain, [layer.weight])
    assert (ours - theirs).abs().max() <= 1e-6 * theirs.abs().max()
    with torch.no_grad():
        inside, _ = summed_cross_entropy(hidden.requires_grad_(), layer, PostProcessing(), labels, factors)
    layer.requires_grad_(False)
    alone, _ = summed_cross_entropy(hidden.detach(), layer, PostProcessing(), labels, factors)
    values = cross_entropies(hidden.detach(), layer, PostProcessing(), labels, factors)
    for made in (inside, alone, values.sum()):
        assert not made.requires_grad
        torch.testing.assert_close(made, plain.detach())


@pytest.mark.parametrize("vocabulary", [128, 101])
def test_of_equal_logits_the_first_is_said(vocabulary: int) -> None:
    """Also where they stand in different groups of columns, as in bf16 they often are."""
    logits = torch.randint(0, 3, (200, vocabulary), generator=torch.Generator().manual_seed(0)).float()
    logits[0] = 1.0
    logits[1] = torch.arange(vocabulary)
    assert torch.equal(linear_cross_entropy._first_highest(logits)[:, 0], logits.argmax(1))


def test_chunks_are_of_like_size() -> None:
    assert [rows_at_a_time(rows, 2**15, "cpu") for rows in (1, 512, 513, 1100)] == [1, 512, 257, 367]
    assert rows_at_a_time(1100, 2**15, "cuda") == 550
    assert rows_at_a_time(3, 2**26, "cpu") == 1


def test_autocast_computes_in_its_type_and_gives_gradients_in_the_weights() -> None:
    layer, (hidden, labels, factors) = layer_of(128, 16, torch.float32), rows_of(20, 128, 16, torch.float32)
    hidden.requires_grad_()
    made = []
    given = hidden, layer, PostProcessing(), labels, factors
    for one_pass in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            loss = summed_cross_entropy(*given, chunk_size=7)[0] if one_pass else by_autograd(*given).sum()
        made.append([loss, *gradients(loss, [hidden, layer.weight])])
    for ours, theirs in zip(made[1], made[0], strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=2**-7, atol=2**-7 * theirs.abs().max().item())
    torch.testing.assert_close(made[1][0], made[0][0], rtol=1e-5, atol=0)  # the same rounded logits


# ---- which output layers are computed so ----------------------------------------------------------------------------


def wrapped(kind: str, model: Any) -> Any:
    """A model with an output layer of some kind, by name."""
    if kind == "plain":
        return model
    if kind == "frozen":
        return model.requires_grad_(False)
    if kind == "own forward":
        own = model.lm_head.forward
        model.lm_head.forward = lambda hidden: own(hidden)
        return model
    from peft import LoraConfig, get_peft_model

    options: dict[str, Any] = {"target_modules": ["q_proj"], "r": 4, "init_lora_weights": False}
    if kind == "adapted":
        options["target_modules"] = ["q_proj", "lm_head"]
    if kind == "saved":
        options["modules_to_save"] = ["lm_head"]
    return get_peft_model(model, LoraConfig(**options))


SUMS = {"plain": True, "frozen": True, "lora": True, "own forward": False, "adapted": False, "saved": False}
VALUES = {**SUMS, "plain": False}


@pytest.mark.parametrize("loss", ["sum", "values"])
@pytest.mark.parametrize("kind", SUMS)
def test_which_output_layers(kind: str, loss: str, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters, layers with a forward of their own and, where rows' factors come later, trained ones go by autograd."""
    torch.manual_seed(0)
    model = wrapped(kind, load_plain(tiny_llama))
    ids = torch.randint(5, 250, (12,)).tolist()
    batch = collate([{"input_ids": ids, "labels": [-100] * 4 + ids[4:]}], padding_free=True)
    calls = []
    original = linear_cross_entropy.linear_cross_entropy

    def counted(*given: Any) -> Any:
        calls.append(given)
        return original(*given)

    monkeypatch.setattr(linear_cross_entropy, "linear_cross_entropy", counted)
    made = token_loss(model, batch).loss if loss == "sum" else -sequence_log_probs(model, batch).sums.sum()
    assert bool(calls) == (SUMS if loss == "sum" else VALUES)[kind]
    logits = model(input_ids=torch.tensor([ids])).logits[0, 3:-1]
    expected = F.cross_entropy(logits, torch.tensor(ids[4:]), reduction="sum")
    torch.testing.assert_close(made, expected)
    assert head.unwrap(model).get_output_embeddings() not in head._opaque
