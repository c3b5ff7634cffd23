"""What a run trained beside its model, such as PPO's value head: kept in an export, where nobody takes it for more.

Programs that serve a model read every safetensors file beside its config.json, and stop at tensors that it does not
have. So heads stand in a folder of their own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tunesmith import announce

FOLDER = "heads"
"""Where an export has them."""

_PATTERN = "*_head.safetensors"


def keep_heads(run: Path, folder: Path) -> tuple[str, ...]:
    """Copy the heads that a run left beside its result, and say so.

    Args:
        run: its folder, or that of an export which kept them.
        folder: of the export.

    Returns: names of the files.
    """
    found = sorted([*run.glob(_PATTERN), *(run / FOLDER).glob(_PATTERN)])
    for file in found:
        (folder / FOLDER).mkdir(exist_ok=True)
        shutil.copyfile(file, folder / FOLDER / file.name)
        announce(file.stem, f"kept as {FOLDER}/{file.name}", "trained beside the model, and no part of what is served")
    return tuple(file.name for file in found)
