"""A training loop: plain PyTorch, one device, AdamW."""

from tunesmith import hookimpl, plugin
from tunesmith.types import TrainingJob


@plugin
class Placeholder:
    """The shortest loop that trains: no checkpoints, no evaluation, no second device."""

    max_steps: int = 100  # optimizer steps
    per_device_train_batch_size: int = 2  # examples of a step
    learning_rate: float = 2e-4  # constant over the run
    weight_decay: float = 0.0  # decoupled, of AdamW
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm
    padding_free: bool = False  # concatenate the examples of a batch instead of padding them

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from .loop import train

        return train(job, self)
