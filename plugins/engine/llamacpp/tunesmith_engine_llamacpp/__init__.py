"""Answers with llama.cpp: GGUF files, on small machines and large ones, as they will be served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least, path_like
from tunesmith.types import Engine, ModelHandle, Problem
from tunesmith_library_engine.sampling import SamplingOptions
from tunesmith_library_llamacpp.program import is_installed

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

_INSTALL = "pip install 'tunesmith-engine-llamacpp[program]'"


@plugin
class LlamaCpp(SamplingOptions):
    """Generates with a GGUF file in llama.cpp, several answers at once, every one streamed.

    null leaves a value to what the file says of sampling; where that says nothing, answers are greedy.
    """

    # answers computed together; more wait until there is room
    batch_size: Annotated[int, at_least(1, most=256)] = 8
    # tokens that there is memory for, which the answers that are computed together share; one prompt with its answer
    # may have all of them; null is what the model was trained for, at most 16384
    context_length: Annotated[int, at_least(1, most=100_000_000)] | None = None
    # whether the answers share that memory, or each has as much apart: batch_size times the memory, and less to compute
    # for several long prompts
    memory: Literal["shared", "apart"] = "shared"
    # numbers that keys and values of attention are held in: f32 computes most exactly, q8_0 takes half of f16's memory
    cache: Literal["f32", "f16", "bf16", "q8_0", "q4_0"] = "f16"
    gpu_layers: Annotated[int, at_least(-1, most=1_000_000)] = -1  # layers that a GPU holds; -1 is all
    threads: Annotated[int, at_least(1, most=10_000)] | None = None  # null is one for each processor
    # GGUF files with LoRA weights; a request may choose one by its name, and the first acts where it does not
    adapters: Annotated[list[str], path_like] = []

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if is_installed():
            return []
        return [Problem("engine", "engine=llamacpp runs llama-cpp-python, which is not installed", _INSTALL)]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_engine

        return estimate_engine(self, estimate, plan)

    @hookimpl
    def open_engine(self, handle: ModelHandle) -> Engine:
        from .engine import LlamaCppEngine
        from .loading import Opening

        opening = Opening(
            gpu_layers=self.gpu_layers,
            threads=self.threads,
            sequences=self.batch_size,
            tokens=self.context_length,
            shared=self.memory == "shared",
            cache=self.cache,
            adapters=tuple(self.adapters),
        )
        return LlamaCppEngine(handle, self.sampling(), opening)
