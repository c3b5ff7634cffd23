"""Where messages, and the parts of an answer, stand in a rendered conversation. Free of torch.

A template says where the assistant speaks. Where the others speak is found by rendering once more, with a mark on both
sides of what each of them says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith import DataError
from tunesmith.types import Message, Row
from tunesmith_library_chat import ChatTemplate, Rendered, Thinking

from tunesmith_library_training.rows import variables_of

Range = tuple[int, int]
"""Characters of a text, the end exclusive."""

_BEGINS, _ENDS, _BEHIND = "\ufdea", "\ufdeb", "\ufdec"  # Unicode noncharacters, which hardly any text holds


def contents_of(row: Row, rendered: Rendered, template: ChatTemplate) -> dict[int, Range]:
    """Where each message stands that is not the assistant's, without the marks of its turn and white space around it.

    Returns: ranges of the rendered text by the messages' index; those that the template does not write are missing.
    """
    if rendered.written is not None:
        found = contents_of(row, rendered.written, template)
        return {index: rendered.moved_range(*place) for index, place in found.items()}
    others = [index for index, message in enumerate(row["messages"]) if message["role"] != "assistant"]
    if not any(mark in rendered.text for mark in (_BEGINS, _ENDS, _BEHIND)):
        messages = [_marked(message, index) for index, message in enumerate(row["messages"])]
        try:
            text = template.render(messages, row.get("tools"), training=True, **variables_of(row)).text
        except DataError:
            text = ""
        plain, found = _unmarked(text)
        if plain == rendered.text:
            return {index: found[index] for index in others if index in found}
    return _searched(row["messages"], others, rendered)


def _marked(message: Message, index: int) -> Message:
    """A message whose text stands between marks that tell its index."""
    content = message.get("content")
    if message["role"] == "assistant" or not content:
        return message
    if isinstance(content, str):
        return {**message, "content": _around(content, index)}
    said = [number for number, part in enumerate(content) if part.get("type") == "text" and part["text"].strip()]
    if len(said) != 1:  # several have something between them, which is no text
        return message
    parts = [*content]
    parts[said[0]] = {**parts[said[0]], "text": _around(parts[said[0]]["text"], index)}
    return {**message, "content": parts}


def _around(text: str, index: int) -> str:
    core = text.strip()
    before, _, behind = text.partition(core) if core else (text, "", "")
    return f"{before}{_BEGINS}{index}{_BEHIND}{core}{_ENDS}{behind}" if core else text


def _unmarked(text: str) -> tuple[str, dict[int, Range]]:
    """A text without marks, and what stood between them, by index."""
    pieces, found, length = [], {}, 0
    first, *rest = text.split(_BEGINS)
    pieces.append(first)
    length += len(first)
    for piece in rest:
        number, marked, said = piece.partition(_BEHIND)
        core, closed, behind = said.partition(_ENDS)
        if not (marked and closed and number.isdecimal()):
            return "", {}
        found[int(number)] = (length, length + len(core))
        pieces += [core, behind]
        length += len(core) + len(behind)
    return "".join(pieces), found


def _searched(messages: Sequence[Message], others: Sequence[int], rendered: Rendered) -> dict[int, Range]:
    """Where messages stand that were looked for as they are, each behind the one before it."""
    found, behind = {}, 0
    ends = {span.message: span.end for span in rendered.spans}
    for index, message in enumerate(messages):
        behind = max(behind, ends.get(index, 0))
        content = message.get("content")
        said = content.strip() if isinstance(content, str) else ""
        start = rendered.text.find(said, behind) if said and index in others else -1
        if start >= 0:
            found[index] = (start, start + len(said))
            behind = start + len(said)
    return found


def marks_of(template: ChatTemplate) -> tuple[str, ...]:
    """What a template writes around the parts of an answer: its end, thoughts, calls."""
    thinking, calls = template.thinking, template.calls
    thoughts = (thinking.open.strip(), thinking.close.strip()) if thinking else ()
    called = (*calls.open, *calls.close, *calls.skips, *calls.inner) if calls else ()
    return tuple(filter(None, (*template.stop, *thoughts, *called)))


def openings_of(template: ChatTemplate) -> tuple[str, ...]:
    """What it writes before a thought, and before calls."""
    thinking, calls = template.thinking, template.calls
    return tuple(filter(None, ((thinking.open.strip(),) if thinking else ()) + (calls.open if calls else ())))


def parts_of(text: str, span: Range, message: Message, template: ChatTemplate) -> Mapping[str, list[Range]]:
    """The parts of an answer: `thought` and `calls` with the marks around them, `answer` all else, with its `end`.

    Args:
        text: of the conversation.
        span: what the assistant says in it.
        message: the one that this is of.
    """
    start, end = span
    thought = _thought(text, span, message, template.thinking or Thinking())
    calls = _calls(text, (thought[1] if thought else start, end), message, template)
    taken = [part for part in (thought, calls) if part]
    bounds = [start, *(place for part in taken for place in part), end]
    answer = [(low, high) for low, high in zip(bounds[::2], bounds[1::2], strict=True) if low < high]
    ends = [(end - len(stop), end) for stop in template.stop if stop and text.endswith(stop, start, end)][:1]
    return {"thought": [thought] if thought else [], "calls": [calls] if calls else [], "answer": answer, "end": ends}


def _thought(text: str, span: Range, message: Message, thinking: Thinking) -> Range | None:
    """From the mark that begins a thought, which may stand in the prompt, to the one that ends it."""
    start, end = span
    opened, close = thinking.open.strip(), thinking.close.strip()
    begins = start + len(text[start:end]) - len(text[start:end].lstrip())
    if opened and not text.startswith(opened, begins, end):
        begins = start if text[:start].rstrip().endswith(opened) else end
    closes = text.find(close, begins, end) if close and begins < end else -1
    if closes >= 0:
        return begins, closes + len(close)
    said = next((message[key] for key in ("reasoning", "reasoning_content") if message.get(key)), None)
    found = text.find(said.strip(), start, end) if isinstance(said, str) and said.strip() else -1
    return (found, found + len(str(said).strip())) if found >= 0 else None


def _calls(text: str, rest: Range, message: Message, template: ChatTemplate) -> Range | None:
    """From the mark that begins calls to the one that ends them; without marks all behind the text and before the end.

    Args:
        rest: of the answer, behind the thought.
    """
    start, end = rest
    form, called = template.calls, message.get("tool_calls")
    content = message.get("content")
    said = content.strip() if isinstance(content, str) else ""
    marks = form.open if form else ()
    if not called and not any(mark in said for mark in marks):  # what looks like one is the template's
        return None
    found = text.find(said, start, end) if said and called else -1
    behind = found + len(said) if found >= 0 else start
    begins = _first(text, marks, behind, end)
    if begins is None and found >= 0:
        begins = _first(text, marks, start, found)  # calls come before the text
        end = end if begins is None else found
    if begins is None:
        if not called or not any(_name(call) in text[behind:end] for call in called):
            return None
        begins = behind + len(text[behind:end]) - len(text[behind:end].lstrip())
    opened = next((mark for mark in marks if text.startswith(mark, begins)), "")
    closes = [
        at + len(mark)
        for mark in (form.close if form else ())
        if (at := text.rfind(mark, begins + len(opened), end)) >= 0
    ]
    return begins, max(closes) if closes else _before_stop(text, begins, end, template.stop)


def _first(text: str, marks: Sequence[str], start: int, end: int) -> int | None:
    """Where the first of some marks stands."""
    return min((at for mark in marks if (at := text.find(mark, start, end)) >= 0), default=None)


def _name(call: Mapping[str, Any]) -> str:
    return str((call.get("function") or call).get("name"))


def _before_stop(text: str, start: int, end: int, stops: Sequence[str]) -> int:
    """Where an answer ends without what the model stops at, and white space before that."""
    said = text[start:end]
    stop = next((stop for stop in stops if stop and said.endswith(stop)), "")
    return start + len(said.removesuffix(stop).rstrip())
