"""TRL's loops, with our evaluation, and their configurations.

Both ask the run's engine for answers (`drawing`), and write no model card into the run's folder.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from tunesmith.types import IGNORED, Evaluated
from tunesmith_library_training import scoring
from tunesmith_library_training.batches import shown
from tunesmith_library_training.drawing import Drawing
from tunesmith_library_training.envelope import Run
from tunesmith_library_training.evaluations import measured
from tunesmith_library_training.finite import watch_gradients
from tunesmith_library_training.metrics import warn_of_non_finite
from tunesmith_library_training.one_device import OneDevice
from tunesmith_library_training.own_checkpoints import OwnCheckpoints
from tunesmith_library_training.prompts import items_shown, read, text_of
from tunesmith_library_training.seeds import generator_of, seeds_from
from tunesmith_library_training.stopping import require_best_metric

from tunesmith_stage_grpo.asking import NUMBERS, asking, number_of


class GrpoConfig(OneDevice, GRPOConfig):
    """GRPOConfig of one device."""


class RlooConfig(OneDevice, RLOOConfig):
    """RLOOConfig of one device."""


class Joined(OwnCheckpoints):
    """A loop that is joined to a run: `class Loop(Joined, GRPOTrainer)`."""

    run: Run
    drawing: Drawing
    last_evaluation: dict[str, float]

    def join(self, run: Run, drawing: Drawing) -> None:
        """Say what is trained, what answers and who hears of it; before training begins."""
        self.run, self.drawing, self.last_evaluation = run, drawing, {}
        self.prompts: list[str] = []  # of the step
        self.numbers: list[int] = []  # of the examples whose answers are computed
        self.processing_class = asking(run.job.processor, run.job.data.train)  # checkpoints hold the whole processor
        watch_gradients(self.accelerator, lambda norm: self._see("gradient", norm))

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """TRL's order of the prompts, of each epoch by its number: a run that is resumed goes on in the same one."""
        sampler: Any = super()._get_train_sampler(dataset)

        def set_epoch(epoch: int) -> None:
            sampler.generator.manual_seed(self.args.seed + epoch)

        if sampler.shuffle:
            sampler.set_epoch = set_epoch
        return sampler

    def computing(self) -> Any:
        """Compute in bf16 where that was asked for.

        transformers' own switch leaves out what is computed without learning, and weights trained in fp32 would meet
        others in bf16. Without a cache, which would keep weights that this has cut off from their gradients.
        """
        in_bf16 = self.run.job.precision == "bf16"
        return torch.autocast(self.args.device.type, torch.bfloat16, enabled=in_bf16, cache_enabled=False)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Draw answers, where they are due, and learn from them."""
        examples = self.run.job.data.train
        asked = (read(examples[number])[0] for number in dict.fromkeys(map(_number, inputs)))
        self.prompts = list(dict.fromkeys(text_of(messages[-1].get("content")) for messages in asked))
        with self.computing():
            loss = super().training_step(model, inputs, num_items_in_batch)
        self._see("loss", loss)
        return loss

    def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
        with self._about(inputs[NUMBERS].tolist()):
            return super().compute_loss(model, inputs, *arguments, **options)

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """Draw answers and prepare what is learned from them, of which each knows its prompt's number."""
        numbers = list(map(_number, inputs))
        with self._about(numbers):
            made: dict[str, Any] = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        return {**made, NUMBERS: torch.tensor(numbers)}

    def seeds(self, count: int) -> list[int]:
        """Those of the answers that this process draws now, of as many on each: by their places among all of them."""
        first = self.accelerator.process_index * count
        every = seeds_from(generator_of(self.args.seed, self.state.global_step), self.accelerator.num_processes * count)
        return every[first : first + count]

    @contextmanager
    def _about(self, numbers: list[int]) -> Iterator[None]:
        """Know whose answers are computed meanwhile."""
        former, self.numbers = self.numbers, numbers
        try:
            yield
        finally:
            self.numbers = former

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **options: Any,
    ) -> tuple[Any, Any, Any]:
        """TRL's, of a model that is shown what the prompts show."""
        parts, size = [], batch_size or len(input_ids)
        compute: Any = super()._get_per_token_logps_and_entropies  # type: ignore[misc]
        for start in range(0, len(input_ids), size):
            some = slice(start, start + size)
            ids, mask = input_ids[some], attention_mask[some]
            seeing = functools.partial(model, **self._tensors(self.numbers[some], ids, mask, logits_to_keep))
            parts.append(compute(seeing, ids, mask, logits_to_keep, **options))
        log_probs, entropies, losses = zip(*parts, strict=True)
        return (
            torch.cat(log_probs),
            None if entropies[0] is None else torch.cat(entropies),
            None if losses[0] is None else torch.stack(losses).mean(),
        )

    def _tensors(self, numbers: list[int], ids: torch.Tensor, mask: torch.Tensor, answer: int) -> Mapping[str, Any]:
        """What the model reads beside the tokens of prompts (padded on the left) with answers, both int64 (B, T).

        Args:
            numbers: of the prompts' examples.
            answer: tokens at the end that are of answers.
        """
        labels = ids.masked_fill(mask == 0, IGNORED)
        labels[:, :-answer] = IGNORED
        batch = {"input_ids": ids.cpu(), "attention_mask": mask.cpu(), "labels": labels.cpu()}
        items = [items_shown(self.run.job.data.train[number]) for number in numbers]
        found = shown(batch, items, self.run.job.processor)
        return {
            name: value.to(ids.device) if isinstance(value, torch.Tensor) else value for name, value in found.items()
        }

    def _see(self, what: str, value: Any) -> None:
        self.run.guard.see(what, value, self.state.global_step + 1, self.prompts)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The mean reward of one answer to each held-out prompt, drawn as in training."""
        job, model = self.run.job, cast(Any, self.model)
        model.eval()
        with self.computing():
            metrics = scoring.evaluate(
                job, self.drawing.answers, self.args.per_device_eval_batch_size, self.args.device
            )
            metrics |= measured(job, self.model, metric_key_prefix, step=self.state.global_step)[0]
        warn_of_non_finite(metrics, self.state.global_step)
        require_best_metric(self.args, metrics)
        self.last_evaluation = metrics
        self.run.emit(Evaluated(self.state.global_step, dict(metrics)))
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        model.train()
        return metrics

    def measured_directions(self) -> dict[str, bool]:
        """Whether greater is better, for each number that the run's evaluators find out now."""
        with self.computing():
            return measured(self.run.job, self.model)[1]

    def create_model_card(self, *_: Any, **__: Any) -> None:
        return None


def _number(row: Mapping[str, Any]) -> int:
    return number_of(row["prompt"])


class GrpoLoop(Joined, GRPOTrainer):
    """TRL's GRPOTrainer, joined to a job."""


class RlooLoop(Joined, RLOOTrainer):
    """TRL's RLOOTrainer, joined to a job."""


LOOPS: dict[str, tuple[Any, Any]] = {"grpo": (GrpoConfig, GrpoLoop), "rloo": (RlooConfig, RlooLoop)}
"""By the name of the stage: the class of its configuration, and of its loop."""
