"""What importing plugins and asking their `check` imports of the heavy packages, found in fresh interpreters."""

from __future__ import annotations

import atexit
import functools
import importlib.metadata
import json
import os
import subprocess
import sys
from typing import Any

HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate", "trl", "numpy", "pandas", "matplotlib")

_IMPORTS = """
import importlib, json, sys
modules, heavy = json.loads(sys.argv[1]), set(sys.argv[2:])
found = {}
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in heavy:
            found[module].append(name.partition(".")[0])
            raise ImportError(f"{name} is heavy")
sys.meta_path.insert(0, Refusing())
for module in modules:
    found[module] = []
    try:
        importlib.import_module(module)
    except Exception as error:
        found[module] = found[module] or [f"{type(error).__name__}: {error}"]
print(json.dumps(found))
"""

# an answer a line for a question a line; each check runs in a fork that has imported no other plugin
_CHECKS = """
import contextlib, importlib, json, os, sys, traceback
from tunesmith_library_testing.parts import StubPlan
from tunesmith.validate import instance, structured
def answer(module, name, kind, options, heavy, path, folder, environment):
    sys.path[:] = path
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    found = importlib.import_module(module)
    if name:
        made = instance(getattr(found, name), structured(getattr(found, name), options, (), name)[0])
        made.check(plan=StubPlan({kind: {"this": made}}))
    return {"imported": sorted(set(heavy) & set(sys.modules))}
def apart(question):
    with contextlib.redirect_stdout(sys.stderr):
        try:
            found = answer(**question)
        except BaseException:
            found = {"failed": traceback.format_exc()}
    print(json.dumps(found), flush=True)
for line in sys.stdin:
    child = os.fork() if hasattr(os, "fork") else 0
    if child:
        if os.waitpid(child, 0)[1]:
            print(json.dumps({"failed": "the process ended"}), flush=True)
        continue
    apart(json.loads(line))
    if hasattr(os, "fork"):
        os._exit(0)
    break
"""


def points_of(group: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    """The entry points of a group, found once: that reads the metadata of everything installed."""
    return _points_on(tuple(sys.path), group)


@functools.cache
def _points_on(path: tuple[str, ...], group: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=group))


@functools.cache
def imported_by_modules(kind: str, path: tuple[str, ...]) -> dict[str, list[str]]:
    """What each module on a path that offers plugins of a kind imports of the heavy packages, found in one process."""
    modules = sorted({point.module for point in points_of(f"tunesmith.{kind}")})
    program = [sys.executable, "-c", _IMPORTS, json.dumps(modules), *HEAVY]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"the program failed:\n{done.stderr}"
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def imported_by_check(plugin: type, kind: str, options: dict[str, Any]) -> list[str]:
    """The heavy packages that a fresh interpreter holds when `check` of a plugin, made with options, has answered.

    Raises:
        AssertionError: the check fails there.
    """
    return _answered({"module": plugin.__module__, "name": plugin.__name__, "kind": kind, "options": options})


def imported_by_file(module: str) -> list[str]:
    """The heavy packages that a fresh interpreter holds when it has imported a module.

    Raises:
        AssertionError: it cannot be imported there.
    """
    return _answered({"module": module, "name": "", "kind": "", "options": {}})


def _answered(question: dict[str, Any]) -> list[str]:
    here = {"heavy": HEAVY, "path": sys.path, "folder": os.getcwd(), "environment": dict(os.environ)}
    asked = _asked()
    assert asked.stdin and asked.stdout
    asked.stdin.write(json.dumps({**question, **here}) + "\n")
    asked.stdin.flush()
    answer = json.loads(asked.stdout.readline())
    if not hasattr(os, "fork"):
        _asked.cache_clear()  # one answer is all that an interpreter without forks gives
    assert "failed" not in answer, f"the program failed:\n{answer['failed']}"
    found: list[str] = answer["imported"]
    return found


@functools.cache
def _asked() -> subprocess.Popen[str]:
    """The interpreter that answers, started once: the start costs more than most checks."""
    program = [sys.executable, "-c", _CHECKS]
    started = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(started.communicate)
    return started
