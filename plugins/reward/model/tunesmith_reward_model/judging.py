"""The reward model, loaded, and what it makes of conversations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from tunesmith import TunesmithError, announce, open_model
from tunesmith.runs import is_run
from tunesmith.types import Message, TrainingJob
from tunesmith_library_chat import ChatTemplate, tokenize
from tunesmith_library_configuration.handles import holds_adapter, holds_model

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


class Judge:
    """A sequence classifier with its tokenizer and the template that its conversations are written in."""

    def __init__(
        self,
        path: str,
        *,
        output: int,
        batch_size: int,
        max_length: int,
        precision: str,
        device: str,
        job: TrainingJob | None,
    ) -> None:
        """Load the model.

        Raises: TunesmithError when it cannot be loaded, has no chat template, or fewer outputs.
        """
        self.tokenizer, self.model = _load_run(path, precision) if is_run(Path(path)) else _load(path, precision)
        outputs = self.model.config.num_labels
        if not 0 <= output < outputs:
            raise TunesmithError(f"reward.model.output={output}: this model has the outputs 0 to {outputs - 1}")
        self.output, self.batch_size, self.max_length = output, batch_size, max_length
        self.model.to(_device(device, job)).requires_grad_(False).eval()
        self.template = self._template(path, job)
        self.tokenizer.padding_side = "right"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if self.model.config.get_text_config().pad_token_id is None:  # by it the model finds a sequence's last token
            self.model.config.get_text_config().pad_token_id = self.tokenizer.pad_token_id

    def _template(self, path: str, job: TrainingJob | None) -> ChatTemplate:
        if isinstance(self.tokenizer.chat_template, str):
            return ChatTemplate("of the reward model", self.tokenizer.chat_template, ()).bind(self.tokenizer)
        if job is None or job.template is None:
            raise TunesmithError(f"reward.model: the tokenizer of {path} has no chat template")
        announce("reward model's template", job.template.name, "its tokenizer has none; that of the trained model")
        return cast(ChatTemplate, job.template)

    def scores(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[float]:
        """One number per answer; batches of similar length, whose padding the model does not see."""
        rendered = [
            self.template.render([*prompt, {"role": "assistant", "content": answer}], training=True)
            for prompt, answer in zip(prompts, completions, strict=True)
        ]
        encodings = tokenize(self.tokenizer, rendered, control=self.template.control)
        ids = [list(encoding.ids[-self.max_length :]) for encoding in encodings]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        found = [0.0] * len(ids)
        for start in range(0, len(order), self.batch_size):
            some = order[start : start + self.batch_size]
            for index, value in zip(some, self._outputs([ids[index] for index in some]), strict=True):
                found[index] = value
        return found

    @torch.inference_mode()
    def _outputs(self, ids: list[list[int]]) -> list[float]:
        batch = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.model.device)
        logits = self.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits  # (B, outputs)
        scores: list[float] = logits[:, self.output].float().tolist()
        return scores


def _load(path: str, precision: str) -> tuple[Any, Any]:
    """The tokenizer and the model of a folder or hub name, by transformers."""
    if holds_adapter(Path(path)):
        raise TunesmithError(
            f"reward.model.path={path} is an adapter without its run.\n"
            "  name the run's folder, or what `tunesmith export RUN` made of it"
        )
    try:
        dtype = _DTYPES.get(precision, "auto")
        model = AutoModelForSequenceClassification.from_pretrained(path, dtype=dtype, trust_remote_code=False)
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False), model
    except (OSError, ValueError) as error:
        raise TunesmithError(f"reward.model.path={path} cannot be loaded as a reward model: {error}") from error


def _load_run(path: str, precision: str) -> tuple[Any, Any]:
    """The tokenizer and the model of a run, with its adapter and its head."""
    if holds_model(Path(path)) and _is_classifier(Path(path)):
        return _load(path, precision)
    handle = open_model(path, {} if precision == "auto" else {"precision": precision})
    model = handle.load()
    if model.can_generate():
        raise TunesmithError(
            f"reward.model.path={path} is a run whose model writes text and gives no score.\n"
            "  name a run of stage=reward (which needs: pip install tunesmith-stage-reward)"
        )
    return handle.processor, model


def _is_classifier(folder: Path) -> bool:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or ())


def _device(wanted: str, job: TrainingJob | None) -> Any:
    """Where the judge computes; `auto` is the accelerator, where the training will take place, if there is one."""
    if wanted != "auto":
        return wanted
    if job is not None and job.model.device.type != "cpu":
        return job.model.device
    return torch.accelerator.current_accelerator() or "cpu"
