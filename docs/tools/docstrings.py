"""How docstrings become Markdown: the slots (`Args:`, `Returns:`, …) a list, the comments of fields their text.

`docs/tools/generate.py` uses it for the hooks; as an extension of griffe it serves the API pages of the site.
"""

from __future__ import annotations

import io
import re
import textwrap
import tokenize
from typing import Any

import griffe

_SLOT = re.compile(r"^(Called|Composition|Args|Returns|Raises|Since):[ ]?(.*)$")
_ARGUMENT = re.compile(r"^    (\w+(?:, \w+)*): (.*)$")


def as_markdown(docstring: str) -> str:
    """A docstring with its slots as a list, and the arguments as a list inside of that.

    Args:
        docstring: without indentation, as `ast.get_docstring` gives it.
    """
    lines: list[str] = []
    for line in docstring.splitlines():
        slot, argument = _SLOT.match(line), _ARGUMENT.match(line)
        if slot:
            lines.append(f"- **{slot[1]}** {slot[2]}".rstrip())
        elif argument and _in_slot(lines):
            lines.append(f"  - `{argument[1]}`: {argument[2]}")
        elif line.startswith("  ") and _in_slot(lines):
            inside = lines[-1].startswith(("    ", "  - "))
            lines.append(f"{'    ' if inside else '  '}{line.strip()}")
        else:
            lines.append(line)
    return "\n".join(lines)


def _in_slot(lines: list[str]) -> bool:
    return bool(lines) and lines[-1].startswith(("- **", "  "))


class Slots(griffe.Extension):
    """Docstrings in the form above, and the comment of a field as its docstring."""

    def on_object(self, *, obj: griffe.Object, **given: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
        elif obj.is_attribute and obj.parent is not None and obj.parent.is_class:
            comment = _comment(obj)
            if comment:
                obj.docstring = griffe.Docstring(comment, parent=obj)


def _comment(field: griffe.Object) -> str:
    """The comment behind a field, or on the lines right above it."""
    if field.lineno is None or field.endlineno is None:
        return ""
    lines = field.lines_collection[field.filepath]
    source = textwrap.dedent("\n".join(lines[field.lineno - 1 : field.endlineno]) + "\n")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    behind = [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]
    if behind:
        return behind[-1]
    above: list[str] = []
    for line in reversed(lines[: field.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    return " ".join(above)
