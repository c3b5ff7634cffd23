"""A training loop: plain PyTorch, one device, AdamW."""

from typing import Annotated

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.types import TrainingJob


@plugin
class Placeholder:
    """The shortest loop that trains: no checkpoints, no evaluation, no second device."""

    max_steps: Annotated[int, at_least(1, most=1_000_000_000)] = 100  # optimizer steps
    per_device_train_batch_size: Annotated[int, at_least(1, most=1_000_000)] = 2  # examples of a step
    learning_rate: Annotated[float, at_least(0, most=100)] = 2e-4  # constant over the run
    weight_decay: Annotated[float, at_least(0, most=10)] = 0.0  # decoupled, of AdamW
    max_grad_norm: Annotated[float, at_least(0, most=1_000_000)] = 1.0  # gradients are scaled down to this norm
    padding_free: bool = False  # concatenate the examples of a batch instead of padding them

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from .loop import train

        return train(job, self)
