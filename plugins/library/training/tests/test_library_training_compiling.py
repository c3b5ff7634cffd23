"""Compiled layers give the loss and gradients of plain ones, and batches of other lengths are not compiled anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from tunesmith import TunesmithError
from tunesmith.types import Batch
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_training import attention, on_host, varlen, watching
from tunesmith_library_training.batches import collate
from tunesmith_library_training.compiling import compile_layers
from tunesmith_library_training.token_loss import token_loss

LENGTHS = ((9, 14, 5), (30, 6), (12, 12, 12, 12), (41, 3, 17), (8, 25))


@pytest.fixture(autouse=True)
def _forget() -> Any:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


class Backend:
    """Runs what it is given as it is, and keeps count."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, module: torch.fx.GraphModule, inputs: Any) -> Any:
        self.graphs += 1
        return module.forward


def in_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_lens: torch.Tensor,
    longest: int,
    *,
    causal: bool,
    scaling: float | None,
    **_: Any,
) -> torch.Tensor:
    """What a kernel for all sequences computes, as one product under a mask: it asks for no length."""
    tokens = torch.arange(query.shape[0])
    number = torch.searchsorted(cu_seq_lens[1:], tokens, right=True)
    sees = (number[:, None] == number[None]) & (tokens[:, None] >= tokens[None])
    groups = query.shape[1] // key.shape[1]
    keys, values = (each.repeat_interleave(groups, 1).transpose(0, 1) for each in (key, value))
    scores = query.transpose(0, 1) @ keys.transpose(1, 2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    return (scores.masked_fill(~sees, -torch.inf).softmax(-1) @ values).transpose(0, 1)


KERNEL = varlen.Kernel("in one", in_one, softcap=False, dropout=False, device="cpu", dtypes=(torch.float32,))


def batches() -> list[Batch]:
    rng = torch.Generator().manual_seed(0)
    made = []
    for lengths in LENGTHS:
        rows = [torch.randint(5, 250, (length,), generator=rng).tolist() for length in lengths]
        batch = collate([{"input_ids": row, "labels": [-100, *row[1:]]} for row in rows], padding_free=True)
        on_host.note(batch)
        on_host.attach(batch)
        made.append(batch)
    return made


def model_of(folder: Path, kernel: varlen.Kernel | None = None, lora: bool = False) -> Any:
    attention.register()
    model = load_plain(folder, attn_implementation=attention.NAME)
    watching.watch(model.base_model)
    if kernel is not None:
        attention.use(model, kernel)
    if lora:
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(0)
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    return model.train()


def steps(model: Any) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
    """The loss of each batch, and its gradients."""
    found = []
    for batch in batches():
        model.zero_grad()
        loss = token_loss(model, dict(batch)).loss
        loss.backward()
        found.append((loss.detach(), [weight.grad for weight in model.parameters() if weight.grad is not None]))
    return found


@pytest.mark.parametrize(
    ("kernel", "lora"),
    [
        pytest.param(KERNEL, False, id="full-kernel"),
        pytest.param(None, False, id="full-one by one", marks=pytest.mark.slow),
        pytest.param(KERNEL, True, id="lora-kernel", marks=pytest.mark.slow),
        pytest.param(None, True, id="lora-one by one", marks=pytest.mark.slow),
    ],
)
def test_compiled_layers_give_the_same(kernel: varlen.Kernel | None, lora: bool, tiny_llama: Path) -> None:
    """With a kernel each kind of layer is one graph without a break, whatever the lengths; without it they break there,
    and are not compiled anew either."""
    backend = Backend()
    plain, compiled = (model_of(tiny_llama, kernel, lora) for _ in range(2))
    assert compile_layers(compiled, backend) == plain.config.num_hidden_layers
    for (loss, gradients), (same, others) in zip(steps(plain), steps(compiled), strict=True):
        assert float(same) == pytest.approx(float(loss), rel=1e-6)
        for gradient, other in zip(gradients, others, strict=True):
            assert (gradient - other).abs().max() <= 1e-6 * gradient.abs().max()
    breaks = [reason for reason in counters["graph_break"] if "_one_by_one" not in reason]
    assert not breaks
    assert bool(counters["graph_break"]) == (kernel is None)
    assert 1 <= backend.graphs <= (2 if kernel else 10)


@pytest.mark.slow
def test_checkpointed_layers_are_compiled(tiny_llama: Path) -> None:
    """Activations that are computed again are those of the compiled layer."""
    backend = Backend()
    plain, compiled = (model_of(tiny_llama, KERNEL) for _ in range(2))
    compile_layers(compiled, backend)
    compiled.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for (loss, gradients), (same, others) in zip(steps(plain), steps(compiled), strict=True):
        assert float(same) == pytest.approx(float(loss), rel=1e-6)
        for gradient, other in zip(gradients, others, strict=True):
            assert (gradient - other).abs().max() <= 1e-6 * gradient.abs().max()
    assert backend.graphs and not counters["graph_break"]


def test_a_model_without_layers_is_refused() -> None:
    class Empty(torch.nn.Module):
        def get_output_embeddings(self) -> None:
            return None

    with pytest.raises(TunesmithError, match=r"trainer\.torch_compile=false"):
        compile_layers(Empty())


def test_backends_that_torch_does_not_have_are_refused(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match=r"torch_compile_backend=inducter: torch has none(?s:.*)inductor"):
        compile_layers(load_plain(tiny_llama), "inducter")


@pytest.mark.slow
def test_inductor_compiles_a_run(tiny_llama: Path) -> None:
    """torch's own compiler, which makes C++ here: as close as it rounds."""
    plain, compiled = (model_of(tiny_llama) for _ in range(2))
    compile_layers(compiled)
    for (loss, gradients), (same, others) in zip(steps(plain), steps(compiled), strict=True):
        assert float(same) == pytest.approx(float(loss), rel=1e-5)
        for gradient, other in zip(gradients, others, strict=True):
            assert (gradient - other).abs().max() <= 1e-4 * gradient.abs().max()
