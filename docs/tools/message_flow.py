"""What a package says to its user, read off its source: the msgids of its catalogue.

Taken are the texts of errors, problems and notices, of what is announced or printed by `say`, of helps, summaries and
options' comments; and the texts that flow into these through local names and through functions of the same name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from message_module import Module
from message_texts import called, escaped, is_message, last, numbered, paragraphs, parts, rendered
from tunesmith_library_configuration.options import docs_of

_SINKS = {"Problem", "Stray", "say", "translate", "translate_prose", "framed", "section", "write_text", "write_dl"}
_SINKS |= {"UsageError", "BadParameter", "BadOptionUsage", "_tell", "_say", "notice", "complain"}
_SINKS |= {"Finding", "plus", "without", "Part"}  # of a check; of an estimate; of a comparison
_SINKS |= {"ready_to_train", "warn_once", "Rule", "Told", "Note"}  # of adapters, rows, faults of runs, others' keys
_FUNCTIONS = {"count"}  # of rows that something is the matter with; a method of this name says nothing
_METHODS = {"note", "refuse"}  # of a file of another program; a function of this name answers a request
_LOGGED = {"debug", "info", "warning", "error"}
_ROOTS = {"TunesmithError", "Interrupted", "ClickException"}
_ARGUMENTS = {
    "help",
    "short_help",
    "message",
    "advice",
    "notice",
    "notices",
    "notes",
    "epilog",
    "said",
    "why",
    "hint",
    "says",
}
_SEVERITIES = ("error", "warning")  # a finding is a tuple of one of them and what is found
_CLASSES = {"plugin", "configurable"}
_WORD = re.compile(r"[^\W\d_]{2}")
_ONE_WORD = re.compile("[a-z]+")
_PERCENT = re.compile(r"%(?:\.\d+)?[sdrfg]")


@dataclass
class Reading:
    """The texts of all packages: what flows from one into another is found in that which has it."""

    modules: list[Module]
    _said: dict[Path, dict[str, None]] = field(default_factory=dict)
    _waiting: list[tuple[Module, ast.AST]] = field(default_factory=list)
    _taken: set[ast.AST] = field(default_factory=set)
    _followed: set[tuple[object, str]] = field(default_factory=set)

    def texts(self) -> dict[Path, list[str]]:
        """The msgids by file."""
        errors, configurable = _errors(self.modules), _option_classes(self.modules)
        for module in self.modules:
            for node in ast.walk(module.tree):
                self._waiting += [(module, shown) for shown in _shown(node, errors)]
                self._said.setdefault(module.path, {}).update(dict.fromkeys(_alone(node)))
                if isinstance(node, ast.Call) and called(node) == "choices" and len(node.args) > 2:
                    self._labels(module, node.args[2])
                elif isinstance(node, ast.FunctionDef) and node.name == "choices":
                    self._labels(module, node.args.defaults[-1])
            self._said.setdefault(module.path, {}).update(dict.fromkeys(_own(module)))
            for text in [*_docs(module), *_comments(module, configurable)]:
                self._keep(module, text)
        while self._waiting:
            module, shown = self._waiting.pop(0)
            if shown not in self._taken:
                self._taken.add(shown)
                self._take(module, shown)
        return {path: list(found) for path, found in self._said.items() if found}

    def _keep(self, module: Module, text: str) -> None:
        for line in text.split("\n"):
            if is_message(line.strip()):
                self._said.setdefault(module.path, {})[numbered(line.strip())] = None

    def _labels(self, module: Module, label: ast.AST) -> None:
        """`choices(asked, possible, "installed")` says `installed: a, b`, or `installed: nothing`."""
        for text in rendered(label):
            self._keep(module, f"{text}: {{names}}\n{text}: nothing")

    def _take(self, module: Module, node: ast.AST) -> None:
        """Keep the texts of an expression, and follow what it is made of."""
        if isinstance(node, ast.Call) and called(node) == "announce" and isinstance(node.args[-1], ast.Starred):
            for what in rendered(node.args[0]):
                self._keep(module, f"{what}: {{chosen}} ({{why}})")
            node = node.args[-1].value
        elif isinstance(node, ast.Call) and called(node) == "announce" and len(node.args) == 3:
            named = [*rendered(node.args[1])]
            words = [chosen for chosen in named if _ONE_WORD.fullmatch(chosen)]  # which alone could be a name
            for what in rendered(node.args[0]):
                for why in [*rendered(node.args[2])] or ["{why}"]:
                    for chosen in words + ["{chosen}"] * (len(words) < len(named) or not named):
                        self._keep(module, f"{what}: {chosen} ({why})")
            for chosen in named:
                self._keep(module, chosen)
            node = node.args[2]
        else:
            for text in rendered(node):
                self._keep(module, text)
        for part in parts(node):
            if isinstance(part, ast.Name):
                self._follow_name(module, part)
            elif isinstance(part, ast.Call | ast.Attribute):
                self._follow_function(module, part.func if isinstance(part, ast.Call) else part)
            else:
                self._waiting.append((module, part))

    def _follow_name(self, module: Module, name: ast.Name) -> None:
        """What a name is given in its function, or at the top of the module."""
        if name.id in module.functions:
            self._follow_function(module, name)
        for scope in (module.scopes.get(name), module.tree):
            if scope is not None and (scope, name.id) not in self._followed:
                self._followed.add((scope, name.id))
                inside = ast.walk(scope) if scope is not module.tree else iter(module.tree.body)
                self._waiting += [(module, value) for node in inside for value in _assigned(node, name.id)]

    def _follow_function(self, module: Module, called_as: ast.AST) -> None:
        """What a function returns, of the same module or of one that it is imported from."""
        name = last(called_as)
        own = isinstance(called_as, ast.Name) or last(getattr(called_as, "value", called_as)) in ("self", "cls")
        home = self._by_name.get(module.imported.get(name, ""), module) if own else None
        if home is None or (home.path, name) in self._followed:
            return
        self._followed.add((home.path, name))
        for function in home.functions.get(name, ()):
            for node in ast.walk(function):
                if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and node.value is not None:
                    self._waiting.append((home, node.value))

    @cached_property
    def _by_name(self) -> dict[str, Module]:
        return {module.name: module for module in self.modules}


def _errors(modules: Iterable[Module]) -> set[str]:
    """The names of the classes that are mistakes of the user."""
    bases = {made.name: {last(base) for base in made.bases} for module in modules for made in module.classes}
    found = set(_ROOTS)
    while more := {name for name, of in bases.items() if of & found} - found:
        found |= more
    return found


def _shown(node: ast.AST, errors: set[str]) -> Iterator[ast.AST]:
    """The expressions of a node that the user is shown."""
    if isinstance(node, ast.AnnAssign) and last(node.target) in _ARGUMENTS and node.value is not None:
        yield node.value
    if isinstance(node, ast.AugAssign) and last(node.target) == "notices":
        yield node.value
    if isinstance(node, ast.Tuple) and node.elts and getattr(node.elts[0], "value", None) in _SEVERITIES:
        yield from node.elts[1:]
    if not isinstance(node, ast.Call):
        return
    name = called(node)
    logged = isinstance(node.func, ast.Attribute) and name in _LOGGED and last(node.func.value) in ("logger", "log")
    if name == "announce":
        yield node
    elif logged and node.args:
        yield _with_values(node)
    elif name in errors or name in _SINKS or name in (_METHODS if isinstance(node.func, ast.Attribute) else _FUNCTIONS):
        yield from node.args
        yield from (word.value for word in node.keywords if word.arg is not None)
    elif name == "print_table":
        yield from node.args[:1]
    else:
        yield from (word.value for word in node.keywords if word.arg in _ARGUMENTS)


def _alone(node: ast.AST) -> Iterator[str]:
    """Single words that are printed: headings, `done`."""
    if isinstance(node, ast.Call) and called(node) in ("say", "section", "print_table") and node.args:
        lines = (line.strip() for text in rendered(node.args[0]) for line in text.splitlines())
        yield from (line for line in lines if _WORD.search(line) and " " not in line and "{" not in line)


def _with_values(call: ast.Call) -> ast.AST:
    """`logger.info("%s is", name)` as the f-string that says the same."""
    template, values = call.args[0], list(call.args[1:])
    if not (values and isinstance(template, ast.Constant) and isinstance(template.value, str)):
        return template
    pieces: list[ast.expr] = []
    for number, text in enumerate(_PERCENT.split(template.value)):
        if number:
            value = values[number - 1] if number <= len(values) else ast.Name("value")
            pieces.append(ast.FormattedValue(value, -1))
        pieces.append(ast.Constant(text.replace("%%", "%")))
    return ast.JoinedStr(pieces)


def _assigned(node: ast.AST, name: str) -> Iterator[ast.AST]:
    """What a name is given in a statement, also by `name.append(…)` and `name += …`."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=False)
                yield from (value for item, value in pairs if isinstance(item, ast.Name) and item.id == name)
            elif isinstance(target, ast.Tuple) and any(isinstance(i, ast.Name) and i.id == name for i in target.elts):
                yield node.value
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.NamedExpr):
        if isinstance(node.target, ast.Name) and node.target.id == name and node.value is not None:
            yield node.value
    elif isinstance(node, ast.For) and isinstance(node.target, ast.Name) and node.target.id == name:
        yield node.iter
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and last(node.func.value) == name:
        yield from node.args[-1:] if node.func.attr in ("append", "extend", "insert") else ()


