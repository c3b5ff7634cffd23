"""The model, how it is loaded, and what is put around it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tunesmith.errors import choices

from tunesmith_dialect_llamafactory.draft import Draft

_STORED_AS = ("gptq", "awq", "aqlm")
"""Ways to store a model in few bits of which a quantizer must be told."""


def model_name_or_path(key: str, value: Any, draft: Draft) -> None:
    draft.put("model.path", value, key)
    method = _stored_as(str(value))
    if method and not draft.get("quantization_bit"):
        draft.put("quantizer.name", method, key)
        draft.say("quantization_method", f"not there: the model is stored in {method.upper()}, so quantizer={method}.")


def _stored_as(path: str) -> str:
    """How a model is stored in few bits: by its config.json where it is at hand, else by its name; "" for in full."""
    file = Path(path).expanduser() / "config.json"
    if file.is_file():
        try:
            said = json.loads(file.read_text(encoding="utf-8")).get("quantization_config") or {}
        except ValueError:  # told by whoever reads the model
            return ""
        method = str(said.get("quant_method", ""))
        return method if method in _STORED_AS else ""
    found = re.search(rf"(?i)-({'|'.join(_STORED_AS)})(?![a-z])", path)
    return found[1].lower() if found else ""


def model_revision(key: str, value: Any, draft: Draft) -> None:
    if value != "main":
        draft.put("model.revision", value, key)


def train_from_scratch(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("model.initialize", "random", key)


def flash_attn(key: str, value: Any, draft: Draft) -> None:
    ours = {"auto": "auto", "disabled": "eager", "sdpa": "sdpa", "fa2": "auto", "fa3": "auto"}
    if value not in ours:
        draft.refuse(key, "there is no such attention.", choices(str(value), ours))
        return
    draft.put("model.attention", ours[value], key)
    if value in ("fa2", "fa3"):
        draft.note(key, "translated", "model.attention=auto takes flash-attn where it is installed.")


def rope_scaling(key: str, value: Any, draft: Draft) -> None:
    kind = value.get("rope_type", value.get("type")) if isinstance(value, dict) else value
    known = ("linear", "dynamic", "yarn", "llama3")
    if kind not in known:
        draft.refuse(key, "there is no such scaling.", choices(str(kind), known))
        return
    draft.put("patch.rope_scaling.type", kind, key)
    if isinstance(value, dict) and value.get("factor"):
        draft.put("patch.rope_scaling.factor", value["factor"], key)
    else:
        draft.note(key, "translated", "the factor is what stage.max_length needs, not rounded up to a whole number.")


def use_unsloth(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("model.name", "unsloth", key)
        draft.put("model.max_seq_length", draft.get("cutoff_len"), "cutoff_len")


def enable_liger_kernel(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("patch.liger", {}, key)


def shift_attn(key: str, value: Any, draft: Draft) -> None:
    if value:
        draft.put("patch.longlora", {}, key)


def mixture_of_depths(key: str, value: Any, draft: Draft) -> None:
    if value == "convert":
        draft.put("patch.mixture_of_depths", {}, key)
    else:
        draft.refuse(key, "a run that has it is a handle of its own.", "mixture_of_depths: convert")


def moe_aux_loss_coef(key: str, value: Any, draft: Draft) -> None:
    draft.put("model.router_aux_loss", "on", key)
    draft.put("model.router_aux_loss_coef", value, key)


def upcast_layernorm(key: str, value: Any, draft: Draft) -> None:
    if value and draft.command == "train":
        draft.put("patch.upcast.norms", True, key)
    elif value:
        draft.note(key, "dropped", "it is about training.")


def upcast_lmhead_output(key: str, value: Any, draft: Draft) -> None:
    if value and draft.command == "train":
        draft.put("patch.upcast.logits", True, key)
        if not draft.get("upcast_layernorm"):
            draft.put("patch.upcast.norms", False, key)
    elif value:
        draft.note(key, "dropped", "it is about training.")


def split_special_tokens(key: str, value: Any, draft: Draft) -> None:
    draft.put("data.special_tokens", "text" if value else "parse", key)


_QUANTIZERS = {"bnb": "bitsandbytes", "hqq": "hqq", "eetq": "eetq"}
_STORED = ("gptq", "awq", "aqlm", "quanto", "mxfp4", "fp8")


def quantization_bit(key: str, value: Any, draft: Draft) -> None:
    method = draft.get("quantization_method")
    if method in _STORED:
        draft.note(key, "dropped", f"a model in {method} is stored quantised, and says itself how.")
    elif method not in _QUANTIZERS:
        advice = choices(str(method), _QUANTIZERS)
        draft.refuse("quantization_method", "no model is quantised so when it is loaded.", advice)
    elif method == "eetq":
        draft.put("quantizer.name", "eetq", key)
        if value != 8:
            draft.refuse(key, "EETQ has 8 bits.", "quantization_bit: 8")
    else:
        draft.put("quantizer.name", _QUANTIZERS[method], key)
        draft.put("quantizer.bits", value, key)


def quantization_method(key: str, value: Any, draft: Draft) -> None:
    if not draft.get("quantization_bit") and value not in _STORED:
        draft.note(key, "dropped", "it belongs to quantization_bit.")


def _of_four_bits(option: str, key: str, value: Any, draft: Draft) -> None:
    if draft.get("quantization_bit") == 4 and draft.get("quantization_method") == "bnb":
        draft.put(f"quantizer.{option}", value, key)
    else:
        draft.note(key, "dropped", "it belongs to quantization_bit 4 of bnb.")


def quantization_type(key: str, value: Any, draft: Draft) -> None:
    _of_four_bits("quant_type", key, value, draft)


def double_quantization(key: str, value: Any, draft: Draft) -> None:
    _of_four_bits("double_quant", key, value, draft)
