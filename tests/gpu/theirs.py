"""The same figure of transformers' Trainer with peft, and of TRL, as their documentation shows them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from cases import Case
from measuring import Clock, Plan


def _model(case: Case, folder: Path) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": torch.float32 if case.theirs == "amp" else torch.bfloat16}
    if case.theirs == "8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    if case.theirs == "4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    return AutoModelForCausalLM.from_pretrained(folder / case.shape, **options)


def _lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")


def _arguments(case: Case, plan: Plan, output: Path) -> dict[str, Any]:
    return {
        "output_dir": str(output),
        "max_steps": plan.steps,
        "per_device_train_batch_size": case.batch,
        "gradient_accumulation_steps": case.accumulation,
        "learning_rate": 1e-5,
        "bf16": True,
        "use_cpu": plan.device == "cpu",
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "logging_steps": plan.steps,
        "report_to": "none",
        "disable_tqdm": True,
    }


def _timed(trainer: Any, plan: Plan) -> dict[str, float]:
    from transformers import TrainerCallback

    clock = Clock(plan)

    class Timer(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.ended(state.global_step)

    trainer.add_callback(Timer())
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"seconds": clock.seconds, "loss": losses[-1]}


def train(case: Case, folder: Path, plan: Plan, output: Path) -> dict[str, float]:
    if case.kind == "dpo":
        return _preferences(case, folder, plan, output)
    from ours import configuration
    from peft import get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments
    from tunesmith import show

    _, splits = show(configuration(case, folder, plan, output))
    count = min(len(splits.train), case.batch * case.accumulation * plan.steps)
    rows = [
        {name: list(map(int, splits.train[place][name])) for name in ("input_ids", "labels")} for place in range(count)
    ]
    model = _model(case, folder)
    if case.theirs in ("8", "4"):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if case.theirs in ("lora", "8", "4"):
        model = get_peft_model(model, _lora())
    collator = DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(folder / case.shape))
    arguments = TrainingArguments(**_arguments(case, plan, output))
    return _timed(Trainer(model, arguments, train_dataset=rows, data_collator=collator), plan)


def _preferences(case: Case, folder: Path, plan: Plan, output: Path) -> dict[str, float]:
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer
    from tunesmith_library_testing.parts import CHATML

    tokenizer = AutoTokenizer.from_pretrained(folder / case.shape)
    tokenizer.chat_template = CHATML.exported
    pairs = json.loads((folder / "pairs.json").read_text())
    roles = {
        "prompt": ("instruction", "user"),
        "chosen": ("chosen", "assistant"),
        "rejected": ("rejected", "assistant"),
    }
    rows = [{name: [{"role": role, "content": pair[key]}] for name, (key, role) in roles.items()} for pair in pairs]
    trainer = DPOTrainer(
        _model(case, folder),
        args=DPOConfig(**_arguments(case, plan, output), max_length=1_024),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=_lora(),
    )
    return _timed(trainer, plan)


def generate(case: Case, folder: Path, plan: Plan, output: Path) -> dict[str, float]:
    """`model.generate` over one batch, of which no answer ends early."""
    from prompts import prompts

    model = _model(case, folder).to(plan.device).eval()
    start = 0.0
    for count in (2, case.batch):  # the first is for warming
        ids = torch.tensor(prompts(count), device=plan.device)
        start = time.perf_counter()
        options = {"min_new_tokens": plan.new_tokens, "max_new_tokens": plan.new_tokens, "do_sample": False}
        made = model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **options)
        tokens = made[:, ids.shape[1] :].numel()
    return {"seconds": time.perf_counter() - start, "tokens": float(tokens)}
