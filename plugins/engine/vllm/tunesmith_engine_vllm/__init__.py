"""Answers with vLLM, in this process: many requests at once, on GPUs."""

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
    "pip install 'tunesmith-engine-vllm[program]', in an environment of its own: vLLM pins torch and transformers"
)


@plugin
class VLLM(SamplingOptions):
    """Generates with vLLM: continuous batching, shared prefixes, LoRA adapters by request, answers by a grammar.

    null leaves a value of sampling to the model's own generation_config, and one of the engine to vLLM.
    """

    traits: ClassVar[EngineTraits] = EngineTraits(loads_weights=True)

    temperature: Annotated[float, between(0, 2)] | None = None  # 0 is greedy, 1 the model's own probabilities
    # above 1 makes tokens that occurred less likely
    repetition_penalty: Annotated[float, above(0, most=2)] | None = None
    # tokens of a prompt and its answer; null is the model's
    max_model_len: Annotated[int, at_least(1, most=100_000_000)] | None = None
    max_num_seqs: Annotated[int, at_least(1, most=1_000_000)] | None = None  # answers that are computed together
    gpu_memory_utilization: Annotated[float, between(0, 1)] = 0.9  # share of a GPU's memory that is taken
    tensor_parallel_size: Annotated[int, at_least(1, most=4096)] = 1  # GPUs that share each layer
    quantization: str | None = None  # how weights are stored in fewer bits: fp8, bitsandbytes, …; null is as they are
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"  # auto is what `precision` says
    enforce_eager: bool = False  # no CUDA graphs: quicker to start, slower to answer
    enable_sleep_mode: bool = False  # whether a sleeping engine keeps its weights in the machine's memory
    # LoRA folders beside the run's; a request may choose one by its folder's name
    adapters: Annotated[list[str], path_like] = []
    max_lora_rank: Annotated[int, at_least(1, most=512)] | None = None  # null is what the adapters have
    options: dict[str, Any] = {}  # further arguments of vLLM's AsyncEngineArgs: {kv_cache_dtype: fp8}
    _trusted: bool = False  # whether code that comes with the model is run

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = []
        if importlib.util.find_spec("vllm") is None:
            problems.append(Problem("engine", "engine=vllm runs vLLM, which is not installed", _INSTALL))
        if plan.uses("quantizer"):
            message = "vLLM reads the model's files itself, and knows nothing of what a quantizer makes of them."
            advice = "engine.quantization=fp8 or bitsandbytes; or export the model in few bits, and ask that"
            problems.append(Problem("quantizer", message, advice))
        if plan.uses("patch"):
            message = f"patch={','.join(plan.names('patch'))} shapes models of transformers, and vLLM runs its own"
            problems.append(Problem("patch", message, "engine=transformers runs what was trained", "warning"))
        if plan.command == "train" and not self.enable_sleep_mode:
            message = "vLLM is started anew for each step, for it ends while the model learns from its answers."
            advice = "engine.enable_sleep_mode=true keeps it, and its weights in the machine's memory"
            problems.append(Problem("engine.enable_sleep_mode", message, advice, "warning"))
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._trusted = bool(plan.get("model.trust_remote_code", False))

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_engine.estimating import of_own_weights
        from tunesmith_library_estimates.changes import Change

        made = of_own_weights(
            *(estimate, plan, self.gpu_memory_utilization, self.tensor_parallel_size),
            name="vLLM",
            asleep=self.enable_sleep_mode,
        )
        less, room = round(self.gpu_memory_utilization / 2, 2), estimate.machine.room
        own = sum(weight.bytes for weight in estimate.weights) / self.tensor_parallel_size
        if plan.command == "train" and room is not None and own < less * room.total:
            costs = "vLLM has room for fewer answers at a time"
            made = made.offering(Change((f"engine.gpu_memory_utilization={less:g}",), "time", costs))
        return made.without(f"what quantization={self.quantization} saves") if self.quantization else made

    @hookimpl
    def open_engine(self, handle: ModelHandle) -> Engine:
        from pathlib import Path

        from .engine import VLLMEngine
        from .opening import Opening

        named = {
            "max_model_len": self.max_model_len,
            "max_num_seqs": self.max_num_seqs,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "tensor_parallel_size": self.tensor_parallel_size,
            "quantization": self.quantization,
            "enforce_eager": self.enforce_eager,
            "enable_sleep_mode": self.enable_sleep_mode,
            "dtype": None if self.dtype == "auto" else self.dtype,
            "max_lora_rank": self.max_lora_rank,
            "trust_remote_code": self._trusted,
        }
        given = {name: value for name, value in named.items() if value is not None}
        return VLLMEngine(handle, self.sampling(), Opening(given, self.options, [Path(name) for name in self.adapters]))
