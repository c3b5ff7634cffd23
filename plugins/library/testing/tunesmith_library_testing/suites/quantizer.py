"""What every quantizer keeps to."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tunesmith_library_testing.estimated import check_changes
from tunesmith_library_testing.holding import held_bytes
from tunesmith_library_testing.parts import (
    StubPlan,
    collate,
    estimate_of,
    examples,
    load_plain,
    logits_of,
    source_of,
)
from tunesmith_library_testing.suites.plugin import PluginSuite


class QuantizerSuite(PluginSuite):
    """The tests of a `quantizer` plugin, on a tiny Llama whose linear layers are 64 to 128 wide."""

    kind = "quantizer"
    # By bits: the largest allowed error of a layer's weight, ||Q(W) - W|| / ||W|| (Frobenius norm).
    error_bounds: ClassVar[dict[int, float]] = {8: 0.02, 4: 0.2}
    bits_option: ClassVar[str | None] = "bits"  # the option that says the bits; None: the plugin has only one precision
    device: ClassVar[str] = "cpu"  # "cuda": skipped where there is none
    dtype: ClassVar[str] = "float32"  # in which the model is loaded before

    def quantized(self, folder: Path, bits: int) -> Any:
        """The tiny model with quantised layers, as the pipeline makes it."""
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
        chosen = {self.bits_option: bits} if self.bits_option else {}
        hook = self.manager(**chosen).hook
        config = hook.quantization_config(source=source_of(folder))
        if config is not None:
            model = load_plain(folder, self.dtype, quantization_config=config, device_map=self.device)
        else:
            model = load_plain(folder, self.dtype).to(self.device)
        quantised = hook.quantize(model=model, calibration=lambda: _batches(folder, self.device))
        return model if quantised is None else quantised

    def layers(self, folder: Path, bits: int) -> Iterator[tuple[str, Any, Any]]:
        """The layers that were quantised: their names, the quantised layers, and the weights (out, in) they had."""
        model, plain = self.quantized(folder, bits), load_plain(folder)
        for name, layer in plain.named_modules():
            if type(layer).__name__ != "Linear":
                continue
            weight = _weight_of(model.get_submodule(name), layer.in_features, model)
            if not bool((weight == layer.weight).all()):
                yield name, model.get_submodule(name), layer.weight.detach()

    def test_quantises_the_linear_layers(self, tiny_llama: Path) -> None:
        """All linear layers of the blocks are quantised; the output head keeps its numbers."""
        bits = min(self.error_bounds)
        quantised = {name for name, _, _ in self.layers(tiny_llama, bits)}
        plain = load_plain(tiny_llama)
        linear = {name for name, layer in plain.named_modules() if type(layer).__name__ == "Linear"}
        assert quantised == linear - {"lm_head"}

    def test_forward_is_finite(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The quantised model computes, and not the same as before."""
        logits = logits_of(self.quantized(tiny_llama, min(self.error_bounds)), tiny_bpe)
        assert bool(logits.isfinite().all())
        assert not bool((logits == logits_of(load_plain(tiny_llama), tiny_bpe)).all())

    def test_weight_error(self, tiny_llama: Path) -> None:
        """The relative error of each layer's weight is within the bound for its bits; more bits, less error."""
        means = []
        for bits, bound in sorted(self.error_bounds.items()):
            errors = {}
            model = self.quantized(tiny_llama, bits)
            for name, layer in load_plain(tiny_llama).named_modules():
                if type(layer).__name__ == "Linear" and name != "lm_head":
                    weight = _weight_of(model.get_submodule(name), layer.in_features, model)
                    errors[name] = ((weight - layer.weight).norm() / layer.weight.norm()).item()
            worst = max(errors, key=errors.__getitem__)
            assert errors[worst] <= bound, f"{bits} bits: error {errors[worst]:.3f} of {worst}, allowed {bound}"
            means.append(sum(errors.values()) / len(errors))
        assert means == sorted(means, reverse=True), f"errors by rising bits: {means}"

    def test_gradients_reach_the_input(self, tiny_llama: Path) -> None:
        """What an adapter below a quantised layer learns from is the gradient through the quantised weight."""
        import torch

        for name, layer, weight in self.layers(tiny_llama, min(self.error_bounds)):
            quantised = _weight_of(layer, weight.shape[1], layer)
            inputs = torch.randn(3, weight.shape[1], device=self.device, dtype=getattr(torch, self.dtype))
            inputs.requires_grad_()
            layer(inputs).float().sum().backward()
            assert inputs.grad is not None, f"no gradient through {name}"
            expected = quantised.sum(0).expand(3, -1)
            error = (inputs.grad.float().cpu() - expected).norm() / expected.norm()
            assert error <= 0.05, f"the gradient through {name} is off by {error:.1%}"

    def test_estimates_what_it_holds(self, tiny_llama: Path) -> None:
        """The bytes that it says are those of the model, to 2 %; and it covers the layers that it says it covers."""
        if "estimate" not in self.hooks():
            pytest.skip("this quantizer says nothing of what it costs")
        plain = load_plain(tiny_llama, self.dtype)
        before = estimate_of(plain, {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}[self.dtype])
        for bits in self.error_bounds:
            model = self.quantized(tiny_llama, bits)
            chosen = {self.bits_option: bits} if self.bits_option else {}
            plan = StubPlan({self.kind: {"this": self.make(**chosen)}}, values=self.planned(tiny_llama))
            (found,) = self.manager(**chosen).hook.estimate(estimate=before, plan=plan)
            check_changes(self, found)
            said, held = found.bytes("step")["weights"], held_bytes(model)
            assert abs(said - held) <= 0.02 * held, f"{bits} bits: {said} bytes were said, {held} are held"
            named = {weight.name for weight in before.weights}
            covered = {item.name for item, old in zip(found.weights, before.weights, strict=True) if item != old}
            changed = {f"{name}.weight" for name, _, _ in self.layers(tiny_llama, bits)}
            assert covered == changed & named, f"said to be covered, or covered: {sorted(covered ^ changed)}"

    def planned(self, folder: Path) -> dict[str, Any]:
        """What a plan of the tiny model says beside the quantizer."""
        return {"model.path": str(folder)}

    def test_base_is_not_trained(self, tiny_llama: Path) -> None:
        """No quantised weight asks for a gradient."""
        for name, layer, _ in self.layers(tiny_llama, min(self.error_bounds)):
            trained = [key for key, weight in layer.named_parameters() if weight.requires_grad and key != "bias"]
            assert not trained, f"{name}: {', '.join(trained)}"


def _weight_of(layer: Any, in_features: int, model: Any) -> Any:
    """A layer's weight (out, in) in float32, read off its outputs for the unit vectors."""
    import torch

    some = next(model.parameters(), None)
    some = some if some is not None else next(model.buffers())
    whole = some.dtype.is_floating_point and some.dtype.itemsize > 1  # nothing is computed in 8 bits
    dtype = some.dtype if whole else torch.float32
    with torch.no_grad():
        unit = torch.eye(in_features, device=some.device, dtype=dtype)
        zero = copy.deepcopy(unit[:1]).zero_()
        return (layer(unit) - layer(zero)).float().cpu().T


def _batches(folder: Path, device: str) -> Iterator[dict[str, Any]]:
    from transformers import AutoTokenizer

    batch = collate(examples(AutoTokenizer.from_pretrained(folder)))
    for _ in range(4):
        yield {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}
