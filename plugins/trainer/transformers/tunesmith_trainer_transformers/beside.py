"""What a run needs beside the loop, as far as the plan tells it; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_LENGTHS = ("max_prompt_length", "max_completion_length", "max_new_tokens")


@dataclass(frozen=True)
class Beside:
    """What decides how much memory is left for activations."""

    second_model: bool = False  # a reference model, as large as the one that is trained
    generates: bool = False  # the sequences are made while it trains, and the data do not tell how long they are
    most: int = 0  # tokens of a sequence by the stage's options; 0 where they do not say it
    optimizer: bool = False  # a plugin's, in place of the trainer's own
    one_pass: bool | None = None  # the loss is the plain cross entropy of tokens; None where the stage compares answers

    @classmethod
    def of(cls, plan: Plan) -> Beside:
        """What a plan tells."""
        stage, adapter = plan.traits("stage"), plan.traits("adapter")
        generates = stage is not None and stage.generates
        drawn = sum(int(plan.get(f"stage.{name}") or 0) for name in _LENGTHS) if generates else 0
        return cls(
            second_model=stage is not None and stage.reference and not (adapter is not None and adapter.beside),
            generates=generates,
            most=int(plan.get("stage.max_length") or 0) or drawn,
            optimizer=plan.uses("optimizer"),
            one_pass=not plan.uses("loss") if stage is not None and stage.token_loss else None,
        )
