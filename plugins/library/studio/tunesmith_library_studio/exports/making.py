"""Exports of a workspace: what one would need, making it, and those that are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_studio.configuring import Forms
from tunesmith_library_studio.exports.results import parts_of, read_report, told
from tunesmith_library_studio.exports.wanted import Wanted
from tunesmith_library_studio.jobs import Job, Jobs
from tunesmith_library_studio.models import Models
from tunesmith_library_studio.workspace import Workspace


class Exports:
    """What becomes of wishes for exports."""

    def __init__(self, workspace: Workspace, forms: Forms, models: Models, jobs: Jobs) -> None:
        self._workspace, self._forms, self._models, self._jobs = workspace, forms, models, jobs

    def plan(self, wanted: Wanted, client: str = "") -> dict[str, Any]:
        """What an export would need.

        Args:
            client: who asks; what the same one asked before, and waits, is dropped.

        Returns: `problems`, memory, disk and time as `tunesmith plan --for export --json` tells them, `output` (the
            folder that would be written), `command`.
        Raises: TunesmithError where the source cannot be read; Outdated.
        """
        checked = wanted.checked(self._workspace)
        source = checked.source if checked.is_path(self._workspace) else None
        asked = {"source": source, "changes": checked.changes(self._workspace)}
        said: dict[str, Any] = self._forms.process.ask("export", client, **asked)
        problems = said.pop("problems")
        if (self._workspace.root / str(checked.output)).exists():
            advice = "choose another folder, or leave it empty for a free one"
            problems.append(
                {
                    "key": "output",
                    "severity": "error",
                    "message": f"{checked.output} is there already.",
                    "advice": advice,
                }
            )
        return {"problems": problems, **said, "output": checked.output, "command": checked.line(self._workspace)}

    def start(self, wanted: Wanted, devices: Sequence[str] = ()) -> Job:
        """Make an export, as a job.

        Raises: TunesmithError for a path that leads out of the workspace.
        """
        checked = wanted.checked(self._workspace)
        title = f"{Path(checked.source).name} → {', '.join(checked.exporters)}"
        command, output = checked.command(self._workspace), self._workspace.path(str(checked.output))
        return self._jobs.start("export", command, title=title, devices=devices, output=output)

    def listed(self) -> list[dict[str, Any]]:
        """The exports of the workspace, the newest first: `path`, `format`, `program`, `made`, `size`."""
        found = self._models.listed(kinds=("export",), limit=1000)["items"]
        rows = []
        for item in found:
            folder = (self._workspace.root / item["address"]).resolve()
            report = read_report(folder)
            more = {"format": report.get("format"), "program": report.get("program"), "made": folder.stat().st_mtime}
            rows.append({"path": item["address"], "name": item["name"], "size": item.get("size"), **more})
        return sorted(rows, key=lambda row: -row["made"])

    def described(self, written: str) -> list[dict[str, Any]]:
        """The artefacts in a folder that an export wrote; several exporters write several.

        Raises: TunesmithError where there is no such folder.
        """
        folder = self._workspace.path(written)
        if not folder.is_dir():
            raise TunesmithError(f"{written} is no folder.")
        return [told(part, self._workspace.shown(part)) for part in parts_of(folder)]
