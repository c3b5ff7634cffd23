"""What a page's session has around it: a folder, an environment and a hub of its own, and short trainings."""

import contextlib
import io
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs_stand_ins import SMALL


def captured(call: Any) -> tuple[int, str]:
    """The exit code of what is called and all that it prints; an exception is printed and is code 1."""
    printed = io.StringIO()
    stdin = sys.stdin
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings():
            code = call()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:
        printed.write(traceback.format_exc())
        code = 1
    finally:
        sys.stdin = stdin
    return code, printed.getvalue()


@contextlib.contextmanager
def environment(words: list[str]) -> Iterator[list[str]]:
    """Set `A=b` before a command for its time; alone, or after `export`, for the rest of the page."""
    count = next((n for n, word in enumerate(words) if not re.fullmatch(r"[A-Z_]+=.*", word)), len(words))
    given = dict(word.split("=", 1) for word in words[:count])
    if words[count : count + 1] == ["export"] or count == len(words):
        os.environ.update(given | dict(word.split("=", 1) for word in words[count + 1 :]))
        yield []
        return
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    yield words[count:]
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@contextlib.contextmanager
def short_training() -> Iterator[None]:
    """`tunesmith.train` of a page's Python ends after two steps."""
    import tunesmith

    whole = tunesmith.train

    def short(config: Any = None, overrides: Any = None, **more: Any) -> Any:
        return whole(config, {**(overrides or {}), **SMALL}, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tunesmith, "train", short, raising=False)
        yield


@contextlib.contextmanager
def elsewhere(folder: Path, hub: Path) -> Iterator[None]:
    """A folder and an environment of the page's own, with a hub that is offline; all of it is put back."""
    from huggingface_hub import constants

    environment, path, modules = dict(os.environ), list(sys.path), set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        home = folder.parent / f"{folder.name}-home"
        for name in ("cache", "state", "config", "data"):
            patch.setenv(f"XDG_{name.upper()}_HOME", str(home / name))
        patch.setenv("HOME", str(home))
        patch.setenv("HF_HUB_CACHE", str(hub))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(constants, "HF_HUB_CACHE", str(hub))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        home.mkdir()
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(environment)
            sys.path[:] = path
            for name in set(sys.modules) - modules:
                file = getattr(sys.modules[name], "__file__", None) or ""
                if name.startswith("tunesmith_private_") or file.startswith(str(folder)):
                    del sys.modules[name]
