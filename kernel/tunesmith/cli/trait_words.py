"""What plugins say of themselves, in words: `reads messages; token loss; not reference`."""

from __future__ import annotations

import dataclasses
import inspect

from tunesmith.cli.languages import joined, translate
from tunesmith.cli.output import framed
from tunesmith.traits import TRAITS, traits_of

MESSAGES = (
    *("traits: …", "traits: … (with the default options)"),
    *("token loss", "not token loss"),
    *("streams", "not streams"),
    *("reference", "not reference"),
    *("generates", "not generates"),
    *("scores", "not scores"),
    *("balances experts", "not balances experts"),
    *("additive", "not additive"),
    *("beside", "not beside"),
    *("whole", "not whole"),
    *("low rank", "not low rank"),
    *("trains", "not trains"),
    *("trains base", "not trains base"),
    *("merges", "not merges"),
    *("saves", "not saves"),
    *("calibrates", "not calibrates"),
    *("float weights", "not float weights"),
    *("weight norms", "not weight norms"),
    *("one process", "not one process"),
    *("training arguments", "not training arguments"),
    *("attention interface", "not attention interface"),
    *("plain layers", "not plain layers"),
    *("attention", "not attention"),
    *("keeps layers", "not keeps layers"),
    *("runs modules", "not runs modules"),
    *("brings model", "not brings model"),
    *("loads weights", "not loads weights"),
    *("searches", "not searches"),
    "reads {columns}",
    "bits {widths}",
    "devices {names}",
    "spreads {names}",
    "method {name}",
    "models {names}",
    "model types {names}",
    "processes {count}",
    "alike {count}",
    "metrics file {name}",
    "name {name}",
)


def traits_in_words(kind: str, cls: type) -> str:
    """The traits of a plugin in one line, in the user's language; "" of a kind that has none."""
    if kind not in TRAITS:
        return ""
    said = traits_of(kind, cls)
    parts = []
    for item in dataclasses.fields(said):
        name, value = item.name.replace("_", " "), getattr(said, item.name)
        if isinstance(value, bool):
            parts.append(name if value else f"not {name}")
        elif value not in (None, ()):
            parts.append(f"{name} {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
    by_options = isinstance(inspect.getattr_static(cls, "traits", None), property)
    frame = "traits: … (with the default options)" if by_options else "traits: …"
    return framed(frame, joined(map(translate, parts), "; ")) if parts else ""
