"""Packed numbers and layers, what layers see on training data, and a quantizer made of both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import pytest
import torch
from safetensors.torch import load_file
from tunesmith import plugin
from tunesmith.traits import QuantizerTraits
from tunesmith.types import Batch
from tunesmith.validate import structured
from tunesmith_library_quantizing.calibrated import Calibrated, Count, GroupSize
from tunesmith_library_quantizing.calibration import Block, blocks
from tunesmith_library_quantizing.checkpoint import from_stored
from tunesmith_library_quantizing.grid import Rounded, fit, round_to_nearest
from tunesmith_library_quantizing.linear import PackedLinear
from tunesmith_library_quantizing.packing import pack, pack_awq, unpack, unpack_awq
from tunesmith_library_quantizing.quantising import Quantised, Settings, gptq_config, kept, quantise
from tunesmith_library_quantizing.stored import store_linears
from tunesmith_library_testing.parts import (
    StubPlan,
    collate,
    examples,
    load_plain,
    logits_of,
    mean_loss,
    source_of,
)

ALL_BITS = (8, 4, 3, 2)
LAYER = "model.layers.0.mlp.up_proj"


@plugin
class Nearest(Calibrated):
    """Rounds to nearest, and looks at data only to count it: the least that a quantizer by data can be."""

    name: ClassVar[str] = "nearest"
    traits: ClassVar[QuantizerTraits] = QuantizerTraits(
        bits=(2, 3, 4, 8), devices=("cpu", "cuda"), saves=True, calibrates=True, weight_norms=True, method="gptq"
    )

    bits: Literal[2, 3, 4, 8] = 4  # bits per weight
    group_size: GroupSize = 128  # weights of a row that share one scale and zero point; -1 is the whole row
    samples: Count = 128  # training examples to look at
    sample_length: Count = 512  # tokens of an example to look at
    skip_modules: list[str] = []  # layers that keep their numbers

    def calibrate(self, model: Any, batches: Iterator[Batch]) -> Quantised:
        settings = Settings(self.bits, self.group_size, True, self.samples, self.sample_length, self.skip_modules)

        def nearest(block: Block) -> Iterator[tuple[str, Rounded]]:
            for linears in block.groups():
                for name, layer in linears.items():
                    yield name, round_to_nearest(layer.weight.float(), self.bits, settings.group_of(layer), True)

        config = gptq_config(settings, kept(model, self.skip_modules))
        return quantise(model, batches, settings, nearest, config)


def batches(tokenizer: Any) -> Any:
    return lambda: iter([collate([example]) for example in examples(tokenizer)])


def test_a_quantizer_is_its_rounding(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """Each layer is what `calibrate` says; a run stores it, and is loaded over it; gradients pass, none is kept."""
    nearest = Nearest(group_size=32, skip_modules=["o_proj"])
    model, plain = nearest.quantize(load_plain(tiny_llama), batches(tiny_bpe)), load_plain(tiny_llama)
    for name, layer in plain.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            expected = layer.weight.detach()
            if not name.endswith("o_proj"):
                expected = round_to_nearest(expected, 4, 32, True).packed_weight()
            assert torch.equal(model.get_submodule(name).weight, expected), name
    next(nearest.fit(SimpleNamespace(output_dir=tmp_path, resume=False, processor=tiny_bpe)))
    later = Nearest(group_size=32)
    served = later.quantize(load_plain(tiny_llama), None)
    next(later.apply_adapter(served, tmp_path, source_of(tiny_llama, training=False)))
    assert torch.equal(logits_of(served, tiny_bpe), logits_of(model, tiny_bpe))
    model.model.embed_tokens.weight.requires_grad_()
    mean_loss(model, next(batches(tiny_bpe)())).backward()
    trained = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert "model.embed_tokens.weight" in trained and LAYER not in {name.rpartition(".")[0] for name in trained}


@pytest.mark.parametrize(
    ("options", "key"),
    [({}, None), ({"group_size": -1}, None), ({"group_size": 20}, "quantizer.group_size")],
)
def test_check(options: dict[str, Any], key: str | None) -> None:
    nearest = Nearest(**options)
    problems = nearest.check(StubPlan({"quantizer": {"nearest": nearest}}))
    assert [problem.key for problem in problems] == ([key] if key else [])


@pytest.mark.parametrize("values", [{"group_size": -2}, {"samples": 0}, {"sample_length": 0}])
def test_ranges(values: dict[str, Any]) -> None:
    _, problems = structured(Nearest, values, ("quantizer",), "quantizer=nearest")
    assert [str(problem.key) for problem in problems] == [f"quantizer.{name}" for name in values]


def test_instances_remember_for_themselves(tiny_llama: Path) -> None:
    first, second = Nearest(), Nearest()
    first.quantize(load_plain(tiny_llama), None)
    assert first._waiting is not None and second._waiting is None


# ---- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", ALL_BITS)
def test_packed_numbers_are_a_stream_of_bits(bits: int) -> None:
    """Each column as one long whole number of Python, the first number in its lowest bits."""
    numbers = torch.randint(0, 2**bits, (64, 3), generator=torch.Generator().manual_seed(bits))
    words = pack(numbers, bits)
    assert words.dtype == torch.int32 and words.shape == (64 * bits // 32, 3)
    for column in range(3):
        stream = sum(int(number) << (index * bits) for index, number in enumerate(numbers[:, column]))
        expected = [stream >> (32 * index) & 0xFFFFFFFF for index in range(len(words))]
        assert [int(word) & 0xFFFFFFFF for word in words[:, column]] == expected
    assert torch.equal(unpack(words, bits), numbers.int())


def test_awq_packs_even_columns_before_odd_ones() -> None:
    numbers = torch.arange(16).reshape(1, 16)
    words = [int(word) & 0xFFFFFFFF for word in pack_awq(numbers)[0]]
    assert [f"{word:08x}" for word in words] == ["75316420", "fdb9eca8"]  # from the highest half byte to the lowest
    assert torch.equal(unpack_awq(pack_awq(numbers)), numbers.int())


def test_a_grid_holds_its_extremes_and_zero() -> None:
    """The ends of a group are within half a step; a zero point is never 0, which the first file format cannot say."""
    groups = torch.stack([torch.linspace(-1, 3, 32), torch.linspace(0.5, 2, 32), torch.linspace(-2, -1, 32)])
    scale, zero = fit(groups, 4, sym=False)
    assert bool((zero >= 1).all()) and bool((zero <= 15).all())
    for end in (groups.amin(1), groups.amax(1)):
        code = end / scale + zero
        assert bool((code >= -0.51).all()) and bool((code <= 15.51).all())
    assert torch.equal(scale, scale.half().float())
    scale, zero = fit(torch.zeros(1, 32), 4, sym=False)
    assert bool((scale > 0).all())


# ---- layers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("bits", ALL_BITS)
def test_a_layer_computes_with_its_weight(bits: int, scaled: bool) -> None:
    """Outputs and gradients are those of the dense weight in float64, with groups in any order."""
    linear = torch.nn.Linear(64, 32)
    made = round_to_nearest(linear.weight.detach(), bits, 32, sym=True)
    groups = torch.randperm(64, generator=torch.Generator().manual_seed(3)).int() % 2
    made = type(made)(made.codes, made.scales, made.zeros, groups)
    dense = made.packed_weight().double()
    if scaled:
        columns, rows = torch.linspace(0.5, 2, 64).bfloat16().float(), torch.linspace(0.25, 1, 32).bfloat16().float()
        made = type(made)(made.codes, made.scales, made.zeros, groups, columns, rows)
        dense = dense / columns * rows[:, None]
    layer = PackedLinear.of(made, bits, linear)
    assert [name for name, tensor in layer.named_parameters() if tensor.requires_grad] == []
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    y = layer(x)
    torch.testing.assert_close(y.double(), x.double() @ dense.T + linear.bias.double(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.weight.double(), dense, atol=1e-6, rtol=1e-5)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    torch.testing.assert_close(gradient.double(), 2 * y.double() @ dense, atol=1e-4, rtol=1e-4)


# ---- calibration ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_layers_see_what_the_model_gives_them(tiny_llama: Path, tiny_bpe: Any) -> None:
    """Walking without changing anything: every layer's E[x xᵀ] is that of a forward through the whole model."""
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    linear = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    del linear["lm_head"]
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in linear}
    handles = [
        layer.register_forward_pre_hook(lambda _, args, name=name: seen[name].append(args[0]))
        for name, layer in linear.items()
    ]
    model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    for handle in handles:
        handle.remove()
    kept = batch["attention_mask"].bool()
    assert not kept.all()
    met = set()
    for block in blocks(model, [batch], linear, 1, 2048):
        groups = block.groups()
        assert [len(group) for group in groups] == [3, 1, 2, 1]  # q k v, o, gate up, down
        for group, found in zip(groups, block.statistics(groups), strict=True):
            for name in group:
                x = seen[name][0][kept]
                torch.testing.assert_close(found.hessian, x.T @ x, atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(found.magnitude, x.abs().sum(0), atol=1e-4, rtol=1e-4)
                assert found.tokens == int(kept.sum())
                met.add(name)
    assert met == set(linear)


def test_examples_are_cut_and_counted(tiny_llama: Path, tiny_bpe: Any) -> None:
    """`samples` and `sample_length` bound what is looked at, and no more batches are asked for."""
    asked = []

    def batches() -> Iterator[Batch]:
        for number in range(100):
            asked.append(number)
            yield collate(examples(tiny_bpe)[:1])

    model = load_plain(tiny_llama)
    found = next(iter(blocks(model, batches(), [LAYER], 3, 7)))
    assert [call.hidden.shape[1] for call in found.calls] == [7, 7, 7] and len(asked) == 3


# ---- stored ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["g43201", "g33210", "g86410", "g23210"])
def test_layers_that_gptqmodel_wrote(layer: str) -> None:
    """A layer of 4 bits with zero points in activation order, and of 3, 8 and 2: gptqmodel 7.6's own weight in float16.

    Each was quantised, stored and dequantised by gptqmodel; the names say bits, group, symmetric, in order.
    """
    held = load_file(Path(__file__).parent / "gptqmodel.safetensors")
    tensors = {name.partition(".")[2]: tensor for name, tensor in held.items() if name.startswith(layer)}
    config = {"quant_method": "gptq", "checkpoint_format": "gptq"}
    weight = from_stored(tensors, config, torch.float16).weight
    assert torch.equal(weight, tensors["weight"])


def test_stored_layers_compute_with_what_is_decoded(tiny_llama: Path, tiny_bpe: Any) -> None:
    """A coding without loss changes nothing, gradients of inputs included; what is skipped, and the head, stay."""
    stored = store_linears(
        load_plain(tiny_llama), lambda weight: {"codes": weight / 2}, lambda kept: 2 * kept["codes"], ["o_proj"]
    )
    classes = {name.rpartition(".")[2]: type(layer).__name__ for name, layer in stored.named_modules()}
    assert classes["o_proj"] == classes["lm_head"] == "Linear" and classes["q_proj"] == "StoredLinear"
    plain, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    torch.testing.assert_close(logits_of(stored, tiny_bpe), logits_of(plain, tiny_bpe))
    for model in (stored, plain):
        mean_loss(model, batch).backward()
    torch.testing.assert_close(stored.get_input_embeddings().weight.grad, plain.get_input_embeddings().weight.grad)
    assert not any(layer_weight.requires_grad for layer_weight in stored.get_submodule(LAYER).parameters())
