"""What a folder says of the model in it, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path


def is_classifier(folder: Path) -> bool:
    """Whether the configuration in a folder is that of a sequence classifier."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return any(name.endswith("ForSequenceClassification") for name in config.get("architectures") or ())
