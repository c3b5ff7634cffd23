"""Reward models from a folder, a name on the Hugging Face hub, or a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from tunesmith import TunesmithError, announce, open_model
from tunesmith.runs import is_run
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_configuration.handles import holds_adapter, holds_model

from tunesmith_library_judging.folders import is_classifier
from tunesmith_library_judging.judge import Judge

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def load_judge(
    path: str,
    *,
    named: str,
    output: int = 0,
    batch_size: int = 8,
    max_length: int | None = None,
    precision: str = "auto",
    device: Any = None,
    template: ChatTemplate | None = None,
) -> Judge:
    """Load a reward model.

    Args:
        path: folder of a run of stage=reward or of another reward model, or a name on the Hugging Face hub.
        named: what the user calls the path, for errors: `reward.model.path`.
        precision: numbers of its weights; auto: as they are saved, and with an adapter as its run computes.
        device: where it computes; None is the accelerator, if there is one.
        template: that its conversations are written in, where its tokenizer has none.

    Raises: TunesmithError when it cannot be loaded, has no chat template, or fewer outputs.
    """
    tokenizer, model = (
        _load_run(path, named, precision) if is_run(Path(path)) else load_classifier(path, named, precision)
    )
    if isinstance(tokenizer.chat_template, str):
        template = ChatTemplate("of the reward model", tokenizer.chat_template, ()).bind(tokenizer)
    elif template is not None:
        announce("reward model's template", template.name, "its tokenizer has none; that of the trained model")
    else:
        raise TunesmithError(f"{named}: the tokenizer of {path} has no chat template")
    model.to(device or torch.accelerator.current_accelerator(check_available=True) or "cpu")
    return Judge(model, tokenizer, template, output=output, batch_size=batch_size, max_length=max_length)


def load_classifier(path: str, named: str, precision: str = "auto") -> tuple[Any, Any]:
    """The tokenizer and the model of a folder or hub name, by transformers.

    Args:
        named, precision: as in `load_judge`.

    Raises: TunesmithError when it cannot be loaded.
    """
    if holds_adapter(Path(path)):
        raise TunesmithError(
            f"{named}={path} is an adapter without its run.\n"
            "  name the run's folder, or what `tunesmith export RUN` made of it"
        )
    try:
        dtype = _DTYPES.get(precision, "auto")
        model = AutoModelForSequenceClassification.from_pretrained(path, dtype=dtype, trust_remote_code=False)
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False), model
    except (OSError, ValueError) as error:
        raise TunesmithError(f"{named}={path} cannot be loaded as a reward model: {error}") from error


def _load_run(path: str, named: str, precision: str) -> tuple[Any, Any]:
    """The tokenizer and the model of a run, with its adapter and its head."""
    if holds_model(Path(path)) and is_classifier(Path(path)):
        return load_classifier(path, named, precision)
    handle = open_model(path, {} if precision == "auto" else {"precision": precision})
    model = handle.load()
    if model.can_generate():
        raise TunesmithError(
            f"{named}={path} is a run whose model writes text and gives no score.\n"
            "  name a run of stage=reward (which needs: pip install tunesmith-stage-reward)"
        )
    return handle.processor, model
