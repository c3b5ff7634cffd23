"""The local hub."""

import pytest
from tunesmith import TunesmithError
from tunesmith_hub_local import Local
from tunesmith_library_testing import HubSuite


class TestLocal(HubSuite):
    plugin = Local

    @pytest.fixture
    def publish(self):
        return str


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert Local().fetch("~/model", None) == tmp_path / "model"


def test_missing_names_the_nearest(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    for asked, nearest in {
        "data/trian.json": "in data: train.json   did you mean train.json?",
        "dta/train.json": "in .: data   did you mean data?",
        str(tmp_path / "data" / "tran.json"): "did you mean train.json?",
    }.items():
        with pytest.raises(TunesmithError) as raised:
            Local().fetch(asked, None)
        assert nearest in str(raised.value) and asked in str(raised.value)
    with pytest.raises(TunesmithError):
        Local().fetch("", None)


def test_revision_is_left_aside(tmp_path, caplog):
    assert Local().fetch(str(tmp_path), "v1") == tmp_path
    assert "revision v1 is left aside" in caplog.text
