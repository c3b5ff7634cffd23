"""What a draft begins with: a file or a run by its name, or a command line as somebody has it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from tunesmith import TunesmithError
from tunesmith_library_configuration.recipes import find_recipe, recipes

from tunesmith_library_studio.workspace import Workspace

_PROGRAMS = ("$", "tunesmith", "llamafactory-cli", "train")


def source_of(written: str, workspace: Workspace) -> Path:
    """The file of a recipe, of the workspace, or of a run by its folder.

    Raises: TunesmithError where there is none; OutsideWorkspace.
    """
    found = find_recipe(Path(written)) if not (workspace.root / written).exists() else None
    path = found or workspace.path(written)
    if path.is_dir() and not (path / "run.yaml").is_file():
        raise TunesmithError(f"{written} holds no run: it has no run.yaml.")
    if not path.exists():
        raise TunesmithError(f"{written}: there is no such file.\nrecipes: {', '.join(recipes())}")
    return path / "run.yaml" if path.is_dir() else path


def words_of(line: str) -> list[str]:
    """The words of a command line behind the program and its command; nothing in it is expanded or run.

    Raises: TunesmithError for a quotation mark that is not closed.
    """
    try:
        words = shlex.split(line.replace("\\\n", " "))
    except ValueError as error:
        raise TunesmithError(f"this is no command line: {str(error).lower()}") from error
    while words and words[0] in _PROGRAMS:
        del words[0]
    return words


def parts_of(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The configuration that words name, if any, and the overrides over it; flags may be keys. It imports plugins.

    Raises: TunesmithError for two configurations, and for a flag that is nobody's key.
    """
    from tunesmith.cli.flags import with_overrides

    known = with_overrides(words, ())
    strange = [word for word in known if word.startswith("-")]
    if strange:
        raise TunesmithError(f"{strange[0]} is no key of a configuration.\nwrite key=value, like adapter.rank=16")
    named = [word for word in known if "=" not in word]
    if len(named) > 1:
        raise TunesmithError(f"one configuration is possible, got {len(named)}: {', '.join(named)}")
    return (named[0] if named else None), [word for word in known if "=" in word]
