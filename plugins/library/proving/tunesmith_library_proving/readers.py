"""The programs that serve an artefact: what the gate asks of one, and transformers, which serves folders.

An exporter of another format brings a reader of its own: llama.cpp for GGUF, onnxruntime for ONNX.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tunesmith import TunesmithError
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_chat.messages import canonical, content_form
from tunesmith_library_publishing.inventory import read_json

from tunesmith_library_proving.computing import in_float32
from tunesmith_library_proving.quieting import errors_only
from tunesmith_library_proving.texts import Text


class Reader(ABC):
    """An artefact, loaded by the program that will serve it."""

    program: str
    """With its version: `transformers 5.23.0`."""

    @abstractmethod
    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        """Of a text's tokens: float32 on the CPU, (T, V), or the scores of a classifier, (labels,)."""

    def last(self, ids: Sequence[int]) -> torch.Tensor:
        """Of the token that comes after these: float32 on the CPU, (V,)."""
        return self.logits(ids)[-1]

    def text(self, text: Text, prompt: bool) -> str | None:
        """A conversation as the artefact's own template writes it; None where the program renders nothing.

        Args:
            prompt: the first question alone, up to where an answer begins.
        """
        return None

    def tokens(self, text: str) -> list[int] | None:
        """A text in the artefact's own tokens; None where it has no tokenizer."""
        return None

    def answer(self, ids: Sequence[int], count: int) -> list[int]:
        """The tokens that are likeliest after these, one after the other.

        Not by an engine: each program under proof is asked in the plainest way, without a cache, and all alike.
        """
        found = list(ids)
        for _ in range(count):
            found.append(int(self.last(found).argmax()))
        return found[len(ids) :]


class ModelReader(Reader):
    """A model of transformers in memory, which computes in float32 whatever its weights are held in."""

    program = f"transformers {transformers.__version__}"

    def __init__(self, model: Any, processor: Any = None) -> None:
        self.model, self.processor = model.eval(), processor

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        return self._said(ids)

    def last(self, ids: Sequence[int]) -> torch.Tensor:
        """A prompt may be long, and its other tokens' logits take more memory than the model."""
        plain = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        takes = "logits_to_keep" in inspect.signature(plain.forward).parameters
        return self._said(ids, **({"logits_to_keep": 1} if takes else {}))[-1]

    def _said(self, ids: Sequence[int], **options: Any) -> torch.Tensor:
        inputs = torch.tensor([list(ids)], device=next(self.model.parameters()).device)
        with torch.no_grad(), in_float32(self.model):
            said = self.model(input_ids=inputs, use_cache=False, **options)
        logits = said.logits[0] if "logits" in said else said.last_hidden_state[0].mean(0)
        return logits.float().cpu()  # type: ignore[no-any-return]

    def text(self, text: Text, prompt: bool) -> str | None:
        if self.processor is None or not text.messages:
            return None
        turns = list(text.messages)
        if prompt:
            turns = turns[: next(at for at, turn in enumerate(turns) if turn["role"] == "user") + 1]
        form = content_form(self.processor.chat_template or tokenizer_of(self.processor).chat_template or "")
        turns = [canonical(dict(turn), form) for turn in turns]
        options: dict[str, Any] = {"tools": list(text.tools) or None, "add_generation_prompt": prompt}
        said: str = self.processor.apply_chat_template(turns, tokenize=False, **options)
        return said

    def tokens(self, text: str) -> list[int] | None:
        if self.processor is None:
            return None
        ids: list[int] = tokenizer_of(self.processor).encode(text, add_special_tokens=False)
        return ids


def load_folder(
    folder: Path,
    device: Any = None,
    model_class: Any = None,
    processor_class: Any = None,
    *,
    dtype: str = "auto",
    **options: Any,
) -> ModelReader:
    """What plain transformers makes of a folder: the class that its config.json names, its tokenizer and template.

    Args:
        device: where the model computes; None is the CPU.
        model_class, processor_class: of a model that transformers does not have, and that came with its own code.
        dtype: of the weights, as torch names it; auto is what they are stored in.
        options: of `from_pretrained`.

    Raises: TunesmithError when it cannot be loaded, or weights of the class are missing in its files.
    """
    try:
        said = read_json(folder / "config.json")
        name = next(iter(said.get("architectures") or ()), "")
        known = None if "auto_map" in said else getattr(transformers, name, None)
        loaded = known or model_class or transformers.AutoModelForCausalLM
        own = "auto_map" in read_json(folder / "tokenizer_config.json") and processor_class is not None
        with errors_only("transformers"):  # it reports tensors that a class lacks, as the inventory does
            read: Any = loaded.from_pretrained
            model, found = read(folder, dtype=dtype, output_loading_info=True, **options)
        processor = (processor_class if own else transformers.AutoTokenizer).from_pretrained(folder)
    except Exception as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        raise TunesmithError(f"transformers cannot load what was written: {cause}") from error
    missing, other = sorted(found["missing_keys"]), sorted(map(str, found["mismatched_keys"]))
    if missing or other:
        what = f"lacks {len(missing)} weights" if missing else f"has {len(other)} weights of another shape"
        raise TunesmithError(f"what was written {what} of {loaded.__name__}, such as {(missing or other)[0]}")
    return ModelReader(model if device is None else model.to(device), processor)
