"""Names that the installed transformers takes for an option, and files that options name; free of torch."""

from __future__ import annotations

import ast
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import choices
from tunesmith.types import Problem
from tunesmith_library_configuration.launchers import launched

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_trainer_transformers import Transformers


def name_problems(options: Transformers, plan: Plan) -> list[Problem]:
    """Names that transformers does not know, which it would tell when all is loaded, or never."""
    found = []
    optimizers = members("training_args.py", "OptimizerNames")
    if optimizers and options.optim not in optimizers and not plan.uses("optimizer"):
        message = f"trainer.optim={options.optim}: transformers has no optimizer of that name."
        found.append(Problem("trainer.optim", message, choices(options.optim, optimizers)))
    modes = members("trainer_utils.py", "FSDPOption")
    wrong = [word for word in (options.fsdp or "").split() if modes and word not in modes]
    if wrong and (options.fsdp or "").lower() not in ("true", "false"):
        message = f"trainer.fsdp={options.fsdp}: there is no {wrong[0]}."
        found.append(Problem("trainer.fsdp", message, choices(wrong[0], modes)))
    return found if options.fsdp else [*found, *_deepspeed(options.deepspeed, plan)]  # they exclude each other


def _deepspeed(path: str | None, plan: Plan) -> list[Problem]:
    """A configuration that is not there, or for which nothing is installed, or that nobody starts processes for."""
    if path is None:
        return []
    file = Path(path)
    if not file.is_file():
        beside = sorted(other.name for other in file.parent.glob("*.json")) if file.parent.is_dir() else []
        advice = (
            choices(file.name, beside, f"JSON files in {file.parent}") if beside else "give the path of a JSON file"
        )
        return [Problem("trainer.deepspeed", f"trainer.deepspeed={path}: there is no such file.", advice)]
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        return [Problem("trainer.deepspeed", f"{_place(file, error)}: it is no JSON: {error}.", "mend the file")]
    if not isinstance(given, dict):
        return [Problem("trainer.deepspeed", f"{file}: it holds no mapping.", '{"zero_optimization": {"stage": 2}, …}')]
    if importlib.util.find_spec("deepspeed") is None:
        return [Problem("trainer.deepspeed", "trainer.deepspeed needs the package deepspeed.", "pip install deepspeed")]
    if launched() is None and not plan.uses("parallel"):
        message = f"trainer.deepspeed={path} shares a model among processes, and none are started."
        return [
            Problem("trainer.deepspeed", message, f"trainer.deepspeed=null parallel=deepspeed parallel.config={path}")
        ]
    return []


def _place(file: Path, error: ValueError) -> str:
    return f"{file}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else str(file)


@cache
def members(module: str, name: str) -> tuple[str, ...]:
    """The values of an enumeration of the installed transformers, which is read but not imported; () where it is not
    found."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return ()
    source = Path(spec.origin).with_name(module)
    tree = ast.parse(source.read_text(encoding="utf-8")) if source.is_file() else ast.Module([], [])
    made = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    assigned = [node.value for node in made.body if isinstance(node, ast.Assign)] if made else []
    return tuple(value.value for value in assigned if isinstance(value, ast.Constant) and isinstance(value.value, str))
