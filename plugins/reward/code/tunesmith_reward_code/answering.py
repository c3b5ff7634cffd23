"""The process that runs an answer's program. What it says are values; whether they are right is judged elsewhere.

It holds neither the test nor anything that proves a test passed, so the program may look at all of it.
"""

from __future__ import annotations

import builtins
import copy
import importlib
import io
import operator
import os
import sys
import types
from typing import Any

from .conversation import Broken, Conversation
from .values import Packer, Parcel, Unpacker, is_builtin, plain_base, plain_value

_FUNCTIONS = {"copy": copy.copy, "deepcopy": copy.deepcopy, "isinstance": isinstance, "issubclass": issubclass}


class Theirs:
    """Stands for an object of the test's."""

    def __init__(self, number: int, conversation: Conversation) -> None:
        object.__setattr__(self, "_theirs", (number, conversation))

    def _ask(self, question: str, *values: Any) -> Any:
        return object.__getattribute__(self, "_theirs")[1].ask(question, self, *values)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._ask("call", list(arguments), named)

    def __iter__(self) -> Any:
        return self._ask("iter")

    def __next__(self) -> Any:
        return self._ask("next")

    def __getattr__(self, name: str) -> Any:
        return self._ask("get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("set", name, value)


class Input(io.TextIOBase):
    """Standard input, which the test may have replaced."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def readable(self) -> bool:
        return True

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        return str(self._conversation.ask("readline"))

    def read(self, size: int | None = -1, /) -> str:
        return str(self._conversation.ask("read"))


class Answer:
    """The program, and what is asked of it."""

    def __init__(self, conversation_of: Any) -> None:
        self._objects: list[Any] = []
        self._numbers: dict[int, int] = {}
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        self._names = module.__dict__
        self._theirs: dict[int, Theirs] = {}
        self._packer = Packer(self._export)
        self.conversation: Conversation = conversation_of(self._packer, Unpacker(self._stand_in))
        self.conversation.serve = self.serve

    def serve(self, question: str, *values: Any) -> Any:
        """Do what the test's process asks."""
        result = getattr(self, f"_do_{question}")(*values)
        return _Coroutine(result) if isinstance(result, types.CoroutineType) else result

    def _do_run(self, program: str) -> None:
        exec(compile(program, "answer.py", "exec"), self._names)

    def _do_names(self) -> list[str]:
        return [name for name in self._names if name != "__builtins__"]

    def _do_name(self, name: str) -> Any:
        return self._names[name]

    def _do_call(self, target: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        return target(*arguments, **named)

    def _do_get(self, target: Any, name: str) -> Any:
        return getattr(target, name)

    def _do_set(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)

    def _do_delete(self, target: Any, name: str) -> None:
        delattr(target, name)

    def _do_apply(self, name: str, *values: Any) -> Any:
        found: Any = _FUNCTIONS.get(name) or getattr(operator, name, None) or getattr(builtins, name)
        return found(*values)

    def _do_method(self, target: Any, name: str, *values: Any) -> Any:
        return getattr(type(target), name)(target, *values)

    def _do_wait(self, coroutine: Any) -> Any:
        import asyncio  # slow to import, seldom wanted

        return asyncio.run(coroutine)

    def _export(self, value: Any, parcel: Parcel) -> list[Any]:
        if type(value) is Theirs:
            return ["yours", object.__getattribute__(value, "_theirs")[0]]
        if type(value) is _Coroutine:
            return ["coroutine", self._described(value.coroutine)]
        return self._class(value) if isinstance(value, type) else self._described(value)

    def _described(self, value: Any) -> list[Any]:
        """An object by number and class, and what it carries: data that its class is derived from, or arguments."""
        carried = None
        if isinstance(value, BaseException):
            carried = list(value.args)
        elif plain_base(type(value)):
            carried = plain_value(value)
        return ["mine", self._number(value), self._class(type(value)), self._packer.pack(carried, Parcel())]

    def _class(self, kind: type) -> list[Any]:
        error = issubclass(kind, BaseException)
        if error and is_builtin(kind):
            return ["builtin", kind.__name__]
        bases = [self._class(base) for base in kind.__bases__ if issubclass(base, BaseException)] if error else []
        plain = plain_base(kind)
        called = "__call__" in dir(kind)
        return ["class", self._number(kind), kind.__name__, bases, plain.__name__ if plain else None, called]

    def _number(self, value: Any) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._objects)
            self._objects.append(value)
        return self._numbers[id(value)]

    def _stand_in(self, spec: list[Any], parcel: Parcel) -> Any:
        tag, *rest = spec
        if tag == "yours":
            return self._objects[rest[0]]
        if tag == "mine":
            return self._theirs.setdefault(rest[0], Theirs(rest[0], self.conversation))
        if tag in ("named", "module"):
            module = importlib.import_module(rest[0])
            return operator.attrgetter(rest[1])(module) if tag == "named" else module
        if tag == "error":
            return getattr(builtins, rest[0])(*rest[1])
        raise ValueError(tag)


class _Coroutine:
    """A coroutine that the test is to wait for."""

    def __init__(self, coroutine: Any) -> None:
        self.coroutine = coroutine


def main() -> None:
    """Answer on the standard input and output, which the program does not get."""
    read, write = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    answer = Answer(lambda packer, unpacker: Conversation(read, write, packer, unpacker))
    printed = io.BytesIO()
    sys.stdout = io.TextIOWrapper(printed, encoding="utf-8", errors="replace", write_through=True)

    def said() -> str:
        text = printed.getvalue().decode(errors="replace")
        printed.seek(0)
        printed.truncate()
        return text

    answer.conversation.said = said
    sys.stdin = Input(answer.conversation)
    builtins.input = lambda prompt="", /: answer.conversation.ask("input", str(prompt))
    try:
        answer.conversation.listen()
    except Broken:
        os._exit(0)
