"""What a folder that no run of ours made says of itself."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.handles import adapter_of, configuration_of


def test_an_adapter_names_its_base(tmp_path):
    said = {"base_model_name_or_path": "org/base", "peft_type": "OFT", "revision": "v2"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(said))
    assert configuration_of(tmp_path) == {
        "model": {"path": "org/base", "revision": "v2"},
        "adapter": {"name": "oft"},
    }


def test_a_whole_model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert configuration_of(tmp_path) == {"model": {"path": str(tmp_path)}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read"),
        ("{}", "does not say which model it belongs to"),
        (None, "without run.yaml, so not a run"),
    ],
)
def test_what_is_no_handle(tmp_path, text, told):
    if text is not None:
        (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ConfigError, match=told):
        configuration_of(tmp_path)


def test_the_adapter_of_a_handle(tmp_path):
    """That of a run is in its folder; without a run the last that the options name."""
    assert adapter_of(tmp_path, SimpleNamespace(path="elsewhere"), Path) is None
    (tmp_path / "adapter_config.json").write_text("{}")
    assert adapter_of(tmp_path, SimpleNamespace(path="elsewhere"), Path) == tmp_path
    assert adapter_of(None, SimpleNamespace(path=["a", "b"]), Path) == Path("b")
    assert adapter_of(None, SimpleNamespace(path="a"), Path) == Path("a")
    assert adapter_of(None, SimpleNamespace(), Path) is None
