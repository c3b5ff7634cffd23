"""The evaluations of a training: the mean over the items of each named data set, and what evaluators find."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import send_to_device
from transformers import Trainer
from tunesmith.messages import logger
from tunesmith.types import Batch, Evaluated, LossOutput, TrainingJob
from tunesmith_library_training import on_host, processes
from tunesmith_library_training.counts import COUNTS
from tunesmith_library_training.evaluations import measured
from tunesmith_library_training.metrics import warn_of_non_finite
from tunesmith_library_training.own_checkpoints import OwnCheckpoints
from tunesmith_library_training.stopping import require_best_metric

from tunesmith_trainer_transformers.batches import Collator, evaluation_batches
from tunesmith_trainer_transformers.passes import TOLD
from tunesmith_trainer_transformers.shortage import ended, first_line, give_back, is_shortage
from tunesmith_trainer_transformers.sums import Sums, Totals, joined, means


class Measuring(OwnCheckpoints, Trainer):
    """A Trainer that measures as it trains: in sums, over all processes."""

    job: TrainingJob
    collator: Collator
    sharded: bool  # whether no process has the whole model
    group: Any  # of processes, for numbers
    last_evaluation: dict[str, float]

    def join_processes(self, totals: Totals) -> Totals:
        """Add up the totals of all shares."""
        return joined(processes.gathered(totals if processes.leads() else {}, self.group))

    def show_weights(self) -> None:
        """Have the weights that are served in the model: schedule-free optimizers keep two sets of them."""
        optimizer: Any = self.optimizer
        if callable(getattr(optimizer, "eval", None)):
            optimizer.eval()

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The mean over items of each named data set's loss and metrics, each example counted once."""
        given: Any = eval_dataset or self.eval_dataset  # by name
        datasets = {name: data for name, data in given.items() if len(data)}
        metrics: dict[str, float] = {}
        for name, dataset in datasets.items():
            for metric, mean in self._means(dataset).items():
                metrics[f"{metric_key_prefix}_{name}_{metric}"] = mean
        if len(datasets) == 1:
            (name,) = datasets
            start = f"{metric_key_prefix}_{name}_"
            metrics |= {f"{metric_key_prefix}_{key.removeprefix(start)}": value for key, value in metrics.items()}
        self.show_weights()
        with self.compute_loss_context_manager():
            step = self.state.global_step
            metrics |= measured(self.job, self.model, metric_key_prefix, step=step, group=self.group)[0]
        warn_of_non_finite(metrics, self.state.global_step)
        require_best_metric(self.args, metrics)
        self.last_evaluation = dict(metrics)
        self.run.emit(Evaluated(self.state.global_step, dict(metrics)))
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def evaluation_of_result(self) -> dict[str, float]:
        """The evaluation of the weights that are saved: of the best checkpoint where that is taken, else the last."""
        best = self.state.best_global_step if self.args.load_best_model_at_end else None
        kept = [entry for entry in self.state.log_history if best and entry["step"] == best]
        found = {name: value for entry in kept for name, value in entry.items() if name.startswith("eval_")}
        return found or self.last_evaluation

    def directions(self) -> dict[str, bool | None]:
        """The metrics that the stage's loss has on a first batch of each set, and what the evaluators find out now.

        Whether greater is better: the evaluators say it, of a loss it is known, and of the stage's others nothing is.
        """
        given: Any = self.eval_dataset
        found: dict[str, bool | None] = {}
        sets = {name: data for name, data in given.items() if len(data)}
        for name, dataset in sets.items():
            first = [dataset[place] for place in range(min(len(dataset), self.args.per_device_eval_batch_size))]
            for metric in self._means(first):
                starts = (f"eval_{name}_", "eval_") if len(sets) == 1 else (f"eval_{name}_",)
                found |= {f"{start}{metric}": False if metric == "loss" else None for start in starts}
        with self.compute_loss_context_manager():
            return found | measured(self.job, self.model, group=self.group)[1]

    def _means(self, dataset: Any) -> dict[str, float]:
        """The mean of the loss and of each metric over the items of a data set."""
        while True:
            sums, items, said = self._sums(dataset)
            # a process that has no memory left says it when the others are through: none of them waits for it before
            items, failed = processes.summed([items * processes.leads(), float(bool(said))], self.group)
            if not failed:
                return means(self.join_processes(sums.take()), items)
            self._halve(said or "of another process")

    def _halve(self, said: str) -> None:
        """Evaluate in smaller batches from here on. Raises: OutOfMemory where there are none."""
        size = self.args.per_device_eval_batch_size
        if size == 1:
            why = "an evaluation of a single example is too large"
            raise ended(self.job.output_dir, MemoryError(said), why)
        self.args.per_device_eval_batch_size = size // 2
        give_back(self.args.device)
        told = f"batches of an evaluation have {size // 2} examples from here on, in place of {size}"
        logger.warning("evaluation: there is no memory left (%s); %s", said, told)

    def _sums(self, dataset: Any) -> tuple[Sums, float, str]:
        """The sums over this process's share, the items of it, and what the allocator said where it had no memory."""
        model: Any = self.model_wrapped if self.sharded else self.model
        self.show_weights()
        sums, items = Sums(), 0.0
        model.eval()
        batches = evaluation_batches(
            dataset,
            self.collator,
            batch_size=self.args.per_device_eval_batch_size,
            share=processes.share(),
            shares=processes.shares(),
            num_workers=self.args.dataloader_num_workers,
            pin=self.args.dataloader_pin_memory,
        )
        try:
            for batch, counts in batches:
                sums.add(self._output(model, batch), scale=float(counts))
                items += float(batch["num_items"]) * counts
        except (RuntimeError, MemoryError) as error:
            if self.sharded or not is_shortage(error):
                raise
            return sums, items, first_line(error)
        return sums, items, ""

    def _output(self, model: Any, batch: Batch) -> LossOutput:
        """The loss of a batch, without gradients."""
        for name in (*TOLD, COUNTS):
            del batch[name]
        batch = send_to_device(batch, self.args.device, non_blocking=True)
        on_host.attach(batch)
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.job.compute_loss(model=model, batch=batch)
