"""TRL's loops for a model that is spread over processes, and the reference of their KL penalty."""

from __future__ import annotations

from typing import Any

from tunesmith import TunesmithError
from tunesmith_library_training.reference import spread_alike
from tunesmith_library_training.sharding import spread_of
from tunesmith_library_weights.switching import begins_as_base


def loop_of(kind: Any, model: Any, settings: Any, **parts: Any) -> Any:
    """Make one of TRL's loops.

    TRL copies an adapter to have a reference, and of one that is spread there is nothing whole to be copied. There the
    reference is the model without its adapter, which is what begins to be trained, and a second model is spread alike.

    Args:
        kind: of `loops.LOOPS`; settings: its configuration; parts: its other arguments.

    Raises: TunesmithError when the model without its adapter is another one.
    """
    beta, spread = settings.beta, spread_of(model) is not None
    if spread and beta and hasattr(model, "peft_config"):
        if not begins_as_base(model):
            raise TunesmithError(
                f"stage.beta={beta:g}: the adapter changes the model before training, and cannot be copied to be the "
                "reference where it is spread over processes.\n  stage.beta=0, or parallel=ddp"
            )
        settings.beta = 0.0
    loop = kind(model=model, args=settings, **parts)
    loop.beta = settings.beta = beta
    if loop.ref_model is not None and not loop.is_deepspeed_enabled:  # with which TRL spreads it itself
        spread_alike(loop.ref_model, model)
    return loop
