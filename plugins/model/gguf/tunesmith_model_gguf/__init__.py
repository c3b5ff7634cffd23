"""GGUF files as models to be asked: `tunesmith chat FILE.gguf` needs nothing beside the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.addresses import hub_of
from tunesmith.keys import Key
from tunesmith.ranges import filled, path_like
from tunesmith.types import ModelSource, Precision, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_llamacpp.program import is_installed

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_INSTALL = "pip install 'tunesmith-model-gguf[program]'"
_NEXT = "train, export and measure the model that the file was written from"


@plugin
class GGUF:
    """The tokenizer and the chat template of a GGUF file, by llama.cpp; its weights are left to an engine."""

    SHORTHAND: ClassVar[str] = "path"

    path: Annotated[str, path_like]  # GGUF file, here or on a hub (hf://org/name/FILE.gguf), or its folder
    revision: Annotated[str | None, filled] = None  # branch, tag or commit on the hub; null is the hub's default
    file: Annotated[str | None, filled] = None  # name of the file, where the folder holds several

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = []
        if not is_installed():
            problems.append(
                Problem("model", "model=gguf reads files with llama-cpp-python, which is not installed", _INSTALL)
            )
        if hub_of(self.path)[0] != "local" and not self.path.lower().endswith(".gguf"):
            message = f"model.path={self.path} is a repository, which holds the model in many sizes; one file is taken"
            problems.append(Problem("model.path", message, f"model.path={_scheme(self.path)}/FILE.gguf"))
        if plan.command in ("train", "export"):
            message = (
                f"{self.path} is a GGUF file, which llama.cpp runs: it can be asked, and not {_done(plan.command)}"
            )
            problems.append(Problem("model", message, _NEXT))
        elif plan.uses("engine") and getattr(plan.traits("engine"), "runs_modules", False):
            message = f"{self.path} is a GGUF file, and engine={plan.name('engine')} runs models of transformers"
            problems.append(Problem("engine", message, "engine=llamacpp runs it"))
        asked = plan.origin(Key("adapter", "name"))
        typed = asked is not None and asked.line is None  # a file may be of the training, whose adapter is meant
        if typed and plan.command not in ("train", "export") and plan.get("adapter.path", "") is None:
            message = f"adapter={plan.name('adapter')} has nothing to put over {self.path}, a GGUF file."
            advice = "engine.adapters=[LORA.gguf] puts an adapter over it; or leave it out"
            problems.append(Problem("adapter.name", message, advice))
        return problems

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_file

        return estimate_file(estimate, self.path, self.file)

    @hookimpl
    def resolve_precision(self, requested: str) -> Precision:
        """What the file holds decides; nothing is computed in other numbers than those of llama.cpp."""
        return "bf16" if requested == "bf16" else "fp16" if requested == "fp16" else "fp32"

    @hookimpl
    def load_processor(self, source: ModelSource) -> Any:
        from tunesmith_library_llamacpp.files import gguf_file
        from tunesmith_library_llamacpp.tokenizer import GGUFTokenizer

        return GGUFTokenizer(gguf_file(Path(source.path), self.file))

    @hookimpl
    def load_model(self, source: ModelSource, processor: Any, quantization: Any) -> Any:
        raise TunesmithError(
            f"{source.address} is a GGUF file: llama.cpp runs it, and nothing loads it as a model of torch.\n  "
            f"ask it with engine=llamacpp; {_NEXT}"
        )


def _scheme(address: str) -> str:
    """An address that names its hub: one with a file in it would be taken for a path."""
    return address if "://" in address else f"hf://{address}"


def _done(command: str) -> str:
    return "trained" if command == "train" else "exported"
