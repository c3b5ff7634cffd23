"""Answers, exports, measurements."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tunesmith.errors import choices

from tunesmith_dialect_llamafactory.draft import Draft
from tunesmith_dialect_llamafactory.environment import gpus

_ENGINES = {"huggingface": "transformers", "vllm": "vllm", "sglang": "sglang"}
_BITS = (2, 3, 4, 8)
_PRECISIONS = {"auto": "auto", "float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


def infer_backend(key: str, value: Any, draft: Draft) -> None:
    if value == "ktransformers":
        draft.refuse(key, "experts are not computed by KTransformers.", choices("", _ENGINES))
    elif value not in _ENGINES:
        draft.refuse(key, "there is no such engine.", choices(str(value), _ENGINES))
    else:
        draft.put("engine.name", _ENGINES[value], key)
        if value == "vllm" and draft.command != "train" and (count := gpus(os.environ)) > 1:
            draft.put("engine.tensor_parallel_size", count, key)


def vllm_config(key: str, value: Any, draft: Draft) -> None:
    try:
        options = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        options = None
    if isinstance(options, dict):
        draft.put("engine.options", options, key)
    else:
        draft.refuse(key, "it is no mapping of vLLM's arguments.", "vllm_config: {kv_cache_dtype: fp8}")


def sglang_tp_size(key: str, value: Any, draft: Draft) -> None:
    draft.put("engine.tp_size", max(gpus(os.environ), 1) if value == -1 else value, key)


def infer_dtype(key: str, value: Any, draft: Draft) -> None:
    if value not in _PRECISIONS:
        draft.refuse(key, "there are no such numbers.", choices(str(value), _PRECISIONS))
    elif draft.command != "train":
        draft.put("precision", _PRECISIONS[value], key)
    else:
        draft.note(key, "dropped", "it belongs to chat and export; write bf16 or fp16.")


def do_sample(key: str, value: Any, draft: Draft) -> None:
    if value is False:
        draft.put("engine.temperature", 0.0, key)


def temperature(key: str, value: Any, draft: Draft) -> None:
    if draft.get("do_sample") is False:
        draft.note(key, "dropped", "do_sample is false: the likeliest token is taken.")
    else:
        draft.put("engine.temperature", value, key)


def num_beams(key: str, value: Any, draft: Draft) -> None:
    if draft.get("infer_backend") == "huggingface":
        draft.put("engine.num_beams", value, key)
    elif value != 1:
        draft.refuse(key, "this engine follows one continuation.", "infer_backend: huggingface")


def length_penalty(key: str, value: Any, draft: Draft) -> None:
    if draft.get("num_beams") == 1:
        draft.note(key, "dropped", "it belongs to num_beams over 1.")
    elif draft.get("infer_backend") == "huggingface":
        draft.put("engine.length_penalty", value, key)


def export_dir(key: str, value: Any, draft: Draft) -> None:
    draft.put("output_dir", value, key)


def export_size(key: str, value: Any, draft: Draft) -> None:
    draft.put("exporter.max_shard_size", f"{value}GB", key)


def export_quantization_bit(key: str, value: Any, draft: Draft) -> None:
    if value not in _BITS:
        draft.refuse(key, "GPTQ has other numbers of bits.", choices(str(value), map(str, _BITS)))
    else:
        draft.put("exporter.name", "gptq", key)
        draft.put("exporter.bits", value, key)


def export_hub_model_id(key: str, value: Any, draft: Draft) -> None:
    if draft.command == "export":
        draft.put("exporter.push_to", value, key)
        draft.note(key, "translated", "exporter.push_to; the repository is private unless exporter.private=false.")
    else:
        draft.note(key, "dropped", "it belongs to an export.")


def task(key: str, value: Any, draft: Draft) -> None:
    name, _, split = str(value).partition("_")
    if not name or not split:
        draft.refuse(key, "it is no task and its part.", "mmlu_test, ceval_validation, cmmlu_test")
    else:
        draft.put("evaluator.multiple_choice.split", split, key)
        draft.note(
            key, "translated", "evaluator.multiple_choice; the examples are the first, the same for each question."
        )


def task_dir(key: str, value: Any, draft: Draft) -> None:
    name = str(draft.get("task")).partition("_")[0]
    draft.put("evaluator.multiple_choice.path", str(Path(str(value)) / name), key)
