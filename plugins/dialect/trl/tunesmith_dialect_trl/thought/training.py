"""The loop, its numbers, and what is put around the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.kinds import KINDS
from tunesmith_library_configuration import spreading

from tunesmith_dialect_trl.draft import Draft

_NAMED = ("tensorboard", "wandb", "mlflow", "swanlab", "trackio")  # programs in which a run has a name


def warmup_steps(value: Any, draft: Draft) -> None:
    """Below 1 it is a share of all steps."""
    if "warmup_ratio" in draft.written and "warmup_steps" not in draft.written:
        return
    if isinstance(value, int | float) and 1 <= value == int(value):
        draft.put("trainer.warmup_steps", int(value), "warmup_steps")
    else:
        draft.put("trainer.warmup_ratio", value, "warmup_steps")


def precision(value: Any, draft: Draft) -> None:
    """TRL computes in bf16 unless it is told otherwise; so does `auto` wherever the hardware can."""
    if draft.get("fp16"):
        draft.put("precision", "fp16", "fp16")
    elif draft.get("bf16"):
        draft.put("precision", "bf16", "bf16")
    elif draft.get("bf16") is False:
        draft.put("precision", "fp32", "bf16")


def lr_scheduler_kwargs(value: Any, draft: Draft) -> None:
    given = None if value is None else draft.mapping("lr_scheduler_kwargs", value)
    if given:
        draft.put("trainer.lr_scheduler_kwargs", given, "lr_scheduler_kwargs")


def fsdp(value: Any, draft: Draft) -> None:
    """With what `fsdp_config` says of it."""
    words = str(value).split() if isinstance(value, str | bool) else list(value or ())
    if words and value is not False:
        given = draft.get("fsdp_config")
        config = (draft.mapping("fsdp_config", given) if given else None) or {}
        draft.spread(spreading.fsdp(words, config, "fsdp", "fsdp_config"))


def fsdp_config(value: Any, draft: Draft) -> None:
    if value is not None and not draft.get("fsdp"):
        draft.note("fsdp_config", "dropped", "it belongs to fsdp.")


def deepspeed(value: Any, draft: Draft) -> None:
    if isinstance(value, Mapping):
        draft.refuse("deepspeed", "its configuration is a file.", "write it to a JSON file, and its path here")
    elif value is not None:
        draft.put("parallel.name", "deepspeed", "deepspeed")
        draft.put("parallel.config", value, "deepspeed")


def optim_target_modules(value: Any, draft: Draft) -> None:
    if value is not None:
        draft.put("trainer.optim_target_modules", [value] if isinstance(value, str) else value, "optim_target_modules")


def resume_from_checkpoint(value: Any, draft: Draft) -> None:
    if value in (True, "true", "True"):
        draft.put("resume", True, "resume_from_checkpoint")
    elif value not in (None, False, "false", "False"):
        draft.refuse("resume_from_checkpoint", "a run goes on from its newest checkpoint.", "write resume=true")


def report_to(value: Any, draft: Draft) -> None:
    """Trackers beside those that are always there."""
    names = [value] if isinstance(value, str) else value or []
    others = [name for name in names if name not in ("none", "all")]
    if others:
        draft.put("tracker", {name: {} for name in (*KINDS["tracker"].default, *others)}, "report_to")


def run_name(value: Any, draft: Draft) -> None:
    """The name of the run in the programs that keep it."""
    chosen = [name for name in draft.config.get("tracker", {}) if name in _NAMED]
    for name in chosen:
        draft.put(f"tracker.{name}.run_name", value, "run_name")
    if value and not chosen:
        draft.note("run_name", "dropped", "a run is called like its folder, where report_to names no program for it.")


def of_trackio(key: str, ours: str) -> Callable[[Any, Draft], None]:
    """The function of a key that is an option of trackio."""

    def thought(value: Any, draft: Draft) -> None:
        if "trackio" in draft.config.get("tracker", {}):
            draft.put(f"tracker.trackio.{ours}", value, key)
        elif value is not None:
            draft.note(key, "dropped", "it belongs to report_to: trackio.")

    return thought


def use_liger_kernel(value: Any, draft: Draft) -> None:
    if value:
        draft.put("patch.liger", dict(draft.get("liger_kernel_config") or {}), "use_liger_kernel")


def liger_kernel_config(value: Any, draft: Draft) -> None:
    if value and not draft.get("use_liger_kernel"):
        draft.note("liger_kernel_config", "dropped", "it belongs to use_liger_kernel.")


def env(value: Any, draft: Draft) -> None:
    draft.note("env", "dropped", "a configuration changes no environment; set the variables in the shell.")
