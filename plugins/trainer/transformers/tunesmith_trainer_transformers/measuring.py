"""The evaluations of a training: the mean over the items of each named data set, and what evaluators find."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import send_to_device
from transformers import Trainer
from tunesmith.types import Evaluated, TrainingJob
from tunesmith_library_training import on_host, processes
from tunesmith_library_training.counts import COUNTS
from tunesmith_library_training.evaluations import measured
from tunesmith_library_training.metrics import warn_of_non_finite
from tunesmith_library_training.own_checkpoints import OwnCheckpoints
from tunesmith_library_training.stopping import require_best_metric

from tunesmith_trainer_transformers.batches import Collator, evaluation_batches
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
        for batch, counts in batches:
            del batch["num_tokens"], batch["num_trained"], batch["num_predicted"], batch[COUNTS]
            batch = send_to_device(batch, self.args.device, non_blocking=True)
            on_host.attach(batch)
            with torch.no_grad(), self.compute_loss_context_manager():
                output = self.job.compute_loss(model=model, batch=batch)
            sums.add(output, scale=float(counts))
            items += float(batch["num_items"]) * counts
        (items,) = processes.summed([items * processes.leads()], self.group)
        return means(self.join_processes(sums.take()), items)
