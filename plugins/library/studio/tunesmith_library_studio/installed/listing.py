"""Installed plugins for a front end, and what can be installed beside them."""

from __future__ import annotations

import importlib.metadata
import re
import threading
from typing import Any

from tunesmith import TunesmithError
from tunesmith.catalog import known_distributions

from tunesmith_library_studio.configuring import Forms

_SUITE = "tunesmith-suite"


class Installed:
    """What is installed; a change is seen by the next one who asks."""

    def __init__(self, forms: Forms) -> None:
        self._forms = forms
        self._lock = threading.Lock()
        self._told: dict[str, Any] = {}
        self._told_in: Any = None  # what was installed then

    def listed(self) -> dict[str, Any]:
        """All plugins.

        Returns: `items`, `kinds` and `warnings` as `telling.plugins`; `available`, plugins of this project that are not
            installed, each with `kind`, `name`, `distribution`, `install`; `extras` of the whole, each with `name`,
            `install`.
        """
        with self._lock:
            now = self._forms.environment()
            if self._told_in != now:
                self._told, self._told_in = self._forms.process.ask("plugins"), now
            there = {f"{item['kind']}.{item['name']}" for item in self._told["items"]}
        return {**self._told, "available": _available(there), "extras": _extras()}

    def shown(self, kind: str, name: str, distribution: str = "") -> dict[str, Any]:
        """One plugin with its options and traits: `telling.plugin`.

        Raises: TunesmithError where there is none.
        """
        asked = {"kind": kind, "name": name, "distribution": distribution}
        found: dict[str, Any] = self._forms.process.ask("plugin", **asked)
        return {**found, **_metadata(found["distribution"])}


def _available(there: set[str]) -> list[dict[str, str]]:
    missing = {address: of for address, of in known_distributions().items() if address not in there}
    found = []
    for address, distribution in sorted(missing.items()):
        kind, _, name = address.partition(".")
        install = f"pip install {distribution}"
        found.append({"kind": kind, "name": name, "distribution": distribution, "install": install})
    return found


def _extras() -> list[dict[str, str]]:
    try:
        names = importlib.metadata.metadata(_SUITE).get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [{"name": name, "install": f"pip install '{_SUITE}[{name}]'"} for name in sorted(names)]


def _metadata(distribution: str) -> dict[str, Any]:
    """`readme` as Markdown, `homepage`, `licence`, `requires` of a distribution."""
    try:
        about: Any = importlib.metadata.metadata(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise TunesmithError(f"{distribution} is not installed any more.") from error
    urls = dict(_url(line) for line in about.get_all("Project-URL") or ())
    payload = about.get_payload()
    text = about.get("Description") or (payload if isinstance(payload, str) else "")
    return {
        "readme": re.sub(r"^<!--.*?-->\n?", "", text, flags=re.MULTILINE),
        "homepage": urls.get("homepage") or about.get("Home-page") or "",
        "licence": about.get("License-Expression") or about.get("License") or "",
        "requires": [name for name in about.get_all("Requires-Dist") or () if "extra ==" not in name],
    }


def _url(line: str) -> tuple[str, str]:
    name, _, address = line.partition(",")
    return name.strip().lower(), address.strip()
