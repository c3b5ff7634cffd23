"""TRL's loops for a model that is spread over processes, and the reference of their KL penalty."""

from __future__ import annotations

from typing import Any

from tunesmith_library_training.reference import spread_alike
from tunesmith_library_training.whole import whole_weights


def loop_of(kind: Any, model: Any, settings: Any, **parts: Any) -> Any:
    """Make one of TRL's loops. All processes call it.

    TRL copies an adapter that is to be trained, for the copy to be the reference: of one that is spread the weights are
    whole meanwhile, and the copy stays so. A second model is spread as the first one is.

    Args:
        kind: of `loops.LOOPS`; settings: its configuration; parts: its other arguments.
    """
    if hasattr(model, "peft_config"):
        with whole_weights(model):
            loop = kind(model=model, args=settings, **parts)
    else:
        loop = kind(model=model, args=settings, **parts)
    if loop.ref_model is not None and not loop.is_deepspeed_enabled:  # with which TRL spreads it itself
        spread_alike(loop.ref_model, model)
    return loop
