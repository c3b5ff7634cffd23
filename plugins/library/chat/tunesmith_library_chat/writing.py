"""How a template writes calls of tools: read off what its Jinja makes of small conversations with calls.

So whatever format a model was trained on, with its marks and white space, is the one that its grammar has.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NUMBER, ID, NAME, KEY, VALUE = "\ue0f0", "\ue0f1", "\ue0f2", "\ue0f3", "\ue0f4"
"""What stands in a form for a number that counts calls, an id, a tool's name, an argument's key and its value."""

_TOOLS, _KEYS, _VALUES, _IDS = (
    [f"{word}q{letter}" for letter in "abc"] for word in ("tool", "key", "worth", "callid0")
)
_KINDS: Mapping[str, Any] = {
    "string": _VALUES[0],
    "number": 70707,
    "boolean": True,
    "null": None,
    "array": [70707],
    "object": {"inner": 70707},
}

Said = Callable[..., str | None]
"""(calls, each a name and arguments) -> what an answer with them is, behind the prompt; None: it cannot be."""


@dataclass(frozen=True)
class Elements:
    """Arguments one by one, each between marks."""

    forms: Mapping[str, str]  # by JSON type of the value: one argument, with KEY and VALUE
    between: str = ""  # two arguments


@dataclass(frozen=True)
class Writing:
    """How calls are written: `head`, then calls with `between` between them, then `tail`.

    A call is its name, `joint`, its arguments; or the other way round.
    """

    head: str
    joint: str
    arguments: str | Elements  # `json`, `python`, or between which quotes texts within braces stand
    tail: str
    between: str | None  # None: one call in an answer
    name_last: bool = False


@dataclass
class _Probe:
    """Fills a template with calls that are nobody's."""

    said: Said
    marks: Sequence[str]  # that no form may split
    kept: dict[Any, str | None] = field(default_factory=dict)

    def __call__(self, *calls: tuple[str, Mapping[str, Any]]) -> str | None:
        key = json.dumps(calls)
        if key not in self.kept:
            text = self.said(calls)
            self.kept[key] = text if text is None else re.sub("|".join(_IDS), ID, text)
        return self.kept[key]


def writing_of(said: Said, marks: Sequence[str] = ()) -> Writing | None:
    """How a template writes calls; None where it cannot be read off.

    Args:
        marks: strings that stay whole, such as special tokens.
    """
    probe = _Probe(said, marks)
    one = probe((_TOOLS[0], {_KEYS[0]: _VALUES[0]}))
    if one is None or _TOOLS[0] not in one:
        return None
    head, _, rest = one.partition(_TOOLS[0])
    if (before := _json(head)) is not None:
        return _name_last(probe, one, before[0], before[2], rest)
    for read in (_json, _braced, _python, functools.partial(_elements, probe)):
        found = read(rest)
        if found is not None:
            joint, arguments, tail = found
            break
    else:
        return None
    written = one[len(head) : len(one) - len(tail)]
    between, joint = _between(probe, head, written, joint, tail)
    parts = [part and part.replace(_TOOLS[0], NAME) for part in (head, joint, tail, between)]
    return Writing(parts[0] or "", parts[1] or "", arguments, parts[2] or "", parts[3])


def _name_last(probe: _Probe, one: str, head: str, joint: str, tail: str) -> Writing:
    """How calls are written that end with their names."""
    written = one[len(head) : len(one) - len(tail)]
    between, _ = _between(probe, head, written, "", tail)
    return Writing(head, joint, "json", tail, between, name_last=True)


def _json(rest: str) -> tuple[str, str, str] | None:
    for found in re.finditer(r"\{", rest):
        try:
            value, end = json.JSONDecoder().raw_decode(rest, found.start())
        except ValueError:
            continue
        if value == {_KEYS[0]: _VALUES[0]}:
            return rest[: found.start()], "json", rest[end:]
    return None


def _braced(rest: str) -> tuple[str, str, str] | None:
    found = re.search(rf"\{{{_KEYS[0]}:(?P<quote>.+?){_VALUES[0]}(?P=quote)\}}", rest)
    return (rest[: found.start()], found["quote"], rest[found.end() :]) if found else None


def _python(rest: str) -> tuple[str, str, str] | None:
    found = re.search(rf"(?<=\(){_KEYS[0]}=(['\"]){_VALUES[0]}\1(?=\))", rest)
    return (rest[: found.start()], "python", rest[found.end() :]) if found else None


