"""What was asked for is what runs: a library that falls back to whole copies of the model would not say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
from transformers import TrainerCallback
from tunesmith import TunesmithError
from tunesmith_library_training import processes

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments


class AsAsked(TrainerCallback):
    """Looks, when training begins, whether the model is spread over the processes as it should be."""

    def __init__(self, trainer: Trainer, asked: str) -> None:
        """
        Args:
            asked: fsdp, deepspeed; empty where each process has the whole model.
        """
        self.trainer, self.asked = trainer, asked

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Raises: TunesmithError when the model is not spread as it should be."""
        found = spread_in(self.trainer.model_wrapped)
        if self.asked and processes.count() > 1 and self.asked != found:
            raise TunesmithError(
                f"{self.asked} was asked for, and the trainer has {found or 'a whole copy of the model'} in each "
                f"process ({type(self.trainer.model_wrapped).__name__}).\n  parallel=fsdp spreads it on any device"
            )


def spread_in(model: Any) -> str:
    """What spreads a wrapped model: fsdp, deepspeed; empty where nothing does."""
    if type(model).__name__ == "DeepSpeedEngine":
        return "deepspeed"
    modules = model.modules()
    return "fsdp" if any(isinstance(module, FSDPModule | FullyShardedDataParallel) for module in modules) else ""
