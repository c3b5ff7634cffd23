"""Answers with a model that runs elsewhere, behind any server that speaks OpenAI's protocol."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least, filled
from tunesmith.traits import EngineTraits
from tunesmith.types import Engine, ModelHandle, Problem
from tunesmith_library_engine.sampling import SamplingOptions

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class OpenAI(SamplingOptions):
    """Generates at an OpenAI-compatible server: vLLM, SGLang, llama.cpp's, `tunesmith api`, or a service.

    Beside `model.path` the server is sent tokens, and says tokens; without it conversations, and nothing of a model is
    needed here. null leaves a value to the server.
    """

    traits: ClassVar[EngineTraits] = EngineTraits(brings_model=True)

    base_url: Annotated[str, filled]  # of the server, with the path that its routes are under: http://localhost:8000/v1
    model: Annotated[str | None, filled] = None  # its name there; null is the only one, or the first that is no adapter
    api_key_env: Annotated[str | None, filled] = None  # environment variable that holds the key; null sends none
    # what the server knows beside OpenAI's fields: as openai, vllm, sglang, llamacpp or tunesmith; auto asks it
    server: Annotated[str, filled] = "auto"
    batch_size: Annotated[int, at_least(1, most=10_000)] = 16  # answers that are asked for at a time; more wait
    timeout: Annotated[float, above(0, most=86_400)] = 600.0  # seconds without a word after which a request is given up
    retries: Annotated[int, at_least(0, most=100)] = 5  # further attempts, where the server is busy or not reached

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .addresses import address_problems, key_problems
        from .servers import server_problems

        problems = [*address_problems(self.base_url), *key_problems(self.api_key_env), *server_problems(self.server)]
        for kind in () if plan.uses("model") else dict.fromkeys(key[0] for key in plan.origins):
            if kind in ("template", "quantizer", "adapter", "patch"):
                message = (
                    f"{kind} belongs to a model that is here, and none is named: the server's is its own business."
                )
                problems.append(Problem(str(kind), message, f"leave {kind} out, or name the model: model.path=MODEL"))
        return problems

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        """Of a model that is named the tokenizer alone is loaded; the weights are the server's."""
        return estimate if plan.command == "train" else replace(estimate, weights=(), memory={})

    @hookimpl
    def open_engine(self, handle: ModelHandle) -> Engine:
        from .addresses import key_of
        from .client import Client
        from .engine import OpenAIEngine

        key, variable = key_of(self.api_key_env), self.api_key_env
        client = Client(self.base_url, key, variable=variable, timeout=self.timeout, retries=self.retries)
        return OpenAIEngine(client, handle, self.sampling(), model=self.model, server=self.server, most=self.batch_size)
