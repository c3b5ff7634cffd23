"""The reference that a preference is measured against: the model as it was before training.

With an adapter that is the model itself with the adapter switched off, at no cost in memory; otherwise a second model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tunesmith import TunesmithError, announce


@dataclass(frozen=True)
class Reference:
    """A frozen model, or with None the trained model without its adapter."""

    model: Any

    @contextmanager
    def instead_of(self, trained: Any) -> Iterator[Any]:
        """Give the reference for the time of the block, without gradients and dropout.

        Raises: TunesmithError when there is neither a second model nor an adapter to switch off.
        """
        import torch
        from tunesmith_library_weights.switching import adapted_model, without_dropout

        from tunesmith_library_training import parts
        from tunesmith_library_training.head import unwrap

        with torch.no_grad():
            if self.model is not None:
                spread_alike(self.model, trained)
                parts.divide_alike(unwrap(self.model), unwrap(trained))
                yield self.model
                return
            adapted = adapted_model(trained)
            if adapted is None:
                raise TunesmithError(
                    f"{type(trained).__name__} has no adapter to switch off, and no reference model was loaded.\n"
                    "  name one with stage.reference=MODEL"
                )
            with adapted.disable_adapter(), without_dropout(adapted):
                yield trained


def spread_alike(reference: Any, trained: Any) -> None:
    """Spread a second model over the processes as the trained one is, at its first use. All processes call it."""
    from tunesmith_library_training.sharding import mark, spread_of

    spread = spread_of(trained)
    if spread is not None and spread_of(reference) is None:
        spread.again(reference)
        mark(reference, spread)
        announce("reference", "spread over the processes as the trained model is", f"parallel={spread.by}")


def use_numbers_of(trained: Any, reference: Any) -> None:
    """Keep the reference's weights in the numbers of the trained model's.

    Full training holds float32: beside a bfloat16 reference, rounding alone would look like a preference.
    """
    here, there = (model.get_input_embeddings().weight.dtype for model in (reference, trained))
    if here != there:
        for parameter in reference.parameters():
            if parameter.dtype == here:
                parameter.data = parameter.data.to(there)
