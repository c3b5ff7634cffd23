"""What a run will compute, told without torch: the model by its config.json, and what is done with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.types import Precision
from tunesmith_library_configuration import manifests
from tunesmith_library_configuration.records import MARKER, PRECISION

from .importing import stored_with

if TYPE_CHECKING:
    from tunesmith.planning import Plan

Purpose = Literal["adapter", "whole", "answers"]
"""Matrices are trained beside frozen weights, the weights themselves are, or nothing is: the model answers."""

# Fields of a configuration that change no product and no tensor's shape.
_BESIDE = frozenset(
    {
        *("architectures", "dtype", "torch_dtype", "transformers_version", "use_cache", "initializer_range", "name"),
        *("max_position_embeddings", "rope_theta", "rope_scaling", "rope_parameters", "rms_norm_eps", "layer_norm_eps"),
        *(
            "id2label",
            "label2id",
            "problem_type",
            "chunk_size_feed_forward",
            "return_dict",
            "auto_map",
            "task_specific",
        ),
    }
)
_SMALL = 2**22  # products per token, below which no numbers gain
_WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2}


MOST_SEQUENCES = 4
"""Of a forward pass, up to which its numbers are told apart."""


@dataclass(frozen=True)
class Task:
    """What a plan does with its model."""

    purpose: Purpose | None  # None: nothing is computed with it, or by another program
    sequences: int = MOST_SEQUENCES  # of a forward pass in training; more gain no more
    method: str = ""  # with which a quantizer stores weights; transformers must see its package
    in_few_bits: bool = False  # a quantizer holds its weights, so that they take less memory whatever is computed in
    # what the run that goes on computed in; "" when its checkpoint, of an earlier version, does not say
    former: Precision | Literal[""] | None = None


@dataclass(frozen=True)
class Work:
    """A model, and what is done with it."""

    config: Mapping[str, Any]  # of its language model, as config.json has it
    purpose: Purpose
    sequences: int = MOST_SEQUENCES  # of a forward pass in training
    whole_bytes: float = 0.0  # of all its weights in fp32; 0 where that is unknown, or they are held in few bits
    packages: tuple[str, ...] = ()  # that transformers must see when it is imported


def task_of(plan: Plan) -> Task:
    """What a plan does with its model."""
    if plan.command == "train":
        adapter = plan.traits("adapter")
        purpose: Purpose | None = "adapter" if adapter is not None and adapter.beside else "whole"
    else:
        engine = plan.traits("engine")
        runs_here = plan.command not in ("show", "encode") and (engine is None or engine.runs_modules)
        purpose = "answers" if runs_here else None
    told = None if plan.resumed is None else manifests.told(plan.resumed, MARKER).get(PRECISION, "")
    method = getattr(plan.traits("quantizer"), "method", "")
    return Task(purpose, _sequences(plan), method, plan.uses("quantizer"), told)


def _sequences(plan: Plan) -> int:
    """The sequences of a forward pass: few short ones are mostly calls, of which bf16 has more."""
    asked = plan.get("trainer.per_device_train_batch_size", MOST_SEQUENCES)
    stage = plan.traits("stage")
    merged = plan.get("trainer.merge_accumulation", False) not in (False, "false") and getattr(stage, "additive", False)
    count = asked * (plan.get("trainer.gradient_accumulation_steps", 1) if merged else 1)
    return max(1, min(count, MOST_SEQUENCES)) if isinstance(count, int) else MOST_SEQUENCES


def work_of(folder: Path, task: Task, overrides: Mapping[str, Any] | None = None) -> Work | None:
    """The work of a task with the model in a folder; None where there is none, or its config.json cannot be read.

    Args:
        overrides: values of the model's configuration, over its own.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = {**config, **(overrides or {})}
        weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    except (OSError, ValueError, TypeError):
        return None
    if task.purpose is None:
        return None
    own = config.get("text_config")
    text = {**own, **{key: config[key] for key in overrides or {} if key in own}} if isinstance(own, dict) else config
    numbers = config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype")
    in_few_bits = task.in_few_bits or bool(config.get("quantization_config"))
    width = _WIDTHS.get(str(numbers), 4)
    code = {"auto_map": config["auto_map"]} if "auto_map" in config else {}
    whole = 0.0 if in_few_bits else weights * 4 / width
    return Work({**text, **code}, task.purpose, task.sequences, whole, (task.method, *stored_with(folder)))


def shape_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a language model's configuration that decide how long it computes."""
    return {
        key: value
        for key, value in config.items()
        if key not in _BESIDE and not key.startswith("_") and not key.endswith(("_token_id", "_token_ids", "_index"))
    }


def is_small(config: Mapping[str, Any]) -> bool:
    """Whether a model is so small that its products are not what a step's time goes into.

    A rule on the configuration alone, the same on every machine. One whose fields are called otherwise is not small.
    """
    found = products(config)
    return found is not None and found < _SMALL


def products(config: Mapping[str, Any]) -> float | None:
    """About how many multiplications a token's way through a model takes; None where its sizes are called otherwise."""

    def size(*names: str) -> float | None:
        found = next((config[name] for name in names if isinstance(config.get(name), int)), None)
        return None if found is None else float(found)

    hidden, layers = size("hidden_size", "n_embd", "d_model"), size("num_hidden_layers", "n_layer")
    vocabulary = size("vocab_size")
    if hidden is None or layers is None or vocabulary is None:
        return None
    width = size("intermediate_size", "n_inner", "ffn_dim") or 4 * hidden
    experts = size("num_experts_per_tok", "moe_k")
    if experts is not None:
        width = max(width, experts * (size("moe_intermediate_size") or width))
    return vocabulary * hidden + layers * (4 * hidden**2 + 3 * hidden * width)
