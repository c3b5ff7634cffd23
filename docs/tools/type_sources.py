"""What types there are, read off the sources without importing them: where a name comes from, its fields and methods.

`type_pages.py` makes docs/types.md of it. A name in an annotation is followed through imports, those under
TYPE_CHECKING included, to the class or the alias that it stands for.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_SHOWN = (
    "__call__",
    "__iter__",
    "__aiter__",
    "__await__",
    "__enter__",
    "__getitem__",
    "__len__",
)  # of methods that begin with _
_ROOT = Path(__file__).resolve().parents[2]
_NAME = re.compile(r"[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Member:
    """A field, a property or a method of a class."""

    name: str
    annotation: str  # of a field or property its type, of a method its whole signature
    default: str | None  # of a field: as it is written; None where it must be given, and for what is no field
    doc: str
    is_method: bool = False


@dataclass(frozen=True)
class Described:
    """A class, or an alias of a type."""

    module: str  # that defines it
    name: str
    doc: str
    bases: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    alias: str = ""  # what it stands for; "" for a class
    is_protocol: bool = False
    mentions: tuple[str, ...] = field(default=(), compare=False)  # names in its annotations


@cache
def _source(module: str) -> tuple[list[str], ast.Module]:
    """The lines and the tree of a module of this repository. Raises: LookupError for any other."""
    parts = module.split(".")
    library = parts[0].removeprefix("tunesmith_library_")
    folder = _ROOT / ("kernel" if parts[0] == "tunesmith" else f"plugins/library/{library}")
    file = folder.joinpath(*parts)
    found = next((path for path in (file.with_suffix(".py"), file / "__init__.py") if path.is_file()), None)
    if found is None:
        raise LookupError(module)
    text = found.read_text(encoding="utf-8")
    return text.splitlines(), ast.parse(text)


@cache
def _scope(module: str) -> dict[str, tuple[str, ast.AST | None]]:
    """The names of a module: of what is imported the module that has it, of what is defined there the node."""
    _, tree = _source(module)
    found: dict[str, tuple[str, ast.AST | None]] = {}
    guarded = [node for item in tree.body if isinstance(item, ast.If) for node in item.body]
    for node in [*tree.body, *guarded]:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {item.asname or item.name: (node.module, None) for item in node.names}
        elif isinstance(node, ast.ClassDef):
            found[node.name] = (module, node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = (module, node)
    return found


def origin(module: str, name: str) -> tuple[str, str] | None:
    """The module and the name of what is meant by a name in a module; None for what is not of this project."""
    path, _, last = name.rpartition(".")
    if path:  # `types.Problem`
        place = _scope(module).get(path)
        return origin(f"{place[0]}.{path}", last) if place else None
    place = _scope(module).get(last)
    if place is None or not place[0].startswith("tunesmith"):
        return None
    return (place[0], last) if place[1] is not None else origin(place[0], last)


def top_level(module: str) -> list[str]:
    """The names that a module defines or lends, in the order of its text."""
    _, tree = _source(module)
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):  # `from … import name as name` lends it
            found += [item.name for item in node.names if item.asname == item.name]
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            found += [target.id] if isinstance(target, ast.Name) else []
    return found


def position(module: str, name: str) -> int:
    """Where in its module a type is defined."""
    return list(_scope(module)).index(name)


def mentioned(annotation: str) -> list[str]:
    """The names in an annotation or a signature, dotted ones whole, without what stands in quotes."""
    plain = re.sub(r"(['\"]).*?\1", "", annotation)
    return list(dict.fromkeys(_NAME.findall(plain)))


def described(module: str, name: str) -> Described | None:
    """A class or an alias where it is defined; None for a constant or a type variable."""
    node = _scope(module)[name][1]
    if isinstance(node, ast.ClassDef):
        return _class(module, node)
    assert isinstance(node, ast.Assign)
    value = ast.unparse(node.value)
    if not name[0].isupper() or name.isupper() or isinstance(node.value, ast.Call):
        return None
    return Described(module, name, _behind(module, node), alias=value, mentions=tuple(mentioned(value)))


def _behind(module: str, node: ast.Assign) -> str:
    """The string below an assignment, the comment behind it, or the comment above it with its lines as they are."""
    lines, tree = _source(module)
    for item in tree.body[tree.body.index(node) + 1 : tree.body.index(node) + 2]:
        if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            return textwrap.dedent(str(item.value.value)).strip()
    return _comment(lines, node, joined="\n")


def _class(module: str, node: ast.ClassDef) -> Described:
    lines, _ = _source(module)
    members = [member for item in node.body if (member := _member(lines, item)) is not None]
    named = [ast.unparse(base) for base in node.bases]
    bases = tuple(name for name in named if name != "Protocol")
    names = [name for member in members for name in mentioned(member.annotation)]
    doc = ast.get_docstring(node) or ""
    mentions, protocol = (*bases, *dict.fromkeys(names)), "Protocol" in named
    return Described(module, node.name, doc, bases, tuple(members), is_protocol=protocol, mentions=mentions)


def _member(lines: list[str], node: ast.stmt) -> Member | None:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        annotation = ast.unparse(node.annotation)
        if node.target.id.startswith("_") or annotation.startswith("ClassVar"):
            return None
        default = None if node.value is None else _default(node.value)
        return Member(node.target.id, _without_metadata(annotation), default, _comment(lines, node))
    if not isinstance(node, ast.FunctionDef) or (node.name.startswith("_") and node.name not in _SHOWN):
        return None
    marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
    answer = ast.unparse(node.returns) if node.returns else "Any"
    doc = ast.get_docstring(node) or _comment(lines, node)
    if marks & {"property", "cached_property"}:
        return Member(node.name, answer, None, doc)
    arguments = re.sub(r"^(self|cls)(, )?", "", ast.unparse(node.args))
    return Member(node.name, f"({arguments}) -> {answer}", None, doc, is_method=True)


def _default(value: ast.expr) -> str:
    """A default as a reader would write it: what a factory makes, and not that it does."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        given = {item.arg: ast.unparse(item.value) for item in value.keywords}
        made = {"dict": "{}", "list": "[]"}.get(given.get("default_factory", ""))
        return made or given.get("default") or f"{given.get('default_factory', '')}()"
    return ast.unparse(value)


def _without_metadata(annotation: str) -> str:
    """`Annotated[int, at_least(1)] | None` as `int | None`."""
    node = ast.parse(annotation, mode="eval")

    class Plain(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            self.generic_visit(node)
            if ast.unparse(node.value) == "Annotated" and isinstance(node.slice, ast.Tuple):
                return node.slice.elts[0]
            return node

    return ast.unparse(Plain().visit(node))


def _comment(lines: list[str], node: ast.stmt, joined: str = " ") -> str:
    """The comment behind a statement of one line, or on the lines right above it, which are joined."""
    end = node.end_lineno or node.lineno
    behind = re.search(r"  # (.*)$", lines[end - 1])
    if behind:
        return behind[1]
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if (line.strip() != "#" and not line.strip().startswith("# ")) or line.strip().startswith("# ----"):
            break
        above.insert(0, line.strip().removeprefix("#").removeprefix(" "))
    return joined.join(above)