def _elements(probe: _Probe, rest: str) -> tuple[str, Elements, str] | None:
    """Arguments between marks: what an answer has more than one whose call has no arguments, is an argument."""
    behind = _behind_name(probe((_TOOLS[0], {})))
    if behind is None or _KEYS[0] not in rest:
        return None
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(behind, rest, strict=False))
    joint = _before_mark("".join(first for first, _ in same), (behind, rest), probe.marks)
    tail = behind[len(joint) :]
    if not rest.endswith(tail):
        return None

    def unit(value: Any, key: str = _KEYS[0]) -> str | None:
        text = _behind_name(probe((_TOOLS[0], {key: value})))
        if text is None or not (text.startswith(joint) and text.endswith(tail)):
            return None
        return text[len(joint) : len(text) - len(tail)]

    forms = {}
    for kind, value in _KINDS.items():
        text = unit(value)
        written = value if isinstance(value, str) else None
        form = _argument(text, written, value) if text is not None else None
        if form is not None:
            forms[kind] = form
    two = _behind_name(probe((_TOOLS[0], {_KEYS[0]: _VALUES[0], _KEYS[1]: _VALUES[1]})))
    first, second = unit(_VALUES[0]), unit(_VALUES[1], _KEYS[1])
    if "string" not in forms or two is None or first is None or second is None:
        return None
    start, end = len(joint) + len(first), len(two) - len(second) - len(tail)
    if two != f"{joint}{first}{two[start:end]}{second}{tail}":
        return None
    plain = forms["number"] if "number" in forms else forms["string"]
    return joint, Elements({kind: forms.get(kind, plain) for kind in _KINDS}, two[start:end]), tail


def _argument(text: str, written: str | None, value: Any) -> str | None:
    """The form of one argument that a text is."""
    spellings = [written] if written is not None else [json.dumps(value), repr(value), str(value).lower()]
    for spelling in spellings:
        before, key, behind = text.partition(_KEYS[0])
        middle, found, close = behind.rpartition(spelling)
        if key and found:
            return f"{before}{KEY}{middle}{VALUE}{close}".replace(_KEYS[0], KEY)
    return None


def _behind_name(said: str | None) -> str | None:
    if said is None or _TOOLS[0] not in said:
        return None
    return said.partition(_TOOLS[0])[2]


def _between(probe: _Probe, head: str, written: str, joint: str, tail: str) -> tuple[str | None, str]:
    """What stands between two calls, and the joint with what is counted in it; None: nothing, one call is all."""
    calls = [(name, {key: value}) for name, key, value in zip(_TOOLS, _KEYS, _VALUES, strict=True)]
    said = probe(*calls)
    if said is None or not said.startswith(head + written) or not said.endswith(tail):
        return None, joint
    rest = said[len(head + written) : len(said) - len(tail)]
    found = list(_parted(rest, written, joint))
    if len(found) != 2:
        return None, joint
    (first, second), (joint_too, joint_three) = zip(*found, strict=True)
    between = _numbered([first, second])
    counted = _numbered([joint, joint_too, joint_three])
    return (None, joint) if between is None or counted is None else (between, counted)


def _parted(rest: str, written: str, joint: str) -> Iterator[tuple[str, str]]:
    """What stands before each further call, and its joint."""
    for index in (1, 2):
        expected = written.replace(_TOOLS[0], _TOOLS[index]).replace(_KEYS[0], _KEYS[index])
        expected = expected.replace(_VALUES[0], _VALUES[index])
        counting = "".join(r"\d+" if part.isdigit() else re.escape(part) for part in re.split(r"(\d+)", expected))
        found = re.search(counting, rest)
        if found is None:
            return
        width = len(found[0]) - len(expected) + len(joint)
        parts = (rest[: found.start()], found[0][len(_TOOLS[index]) :][:width])
        before, own = (part.replace(_TOOLS[index], _TOOLS[0]) for part in parts)
        yield before, own
        rest = rest[found.end() :]


def _numbered(texts: Sequence[str]) -> str | None:
    """Texts that differ in numbers at most as one, with NUMBER where they do; None for others."""
    parts = [re.split(r"((?<![A-Za-z0-9])\d+)", text) for text in texts]
    if len({len(part) for part in parts}) > 1:
        return None
    made = []
    for alike in zip(*parts, strict=True):
        if len(set(alike)) > 1 and not all(part.isdigit() for part in alike):
            return None
        made.append(alike[0] if len(set(alike)) == 1 else NUMBER)
    return "".join(made)


def _before_mark(joint: str, texts: Sequence[str], marks: Sequence[str]) -> str:
    """A beginning of texts that ends where no mark goes on."""
    joint = re.sub(r"<[|｜/]?$", "", joint)
    for mark in marks:
        for text in texts:
            at = text.find(mark, max(len(joint) - len(mark) + 1, 0))
            joint = joint[:at] if 0 <= at < len(joint) < at + len(mark) else joint
    return joint


def probed(calls: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The tools that calls of probes are of, and the calls as a message has them."""
    listed = [(name, dict(given)) for name, given in calls]
    properties = {
        key: {"type": next(kind for kind, value in _KINDS.items() if type(value) is type(given[key]))}
        for _, given in listed
        for key in given
    }
    parameters = {"type": "object", "properties": properties}
    tools = [
        {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}
        for name, _ in listed
    ]
    made = [
        {"type": "function", "id": id, "function": {"name": name, "arguments": given}}
        for (name, given), id in zip(listed, itertools.cycle(_IDS), strict=False)
    ]
    return tools, made
