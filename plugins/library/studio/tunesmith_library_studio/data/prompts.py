"""Prompts by name, with variables and their former versions, in a file that people edit, too: `prompts.yaml`.

```yaml
prompts:
- name: Summary
  text: "Summarize in {{sentences}} sentences:\\n{{text}}"
  system: You write plainly.
  tags: [writing]
  versions: [{text: "Summarize:\\n{{text}}", system: "", time: 1790000000.0}]
```
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from tunesmith import DataError, TunesmithError
from tunesmith.errors import choices
from tunesmith.files import replacing

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_FIELDS: Mapping[str, type] = {"name": str, "text": str, "system": str, "tags": list}
_VERSIONS = 50  # former versions of a prompt that are kept


def variables(*texts: str) -> list[str]:
    """The names in {{ }} of texts, each once, in their order."""
    return list(dict.fromkeys(name for text in texts for name in _VARIABLE.findall(text)))


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with values in place of its variables; those without a value stay."""
    return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)


class Prompts:
    """The prompts of a workspace.

    Args:
        path: the file; it is made with the first prompt.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def listed(self, search: str = "", tag: str = "") -> list[dict[str, Any]]:
        """Prompts in which a text stands somewhere, by name; each with its `variables`."""
        wanted = search.lower()
        return [
            _told(prompt)
            for prompt in sorted(self._read(), key=lambda one: str(one["name"]).lower())
            if wanted in " ".join([prompt["name"], prompt["text"], prompt["system"], *prompt["tags"]]).lower()
            and (not tag or tag in prompt["tags"])
        ]

    def get(self, name: str) -> dict[str, Any]:
        """One prompt. Raises: DataError where there is none of that name."""
        return _told(_named(self._read(), name))

    def add(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Add a prompt. Raises: DataError for a name that is taken, or fields that cannot be."""
        with self._lock:
            prompts = self._read()
            made = _checked(given)
            if any(one["name"] == made["name"] for one in prompts):
                raise DataError(f"there is a prompt {made['name']!r} already\n  change it, or choose another name")
            self._write([*prompts, made])
            return _told(made)

    def change(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Change some fields of a prompt; a former text is kept among its versions."""
        with self._lock:
            prompts = self._read()
            former = _named(prompts, name)
            made = _checked({**former, **given})
            if made["name"] != name and any(one["name"] == made["name"] for one in prompts):
                raise DataError(f"there is a prompt {made['name']!r} already\n  choose another name")
            if (made["text"], made["system"]) != (former["text"], former["system"]):
                old = {"text": former["text"], "system": former["system"], "time": time.time()}
                made["versions"] = [old, *former["versions"]][:_VERSIONS]
            self._write([made if one is former else one for one in prompts])
            return _told(made)

    def remove(self, name: str) -> None:
        """Delete a prompt with its versions."""
        with self._lock:
            prompts = self._read()
            gone = _named(prompts, name)
            self._write([one for one in prompts if one is not gone])

    def take_in(self, given: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Import prompts; of those whose names are known the text becomes a new version."""
        counts = {"added": 0, "changed": 0, "same": 0}
        for one in given:
            made = _checked(one)
            known = next((each for each in self._read() if each["name"] == made["name"]), None)
            told = {name: made[name] for name in _FIELDS if name in one}
            if known is None:
                self.add(made)
                counts["added"] += 1
            elif all(known[name] == value for name, value in told.items()):
                counts["same"] += 1
            else:
                self.change(made["name"], told)
                counts["changed"] += 1
        return counts

    def _read(self) -> list[dict[str, Any]]:
        import yaml

        if not self._path.is_file():
            return []
        try:
            content = yaml.safe_load(self._path.read_text("utf-8")) or {}
        except yaml.YAMLError as error:
            raise TunesmithError(f"{self._path.name} is no YAML: {error}") from error
        listed = content.get("prompts") if isinstance(content, Mapping) else None
        if not isinstance(listed, list):
            raise TunesmithError(f"{self._path.name}: a list `prompts` is needed")
        return [_checked(one) for one in listed]

    def _write(self, prompts: Sequence[Mapping[str, Any]]) -> None:
        import yaml

        with replacing(self._path) as draft:
            text = yaml.safe_dump({"prompts": list(prompts)}, allow_unicode=True, sort_keys=False, width=120)
            draft.write_text(text, "utf-8")


def _told(prompt: Mapping[str, Any]) -> dict[str, Any]:
    return {**prompt, "variables": variables(prompt["system"], prompt["text"])}


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """A prompt with all its fields. Raises: DataError for fields of a wrong type, or no name."""
    if not isinstance(given, Mapping):
        raise DataError("a prompt is a mapping with name and text")
    made: dict[str, Any] = {"name": "", "text": "", "system": "", "tags": [], "versions": []}
    made |= {name: given[name] for name in made if given.get(name) is not None}
    for name, kind in _FIELDS.items():
        if not isinstance(made[name], kind):
            raise DataError(f"the {name} of a prompt must be a {'list of texts' if kind is list else 'text'}")
    if not made["name"].strip():
        raise DataError("a prompt needs a name")
    return {**made, "name": made["name"].strip(), "tags": [str(tag) for tag in made["tags"]]}


def _named(prompts: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    found = next((one for one in prompts if one["name"] == name), None)
    if found is None:
        raise DataError(f"there is no prompt {name!r}\n  {choices(name, [one['name'] for one in prompts])}")
    return found
