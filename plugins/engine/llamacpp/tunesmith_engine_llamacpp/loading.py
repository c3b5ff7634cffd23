"""What an engine has in llama.cpp while it is awake: the model, its adapters, and the memory over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith.types import ModelHandle
from tunesmith_library_llamacpp.context import Cache, Context
from tunesmith_library_llamacpp.files import adapter_file, gguf_file
from tunesmith_library_llamacpp.memory import refuse_too_many
from tunesmith_library_llamacpp.model import Model

BASE = "base"
"""The name of the model without an adapter."""

_LONGEST = 16_384  # tokens of memory where nobody says how many
_BATCH = 512  # tokens that are computed at a time


@dataclass(frozen=True)
class Opening:
    """The options of the engine that are llama.cpp's."""

    gpu_layers: int
    threads: int | None
    sequences: int  # answers that are computed together
    tokens: int | None  # of memory
    shared: bool  # whether the answers have it together, or each so much
    cache: Cache
    adapters: Sequence[str]  # files


class Loaded:
    """A model in memory.

    Raises: TunesmithError for a handle that has no GGUF file, or one that llama.cpp does not run.
    """

    def __init__(self, handle: ModelHandle, opening: Opening) -> None:
        known = getattr(handle.processor, "file", None)  # of a tokenizer that was read from the file itself
        self.model = Model(known or gguf_file(handle.source.path), gpu_layers=opening.gpu_layers)
        if not self.model.writes:
            raise TunesmithError(f"{self.model.file} is of a model that gives vectors or scores: it cannot answer")
        own = [] if handle.adapter is None else [adapter_file(handle.adapter)]
        files = [*own, *map(Path, opening.adapters)]
        self.adapters = {name: self.model.adapter(file) for name, file in named(files).items()}
        self.default = next(iter(self.adapters), BASE)
        self.context_length = self._room(opening.tokens)
        self.tokens = self.context_length * (1 if opening.shared else opening.sequences)
        if opening.gpu_layers == 0 or not self.model.native.llama_supports_gpu_offload():
            refuse_too_many(self.model.metadata, opening.cache, self.tokens)
        self.context = Context(
            self.model,
            tokens=self.tokens,
            sequences=opening.sequences,
            shared=opening.shared,
            batch=_BATCH,
            threads=opening.threads,
            cache=opening.cache,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What a request may choose; nothing where there is no adapter."""
        return (BASE, *self.adapters) if self.adapters else ()

    def adapter(self, name: str | None) -> Any:
        """The weights of an adapter; None for the model alone."""
        return self.adapters.get(self.default if name is None else name)

    def close(self) -> None:
        self.context.close()
        self.model.close()

    def _room(self, wanted: int | None) -> int:
        trained = self.model.context_length
        if wanted is not None:
            if wanted > trained:
                logger.warning("engine.context_length=%d: the model was trained for %d tokens", wanted, trained)
            return wanted
        if trained > _LONGEST:
            announce("context", f"{_LONGEST} tokens", f"the model has {trained}; engine.context_length=N gives more")
        return min(trained, _LONGEST)


def named(files: Sequence[Path]) -> dict[str, Path]:
    """Adapters by the names of their files, or of their folders where those are alike.

    Raises: TunesmithError for two of the same name, and for a file that is given twice.
    """
    places = [file.resolve() for file in files]
    twice = next((file for at, file in enumerate(files) if places[at] in places[:at]), None)
    if twice is not None:
        raise TunesmithError(f"the adapter {twice} is given twice.\n  engine.adapters names each file once")
    stems = [file.stem for file in files]
    names = stems if len(set(stems)) == len(stems) else [file.absolute().parent.name for file in files]
    found = dict(zip(names, files, strict=True))
    if len(found) < len(files) or BASE in found:
        raise TunesmithError(
            "adapters are called by their files, or by the folders of those where the files are called alike, and of "
            f"{', '.join(map(str, files))} two have one name, or one is called {BASE}.\n  give one of them another name"
        )
    return found
