"""A figure of Tunesmith's: the command line's own way, with a tracker that takes the time."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from cases import Case
from measuring import Clock, Plan


def configuration(case: Case, folder: Path, plan: Plan, output: Path) -> dict[str, Any]:
    """What both programs are given, as ours reads it."""
    rows = "pairs.json" if case.kind == "dpo" else "train.json"
    options = {**case.ours, **(case.dry if plan.device == "cpu" else {})}
    return {
        "model": {"path": str(folder / case.shape)},
        "template": "chatml",
        "stage": {"name": "dpo" if case.kind == "dpo" else "sft", "max_length": 1_024},
        "data": {"train": [{"path": str(folder / rows), "format": "alpaca"}], "cache": False},
        "precision": "bf16",
        "output_dir": str(output),
        "trainer": {
            "max_steps": plan.steps,
            "per_device_train_batch_size": case.batch,
            "gradient_accumulation_steps": case.accumulation,
            "train_sampling_strategy": "sequential",
            "save_strategy": "no",
            "logging_steps": plan.steps,
            "logging_first_step": False,
            "learning_rate": 1e-5,
            "use_cpu": plan.device == "cpu",
            **options.pop("trainer", {}),
        },
        **options,
    }


def lengths(case: Case, folder: Path, plan: Plan, output: Path) -> list[int]:
    """Tokens of the examples in their order."""
    from tunesmith import show

    _, splits = show(configuration(case, folder, plan, output))
    names = [name for name in splits.train[0] if name.endswith("input_ids")]
    return [sum(len(splits.train[place][name]) for name in names) for place in range(len(splits.train))]


def train(case: Case, folder: Path, plan: Plan, output: Path) -> dict[str, float]:
    """Train, and leave when the last step is done: writing the result may take longer than all steps."""
    import tunesmith
    from tunesmith.catalog import Catalog
    from tunesmith.options import plugin
    from tunesmith.types import StepEnded

    clock, losses = Clock(plan), []

    @plugin
    class Timer:
        """Notes when a step has ended."""

        @tunesmith.hookimpl
        def on_event(self, event: object) -> None:
            if isinstance(event, StepEnded):
                clock.ended(event.step)
                if "loss" in event.metrics:
                    losses.append(event.metrics["loss"])
                if event.step == plan.steps:
                    raise KeyboardInterrupt

    plugins = Catalog([*Catalog.discover().entries(), *Catalog.of({"tracker.timer": Timer}).entries()])
    with contextlib.suppress(KeyboardInterrupt):
        tunesmith.train({**configuration(case, folder, plan, output), "tracker": {"timer": {}}}, catalog=plugins)
    return {"seconds": clock.seconds, "loss": losses[-1]}


def generate(case: Case, folder: Path, plan: Plan, output: Path) -> dict[str, float]:
    """Answer many prompts at once, as GRPO does: by the engine that runs the module."""
    from prompts import prompts
    from tunesmith import open_model
    from tunesmith.types import Request, Sampling
    from tunesmith_engine_transformers import Transformers

    handle = open_model({"model": {"path": str(folder / case.shape)}, "template": "chatml", "precision": "bf16"})
    engine = Transformers(prefix_cache=0).open_engine(handle)
    ends = dict.fromkeys(engine.end_token_ids, -100.0)
    sampling = Sampling(temperature=0.0, max_new_tokens=plan.new_tokens, logit_bias=ends)
    start = 0.0
    for count in (2, case.batch):  # the first is for warming
        start = time.perf_counter()
        answers = [engine.submit(Request(prompt, sampling)) for prompt in prompts(count)]
        found = sum(len(answer.result().token_ids) for answer in answers)
    seconds = time.perf_counter() - start
    engine.close()
    return {"seconds": seconds, "tokens": float(found)}
