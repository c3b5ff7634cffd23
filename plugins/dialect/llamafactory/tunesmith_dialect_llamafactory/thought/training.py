"""The loop, its numbers, and where it runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tunesmith.errors import choices
from tunesmith.kinds import KINDS

from tunesmith_dialect_llamafactory.draft import Draft, listed
from tunesmith_dialect_llamafactory.installed import catalog

_SCHEDULES = (
    *("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"),
    *("reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay"),
)

NAMED = (
    "tensorboard",
    "wandb",
    "mlflow",
    "swanlab",
    "trackio",
)  # what transformers may report to, and has names of runs
_OTHERS = (
    *("azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow", "neptune"),
)  # what transformers may report to beside these
OF_TRACKIO = {"project": "project", "trackio_space_id": "space_id", "trackio_bucket_id": "bucket_id"}

NO_PADDING = "batches have no padding, which examples of like length would spare; their order stays random."


def seed(key: str, value: Any, draft: Draft) -> None:
    """LLaMA-Factory holds out, mixes and shuffles by the seed of the training, too."""
    draft.put("seed", value, key)
    draft.put("data.shuffle_seed", value, key)


def data_seed(key: str, value: Any, draft: Draft) -> None:
    if value != draft.get("seed"):
        draft.note(key, "dropped", "the order of examples goes by seed, as all that is random.")


def learning_rate(key: str, value: Any, draft: Draft) -> None:
    draft.put("trainer.learning_rate", value, key)


def overwrite_output_dir(key: str, value: Any, draft: Draft) -> None:
    folder = draft.get("output_dir")
    if value and folder and (Path(str(folder)) / "run.yaml").is_file():
        draft.note(key, "translated", f"the run in {folder} is deleted; LLaMA-Factory would write into its folder.")
    draft.put("overwrite", value, key)


def max_grad_norm(key: str, value: Any, draft: Draft) -> None:
    if draft.config.get("optimizer", {}).get("layerwise"):
        draft.note(key, "dropped", "an optimizer that is layerwise does not clip.")
    else:
        draft.put("trainer.max_grad_norm", value, key)


def num_train_epochs(key: str, value: Any, draft: Draft) -> None:
    if draft.objective == "ppo":
        draft.note(key, "dropped", "stage ppo counts steps: write max_steps.")
    else:
        draft.put("trainer.num_train_epochs", value, key)


def max_steps(key: str, value: Any, draft: Draft) -> None:
    draft.put("stage.total_steps" if draft.objective == "ppo" and value > 0 else "trainer.max_steps", value, key)


def lr_scheduler_type(key: str, value: Any, draft: Draft) -> None:
    if value not in _SCHEDULES:
        draft.refuse(key, "there is no such schedule.", choices(str(value), _SCHEDULES))
        return
    if draft.objective == "ppo" and value not in ("linear", "constant"):
        draft.note(key, "translated", f"stage ppo has linear and constant, so {value} becomes linear.")
        value = "linear"
    draft.put("trainer.lr_scheduler_type", value, key)


def lr_scheduler_kwargs(key: str, value: Any, draft: Draft) -> None:
    given = draft.mapping(key, value)
    if given:
        draft.put("trainer.lr_scheduler_kwargs", given, key)


def warmup_ratio(key: str, value: Any, draft: Draft) -> None:
    if draft.get("warmup_steps"):
        draft.note(key, "dropped", "warmup_steps is there, too, and counts.")
    else:
        draft.put("trainer.warmup_ratio", value, key)


def warmup_steps(key: str, value: Any, draft: Draft) -> None:
    """Below 1 it is a share of all steps."""
    if value and value >= 1:
        draft.put("trainer.warmup_steps", int(value), key)
    elif value or "warmup_ratio" not in draft.written:
        draft.put("trainer.warmup_ratio", value, key)


def pure_bf16(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("precision", "bf16", key)
        if draft.get("finetuning_type") == "full":
            draft.put("adapter.dtype", "bfloat16", key)


def bf16(key: str, value: Any, draft: Draft) -> None:
    if value is None:
        if not (draft.get("fp16") or draft.get("pure_bf16")):
            draft.say(key, "not there: bf16 where the hardware is faster in it, else fp32 (precision=auto).")
    elif value:
        draft.put("precision", "bf16", key)
    elif not (draft.get("fp16") or draft.get("pure_bf16")):
        draft.put("precision", "fp32", key)


def fp16(key: str, value: Any, draft: Draft) -> None:
    if value and (draft.get("bf16") or draft.get("pure_bf16")):
        draft.refuse(key, "bf16 is asked for, too.", "leave one of them out")
    elif value:
        draft.put("precision", "fp16", key)


def disable_gradient_checkpointing(key: str, value: Any, draft: Draft) -> None:
    """Theirs is on as long as nobody says otherwise; the numbers are the same, so ours is where memory asks for it."""
    if "gradient_checkpointing" not in draft.written:
        draft.put("trainer.gradient_checkpointing", False if value else "auto", key)
    else:
        draft.note(key, "dropped", "gradient_checkpointing is there, too, and counts.")


def use_unsloth_gc(key: str, value: Any, draft: Draft) -> None:
    if value and not draft.config.get("trainer", {}).get("gradient_checkpointing"):
        draft.note(key, "dropped", "gradient checkpointing is switched off.")
    elif value:
        draft.put("trainer.gradient_checkpointing", "offload", key)


def disable_shuffling(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("trainer.train_sampling_strategy", "sequential", key)


def neftune_noise_alpha(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("patch.neftune.noise_alpha", value, key)


def train_sampling_strategy(key: str, value: Any, draft: Draft) -> None:
    if value == "group_by_length":
        draft.note(key, "dropped", NO_PADDING)
    elif value in ("random", "sequential"):
        draft.put("trainer.train_sampling_strategy", value, key)
    else:
        draft.refuse(key, "there is no such order.", choices(str(value), ("random", "sequential")))


def steps_of(key: str, value: Any, draft: Draft) -> None:
    if isinstance(value, float) and 0 < value < 1:
        draft.refuse(key, "a share of all steps is not counted.", f"{key}: a number of steps")
    else:
        draft.put(f"trainer.{key}", value, key)


def save_total_limit(key: str, value: Any, draft: Draft) -> None:
    draft.put("trainer.save_total_limit", value, key)


def _has_evaluation(draft: Draft) -> bool:
    return bool(draft.get("val_size") or draft.get("eval_dataset"))


def eval_strategy(key: str, value: Any, draft: Draft) -> None:
    if key in draft.written:
        draft.put("trainer.eval_strategy", value, key)
        if value == "steps" and not draft.get("eval_steps"):
            draft.put("trainer.eval_steps", draft.get("logging_steps"), "logging_steps")
            draft.say("eval_steps", "not there: an evaluation each logging_steps, as transformers does it.")
    elif _has_evaluation(draft) and not draft.get("do_eval"):
        draft.put("trainer.eval_strategy", value, key)
        draft.say(key, "not there: nothing is measured in training, as LLaMA-Factory does it; write eval_strategy.")


def do_eval(key: str, value: Any, draft: Draft) -> None:
    if not value or draft.command != "train" or "eval_strategy" in draft.written:
        return
    if _has_evaluation(draft):
        draft.put("trainer.eval_strategy", "epoch", key)
    else:
        draft.note(key, "dropped", "there is nothing to evaluate with: write val_size or eval_dataset.")


def report_to(key: str, value: Any, draft: Draft) -> None:
    """Trackers beside those that are always there."""
    others = [str(name) for name in listed(value) if str(name).lower() not in ("none", "all")]
    missing = [name for name in others if name not in catalog().names("tracker")]
    for name in (name for name in missing if name not in (*NAMED, *_OTHERS)):
        draft.refuse(key, f"nothing is called {name} that a run could report to.", choices(name, (*NAMED, "none")))
    if missing:
        told = f"no installed plugin writes to {' or '.join(missing)}; the numbers and curves are in the run's folder."
        draft.note(key, "dropped", told)
    others = [name for name in others if name not in missing]
    if others:
        there = draft.config.get("tracker", {})
        draft.put("tracker", {**{name: {} for name in (*KINDS["tracker"].default, *others)}, **there}, key)
    if "wandb" in others and "WANDB_PROJECT" not in os.environ:
        draft.put("tracker.wandb.project", "llamafactory", key)


def run_name(key: str, value: Any, draft: Draft) -> None:
    """The name of the run in the programs that keep it; the folder is called as output_dir says."""
    chosen = [name for name in NAMED if name in draft.config.get("tracker", {})]
    for name in chosen:
        draft.put(f"tracker.{name}.run_name", value, key)
    if value and not chosen:
        draft.note(key, "dropped", "a run is called like its folder, where report_to names no program that keeps it.")


def of_trackio(key: str, value: Any, draft: Draft) -> None:
    if "trackio" in draft.config.get("tracker", {}):
        draft.put(f"tracker.trackio.{OF_TRACKIO[key]}", value, key)
    elif value is not None:
        draft.note(key, "dropped", "it belongs to report_to: trackio.")


def _beside_the_usual(name: str, key: str, draft: Draft) -> None:
    there = draft.config.get("tracker") or {usual: {} for usual in KINDS["tracker"].default}
    draft.put("tracker", {**there, name: {}}, key)


def use_swanlab(key: str, value: Any, draft: Draft) -> None:
    if value:
        _beside_the_usual("swanlab", key, draft)
        if "swanlab_project" not in draft.written and "SWANLAB_PROJ_NAME" not in os.environ:
            draft.put("tracker.swanlab.project", draft.get("swanlab_project"), key)


def enable_torch_profiler(key: str, value: Any, draft: Draft) -> None:
    if value:
        _beside_the_usual("profiler", key, draft)


def fp8(key: str, value: Any, draft: Draft) -> None:
    if value and draft.command == "train":
        draft.put("patch.fp8", {}, key)
    elif value:
        draft.note(key, "dropped", "it is about training.")


def fp8_all_gather(key: str, value: Any, draft: Draft) -> None:
    """Weights are sent in FP8 with one scale for each, where FSDP spreads them; elsewhere nothing is sent."""
    if value and draft.config.get("parallel", {}).get("name") == "fsdp":
        draft.put("patch.fp8.all_gather", True, key)
        draft.put("patch.fp8.recipe", "tensorwise", key)
        draft.note(key, "translated", "a weight that is sent in FP8 has one scale, so the products have it, too.")
    elif value:
        draft.note(key, "dropped", "it is about weights that FSDP spreads: fsdp.")