def _own(module: Module) -> Iterator[str]:
    """The msgids of a module's `MESSAGES`: what is said by other means, and what the constants that it names hold."""
    for item in (item for value in _at_top(module, "MESSAGES") for item in ast.walk(value)):
        if isinstance(item, ast.Constant):
            yield str(item.value)
        elif isinstance(item, ast.Name):
            held = (part for value in _at_top(module, item.id) for part in ast.walk(value))
            texts = (str(part.value) for part in held if isinstance(part, ast.Constant))
            yield from (text for text in texts if is_message(text))


def _at_top(module: Module, name: str) -> Iterator[ast.AST]:
    """What a name is given at the top of a module."""
    return (value for node in module.tree.body for value in _assigned(node, name))


def _docs(module: Module) -> Iterator[str]:
    """Paragraphs of what plugins and commands say of themselves."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            wanted = _CLASSES if isinstance(node, ast.ClassDef) else {"command", "group"}
            if any(last(_mark(item)) in wanted for item in node.decorator_list):
                yield from paragraphs(ast.get_docstring(node) or "")


def _option_classes(modules: Iterable[Module]) -> set[ast.ClassDef]:
    """The classes whose fields are options: plugins, what they inherit, and what their fields hold."""
    homes = {module.name: module for module in modules}
    found: set[ast.ClassDef] = set()
    waiting = [
        (module, made)
        for module in modules
        for made in module.classes
        if made.name == "RunOptions" or any(last(mark) in _CLASSES for mark in map(_mark, made.decorator_list))
    ]
    while waiting:
        module, made = waiting.pop()
        found.add(made)
        fields = [item for item in made.body if isinstance(item, ast.AnnAssign) and last(item.target)[:1] != "_"]
        held = [item.annotation for item in fields if "ClassVar" not in ast.unparse(item.annotation)]
        names = {node.id for part in [*made.bases, *held] for node in ast.walk(part) if isinstance(node, ast.Name)}
        for name in names:
            home = homes.get(module.imported.get(name, ""), module)
            waiting += [(home, of) for of in home.classes if of.name == name and of.decorator_list and of not in found]
    return found


def _mark(decorator: ast.expr) -> ast.expr:
    """A decorator without its arguments."""
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _comments(module: Module, classes: set[ast.ClassDef]) -> Iterator[str]:
    """The comments of options."""
    for made in module.classes:
        if made in classes:
            for name, comment in docs_of(made, module.lines).items():
                if not name.startswith("_"):
                    yield escaped(comment)
