"""The process that runs a test and says whether it passed; the program runs in another, and is only asked.

Names of the program that the test uses are asked for, calls are handed over, and what comes back is data or a stand-in.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import io
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any

from .conversation import Conversation
from .stand_ins import Called, Class, Object, is_theirs, stand_in_class
from .values import PLAIN, Packer, Parcel, Unpacker, plain_base, plain_value

_PLAIN_NAMES = {kind.__name__: kind for kind in PLAIN}


class Names(dict[str, Any]):
    """The test's variables; what it does not define itself is looked up in the program."""

    def __init__(self, conversation: Conversation, test: ast.AST) -> None:
        super().__init__(__name__="__main__", __builtins__=builtins)
        self._conversation = conversation
        self._modules, self._own = _used(test)

    def __missing__(self, name: str) -> Any:
        if name in self._modules:  # not the program's, which could be anything
            return importlib.import_module(name)
        if hasattr(builtins, name) and name != self._about:
            raise KeyError(name)
        value = self._conversation.ask("name", name)
        if is_theirs(value):
            self[name] = value
        return value

    @functools.cached_property
    def _about(self) -> str | None:
        """The one name of Python's that the program has and the test is about: it uses nothing else of the program's.

        Otherwise a program could define `abs` or `isinstance` for tests of another function.
        """
        there = set(self._conversation.ask("names")) & self._own
        return there.pop() if len(there) == 1 else None


def _used(test: ast.AST) -> tuple[set[str], set[str]]:
    """The modules of the standard library whose attributes a test uses, and the names that it only reads."""
    nodes = list(ast.walk(test))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    written = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    owners = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    modules = {node.id for node in names if id(node) in owners and node.id in sys.stdlib_module_names}
    return modules - {node.id for node in names if id(node) not in owners}, {node.id for node in names} - written


class Judge:
    """What the test has, and what the program may ask of it."""

    def __init__(self, read: IO[bytes], write: IO[bytes]) -> None:
        self._objects: list[Any] = []
        self._classes: dict[int, Any] = {}
        self._stand_ins: dict[int, Any] = {}
        self._packer = Packer(self._export)
        self._unpacker = Unpacker(self._stand_in)
        self.conversation = Conversation(read, write, self._packer, self._unpacker)
        self.conversation.serve = self.serve
        self.conversation.heard = lambda text: print(text, end="") if text else None

    def serve(self, question: str, *values: Any) -> Any:
        """Answer the program, which may call what it was given and read what was printed for it."""
        if question in ("call", "iter", "next", "get", "set") and not any(values[0] is one for one in self._objects):
            raise TypeError("that is no object of the test's")
        answers: dict[str, Callable[..., Any]] = {
            "call": lambda target, arguments, named: target(*arguments, **named),
            "iter": iter,
            "next": next,
            "get": lambda target, name: getattr(target, self._open(target, name)),
            "set": lambda target, name, value: setattr(target, self._open(target, name), value),
            "input": lambda prompt: builtins.input(prompt),
            "readline": lambda: sys.stdin.readline(),
            "read": lambda: sys.stdin.read(),
        }
        return answers[question](*values)

    def _open(self, target: Any, name: str) -> str:
        """An attribute that the program may have: a public one of an object of the test's own class, or of a file."""
        if name in ("__name__", "__qualname__", "__doc__"):
            return name
        if name.startswith("_") or not (type(target).__module__ == "__main__" or isinstance(target, io.IOBase)):
            raise AttributeError(name)
        return name

    def _export(self, value: Any, parcel: Parcel) -> list[Any]:
        if isinstance(value, Class):
            return ["yours", value.number]
        if is_theirs(value):
            return ["yours", object.__getattribute__(value, "_number")]
        if isinstance(value, BaseException):
            known = next(kind for kind in type(value).__mro__ if getattr(builtins, kind.__name__, None) is kind)
            return ["error", known.__name__, [str(argument) for argument in value.args]]
        if plain_base(type(value)):
            packed: list[Any] = self._packer.pack(plain_value(value), parcel)
            return packed
        module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if hasattr(value, "__objclass__"):  # a method of a class, such as str.upper
            module = value.__objclass__.__module__
        if isinstance(name, str) and str(module).partition(".")[0] in sys.stdlib_module_names and module != "__main__":
            return ["named", module, name]
        known = next((number for number, one in enumerate(self._objects) if one is value), len(self._objects))
        if known == len(self._objects):
            self._objects.append(value)
        return ["mine", known]

    def _stand_in(self, spec: list[Any], parcel: Parcel) -> Any:
        tag, *rest = spec
        if tag == "yours":
            return self._objects[rest[0]]
        if tag == "module":
            return importlib.import_module(rest[0])
        if tag == "class":
            return self._class(*rest)
        if tag == "coroutine":
            return self._wait(rest[0])
        if tag == "mine":
            return self._instance(*rest)
        raise ValueError(tag)

    async def _wait(self, spec: list[Any]) -> Any:
        return self.conversation.ask("wait", self._unpacker.unpack(spec, Parcel()))

    def _instance(self, number: int, described: list[Any], carried: Any) -> Any:
        if number in self._stand_ins:
            return self._stand_ins[number]
        kind, value = (self._unpacker.unpack(spec, Parcel()) for spec in (described, carried))
        plain = plain_base(kind)
        if issubclass(kind, BaseException):
            made = kind.__new__(kind, *value)
            made.args = tuple(value)
        elif plain is None:
            made = self._stand_ins[number] = object.__new__(kind)
        elif plain in (list, dict, set, bytearray):
            made = plain.__new__(kind)
            plain.__init__(made, value)
        else:
            made = plain.__new__(kind, value)
        if isinstance(kind, Class):
            object.__setattr__(made, "_number", number)
        return made

    def _class(self, number: int, name: str, bases: list[Any], plain: str | None, called: bool) -> Any:
        if number not in self._classes:
            kinds = [self._unpacker.unpack(base, Parcel()) for base in bases]
            if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
                raise ValueError(f"the bases of {name} are no exceptions")
            if plain:
                kinds.append(_PLAIN_NAMES[plain])
            if not any(issubclass(kind, Object) for kind in kinds):
                kinds.append(Called if called else Object)
            self._classes[number] = stand_in_class(self.conversation, number, name, tuple(kinds))
        return self._classes[number]


def judge(program: str, test: str, command: list[str]) -> bool:
    """Whether the test runs to its end beside the program, which `command` starts."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin and process.stdout
    conversation = Judge(process.stdout, process.stdin).conversation
    try:
        conversation.ask("run", program)
        tree = ast.parse(test, "test.py")
        exec(compile(tree, "test.py", "exec"), Names(conversation, tree))
    except BaseException:  # a test that ends the process has not passed either
        return False
    return not conversation.broken
