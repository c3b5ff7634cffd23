"""One run of one program: trains a case and prints the seconds of its steps, its losses and its memory, as JSON.

python tests/bench/steps_programs.py ours|trainer|llamafactory JOB

JOB is a JSON object with the fields of a `Case`, and `scratch`, `output`, `precision` and `checkpointing`. As
`llamafactory` it runs in an environment that has no Tunesmith.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from steps_cases import Case

PRODUCTS = {f"aten::{name}" for name in ("mm", "addmm", "addmm_", "bmm", "baddbmm", "baddbmm_", "mkldnn_linear")}
ATTENTION = "_scaled_dot_product"


class Clock:
    """Takes the time at the end of each step."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.losses: list[float] = []

    def start(self) -> None:
        self.cpu.append(time.process_time())

    def step(self, loss: float) -> None:
        self.start()
        self.losses.append(loss)

    def told(self) -> dict[str, Any]:
        """Seconds of each step, losses, and the most that the process held, MiB."""
        cpu = [after - before for before, after in pairwise(self.cpu)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"cpu": cpu, "losses": self.losses, "peak": round(peak)}


# ---- Tunesmith -------------------------------------------------------------------------------------------------------


def ours(case: Case, scratch: Path, output: str, precision: str, checkpointing: bool) -> dict[str, Any]:
    """Tunesmith. After the measured steps, that of the first examples is made once more under torch's profiler."""
    import tunesmith
    from torch.profiler import ProfilerActivity, profile
    from tunesmith.catalog import Catalog
    from tunesmith.options import plugin

    clock, profiler = Clock(), profile(activities=[ProfilerActivity.CPU])
    measured = case.steps * case.passes
    spent = {"profiled": 0.0, "products": 0.0, "attention": 0.0}  # seconds

    @plugin
    class Watch:
        """Notes when a step ends."""

        @tunesmith.hookimpl
        def on_event(self, event: Any) -> None:
            name = type(event).__name__
            if name == "RunStarted":
                clock.start()
            elif name == "StepEnded" and event.step <= measured:
                clock.step(event.metrics["loss"])
                if event.step == measured:
                    profiler.start()
                    spent["profiled"] -= time.perf_counter()
            elif name == "StepEnded" and event.step == measured + 1:
                spent["profiled"] += time.perf_counter()
                profiler.stop()

    catalog = Catalog([*Catalog.discover().entries(), *Catalog.of({"tracker.watch": Watch}).entries()])
    config = case.ours(scratch, precision, checkpointing)
    config["trainer"]["max_steps"] = measured + 1
    tunesmith.train({**config, "tracker": {"watch": {}}, "output_dir": output}, catalog=catalog)
    for event in profiler.events():
        kind = "products" if event.name in PRODUCTS else "attention" if ATTENTION in event.name else ""
        if kind:
            spent[kind] += event.self_cpu_time_total / 1e6
    return {**clock.told(), **spent}


# ---- others ----------------------------------------------------------------------------------------------------------


def callback(clock: Clock) -> Any:
    """The clock as a callback of transformers' Trainer; steps end when they have been logged."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            clock.start()

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if "loss" in state.log_history[-1]:
                clock.step(float(state.log_history[-1]["loss"]))

    return Watch()


def trainer(case: Case, scratch: Path, output: str, precision: str, checkpointing: bool) -> dict[str, Any]:
    """transformers' Trainer, or TRL's DPOTrainer, with peft, on the token ids that Tunesmith makes."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    clock, folder = Clock(), case.model_folder(scratch)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    model = PeftModel.from_pretrained(base, case.adapter_folder(scratch), is_trainable=True)
    given = {
        **case.shared(),
        "output_dir": output,
        "bf16": precision == "bf16",
        "gradient_checkpointing": checkpointing,
        "train_sampling_strategy": "sequential",
        "disable_tqdm": True,
    }
    tokenizer = AutoTokenizer.from_pretrained(folder)
    build = _preferences if case.stage == "dpo" else _supervised
    loop = build(model, given, case.encoded(scratch), tokenizer)
    loop.add_callback(callback(clock))
    loop.train()
    return clock.told()


def _supervised(model: Any, given: dict[str, Any], rows: list[dict[str, list[int]]], tokenizer: Any) -> Any:
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    return Trainer(
        model, TrainingArguments(**given), train_dataset=rows, data_collator=DataCollatorForSeq2Seq(tokenizer)
    )


def _preferences(model: Any, given: dict[str, Any], rows: list[dict[str, list[int]]], tokenizer: Any) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class Encoded(DPOTrainer):
        """Takes token ids as they are."""

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

    pairs = []
    for row in rows:
        prompt = sum(label == -100 for label in row["chosen_labels"])
        answers = {f"{name}_ids": row[f"{name}_input_ids"][prompt:] for name in ("chosen", "rejected")}
        pairs.append({"prompt_ids": row["chosen_input_ids"][:prompt], **answers})
    arguments = DPOConfig(**given, max_length=None)
    return Encoded(model, args=arguments, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer)


def llamafactory(case: Case, scratch: Path, output: str, precision: str, checkpointing: bool) -> dict[str, Any]:
    """LLaMA-Factory, which checkpoints activations unless told otherwise."""
    from llamafactory.train.tuner import run_exp  # type: ignore[import-not-found]  # of another environment

    clock = Clock()
    keys = {**case.llamafactory(scratch, precision), "disable_gradient_checkpointing": not checkpointing}
    run_exp({**keys, "output_dir": output}, [callback(clock)])
    return clock.told()


def main() -> None:
    import torch

    torch.set_num_threads(1)
    job = json.loads(sys.argv[2])
    told = {name: job.pop(name) for name in ("output", "precision", "checkpointing")}
    scratch = Path(job.pop("scratch"))
    program = {"ours": ours, "trainer": trainer, "llamafactory": llamafactory}[sys.argv[1]]
    print(json.dumps(program(Case(**job), scratch, **told)))


if __name__ == "__main__":
    main()
