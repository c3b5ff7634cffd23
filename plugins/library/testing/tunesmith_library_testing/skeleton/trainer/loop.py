"""The loop itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from tunesmith.files import filling
from tunesmith.types import Batch, OptimizerSettings, RunEnded, RunStarted, Saved, StepEnded, TrainingJob

if TYPE_CHECKING:
    from tunesmith_trainer_placeholder import Placeholder


def train(job: TrainingJob, options: Placeholder) -> bool:
    """Train, save, and tell the trackers; RunEnded is told whatever happens."""
    status: Any = "failed"
    try:
        job.emit(RunStarted(job.output_dir, options.max_steps, {}))
        _steps(job, options)
        with filling(job.output_dir, last=("adapter_config.json", "config.json")) as folder:
            job.model.save_pretrained(folder)
            job.processor.save_pretrained(folder)
        job.emit(Saved(options.max_steps, job.output_dir))
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
    finally:
        job.emit(RunEnded(status))
    return bool(status == "finished")


def _steps(job: TrainingJob, options: Placeholder) -> None:
    torch.manual_seed(job.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = job.model.to(device).train()
    optimizer = _optimizer(job, options)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[job.precision]
    batches = _batches(job, options)
    for step in range(1, options.max_steps + 1):
        batch = {name: value.to(device) if hasattr(value, "to") else value for name, value in next(batches).items()}
        with torch.autocast(device.type, dtype, enabled=job.precision != "fp32"):
            output = job.compute_loss(model=model, batch=batch)
        loss = output.loss / output.num_items
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights, options.max_grad_norm)
        optimizer.step()
        metrics = {"loss": loss.item(), "grad_norm": norm.item(), "learning_rate": optimizer.param_groups[0]["lr"]}
        epoch = step * options.per_device_train_batch_size / len(job.data.train)
        job.emit(StepEnded(step, options.max_steps, epoch, metrics))


def _optimizer(job: TrainingJob, options: Placeholder) -> Any:
    settings = OptimizerSettings(options.learning_rate, options.weight_decay, 0.9, 0.999, 1e-8)
    chosen = job.build_optimizer(model=job.model, settings=settings)
    if chosen is not None:
        return chosen
    weights = [weight for weight in job.model.parameters() if weight.requires_grad]
    return torch.optim.AdamW(weights, options.learning_rate, weight_decay=options.weight_decay)


def _batches(job: TrainingJob, options: Placeholder) -> Iterator[Batch]:
    """Batches without end, in an order that the seed decides, anew in each epoch."""
    size, generator = options.per_device_train_batch_size, torch.Generator().manual_seed(job.seed)
    for epoch in itertools.count():
        if hasattr(job.data.train, "set_epoch"):
            job.data.train.set_epoch(epoch)
        order = torch.randperm(len(job.data.train), generator=generator).tolist()
        for start in range(0, len(order), size):
            examples = [job.data.train[index] for index in order[start : start + size]]
            yield job.collate(examples=examples, padding_free=options.padding_free)
