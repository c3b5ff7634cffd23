"""Partial fine-tuning: some transformer layers are trained whole, the others stay as they are.

Lee et al. 2019, "What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning" (arXiv 1911.03090).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.ranges import between
from tunesmith.types import ModelSource, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.patterns import matches_any, refuse_unknown
from tunesmith_library_weights.plans import few_bits
from tunesmith_library_weights.towers import Part, towers_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Freeze:
    """Trains the last or first layers of a model, and modules outside them that are named."""

    # so many of the last layers are trained; a negative number counts the first ones
    trainable_layers: Annotated[int, between(-65_536, 65_536)] = 2
    # what is trained in those layers: dotted parts of names, with `*` for anything (mlp, self_attn.q_*); [] is all
    trainable_modules: list[str] = []
    # what is trained outside the layers, written the same way: embed_tokens, norm, lm_head
    extra_modules: list[str] = []
    # parts of a model that also sees or hears that are trained: language (its layers as above), and whole ones: vision,
    # audio (its towers; `tower` is each of them), projector
    towers: list[Part] = ["language"]

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = [*few_bits(plan), *towers_problems(self.towers)]
        layers = "language" in self.towers
        if self.trainable_modules and self.towers and not layers:
            message = "adapter.trainable_modules is of the language model's layers, which adapter.towers leaves out."
            problems.append(Problem("adapter.trainable_modules", message, "add language to adapter.towers"))
        if layers and not self.trainable_layers and not self.extra_modules and self.towers == ["language"]:
            message = "adapter.trainable_layers=0 without adapter.extra_modules leaves nothing to train."
            advice = "adapter.trainable_layers=2, or adapter.extra_modules=[lm_head]"
            problems.append(Problem("adapter.trainable_layers", message, advice))
        return problems

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_freeze

        return estimate_freeze(self, estimate)

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Any:
        """Raises: TunesmithError when `trained` is given, the weights are quantised, or a name fits nothing."""
        from tunesmith_library_weights.training import refuse_adapter, refuse_quantised, train_only

        refuse_adapter(trained, "freeze")
        if source.training:
            refuse_quantised(model, "freeze")
            names, why = self._choose(model)
            train_only(model, names, "float32", why)
        return model

    @hookimpl
    def merge_adapter(self, model: Any) -> Any:
        return model

    def _choose(self, model: Any) -> tuple[set[str], str]:
        """The names of the parameters to train, and how they were chosen."""
        from tunesmith_library_weights.layers import find_layers
        from tunesmith_library_weights.towers import parts_in

        parts = parts_in(model)
        parts.refuse_missing("adapter.towers", self.towers)
        path, layers = find_layers(model)
        if abs(self.trainable_layers) > len(layers):
            raise TunesmithError(
                f"adapter.trainable_layers={self.trainable_layers}: this model has {len(layers)} layers.\n"
                f"  possible: -{len(layers)} to {len(layers)}"
            )
        first, last = len(layers) - max(self.trainable_layers, 0), abs(min(self.trainable_layers, 0))
        indices = range(last) if self.trainable_layers < 0 else range(first, len(layers))
        indices = indices if "language" in self.towers else range(0)
        prefixes = tuple(f"{path}.{index}." for index in indices)
        everything = dict(model.named_parameters(remove_duplicate=False))  # a tied weight under both its names
        inside = [name for name in everything if name.startswith(prefixes)]
        outside = [name for name in everything if not name.startswith(f"{path}.")]
        refuse_unknown("adapter.trainable_modules", self.trainable_modules if inside else [], inside, "trained layer")
        refuse_unknown("adapter.extra_modules", self.extra_modules, outside, "module outside the layers")
        chosen = [name for name in inside if not self.trainable_modules or matches_any(name, self.trainable_modules)]
        towers = parts.chosen(self.towers) - {"language"}
        chosen += [name for name in outside if matches_any(name, self.extra_modules) or parts.of(name) in towers]
        weights = {id(everything[name]) for name in chosen}
        names = {name for name, parameter in model.named_parameters() if id(parameter) in weights}
        return names, self._described(len(layers), indices)

    def _described(self, count: int, indices: range) -> str:
        parts = [f"layers {indices.start}-{indices.stop - 1} of 0-{count - 1}"] if indices else []
        towers = [part for part in self.towers if part != "language"]
        return ", ".join([*parts, *self.trainable_modules, *self.extra_modules, *towers])
