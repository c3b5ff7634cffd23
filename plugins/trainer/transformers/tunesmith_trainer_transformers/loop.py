"""The loop: transformers.Trainer with our loss, our sums over processes and our evaluation."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import send_to_device
from transformers import PrinterCallback
from tunesmith.types import Batch, OptimizerSettings, StepEnded
from tunesmith_library_training import counts, on_host, processes
from tunesmith_library_training.bad_data import fetched
from tunesmith_library_training.envelope import Outcome, Run
from tunesmith_library_training.finite import watch_gradients
from tunesmith_library_training.repeats import Repeats
from tunesmith_library_training.sharding import gathered_weights, spread_of

from tunesmith_trainer_transformers.ahead import Ahead, Made
from tunesmith_trainer_transformers.arguments import Arguments
from tunesmith_trainer_transformers.batches import Collator, Numbered, NumberedCollator
from tunesmith_trainer_transformers.feeding import Feeding
from tunesmith_trainer_transformers.measuring import Measuring
from tunesmith_trainer_transformers.merging import Merging
from tunesmith_trainer_transformers.passes import PIECES, TOLD, Cutter, KeepingCollator, Limits, Piece
from tunesmith_trainer_transformers.rates import divide
from tunesmith_trainer_transformers.recovering import Recovering
from tunesmith_trainer_transformers.steps import Epochs
from tunesmith_trainer_transformers.sums import Sums, means
from tunesmith_trainer_transformers.trial import Worst, try_first

SMALLEST_SCALE = 2.0**-10
"""Of the loss in fp16: gradients that overflow at this scale do so in any numbers that are trained with."""


class Loop(Recovering, Feeding, Measuring):
    """A Trainer whose step is the gradient of the mean over the trained tokens of the whole accumulated batch."""

    loss_is_scaled_for_ga = True  # compute_loss divides by the tokens of all forward passes of the step

    def __init__(
        self,
        run: Run,
        arguments: Arguments,
        *,
        collator: Collator,
        sharded: bool,
        learning_rates: Mapping[str, float],
        not_additive: str = "",
    ) -> None:
        self.run = run
        self.job = job = run.job
        self.sharded = sharded
        self.learning_rates = learning_rates  # of parts of the model
        self.autocast = job.precision == "bf16" and not arguments.bf16  # else accelerate sees to it
        self.collator = collator
        self.merging: Merging | None = None  # where micro-batches are
        self.worst: Worst | None = None  # batch, that is to be tried before the first step
        self._count_from_nothing()
        self.order = order = run.order
        train = job.data.train
        self.not_additive = not_additive
        self.batch_of: Callable[[Sequence[Any]], Batch]
        self.batch_of = NumberedCollator(collator) if order else KeepingCollator(collator)
        numbered = Numbered(train) if order else None
        follows = order or run.progress
        limits = Limits() if follows is None else Limits.of(follows.facts)
        self.cutter = Cutter(self.batch_of, numbered, limits)
        super().__init__(
            model=job.model,
            args=arguments,
            data_collator=self.batch_of,
            train_dataset=numbered or train,
            eval_dataset=dict(job.data.eval) or None,
        )
        if self.is_deepspeed_enabled:  # its checkpoints are ours, too; the Trainer must not be made with this
            self.args.save_only_model = True
        self.model_accepts_loss_kwargs = True  # the same as loss_is_scaled_for_ga, for earlier transformers
        self.remove_callback(PrinterCallback)
        if order is not None:
            self.add_callback(Epochs(order))
        self.group = processes.numbers_group()
        self.ahead = Ahead(self._make_batches, self.args.device)
        watch_gradients(self.accelerator, self._see_gradient)

    def _count_from_nothing(self) -> None:
        """What is counted and noted while it trains."""
        self.sums = Sums()
        # since the last logged step, of all processes
        self.items = self.tokens = self.learned = self.predicted = self.seconds = self.step_began = 0.0
        self.trained = {"loss": 0.0, "items": 0.0, "tokens": 0.0, "seconds": 0.0}  # since the start or resumption
        self.counted: dict[str, float] = {}  # examples and tokens by data set, since the beginning of the run
        self.repeats = Repeats()
        self.last_evaluation: dict[str, float] = {}
        self.agreed = False  # of several processes: they all stop after this step
        self.pieces: list[Piece] = []  # the forward passes of the step

    def merge(self, budget: int) -> None:
        """Have the micro-batches of each step merged to batches of at most so many tokens; before training begins."""
        self.merging = Merging(self.batch_of, min(budget, self.cutter.limits.tokens or budget), self.args.device)
        self.data_collator = self.batch_of = self.merging.hold

    # ---- a step ------------------------------------------------------------------------------------------------------

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Fetch the batches of one optimizer step, and count the items of all of them on all processes."""
        if self.state.global_step >= self.state.max_steps:  # resumed at the end, where transformers goes on
            return [], 1.0
        self.step_began = time.perf_counter()
        micro_batches, batches, wrong = self.ahead.take(epoch_iterator, num_batches)
        self.pieces = [Piece.of(batch) for batch in batches]
        self.begin_step()
        self.repeats.trained(batches, int(self.state.epoch or 0.0))
        own = [
            sum(float(batch["num_items"]) for batch in batches),
            *(sum(batch.pop(name) for batch in batches) for name in TOLD),
        ]
        items, tokens, learned, predicted, stops, failed = processes.summed(
            [
                *(value * processes.leads() for value in own),
                float(self.run.interruption.requested),
                float(bool(wrong)),
            ],
            self.group,
        )
        if failed:
            self.run.end_of_data(wrong, self.state.global_step)
            self.control.should_training_stop = True
            return [], 1.0
        if self.run.progress is not None:
            self.run.progress.trained(micro_batches)
        if self.merging is not None:
            self.merging.trained(micro_batches)
        self.run.counts.trained(batches)
        self.items += items
        self.tokens += tokens
        self.state.num_input_tokens_seen += int(tokens)  # which checkpoints keep
        self.learned += learned
        self.predicted += predicted
        self.agreed = stops > 0
        # transformers counts them as they were asked for
        merged = [Batch() for _ in micro_batches[len(batches) :]]
        return [*merged, *({PIECES: [piece]} for piece in self.pieces)], items or 1.0

    def _make_batches(self, epoch: Iterator[Any], count: int) -> Made:
        """The next micro-batches, at most `count`, and what they are run as."""
        micro_batches, wrong = fetched(epoch, count)
        if wrong:
            return micro_batches, [], wrong
        if self.merging is not None:
            return micro_batches, *fetched(self.merging.batches(micro_batches), count)
        batches = [batch for batch in micro_batches if batch]
        if self.order is not None:  # else accelerate did it
            batches = [send_to_device(batch, self.args.device, non_blocking=True) for batch in batches]
        return micro_batches, batches, wrong

    def before_first_pass(self, model: Any) -> None:
        """Try the worst batch, once."""
        worst, self.worst = self.worst, None
        if worst is not None:
            try_first(self, model, worst)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """This process's sum of the loss over the items of the whole step; gradients are averaged over processes."""
        on_host.attach(inputs)
        output = self.job.compute_loss(model=model, batch=inputs)
        examples = self.piece.examples
        counts = examples is not None
        if counts:
            self.sums.add(output)
        self.run.guard.see("loss", output.loss, self.state.global_step + 1, examples or [])
        share: torch.Tensor = output.loss * (counts * self.accelerator.num_processes / num_items_in_batch)
        return share

    def _see_gradient(self, norm: Any) -> None:
        examples = list(itertools.chain.from_iterable(filter(None, (piece.examples for piece in self.pieces))))
        self.run.guard.see("gradient", norm, self.state.global_step + 1, examples)

    def compute_loss_context_manager(self) -> contextlib.ExitStack:
        """Compute the model and the loss in bf16 where that was asked for, without copying its outputs to fp32."""
        stack = super().compute_loss_context_manager()
        if self.autocast:
            stack.enter_context(torch.autocast(self.args.device.type, dtype=torch.bfloat16))
        return stack

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimizer plugin's, or transformers' own, with learning rates of their own for parts of the model."""
        if self.optimizer is None:
            settings = OptimizerSettings(
                learning_rate=self.args.learning_rate,
                weight_decay=self.args.weight_decay,
                adam_beta1=self.args.adam_beta1,
                adam_beta2=self.args.adam_beta2,
                adam_epsilon=self.args.adam_epsilon,
            )
            model_to_train = self.model if model is None else model
            self.optimizer = self.job.build_optimizer(model=model_to_train, settings=settings)
        made: torch.optim.Optimizer = super().create_optimizer(model)
        if self.learning_rates:
            divide(made, self.job.model, self.learning_rates, self.args.learning_rate)
        return made

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: it walks over all weights at every forward pass."""
        return 0

    def must_stop(self, step: int) -> bool:
        """Take the time of a step that has been made, and say whether it is the last one of an interrupted run."""
        self.step_ended()
        alone = self.args.world_size == 1
        return self.agreed or (alone and self.run.interruption.requested)

    def outcome(self, finished: bool) -> Outcome:
        """What came of the training; all processes call it."""
        weights, model = None, self.job.model
        if self.merging is not None:
            self.merging.tell(self.group)
        if finished:
            self.show_weights()
            if spread_of(self.job.model) is not None:
                weights = gathered_weights(self.job.model)
            elif self.sharded:
                weights = self.accelerator.get_state_dict(self.model_wrapped)  # gathers, on every process
                model = self.accelerator.unwrap_model(self.model_wrapped)
        return Outcome(self.state.global_step, finished, self.summary(), model=model, weights=weights)

    # ---- what is told ------------------------------------------------------------------------------------------------

    def step_ended(self) -> None:
        """Take the time of a step, when its commands were given, which on a GPU is before it is done."""
        now = time.perf_counter()
        self.seconds += now - self.step_began
        self.step_began = now

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Replace transformers' mean of means by the mean over items, and tell the trackers."""
        if "loss" in logs:  # a logged step; transformers has just waited for the device
            logs.update(self._close_window())
        super().log(logs)
        if "loss" in logs:
            metrics = {name: value for name, value in logs.items() if name != "epoch"}
            self.run.emit(StepEnded(self.state.global_step, self.state.max_steps, self.state.epoch or 0.0, metrics))

    def _close_window(self) -> dict[str, float]:
        """The metrics since the last logged step, over all processes."""
        self.step_ended()
        totals = self.join_processes(self.sums.take())
        self.counted = counts.named(self.run.counts.totals(self.group))
        metrics = {**means(totals, self.items), **self.counted}
        metrics["tokens_per_second"] = self.tokens / self.seconds
        metrics["num_input_tokens_seen"] = float(self.state.num_input_tokens_seen)
        metrics["trained_tokens_per_second"] = self.learned / self.seconds
        if self.predicted:
            metrics["trained_token_share"] = self.learned / self.predicted
        seen, repeated = self.repeats.told(self.group)
        if repeated:
            metrics["repeated_examples"] = repeated / seen
        metrics |= self.run.gradients.told()
        self._refuse_vanishing_scale()
        if self.args.device.type == "cuda":
            metrics["gpu_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
        window = {"loss": totals["loss"][0], "items": self.items, "tokens": self.tokens, "seconds": self.seconds}
        self.trained = {name: value + window[name] for name, value in self.trained.items()}
        self.items = self.tokens = self.learned = self.predicted = self.seconds = 0.0
        return metrics

    def _refuse_vanishing_scale(self) -> None:
        """An overflow in fp16 makes the loss's scale smaller; where it does at any scale, the gradient is no number."""
        scaler = self.accelerator.scaler
        if scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
            self.run.guard.see(
                f"gradient, at a loss scale of {scaler.get_scale():g},", math.inf, self.state.global_step
            )

    def summary(self) -> dict[str, float]:
        """What was trained since the start or resumption, and the evaluation of the result."""
        if not self.trained["seconds"]:
            return {}
        return {
            "train_loss": self.trained["loss"] / (self.trained["items"] or 1.0),
            "train_seconds": self.trained["seconds"],
            "tokens_per_second": self.trained["tokens"] / self.trained["seconds"],
            **self.counted,
            **self.evaluation_of_result(),
        }
