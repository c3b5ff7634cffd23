"""What the loop is fed with: the batches of this process, from where the run begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_utils import seed_worker
from tunesmith.types import Batch, TrainingJob
from tunesmith_library_training.own_checkpoints import OwnCheckpoints
from tunesmith_library_training.shares import Order
from tunesmith_library_training.streams import loader

from tunesmith_trainer_transformers.batches import Collator, Numbered, worker_context


class Feeding(OwnCheckpoints, Trainer):
    """A Trainer whose steps are those of an `Order`, or of the progress in a stream."""

    job: TrainingJob
    collator: Collator
    order: Order | None  # None of a stream
    batch_of: Callable[[Sequence[Any]], Batch]

    def get_train_dataloader(self) -> Any:
        """The batches of this process; of data that are read in shares those behind the run's progress."""
        workers = self.args.dataloader_num_workers
        if self.order is not None:
            return DataLoader(
                cast("Numbered", self.train_dataset),
                batch_sampler=self.order,
                collate_fn=self.data_collator,
                num_workers=workers,
                pin_memory=self.args.dataloader_pin_memory,
                worker_init_fn=partial(seed_worker, num_workers=workers, rank=self.args.process_index),
                multiprocessing_context=worker_context(workers),
            )
        if self.run.progress is None:
            return super().get_train_dataloader()
        return loader(
            self.job.data.train,
            self.run.progress,
            self.batch_of,
            self.collator.uncounted,
            workers=workers,
            pin_memory=self.args.dataloader_pin_memory,
            context=worker_context(workers),
        )

    def set_initial_training_values(self, args: Any, dataloader: Any) -> tuple[Any, ...]:
        """As transformers counts; of a run that had other steps before, the epochs that its steps reach."""
        epochs, *others = super().set_initial_training_values(args, dataloader)
        if self.order is not None and args.max_steps > 0:
            epochs = max(epochs, -(-(args.max_steps + self.order.shift) // self.order.steps))
        return (epochs, *others)

    def _init_training_state(self, *arguments: Any, **named: Any) -> tuple[int, int]:
        """Find the place of a run that had steps of another size before.

        The one method of transformers' that is not public: it counts all steps as if they had always been of one size.
        """
        found: tuple[int, int] = super()._init_training_state(*arguments, **named)
        if self.order is None or not self.order.shift:
            return found
        if self.args.max_steps <= 0:
            self.state.max_steps -= self.order.shift
        epochs, steps = divmod(self.state.global_step + self.order.shift, self.order.steps)
        return epochs, steps * self.args.gradient_accumulation_steps

    def restore_checkpoint(self, folder: Path) -> None:
        """Go on as before; a schedule over epochs goes on behind as many examples, though these were other steps."""
        super().restore_checkpoint(folder)
        shift = self.order.shift if self.order is not None and self.args.max_steps <= 0 else 0
        if shift and isinstance(self.lr_scheduler, LambdaLR):
            step = self.state.global_step + shift
            own = self.lr_scheduler.state_dict()
            self.lr_scheduler.load_state_dict({**own, "last_epoch": step, "_step_count": step + 1})
            self._obey(None)
