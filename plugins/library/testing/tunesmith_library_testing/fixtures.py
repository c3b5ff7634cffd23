"""pytest fixtures for plugin tests; installed as a pytest plugin with the kernel."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """The marks that suites use, and whoever writes a plugin may use beside them."""
    config.addinivalue_line("markers", "slow: takes long, such as a training; leave it out by -m 'not slow'")
    config.addinivalue_line("markers", "gpu: needs a CUDA device")


@pytest.fixture(scope="session", autouse=True)
def _records_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of tests are not remembered as runs of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def pytest_pycollect_makeitem(collector: Any, name: str) -> list[Any] | None:
    """The standard tests that say nothing of a plugin are none of its tests."""
    suite: Any = getattr(collector, "cls", None) if name.startswith("test_") else None
    return [] if hasattr(suite, "idle_tests") and hasattr(suite, "plugin") and name in suite.idle_tests() else None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """A context that is never left, such as autocast with its cache of weights, changes every run after it."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "is_autocast_cache_enabled"):  # imported whole
        assert not torch.is_autocast_enabled("cpu"), "autocast is on after the test"
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled(), "gradients are off after the test"
        assert torch.get_default_dtype() == torch.float32, "another default dtype after the test"


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """No launcher is at work already, whatever started the tests."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Llama model with tokenizer. Read only: copy it to change it."""
    from tunesmith_library_testing.tiny import save_tiny_model

    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "llama")


@pytest.fixture(scope="session")
def tiny_mixtures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny mixtures of experts by model type, one for each layout of experts. Read only."""
    from tunesmith_library_testing.tiny import MIXTURES, save_tiny_mixture

    folder = tmp_path_factory.mktemp("mixtures")
    return {name: save_tiny_mixture(folder / name, name) for name in MIXTURES}


@pytest.fixture(scope="session")
def tiny_bpe() -> Any:
    """A tiny byte-level BPE tokenizer with the ChatML tokens, without chat template."""
    from tunesmith_library_testing.tiny import tiny_tokenizer

    return tiny_tokenizer()


@pytest.fixture(scope="session")
def real_files(pytestconfig: pytest.Config) -> Path:
    """Real data sets (`data/`) and tokenizers (`tokenizers/`) beside the repository; skips where they are absent."""
    folder = Path(os.environ.get("TUNESMITH_SHARED", pytestconfig.rootpath.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder} (set TUNESMITH_SHARED)")
    return folder
