import shutil

import pytest
from tunesmith import TunesmithError
from tunesmith_hub_placeholder import Placeholder
from tunesmith_library_testing import HubSuite


class TestPlaceholder(HubSuite):
    plugin = Placeholder

    @pytest.fixture
    def publish(self, tmp_path, monkeypatch):
        monkeypatch.setattr(type(self), "options", {"root": str(tmp_path / "hub")})

        def publish(folder):
            shutil.copytree(folder, tmp_path / "hub" / "somebody" / "something")
            return "somebody/something"

        return publish


def test_names_the_nearest(tmp_path):
    (tmp_path / "somebody" / "something").mkdir(parents=True)
    with pytest.raises(TunesmithError, match="did you mean somebody/something"):
        Placeholder(root=str(tmp_path)).fetch(address="somebody/somethin", revision=None)
