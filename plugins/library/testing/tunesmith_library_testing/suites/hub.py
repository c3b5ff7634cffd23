"""What every hub keeps to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from tunesmith import TunesmithError

from tunesmith_library_testing.suites.plugin import PluginSuite

_FILES = {"config.json": b'{"model_type": "llama"}', "data/train.jsonl": '{"text": "你好"}\n'.encode()}


class HubSuite(PluginSuite):
    """The tests of a `hub` plugin. The test class implements `publish`."""

    kind = "hub"
    missing: ClassVar[str] = "nobody/nothing"  # an address that the hub does not have

    @pytest.fixture
    def publish(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
        """A function that makes a folder available on the hub (a fake server, say) and returns its address.

        A test class defines this fixture: `publish(folder: Path) -> str`.
        """
        pytest.fail("define a fixture `publish` in the test class: publish(folder) -> address")

    def test_fetches_a_folder(self, publish: Callable[[Path], str], tmp_path: Path) -> None:
        """What was published comes back, file by file; a second fetch gives the same."""
        folder = tmp_path / "published"
        for name, content in _FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        address = publish(folder)
        for _ in range(2):
            fetched = self.manager().hook.fetch(address=address, revision=None)
            assert isinstance(fetched, Path)
            assert {name: (fetched / name).read_bytes() for name in _FILES} == _FILES

    def test_missing_address(self, publish: Callable[[Path], str], tmp_path: Path) -> None:
        """An address that does not exist is an error that names it."""
        (tmp_path / "published").mkdir()
        publish(tmp_path / "published")
        with pytest.raises(TunesmithError) as raised:
            self.manager().hook.fetch(address=self.missing, revision=None)
        assert self.missing in str(raised.value)
