"""What two models say of how they write: generation_config.json, of an adapter that of its base."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

from tunesmith import TunesmithError
from tunesmith_library_publishing.inventory import read_json

from tunesmith_command_diff.findings import Part
from tunesmith_command_diff.folders import json_files
from tunesmith_command_diff.subjects import Subject

_NAME = "generation_config.json"


def generation(a: Subject, b: Subject) -> Part:
    """Compare how two models write; beside a whole model an adapter may say what its base does, or what its export
    does, which ends an answer as the trained template does.

    Raises: TunesmithError for a file that is no JSON.
    """
    found = json_files("generation", _file(a), _file(b))
    if found.equal or a.is_adapter == b.is_adapter:
        return found
    with tempfile.TemporaryDirectory() as workshop:
        one, two = (_exported(each, Path(workshop)) if each.is_adapter else _file(each) for each in (a, b))
        exported = json_files("generation", one, two)
    return exported if exported.equal else found


def _file(subject: Subject) -> Path:
    """What an adapter does not say its base does."""
    own = subject.folder / _NAME
    if own.is_file() or not subject.is_adapter:
        return own
    try:
        return subject.handle.source.path / _NAME
    except TunesmithError:
        return own


def _exported(subject: Subject, workshop: Path) -> Path:
    """The file of the base with the endings of an adapter's template, as an export writes it."""
    from transformers import GenerationConfig
    from tunesmith_library_publishing.endings import set_endings

    file, handle = _file(subject), subject.handle
    if not file.is_file():
        return file
    config = GenerationConfig.from_pretrained(file.parent)
    before = config.to_dict()
    set_endings(SimpleNamespace(generation_config=config), handle.template, handle.processor)
    changed = {key: value for key, value in config.to_dict().items() if before.get(key) != value}
    written = workshop / _NAME
    written.write_text(json.dumps(read_json(file) | changed), encoding="utf-8")
    return written
