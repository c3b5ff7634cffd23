"""Whether an exported model is still the same: the logits of a small prompt, and the text of the template."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import torch
from tunesmith import TunesmithError, announce
from tunesmith.types import ModelHandle
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_weights.finite import non_finite

_QUESTION = "The tide table for Tuesday says 3:07, 9:41 and 15:26. Which is high water? 哪一次是高潮？"


def refuse_non_finite(model: Any) -> None:
    """Raises: TunesmithError when a weight holds NaN or infinity, also where no probe would meet it."""
    names = non_finite(model.named_parameters())
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise TunesmithError(
            f"{len(names)} tensors of the model hold NaN or infinity: {', '.join(names[:3])}{more}.\n"
            "  nothing was written; train again from a checkpoint before, or look at the base"
        )


def load_again(model_class: Any, folder: Path) -> Any:
    """The written model in float32, as the class that was merged: of a published one that holds more, its part.

    transformers reports every tensor that this class does not have; the inventory has told of them.
    """
    log = logging.getLogger("transformers.modeling_utils")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return model_class.from_pretrained(folder, dtype="float32")
    finally:
        log.setLevel(level)


class Probe:
    """Compares a model's logits with those it had at the last comparison."""

    def __init__(self, model: Any, handle: ModelHandle) -> None:
        self._messages = [{"role": "user", "content": _QUESTION}]
        self._text = handle.template.render(self._messages, add_generation_prompt=True).text
        tokenizer = tokenizer_of(handle.processor)
        self._ids = torch.tensor([tokenizer.encode(self._text, add_special_tokens=False)])
        self._logits = self._compute(model)

    def compare(self, what: str, model: Any, tolerance: float = math.inf) -> None:
        """Announce the largest absolute difference of logits, or of a classifier's scores, to the former state.

        Raises: TunesmithError when it is above the tolerance, or not a number.
        """
        before, after = self._logits, self._compute(model)
        if before.shape != after.shape:
            raise TunesmithError(f"{what} changes the vocabulary from {before.shape[-1]} to {after.shape[-1]} tokens")
        difference = float((after - before).abs().max())
        same = float((after.argmax(-1) == before.argmax(-1)).float().mean())
        writes = after.ndim > 1  # a language model; a classifier has one row of scores for the whole text
        name, why = ("logits", f"at most; {same:.0%} the same first choice") if writes else ("scores", "at most")
        announce(f"{name} after {what}", f"differ by {difference:.2g}", why)
        if math.isnan(difference) or difference > tolerance:
            raise TunesmithError(
                f"{what} changes the model: logits differ by {difference:.2g}, allowed is {tolerance:g}.\n"
                "  nothing was written; exporter.tolerance allows more, exporter.verify=false does not look"
            )
        self._logits = after

    def compare_template(self, processor: Any) -> None:
        """Raises: TunesmithError when a tokenizer renders the question otherwise than the trained template."""
        text = processor.apply_chat_template(self._messages, tokenize=False, add_generation_prompt=True)
        if text != self._text:
            raise TunesmithError(
                f"the written tokenizer renders {text!r}, the trained template {self._text!r}.\n"
                "  nothing was written; exporter.verify=false writes it all the same"
            )

    def _compute(self, model: Any) -> Any:
        """Logits, float32 (T, V), of a classifier (labels,), on the CPU, in evaluation mode."""
        model.eval()
        with torch.no_grad():
            return model(input_ids=self._ids.to(model.device), use_cache=False).logits[0].float().cpu()
