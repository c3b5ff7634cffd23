"""What does not go with weights that are spread over processes; free of torch."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import nearest
from tunesmith.planning import Plan
from tunesmith.types import Problem
from tunesmith_library_weights.plans import suitable

from tunesmith_parallel_fsdp import plans

if TYPE_CHECKING:
    from tunesmith_parallel_fsdp import Fsdp


def problems(options: Fsdp, plan: Plan) -> list[Problem]:
    """Everything that can be said before anything is loaded."""
    return [
        *_processes(options, plan),
        *_trainer(plan),
        *_quantizer(plan),
        *_options(options, plan),
        *_wrap(options, plan),
        *plans.problems(options, plan),
    ]


def _processes(options: Fsdp, plan: Plan) -> list[Problem]:
    count = plan.processes
    if count is not None and count % options.replicas:
        message = f"{count} processes cannot be divided into {options.replicas} groups with a copy of the model each."
        possible = [number for number in range(1, count + 1) if count % number == 0]
        return [Problem("parallel.replicas", message, f"possible: {', '.join(map(str, possible))}")]
    return []


def _trainer(plan: Plan) -> list[Problem]:
    found = [
        Problem(
            f"trainer.{name}",
            f"parallel=fsdp spreads the weights, and trainer.{name} would too.",
            f"trainer.{name}=null",
        )
        for name in ("fsdp", "deepspeed")
        if plan.get(f"trainer.{name}")
    ]
    if plan.get("precision") == "fp16":
        message = "parallel=fsdp computes in bf16 or fp32: the loss scale of fp16 is not shared by its processes."
        found.append(Problem("precision", message, "precision=bf16"))
    return found


def _quantizer(plan: Plan) -> list[Problem]:
    traits = plan.traits("quantizer")
    if traits is None or "fsdp" in traits.spreads:
        return []
    message = f"quantizer={plan.name('quantizer')}: its weights cannot be cut in pieces, as parallel=fsdp does."
    others = suitable(plan, "quantizer", lambda traits: "fsdp" in traits.spreads)
    return [Problem("quantizer", message, " or ".join(filter(None, (others, "parallel=ddp"))))]


def _options(options: Fsdp, plan: Plan) -> list[Problem]:
    found = []
    if options.wrap and options.min_num_params:
        message = "wrap and min_num_params both say which modules come together on their own."
        found.append(Problem("parallel.min_num_params", message, "leave one of them out"))
    if options.checkpoints == "sharded" and plan.get("trainer.load_best_model_at_end"):
        message = (
            "The best checkpoint's weights are loaded from whole files, and parallel.checkpoints=sharded writes none."
        )
        found.append(Problem("parallel.checkpoints", message, "parallel.checkpoints=whole"))
    return found


def _wrap(options: Fsdp, plan: Plan) -> list[Problem]:
    """Names that are likely mistyped: not in transformers' code of the model, which has one very like them.

    Others may be those of an adapter, or of a part with code of its own; the loaded model is asked.
    """
    code = _code_of(plans.model_types(plan.get("model.path"))) if options.wrap else ""
    meant = {name: nearest(name, re.findall(r"^class (\w+)", code, re.MULTILINE), 0.8) for name in options.wrap}
    return [
        Problem("parallel.wrap", f"The model has no module {name}.", f"did you mean {near}?")
        for name, near in meant.items()
        if near and not re.search(rf"\b{re.escape(name)}\b", code)
    ]


def _code_of(model_types: set[str]) -> str:
    """What transformers' files of these models say, read without importing them."""
    package = find_spec("transformers")
    folders = (
        (Path(package.origin).parent / "models" / kind for kind in model_types) if package and package.origin else ()
    )
    return "\n".join(file.read_text(encoding="utf-8") for folder in folders for file in folder.glob("modeling_*.py"))
