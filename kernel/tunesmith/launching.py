"""Launching: a run of several processes starts its own command line again in each of them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.assemble import Assembly
from tunesmith.compose import Composition, Overrides
from tunesmith.errors import RESUMABLE, Interrupted, WorkersFailed
from tunesmith.messages import is_quiet
from tunesmith_library_configuration.overrides import written_overrides
from tunesmith_library_configuration.reading import to_yaml


def launch(run: Assembly, composition: Composition, config: Any, overrides: Overrides, folder: Path) -> None:
    """Train in processes that the selected `parallel` plugin starts, and wait for them.

    Args:
        config, overrides: as `train` was given them.
        folder: of the run.

    Raises: Interrupted when the run can be resumed; WorkersFailed when a process failed, which has said why.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-") as desk:
        words = _words(composition, config, overrides, Path(desk))
        quiet = ["--quiet"] if is_quiet() else []
        code: int = run.hook.launch(command=[sys.executable, "-m", "tunesmith", *quiet, "train", "--launched", *words])
    if code == RESUMABLE:
        raise Interrupted(f"continue with: tunesmith train {folder} resume=true")
    if code != 0:
        raise WorkersFailed(code)


def _words(composition: Composition, config: Any, overrides: Overrides, desk: Path) -> list[str]:
    """A configuration and its overrides as the command line takes them; a mapping is written to a file."""
    if isinstance(config, Mapping):
        file = desk / "config.yaml"
        file.write_text(to_yaml(dict(composition.tree)), encoding="utf-8")
        return [str(file)]
    return [*([] if config is None else [os.fspath(config)]), *written_overrides(overrides)]
