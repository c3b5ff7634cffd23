"""Full fine-tuning: every weight is trained, except those that are told to stay frozen.

The trained weights are float32 and the trainer computes in the run's precision by autocast: an optimizer's small
steps would vanish in a bfloat16 weight's 8 bits (Micikevicius et al. 2017, "Mixed Precision Training", section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith import TunesmithError, announce, hookimpl, plugin
from tunesmith.errors import choices
from tunesmith.types import ModelSource, Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Full:
    """Trains all weights, or all but some."""

    # parameters that stay as they are: dotted parts of their names, with `*` for anything (embed_tokens, layers.[0-9])
    freeze: list[str] = field(default_factory=list)
    # numbers of the trained weights; bfloat16 halves the memory and rounds away small steps, auto keeps the loaded ones
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        quantizer = plan.name("quantizer")
        if not quantizer:
            return []
        message = f"adapter=full cannot train the few bits that quantizer={quantizer} stores."
        return [Problem("adapter", message, "adapter=lora, or quantizer=null")]

    @hookimpl
    def apply_adapter(self, model: Any, trained: Path | None, source: ModelSource) -> Any:
        """Raises: TunesmithError when `trained` is given, the weights are quantised, or `freeze` fits nothing."""
        if trained is not None:
            raise TunesmithError(
                f"adapter=full keeps no weights of its own, but {trained} is to be loaded as an adapter.\n"
                "  if it holds an adapter, use adapter=lora; if it holds a whole model, use it as model.path"
            )
        if source.training:
            _refuse_quantised(model)
            self._unfreeze(model)
        return model

    @hookimpl
    def merge_adapter(self, model: Any) -> Any:
        return model

    def _unfreeze(self, model: Any) -> None:
        names = [name for name, _ in model.named_parameters()]
        _refuse_unknown(self.freeze, names)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not any(_matches(name, pattern) for pattern in self.freeze))
            if parameter.requires_grad and self.dtype != "auto":
                parameter.data = parameter.data.to(_torch_dtype(self.dtype))
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
        total = sum(size for size, _ in sizes)
        trained = sum(size for size, is_trained in sizes if is_trained)
        if not trained:
            raise TunesmithError(f"adapter.freeze={self.freeze} freezes every parameter; nothing is left to train")
        share = f"{trained:,} of {total:,} parameters ({trained / total:.2%})"
        announce("trained", share, f"all but {', '.join(self.freeze)}" if self.freeze else "all weights")


def _torch_dtype(name: str) -> Any:
    import torch

    return getattr(torch, name)


def _refuse_quantised(model: Any) -> None:
    config = getattr(getattr(model, "config", None), "quantization_config", None)
    whole = next((name for name, parameter in model.named_parameters() if not parameter.is_floating_point()), None)
    if config is not None or whole is not None:
        found = f"{whole} holds whole numbers" if whole else "its config.json has a quantization_config"
        raise TunesmithError(
            f"adapter=full cannot train a quantised model ({found}).\n"
            "  adapter=lora trains beside it; or take the model's 16-bit version"
        )


def _matches(name: str, pattern: str) -> bool:
    """Whether a pattern fits a run of whole parts of a dotted name."""
    parts = name.split(".")
    runs = (".".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1))
    return any(fnmatchcase(run, pattern) for run in runs)


def _refuse_unknown(patterns: Sequence[str], names: Sequence[str]) -> None:
    parts = {part for name in names for part in name.split(".") if not part.isdigit()}
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            known = choices(pattern.rpartition(".")[2], parts, "parts of their names")
            raise TunesmithError(f"adapter.freeze={pattern}: fits no parameter of this model.\n  {known}")
