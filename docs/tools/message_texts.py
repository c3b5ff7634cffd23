"""Expressions as texts: the f-string `f"{path.name} is empty"` is the msgid `{path_name} is empty`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W\d_]{2}")
_CUTTING = {"strip", "rstrip", "splitlines", "partition", "removeprefix", "removesuffix", "lower", "replace", "split"}
_PLURALS = {"s", "es", "ies", "y", "", "is", "are", "it", "them", "has", "have"}


def alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """What an expression can be: both branches of a condition."""
    if isinstance(node, ast.IfExp):
        yield from alternatives(node.body)
        yield from alternatives(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from alternatives(value)
    else:
        yield node


def rendered(node: ast.AST) -> Iterator[str]:
    """The texts that an expression can be, fields by name."""
    for written in alternatives(node):
        if isinstance(written, ast.Constant) and isinstance(written.value, str):
            yield escaped(written.value)
        elif isinstance(written, ast.JoinedStr):
            yield "".join(map(_piece, written.values))
        elif isinstance(written, ast.BinOp) and isinstance(written.op, ast.Add):
            sides = [[*rendered(side)] for side in (written.left, written.right)]
            if any(isinstance(side, ast.Constant | ast.JoinedStr) for side in (written.left, written.right)):
                sides = [found or ["{text}"] for found in sides]
            yield from (left + right for left in sides[0] for right in sides[1])
        elif isinstance(written, ast.List | ast.Tuple | ast.Set):
            for item in written.elts:
                yield from rendered(item.value if isinstance(item, ast.Starred) else item)
        elif isinstance(written, ast.ListComp | ast.GeneratorExp):
            yield from rendered(written.elt)
        elif isinstance(written, ast.Dict):
            for value in written.values:
                yield from rendered(value)
        elif isinstance(written, ast.Call) and called(written) in ("join", "rstrip", "strip", "cleandoc", "style"):
            yield from (text for argument in written.args for text in rendered(argument))


def _piece(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return escaped(str(part.value))
    assert isinstance(part, ast.FormattedValue)
    return f"{{{_name(part.value)}}}"


def escaped(text: str) -> str:
    """Braces of a text doubled, but those of `{name}`: a field, whether it is filled later or stands for itself."""
    return re.sub(r"\{[A-Za-z]\w*\}|[{}]", lambda found: found[0] if len(found[0]) > 1 else found[0] * 2, text)


def numbered(text: str) -> str:
    """Fields of the same name told apart."""
    seen: dict[str, int] = {}

    def put(found: re.Match[str]) -> str:
        if not found[1]:
            return found[0]
        name = re.sub(r"_\d+$", "", found[1]) if found[1] in seen else found[1]
        seen[name] = seen.get(name, 0) + 1
        return f"{{{name}}}" if seen[name] == 1 else f"{{{name}_{seen[name]}}}"

    return re.sub(r"\{\{|\}\}|\{(\w+)\}", put, text)


def _name(node: ast.AST) -> str:
    """What a field is called: `path.name` is path_name, `len(rows)` rows_count."""
    if isinstance(node, ast.Name):
        return node.id.strip("_").lower() or "value"
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}_{node.attr.strip('_')}".removeprefix("self_").lower()
    if isinstance(node, ast.Call):
        name = called(node)
        if name in ("str", "repr") and node.args:
            return _name(node.args[0])
        if name in ("len", "sum") and node.args:
            return f"{_name(node.args[0])}_count"
        if name == "join" and node.args:
            return _name(node.args[0])
        if isinstance(node.func, ast.Attribute) and name in _CUTTING:
            return _name(node.func.value)
        return (name.strip("_") if node.args or name not in ("strip", "items") else "value").lower() or "value"
    if isinstance(node, ast.IfExp):
        constants = {item.value for item in alternatives(node) if isinstance(item, ast.Constant)}
        return "plural" if constants and constants <= _PLURALS else next(_names_in(node), "value")
    if isinstance(node, ast.BoolOp):
        return _name(node.values[0])
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    if isinstance(node, ast.GeneratorExp | ast.ListComp):
        return _name(node.generators[0].iter)
    return next(_names_in(node), "value")


def _names_in(node: ast.AST) -> Iterator[str]:
    return (
        found.id.strip("_").lower() for found in ast.walk(node) if isinstance(found, ast.Name) and found.id != "self"
    )


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """The expressions inside of texts, lists and conditions."""
    if isinstance(node, ast.Name | ast.Attribute):
        yield node
    elif isinstance(node, ast.Subscript):
        yield from parts(node.value)
    elif isinstance(node, ast.Call):
        yield node
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("items", "values", "format"):
            yield from parts(node.func.value)
        yield from (part for argument in node.args for part in parts(argument))
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                yield from _of_field(value.value)
    elif isinstance(node, ast.IfExp):
        yield from (*parts(node.body), *parts(node.orelse))
    elif isinstance(node, ast.ListComp | ast.GeneratorExp):
        yield from (*parts(node.elt), *parts(node.generators[0].iter))
    elif not isinstance(node, ast.Compare | ast.Lambda):
        yield from (part for child in ast.iter_child_nodes(node) for part in parts(child))


def _of_field(node: ast.AST) -> Iterator[ast.AST]:
    """What a field is made of; texts that stand in it are texts as well."""
    yield from (written for written in alternatives(node) if isinstance(written, ast.Constant | ast.JoinedStr))
    yield from parts(node)


def called(call: ast.Call) -> str:
    """The last name of what is called: `errors.DataError(…)` is DataError."""
    return last(call.func)


def last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_message(line: str) -> bool:
    """Whether a line has words of ours, more than a name; a command to type is none."""
    words = _WORD.findall(literal := re.sub(r"\{\w+\}", "", line.replace("{{", "").replace("}}", "")))
    command = line.startswith(("pip install", "tunesmith ", "--")) and line[-1] not in ".:"
    if not words or command or line.startswith(("http", "fmt:")) or "%(" in line or not re.search(r"[a-z]", literal):
        return False
    return " " in literal.strip() or ("{" in line and " " in literal)


def paragraphs(doc: str) -> Iterator[str]:
    """The paragraphs of a documentation text, each in one line; one that click shows as it is, line by line."""
    for paragraph in inspect.cleandoc(doc).split("\n\n"):
        kept = paragraph.startswith("\b\n")
        yield escaped(paragraph.removeprefix("\b\n") if kept else " ".join(paragraph.split()))
