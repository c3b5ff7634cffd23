"""A loop that ends with the mean of its last weights (Izmailov et al. 2018, arXiv 1803.05407):
`trainer=averaging.py:Averaging`."""

from collections.abc import Iterator
from typing import Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least, between
from tunesmith.types import Batch, OptimizerSettings, RunStarted, StepEnded, TrainingJob


@plugin
class Averaging:
    """AdamW at a constant rate in one process, without checkpoints; what is saved is the mean of the last weights."""

    max_steps: Annotated[int, at_least(1, most=100_000_000)] = 100  # optimizer steps
    learning_rate: Annotated[float, above(0, most=10)] = 1e-4  # over the whole run
    batch_size: Annotated[int, at_least(1, most=100_000)] = 8  # examples of a step
    tail: Annotated[float, between(0, 1)] = 0.5  # share of the steps, the last ones, whose weights are averaged

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from tunesmith_library_training.envelope import train_to_end

        return train_to_end(job, self._train)

    def _train(self, run: Any) -> Any:
        import torch
        from tunesmith_library_training.outcome import Outcome

        torch.manual_seed(run.job.seed)
        weights = [weight for weight in run.job.model.train().parameters() if weight.requires_grad]
        settings = OptimizerSettings(self.learning_rate, 0.0, 0.9, 0.999, 1e-8)
        optimizer = run.job.build_optimizer(model=run.job.model, settings=settings)
        optimizer = optimizer or torch.optim.AdamW(weights, self.learning_rate, weight_decay=0.0)
        means, batches = [weight.detach().clone() for weight in weights], self._batches(run.job)
        first = self.max_steps - int(self.tail * (self.max_steps - 1))
        run.emit(RunStarted(run.job.output_dir, self.max_steps))
        for step in range(1, self.max_steps + 1):
            output = run.job.compute_loss(model=run.job.model, batch=next(batches))
            loss = output.loss / output.num_items
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step >= first:
                torch._foreach_lerp_(means, [weight.detach() for weight in weights], 1 / (step - first + 1))
            epoch = step * self.batch_size / len(run.job.data.train)
            run.emit(StepEnded(step, self.max_steps, epoch, {"loss": loss.item()}))
            if run.interruption.requested:
                return Outcome(step, finished=False)
        torch._foreach_copy_([weight.detach() for weight in weights], means)
        return Outcome(self.max_steps, finished=True)

    def _batches(self, job: TrainingJob) -> Iterator[Batch]:
        """Batches without end, in an order that the seed decides."""
        import torch

        data, generator = job.data.train, torch.Generator().manual_seed(job.seed)
        while True:
            for places in torch.randperm(len(data), generator=generator).split(self.batch_size):
                yield job.collate(examples=[data[place] for place in places.tolist()], padding_free=False)
