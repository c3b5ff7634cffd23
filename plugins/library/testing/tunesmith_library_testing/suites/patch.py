"""What every patch keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import hookimpl, kinds
from tunesmith.types import LossOutput, ModelSource

from tunesmith_library_testing.parts import collate, compute_loss, examples, load_plain, logits_of, source_of, train
from tunesmith_library_testing.suites.plugin import PluginSuite


class _Base:
    """The plugins that a patch wraps: plain loading and the plain loss."""

    @hookimpl
    def load_model(self, source: ModelSource) -> Any:
        return load_plain(source.path)

    @hookimpl
    def compute_loss(self, model: Any, batch: dict[str, Any]) -> LossOutput:
        return compute_loss(model, batch)


class _Broken:
    @hookimpl
    def load_model(self) -> Any:
        raise LookupError("the weights are gone")

    @hookimpl
    def compute_loss(self) -> LossOutput:
        raise LookupError("the weights are gone")


class PatchSuite(PluginSuite):
    """The tests of a `patch` plugin, around the plain loading of a tiny Llama and the plain loss."""

    kind = "patch"
    keeps_function: ClassVar[bool] = True  # in evaluation mode the patched model's logits are the plain model's
    tolerance: ClassVar[float] = 1e-4  # of these logits, absolute

    def load(self, folder: Path) -> Any:
        """The tiny model, loaded through the patch."""
        hook = self.manager(_Base()).hook
        return hook.load_model(source=source_of(folder), processor=None, quantization=None)

    def test_only_wraps(self) -> None:
        """A patch replaces nothing: each of its exclusive hooks is a wrapper."""
        exclusive = {hook: made for hook, made in self.hooks().items() if hook in kinds.EXCLUSIVE}
        assert exclusive, "this patch wraps no hook"
        assert all(made["wrapper"] for made in exclusive.values())

    def test_passes_the_model_on(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The model that comes out computes; the same as before, unless the test class says otherwise."""
        logits = logits_of(self.load(tiny_llama), tiny_bpe)
        assert bool(logits.isfinite().all())
        difference = (logits - logits_of(load_plain(tiny_llama), tiny_bpe)).abs().max().item()
        if self.keeps_function:
            assert difference <= self.tolerance
        else:
            assert difference > self.tolerance, "`keeps_function` is False, but the logits are the same"

    def test_passes_the_loss_on(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The loss that comes out is a finite sum over as many items, with gradients."""
        import torch

        batch = collate(examples(tiny_bpe))
        output = self.manager(_Base()).hook.compute_loss(model=self.load(tiny_llama), batch=batch)
        assert isinstance(output, LossOutput)
        assert output.loss.shape == () and output.loss.dtype == torch.float32 and bool(output.loss.isfinite())
        assert float(output.num_items) == batch["num_items"]
        output.loss.backward()

    def test_patched_model_learns(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Twenty steps lower the loss of the patched model in training mode."""
        losses = train(self.load(tiny_llama).train(), collate(examples(tiny_bpe)), learning_rate=1e-3)
        assert losses[-1] < losses[0]

    def test_errors_pass_through(self, tiny_llama: Path) -> None:
        """An error of what is wrapped reaches the caller."""
        hook = self.manager(_Broken()).hook
        with pytest.raises(LookupError, match="the weights are gone"):
            hook.load_model(source=source_of(tiny_llama), processor=None, quantization=None)
        with pytest.raises(LookupError, match="the weights are gone"):
            hook.compute_loss(model=None, batch={})
