"""What vLLM is opened with: its arguments, of the plugin's options and of the model at hand."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith.types import ModelHandle
from tunesmith_library_engine.loras import Lora, loras_of

_NUMBERS = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has room for


@dataclass(frozen=True)
class Opening:
    """The options of the engine that are vLLM's."""

    given: Mapping[str, Any]  # those with fields of their own
    further: Mapping[str, Any]  # by vLLM's names
    adapters: Sequence[Path] = ()

    def loras(self, handle: ModelHandle) -> tuple[Lora, ...]:
        """The adapters; the first acts where a request names none.

        Raises: TunesmithError for one that vLLM does not run.
        """
        own = [] if handle.adapter is None else [handle.adapter]
        return loras_of([*own, *self.adapters], "vLLM")

    def arguments(self, handle: ModelHandle) -> Any:
        """vLLM's `AsyncEngineArgs`.

        Raises: TunesmithError for an argument that it does not have, and a folder that holds no model.
        """
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm.engine.arg_utils import AsyncEngineArgs

        folder = handle.source.path
        if not (folder / "config.json").is_file():
            raise TunesmithError(
                f"{folder} holds no config.json, by which vLLM knows a model.\n  engine=llamacpp runs GGUF"
            )
        known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
        for name in self.further:
            if name not in known:
                raise TunesmithError(f"engine.options.{name}: vLLM has no such argument.\n  {choices(name, known)}")
        made = {
            "model": str(folder),
            "dtype": _NUMBERS[handle.source.precision],
            "seed": handle.source.seed,
            "max_logprobs": -1,
            "disable_log_stats": True,
            "structured_outputs_config": {"backend": "guidance"},
            **self._lora_arguments(handle),
            **self.given,
            **self.further,
        }
        try:
            return AsyncEngineArgs(**made)
        except (TypeError, ValueError) as error:
            raise TunesmithError(f"vLLM does not take these options: {error}") from error

    def _lora_arguments(self, handle: ModelHandle) -> dict[str, Any]:
        loras = self.loras(handle)
        if not loras:
            return {}
        wanted = max(lora.rank for lora in loras)
        rank = next((rank for rank in _RANKS if rank >= wanted), None)
        if rank is None:
            raise TunesmithError(
                f"an adapter has the rank {wanted}; vLLM has room for {_RANKS[-1]} at most.\n"
                "  merge it: tunesmith export RUN exporter=merged"
            )
        return {"enable_lora": True, "max_loras": len(loras), "max_lora_rank": rank}
