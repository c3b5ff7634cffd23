"""Block expansion: new layers that begin as the identity are put between a model's own, and only they are trained.

Wu et al. 2024, "LLaMA Pro: Progressive LLaMA with Block Expansion" (arXiv 2401.02415).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.types import ModelSource, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.plans import few_bits

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_OUTPUTS = ["o_proj", "down_proj*", "out_proj", "c_proj", "fc2", "dense", "dense_4h_to_h", "w2", "wo"]


@plugin
class LlamaPro:
    """LLaMA Pro: trains new layers between the frozen layers of a model."""

    # layers to add, spread evenly; at most as many as the model has
    new_layers: Annotated[int, at_least(1, most=65_536)] = 4
    # projections that end a layer's attention and MLP, zero in new layers: dotted parts of names, with `*` for anything
    zero_modules: list[str] = _OUTPUTS

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = few_bits(plan, "copy and train")
        if not self.zero_modules:
            message = "adapter.zero_modules=[] would add layers that change the model before it is trained."
            problems.append(Problem("adapter.zero_modules", message, "leave it out, or name the output projections"))
        return problems

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_new_layers

        return estimate_new_layers(estimate, self.new_layers)

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Any:
        """Raises: TunesmithError when `trained` is given, the weights are quantised, or this architecture cannot."""
        from tunesmith_library_weights.training import refuse_adapter, refuse_quantised, train_only

        from .expansion import expand, refuse_change, refuse_other_layers

        refuse_adapter(trained, "llama_pro")
        if not source.training:
            return model
        refuse_quantised(model, "llama_pro")
        path, new = expand(model, self.new_layers, self.zero_modules)
        refuse_other_layers(model, path)
        refuse_change(model, path, new)
        prefixes = tuple(f"{path}.{index}." for index in new)
        names = {name for name, _ in model.named_parameters() if name.startswith(prefixes)}
        train_only(
            model, names, "float32", f"new layers {', '.join(map(str, new))} of {len(model.get_submodule(path))}"
        )
        return model

    @hookimpl
    def merge_adapter(self, model: Any) -> Any:
        return model
