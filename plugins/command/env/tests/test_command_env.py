"""What is printed for a bug report."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from tunesmith import __version__
from tunesmith.catalog import Catalog, Entry
from tunesmith_command_env import Env
from tunesmith_command_env.reading import facts
from tunesmith_library_testing import CommandSuite


class TestEnv(CommandSuite):
    plugin = Env


def entry(name: str, load: Any = lambda: Env) -> Entry:
    return Entry("command", name, f"tunesmith-command-{name}", "1.0", "x:X", "", load)


def test_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    result = CliRunner().invoke(Env().command(), [])  # type: ignore[attr-defined]
    lines = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert result.exit_code == 0
    assert lines["tunesmith"] == __version__ and lines["python"] == platform.python_version()
    assert lines["pluggy"] == importlib.metadata.version("pluggy"), "the kernel's own requirements"
    assert "tunesmith-command-env" in lines["plugins"] and lines["OMP_NUM_THREADS"] == "1"
    assert any(name.startswith("accelerator") for name in lines) and "secret" not in result.stdout


def test_libraries_are_what_plugins_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an extra, only what is there."""
    asked = [
        "click>=8",
        "surely-not-there>=1",
        'not-there-either; extra == "gpu"',
        'Packaging; extra == "gpu"',
        "tunesmith",
    ]
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda name: asked if name == "tunesmith-command-a" else ["pluggy"]
    )
    found = dict(facts(Catalog([entry("a")])))
    assert found["click"] == importlib.metadata.version("click")
    assert found["packaging"] == importlib.metadata.version("packaging")
    assert found["surely-not-there"] == "not installed" and "not-there-either" not in found
    assert found["plugins"] == "tunesmith-command-a 1.0"


def test_broken_plugins_are_named() -> None:
    def load() -> Any:
        raise ImportError("no fastapi")

    found = dict(facts(Catalog([entry("api", load)])))
    assert "ImportError: no fastapi" in found["broken command.api"]


def test_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch tells them; this machine need not have one."""
    properties = SimpleNamespace(name="NVIDIA H100", total_memory=80 * 2**30, major=9, minor=0)
    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 1, get_device_properties=lambda index: properties
    )
    fake = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda="12.8", hip=None))
    monkeypatch.setitem(sys.modules, "torch", fake)  # type: ignore[arg-type]
    found = dict(facts(Catalog([])))
    assert found["accelerator 0"] == "NVIDIA H100, 80 GiB, sm_90" and found["cuda"] == "12.8"
    monkeypatch.setitem(sys.modules, "torch", None)  # type: ignore[arg-type]
    assert dict(facts(Catalog([])))["accelerators"] == "unknown without torch"
