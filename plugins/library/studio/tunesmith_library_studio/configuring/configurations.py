"""Drafts of configurations for a front end: examined as they are typed, written down when a run is started."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.files import replacing
from tunesmith_library_configuration.recipes import recipes

from tunesmith_library_studio.configuring.forms import Forms
from tunesmith_library_studio.configuring.processes import Process
from tunesmith_library_studio.configuring.sources import source_of, words_of
from tunesmith_library_studio.workspace import Workspace

_REGISTRIES = ("datasets.yaml", "models.yaml")
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
_LONGEST_NAME = 80  # characters


@dataclass(frozen=True)
class Given:
    """A draft as a client hands it in: values of a form, a text, a file, or a command line; with overrides over it."""

    values: Mapping[str, Any] | None = None
    text: str | None = None
    source: str | None = None  # a recipe, a file, or the folder of a run
    overrides: Sequence[str] = ()
    command: str | None = None  # `tunesmith train conf/sft_lora.yaml adapter.rank=8`


class Configuring:
    """What becomes of drafts."""

    def __init__(self, workspace: Workspace, forms: Forms) -> None:
        self._workspace, self._forms = workspace, forms
        self._planning = Process(workspace, "figures", forms.environment)
        self._advising = Process(workspace, "advice", forms.environment, rest=30.0)

    @property
    def _folder(self) -> Path:
        folder = self._workspace.state / "configurations"
        folder.mkdir(exist_ok=True)
        return folder

    def answer(self, given: Given, client: str = "") -> dict[str, Any]:
        """Values, text, command line and problems of a draft: `drafts.answer`.

        Args:
            client: who asks; what the same one asked before, and waits, is dropped.

        Raises: TunesmithError; Outdated.
        """
        found: dict[str, Any] = self._forms.process.ask("answer", client, draft=self._draft(given, "draft"))
        return found

    def figures(self, given: Given, *, machine: str = "", advice: bool = False, client: str = "") -> dict[str, Any]:
        """What the run of a draft needs: `figures.figures`. Advice takes many seconds, in a process of its own; it is
        given up when the same client asks anew.

        Raises: TunesmithError; Outdated.
        """
        self._advising.drop(client)
        process, lane = (self._advising, "advice") if advice else (self._planning, "figures")
        asked = {"draft": self._draft(given, lane), "machine": machine, "advice": advice}
        found: dict[str, Any] = process.ask("figures", client, **asked)
        return found

    def recipes(self) -> list[dict[str, str]]:
        """What one may begin with: `name`, `title`, of the installed recipes and of the files in conf/."""
        own = {f"conf/{file.name}": file for file in sorted((self._workspace.root / "conf").glob("*.yaml"))}
        names = {file.name for file in own.values()}
        found = {**own, **{name: file for name, file in recipes().items() if name not in names}}
        return [{"name": name, "title": _title(file)} for name, file in found.items() if file.name not in _REGISTRIES]

    def free_name(self, wanted: str) -> str:
        """A name for a run that no run has: as it is wanted, or with a number behind it."""
        plain = _NOT_IN_NAMES.sub("-", wanted).strip("-.")[:_LONGEST_NAME] or "run"
        number, name = 1, plain
        while (self._workspace.runs / name).exists() or self._file(name).exists():
            number += 1
            name = f"{plain}-{number}"
        return name

    def write(self, text: str, name: str) -> Path:
        """Write down the configuration that a run is started with.

        Args:
            name: the run's; one that is not free any more takes what is there.
        """
        file = self._file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as draft:
            draft.write_text(text, encoding="utf-8")
        return file

    def _file(self, name: str) -> Path:
        """The configuration of a run, of no other one; a word with an equals sign would be an override."""
        return self._folder / f"{name.replace('%', '%25').replace('=', '%3D')}.yaml"

    def close(self) -> None:
        """End the processes."""
        for process in (self._planning, self._advising):
            process.close()
        self._forms.process.close()

    def _draft(self, given: Given, lane: str) -> dict[str, Any]:
        file = self._folder / f".{lane}.yaml" if given.source is None else source_of(given.source, self._workspace)
        values = None if given.values is None else dict(given.values)
        words = None if given.command is None else words_of(given.command)
        overrides = list(given.overrides)
        return {"file": str(file), "values": values, "text": given.text, "overrides": overrides, "words": words}


def _title(file: Path) -> str:
    """The first line of a file's comment."""
    with file.open(encoding="utf-8") as lines:
        first = next(lines, "")
    return first.lstrip("# ").strip() if first.startswith("#") else ""
