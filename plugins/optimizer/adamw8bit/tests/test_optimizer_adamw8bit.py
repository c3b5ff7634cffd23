"""8-bit AdamW: which moments have 8 bits, how near it is to AdamW, and its memory."""

from __future__ import annotations

import copy

import pytest
import torch
from tunesmith.types import OptimizerSettings
from tunesmith.validate import structured
from tunesmith_library_testing import OptimizerSuite
from tunesmith_library_testing.parts import StubPlan, load_plain, train
from tunesmith_library_testing.parts import collate as make_batch
from tunesmith_library_testing.parts import examples as encoded
from tunesmith_optimizer_adamw8bit import AdamW8bit

SETTINGS = OptimizerSettings(1e-3, 0.0, 0.9, 0.999, 1e-8)


class TestAdamW8bit(OptimizerSuite):
    plugin = AdamW8bit
    learning_rate = 3e-3


class TestPaged(OptimizerSuite):
    plugin = AdamW8bit
    options = {"paged": True}
    learning_rate = 3e-3


def after_steps(optimizer, weights, count: int) -> None:
    """Random gradients, larger in some rows than in others."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        for weight in weights:
            gradient = torch.randn(weight.shape, generator=generator)
            weight.grad = (gradient * torch.logspace(-2, 0, weight.shape[-1])).to(weight.device)
        optimizer.step()


def test_which_moments_have_eight_bits(tiny_llama) -> None:
    """Matrices of 4,096 numbers or more; embeddings only when that is asked for."""
    for wide in (True, False):
        model = load_plain(tiny_llama)
        optimizer = AdamW8bit(embeddings_in_32_bit=wide).build_optimizer(model=model, settings=SETTINGS)
        after_steps(optimizer, list(model.parameters()), 1)
        dtypes = {name: optimizer.state[weight]["state1"].dtype for name, weight in model.named_parameters()}
        assert dtypes["model.embed_tokens.weight"] == (torch.float32 if wide else torch.uint8)
        assert dtypes["lm_head.weight"] == dtypes["model.layers.0.mlp.up_proj.weight"] == torch.uint8
        assert dtypes["model.layers.0.self_attn.k_proj.weight"] == torch.float32  # 32 × 64
        assert dtypes["model.norm.weight"] == torch.float32


def test_is_near_adamw(tiny_llama, tiny_bpe) -> None:
    """After 20 steps the loss is that of torch.optim.AdamW within 3 %."""
    model, batch = load_plain(tiny_llama), make_batch(encoded(tiny_bpe))
    twin = copy.deepcopy(model)
    losses = train(model, batch, optimizer=AdamW8bit().build_optimizer(model=model, settings=SETTINGS))
    expected = train(twin, batch, optimizer=torch.optim.AdamW(twin.parameters(), lr=1e-3, weight_decay=0.0))
    assert losses != expected
    assert losses[-1] == pytest.approx(expected[-1], rel=0.03)


@pytest.mark.parametrize("shape", [(512, 512), (512, 1376)])
def test_state_is_a_quarter_of_adamws(shape) -> None:
    """One byte per moment and a scale per 256 of them, instead of four."""
    model = torch.nn.Linear(shape[1], shape[0], bias=False)
    optimizer = AdamW8bit().build_optimizer(model=model, settings=SETTINGS)
    model.weight.grad = torch.ones(shape)
    optimizer.step()
    held = [value for value in optimizer.state[model.weight].values() if isinstance(value, torch.Tensor)]
    numbers = shape[0] * shape[1]
    assert sum(value.untyped_storage().nbytes() for value in held) == 2 * (numbers + 4 * numbers // 256 + 4 * 256)


@pytest.mark.gpu
def test_paged_equals_unpaged_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    weights = []
    for paged in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Linear(512, 512, bias=False).cuda()
        optimizer = AdamW8bit(paged=paged).build_optimizer(model=model, settings=SETTINGS)
        after_steps(optimizer, [model.weight], 5)
        weights.append(model.weight.detach().clone())
    assert torch.equal(*weights)


def test_sharding_is_reported() -> None:
    (problem,) = AdamW8bit().check(StubPlan({}, values={"trainer.fsdp": "full_shard"}))
    assert problem.key == "trainer.fsdp" and "cuts them in pieces" in problem.message


def test_ranges() -> None:
    _, problems = structured(AdamW8bit, {"min_8bit_size": -1}, ("optimizer",), "optimizer=adamw8bit")
    assert [str(problem.key) for problem in problems] == ["optimizer.min_8bit_size"]
