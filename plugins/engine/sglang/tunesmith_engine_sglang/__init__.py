"""Answers with SGLang, in this process: many requests at once, on GPUs."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least, between, path_like
from tunesmith.traits import EngineTraits
from tunesmith.types import Engine, ModelHandle, Problem
from tunesmith_library_engine.sampling import SamplingOptions

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate

_INSTALL = (
    "pip install 'tunesmith-engine-sglang[program]', in an environment of its own: SGLang pins torch, transformers"
)


@plugin
class SGLang(SamplingOptions):
    """Generates with SGLang: continuous batching, shared prefixes, LoRA adapters by request, answers by a grammar.

    null leaves a value of sampling to the model's own generation_config, and one of the engine to SGLang.
    """

    traits: ClassVar[EngineTraits] = EngineTraits(loads_weights=True)

    # above 1 makes tokens that occurred less likely
    repetition_penalty: Annotated[float, above(0, most=2)] | None = None
    # tokens of a prompt and its answer; null is the model's
    context_length: Annotated[int, at_least(1, most=100_000_000)] | None = None
    max_running_requests: Annotated[int, at_least(1, most=1_000_000)] | None = None  # answers computed together
    mem_fraction_static: Annotated[float, between(0, 1)] | None = None  # share of a GPU's memory for weights and cache
    tp_size: Annotated[int, at_least(1, most=4096)] = 1  # GPUs that share each layer
    quantization: str | None = None  # how weights are stored in fewer bits: fp8, …; null is as they are
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"  # auto is what `precision` says
    # the same seed gives the same answer, whatever is answered beside it; slower
    enable_deterministic_inference: bool = False
    enable_memory_saver: bool = False  # whether a sleeping engine keeps its weights in the machine's memory
    # LoRA folders beside the run's; a request may choose one by its folder's name
    adapters: Annotated[list[str], path_like] = []
    lora_backend: str | None = None  # kernels that put adapters over the model: triton, csgmv, …
    options: dict[str, Any] = {}  # further arguments of SGLang's ServerArgs: {attention_backend: triton}
    _trusted: bool = False  # whether code that comes with the model is run

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = []
        if importlib.util.find_spec("sglang") is None:
            problems.append(Problem("engine", "engine=sglang runs SGLang, which is not installed", _INSTALL))
        if plan.uses("quantizer"):
            message = "SGLang reads the model's files itself, and knows nothing of what a quantizer makes of them."
            advice = "engine.quantization=fp8; or export the model in few bits, and ask that"
            problems.append(Problem("quantizer", message, advice))
        if plan.uses("patch"):
            message = f"patch={','.join(plan.names('patch'))} shapes models of transformers, and SGLang runs its own"
            problems.append(Problem("patch", message, "engine=transformers runs what was trained", "warning"))
        if plan.command == "train" and not self.enable_memory_saver:
            message = "SGLang is started anew for each step, for it ends while the model learns from its answers."
            advice = "engine.enable_memory_saver=true keeps it, and its weights in the machine's memory"
            problems.append(Problem("engine.enable_memory_saver", message, advice, "warning"))
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._trusted = bool(plan.get("model.trust_remote_code", False))

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_engine.estimating import of_own_weights

        share = self.mem_fraction_static
        if share is None:
            return estimate.without("what SGLang takes: it chooses the share of a card itself (mem_fraction_static)")
        made = of_own_weights(estimate, plan, share, self.tp_size, name="SGLang", asleep=False)
        return made.without(f"what quantization={self.quantization} saves") if self.quantization else made

    @hookimpl
    def open_engine(self, handle: ModelHandle) -> Engine:
        from pathlib import Path

        from .engine import SGLangEngine
        from .opening import Opening

        named = {
            "context_length": self.context_length,
            "max_running_requests": self.max_running_requests,
            "mem_fraction_static": self.mem_fraction_static,
            "tp_size": self.tp_size,
            "quantization": self.quantization,
            "dtype": None if self.dtype == "auto" else self.dtype,
            "enable_deterministic_inference": self.enable_deterministic_inference,
            "enable_memory_saver": self.enable_memory_saver,
            "lora_backend": self.lora_backend,
            "trust_remote_code": self._trusted,
        }
        given = {name: value for name, value in named.items() if value is not None}
        return SGLangEngine(
            handle, self.sampling(), Opening(given, self.options, [Path(name) for name in self.adapters])
        )
