"""Upgrades: the `run.yaml` of an older version says what it meant, in the words of this one.

A file says which version wrote it under the key `tunesmith`; one without the key is older than all that have it. A
renamed option of a plugin needs no step here: its class says so (`renamed`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith import __version__
from tunesmith_library_configuration import versions
from tunesmith_library_configuration.versions import Step

VERSION = "tunesmith"
"""The key of a file under which the version that wrote it stands."""


def _without_special_tokens(tree: dict[str, Any]) -> dict[str, Any] | None:
    engine = tree.get("engine")
    if not isinstance(engine, dict) or engine.get("name", "transformers") != "transformers":
        return None
    if "skip_special_tokens" not in engine:
        return None
    return {**tree, "engine": {name: value for name, value in engine.items() if name != "skip_special_tokens"}}


STEPS = (
    Step("0.1.0", "engine.skip_special_tokens is no option any more: answers never show them", _without_special_tokens),
)


def upgraded(tree: dict[str, Any], source: str, steps: tuple[Step, ...] = STEPS) -> tuple[dict[str, Any], list[str]]:
    """Take the version off a file, and what was said otherwise in that version.

    Args:
        source: where it was written; only what a run wrote, or says its version, is changed.

    Returns: the file in the words of this version, and what was changed.
    Raises: ConfigError when the version is none.
    """
    if tree.get(VERSION) is None and Path(source).name != "run.yaml":
        return tree, []
    return versions.upgraded(tree, source, steps, VERSION, __version__)
