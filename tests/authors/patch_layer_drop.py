"""LayerDrop (Fan et al. 2019, arXiv 1909.11556): `patch=[layer_drop.py:LayerDrop]`."""

from collections.abc import Generator
from typing import Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range
from tunesmith.traits import PatchTraits


@plugin
class LayerDrop:
    """In training each layer is left out of a forward pass with some probability."""

    traits: ClassVar[PatchTraits] = PatchTraits(keeps_layers=True)

    p: Annotated[float, Range(0, 1, high_excluded=True)] = 0.1  # probability that a layer is left out, 0 to 1

    @hookimpl(wrapper=True)
    def load_model(self) -> Generator[None, Any, Any]:
        model = yield  # loaded by whoever loads it
        from tunesmith_library_weights.layers import find_layers

        for layer in find_layers(model)[1]:
            layer.register_forward_hook(self._drop)
        return model

    def _drop(self, layer: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        import torch

        dropped = layer.training and torch.rand(()) < self.p
        return inputs[0] if dropped else output
