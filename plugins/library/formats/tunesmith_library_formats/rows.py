"""What a row has beside its conversation: whether the answer is desirable, a system message, tools, media."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith import DataError
from tunesmith.types import Message, Row

from tunesmith_library_formats.messages import parse_json, parse_tools
from tunesmith_library_formats.records import Columns, Record
from tunesmith_library_formats.results import with_single_results
from tunesmith_library_formats.shapes import shorten

MEDIA = ("images", "videos", "audios")
BOXES = ("<bbox>", "<ref-object>")
"""Where texts have what a column `objects` holds: a box or a point in an image, and what is named."""
_CONVERSATIONS = ("messages", "prompt", "chosen", "rejected", "completion")
OWN = frozenset((*_CONVERSATIONS, *MEDIA, "text", "tools", "enable_thinking", "weight", "objects"))
"""What formats make of a row themselves: other columns may be kept under their names."""


def label_of(record: Record, where: Columns) -> bool | None:
    """Whether the record's answer is desirable: its `label`, or `kto_tag`; None when it says nothing about that."""
    mapped = where.mapped("label")
    value = where.get(record, "label") if mapped else record.get("label", record.get("kto_tag"))
    return parse_label(value, mapped)


def finish(row: Row, record: Record, where: Columns) -> Row:
    """Add what stands beside the conversation: a system message where it has none, tools, whether to think, what the
    row weighs, boxes, media; and the columns that are kept as they are."""
    first = row.get("messages") or row.get("prompt") or []
    system = where.get(record, "system")
    if system and not (first and first[0]["role"] == "system"):
        first.insert(0, {"role": "system", "content": system})
    tools = parse_tools(where.get(record, "tools"))
    if tools:
        row["tools"] = tools
    thinks = _switch(where.get(record, "enable_thinking"))
    if thinks is not None:
        row["enable_thinking"] = thinks
    weight = parse_weight(where.get(record, "weight"), where.mapped("weight"))
    if weight is not None:
        row["weight"] = weight
    objects = _objects(row, where.get(record, "objects"))
    if objects is not None:
        row["objects"] = objects
    media = {field: items for field in MEDIA if (items := _media(row, record, where, field))}
    return where.kept(record) | with_single_results(row) | media


def _objects(row: Row, value: Any) -> Any:
    """The boxes of a record; None where no text has a place for them: many have such a column, which may hold anything.

    Raises: DataError for what holds none.
    """
    if value is None or not any(mark in text for text in _texts(row) for mark in BOXES):
        return None
    parsed = parse_json(value, "objects") if isinstance(value, str) else value
    if not isinstance(parsed, Mapping):
        raise DataError(f"`objects` must be a mapping with `bbox`, `ref` or both, found {shorten(parsed)}")
    return {name: each for name, each in parsed.items() if each is not None}


def _texts(row: Row) -> Iterator[str]:
    for message in (message for name in _CONVERSATIONS for message in row.get(name) or ()):
        content = message.get("content") or ()
        yield str(message.get("reasoning") or "")
        yield from [content] if isinstance(content, str) else (str(part.get("text")) for part in content)


def _media(row: Row, record: Record, where: Columns, field: str) -> list[Any]:
    """The images, videos or sounds of a record.

    Many have one, in a column `image`, which may hold anything: it counts where the texts have a place for it.
    """
    given = as_list(where.get(record, field))
    one = field[:-1]
    if given or where.mapped(field) or not as_list(record.get(one)):
        return given
    messages = [message for name in _CONVERSATIONS for message in row.get(name) or ()]
    return as_list(record[one]) if any(_has_place(message.get("content"), one) for message in messages) else []


def _has_place(content: Any, kind: str) -> bool:
    """Whether a message has a mark or a typed part for an item that it does not carry itself."""
    if isinstance(content, str):
        return f"<{kind}>" in content
    return any(_is_place(part, kind) or f"<{kind}>" in str(part.get("text")) for part in content or ())


def _is_place(part: dict[str, Any], kind: str) -> bool:
    return part["type"] == kind and not any(value for key, value in part.items() if key != "type")


def parse_label(value: Any, mapped: bool) -> bool | None:
    """Whether an answer is desirable, None when the value says nothing about that.

    Args:
        value: true or false; 0 and 1 only where the user said that this column is the label, because many data sets
            have a `label` of another meaning.
        mapped: whether the user said so.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if mapped and value is not None:
        if value in (0, 1):
            return bool(value)
        raise DataError(f"a label must be true or false, found {shorten(value)}")
    return None


def parse_weight(value: Any, mapped: bool) -> float | None:
    """What a row weighs, None when the value says nothing about that.

    Args:
        value: a number; text of one only where the user said that this column is the weight.
        mapped: whether the user said so.

    Raises: DataError for what is no number, where the user said that it is one.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or not (mapped or number):
        return None
    try:
        return float(str(value))
    except ValueError:
        raise DataError(f"the weight of a row must be a number, found {shorten(value)}") from None


def _switch(value: Any) -> bool | None:
    """Whether the model is to think in a row; None where it says nothing. Raises: DataError for anything else."""
    if value is None or value == "" or isinstance(value, bool):
        return value if isinstance(value, bool) else None
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise DataError(f"enable_thinking must be true or false, found {shorten(value)}")


def labelled(messages: Sequence[Message], label: bool) -> Row:
    """A conversation whose last answer is desirable or not: `prompt`, `completion`, `label`. Raises: DataError."""
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise DataError("a labelled conversation must end with an answer of the assistant to something")
    return {"prompt": list(messages[:-1]), "completion": [messages[-1]], "label": label}


def as_list(value: Any) -> list[Any]:
    """Media of a record: nothing, one, or several."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
