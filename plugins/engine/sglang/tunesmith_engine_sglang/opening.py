"""What SGLang is opened with: its arguments, of the plugin's options and of the model at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith.types import ModelHandle
from tunesmith_library_engine.loras import Lora, loras_of

_NUMBERS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


@dataclass(frozen=True)
class Opening:
    """The options of the engine that are SGLang's."""

    given: Mapping[str, Any]  # those with fields of their own
    further: Mapping[str, Any]  # by SGLang's names
    adapters: Sequence[Path] = ()

    def loras(self, handle: ModelHandle) -> tuple[Lora, ...]:
        """The adapters; the first acts where a request names none.

        Raises: TunesmithError for one that SGLang does not run.
        """
        own = [] if handle.adapter is None else [handle.adapter]
        return loras_of([*own, *self.adapters], "SGLang")

    def arguments(self, handle: ModelHandle, known: Sequence[str]) -> dict[str, Any]:
        """Arguments of SGLang's `Engine`, which are those of its `ServerArgs`.

        Args:
            known: the names of all of them.

        Raises: TunesmithError for an argument that it does not have, and a folder that holds no model.
        """
        folder = handle.source.path
        if not (folder / "config.json").is_file():
            raise TunesmithError(
                f"{folder} holds no config.json, by which SGLang knows a model.\n  engine=llamacpp runs GGUF files"
            )
        for name in self.further:
            if name not in known:
                raise TunesmithError(f"engine.options.{name}: SGLang has no such argument.\n  {choices(name, known)}")
        loras = self.loras(handle)
        over = {
            "enable_lora": True,
            "lora_paths": {lora.name: str(lora.folder) for lora in loras},
            "max_loras_per_batch": len(loras) + 1,  # and the model without one
            "max_lora_rank": max((lora.rank for lora in loras), default=0),
        }
        return {
            "model_path": str(folder),
            "dtype": _NUMBERS[handle.source.precision],
            "random_seed": handle.source.seed,
            "grammar_backend": "llguidance",
            **(over if loras else {}),
            **self.given,
            **self.further,
        }
