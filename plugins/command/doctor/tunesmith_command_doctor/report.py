"""What was found, as a text and as JSON: problems first, then facts; without secrets and names of users."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.cli.languages import joined, translate
from tunesmith.cli.output import framed
from tunesmith_library_configuration.secrets import hidden

from tunesmith_command_doctor.found import Facts, Finding

MESSAGES = (
    *("wrong: …", "note: …", "{wrong} wrong; {notes} to know.", "{wrong} wrong.", "Nothing is wrong; {notes} to know."),
    *("Nothing is wrong.", "Libraries", "Machine", "Disks", "Caches", "Settings", "none", "not installed", "set"),
    *("{count} in {distributions} distributions", "{names} and {count} more", "tested: {lowest} to {newest}"),
    *("{version}tested: {lowest} to {newest}", "{cores}, {threads} for a run", "unknown", "not asked: offline"),
    *("{cores}, {threads} for a run, limited to the time of {time}", "{size} GiB, or what the container is limited to"),
    *("{driver}, CUDA {cuda} at most", "{size} free: {place}", "{size}: {place}; to clear: {command}"),
    *("none: {place}; to clear: {command}", "asked for what model.path and data name"),
)


@dataclass(frozen=True)
class Report:
    """Everything that was found."""

    findings: tuple[Finding, ...]
    facts: dict[str, Facts]  # by section

    @property
    def wrong(self) -> bool:
        """Whether anything needs mending."""
        return any(finding.wrong for finding in self.findings)

    def as_text(self) -> str:
        """For a terminal and for a bug report."""
        lines = [translate(self._summary()), ""]
        for finding in sorted(self.findings, key=lambda finding: not finding.wrong):
            mark = "wrong" if finding.wrong else "note"
            said = joined((finding.about, translate(finding.message)), ": ")
            lines += [framed(f"{mark}: …", said), f"    {translate(finding.advice)}", ""]
        for section, facts in self.facts.items():
            width = max(map(len, facts), default=0)
            told = (f"  {name:{width}}  {translate(value)}".rstrip() for name, value in facts.items())
            lines += [translate(section), *told, ""]
        return private("\n".join(lines).rstrip())

    def as_json(self) -> str:
        """For programs."""
        told: dict[str, Any] = {"findings": [vars(finding) for finding in self.findings], "facts": self.facts}
        return json.dumps(_private(told), indent=2, ensure_ascii=False)

    def _summary(self) -> str:
        wrong = sum(finding.wrong for finding in self.findings)
        notes = len(self.findings) - wrong
        said = f"{wrong} wrong" if wrong else "Nothing is wrong"
        return f"{said}; {notes} to know." if notes else f"{said}."


def examined(device: bool = False) -> Report:
    """Look at this installation and this machine.

    Args:
        device: ask torch, in a process of its own, which takes seconds.
    """
    from tunesmith.catalog import Catalog

    from tunesmith_command_doctor import combinations, installed, libraries, machine, settings, torch_device

    catalog, there = Catalog.discover(), installed.snapshot()
    gpus = machine.nvidia()
    found = [*installed.findings(catalog, there), *libraries.findings(there)]
    found += [*combinations.findings(there, gpus), *machine.findings(gpus), *settings.findings(catalog)]
    facts = {
        "Tunesmith": installed.facts(catalog, there),
        "Libraries": libraries.facts(there),
        "Machine": machine.facts(gpus),
        "Disks": machine.disks(),
        "Caches": machine.caches(),
        "Settings": settings.facts(),
    }
    if device:
        facts["torch"], more = torch_device.asked()
        found += more
    return Report(tuple(dict.fromkeys(found)), facts)


def private(text: str) -> str:
    """A text without secrets, with the home folder as ~ and the user's name as USER in paths."""
    text = hidden(text)
    home = str(Path.home())
    if home != "/":
        text = re.sub(rf"{re.escape(home)}(?=/|\b)", "~", text)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return text
    return text if user == "root" else re.sub(rf"(?<=/){re.escape(user)}(?=/|\b)", "USER", text)


def _private(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _private(value) for name, value in told.items()}
    if isinstance(told, str):
        return private(told)
    return [_private(value) for value in told] if isinstance(told, Iterable) else told
