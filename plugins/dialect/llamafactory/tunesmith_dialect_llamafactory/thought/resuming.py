"""A run that goes on: ours from its newest checkpoint, LLaMA-Factory's with the weights of one of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.folders import is_run
from tunesmith_library_configuration.handles import holds_adapter, holds_model

from tunesmith_dialect_llamafactory.draft import Draft

_STATE = "trainer_state.json"
_OPTIMIZER = ("optimizer.pt", "scheduler.pt")


def resume_from_checkpoint(key: str, value: Any, draft: Draft) -> None:
    if value is False or str(value).lower() == "false":
        return
    output = draft.get("output_dir")
    newest = value is True or str(value).lower() == "true"
    folder = Path(str(output or ".")) if newest else Path(str(value)).parent
    checkpoint = _newest(folder) if newest else Path(str(value))
    draft.forget("overwrite")
    if checkpoint is not None and (checkpoint / _STATE).is_file() and not is_run(folder):
        _go_on_with(checkpoint, key, draft)
    elif not newest and output and folder.resolve() != Path(output).resolve():
        draft.refuse(key, f"a run goes on in its own folder, and output_dir is {output}.", f"output_dir: {folder}")
    else:
        if not newest:
            draft.put("output_dir", str(folder), key)
            draft.note(key, "translated", f"the run in {folder} goes on from its newest checkpoint.")
        draft.put("resume", True, key)


def _newest(folder: Path) -> Path | None:
    """The checkpoint with the most steps."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _go_on_with(checkpoint: Path, key: str, draft: Draft) -> None:
    """Go on with a checkpoint that LLaMA-Factory wrote, in a folder of the new run's own.

    Where it holds the state of its optimizer, the new run begins after its steps; else it trains on its weights.
    """
    whole = all((checkpoint / name).is_file() for name in _OPTIMIZER) and draft.objective != "ppo"
    if not (holds_adapter(checkpoint) or holds_model(checkpoint)):
        draft.refuse(key, f"{checkpoint} holds neither an adapter nor a model.", "resume_from_checkpoint: FOLDER")
        return
    if whole:
        draft.put("trainer.resume_from", str(checkpoint), key)
    else:
        draft.put("adapter.path" if holds_adapter(checkpoint) else "model.path", str(checkpoint), key)
    output = draft.get("output_dir")
    own = not output or Path(str(output)).expanduser().resolve() == checkpoint.parent.resolve()
    folder = f"{checkpoint.parent}-continued" if own else str(output)
    draft.put("output_dir", folder, key if own else "output_dir")
    step = json.loads((checkpoint / _STATE).read_text(encoding="utf-8")).get("global_step", "?")
    does = (
        f"a new run in {folder} goes on after its step {step}, with its weights, optimizer and "
        "schedule; the examples come in another order."
        if whole
        else f"the weights of its step {step} are trained on as a new run in {folder}, for the "
        "state of its optimizer was not kept."
    )
    draft.note(key, "translated", f"LLaMA-Factory wrote it: {does}")
