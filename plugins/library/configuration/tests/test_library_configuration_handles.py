"""What a folder that no run of ours made says of itself."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.handles import adapter_of, configuration_of, foreign_model, holds_model, words_of


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


def test_a_file_that_is_a_model_by_itself(tmp_path):
    """It is named, or lies in a folder; a run that has one beside its own files stays a run."""
    file, record = tmp_path / "tiny-Q4.GGUF", tmp_path / "run.yaml"
    assert foreign_model(file) == file and foreign_model(record) == tmp_path
    file.touch()
    expected = {"model": {"name": "gguf", "path": str(file)}, "engine": {"name": "llamacpp"}}
    assert configuration_of(file) == expected
    file.rename(tmp_path / "tiny.gguf")
    assert configuration_of(tmp_path) == {**expected, "model": {"name": "gguf", "path": str(tmp_path)}}
    assert holds_model(tmp_path)
    record.touch()
    assert foreign_model(record) is None and not holds_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    record.unlink()
    assert configuration_of(tmp_path) == {"model": {"path": str(tmp_path)}}, "it is transformers' too"


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


def test_an_adapter_that_was_saved_without_a_tokenizer_has_its_bases(tmp_path, caplog):
    caplog.set_level(logging.INFO, "tunesmith")
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    adapter.mkdir()
    assert words_of(None, base) == base
    assert words_of(adapter, base) == adapter, "it is told of what it lacks when it is read"
    (adapter / "adapter_config.json").write_text("{}")
    assert words_of(adapter, base) == base and "tokenizer: the base's" in caplog.text
    (adapter / "tokenizer.json").write_text("{}")
    assert words_of(adapter, base) == adapter


def test_a_checkpoint_speaks_as_its_run_does(tmp_path):
    """Its template is the run's; its tokenizer too, and while the run goes on that of the model that it began with."""
    run, base = tmp_path / "run", tmp_path / "base"
    checkpoint = run / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    (checkpoint / "config.json").write_text("{}")
    (checkpoint / "configuration.yaml").write_text("model: {path: org/base}\ntemplate: {name: qwen3}\n")
    assert configuration_of(checkpoint) == {"model": {"path": str(checkpoint)}, "template": {"name": "qwen3"}}
    assert words_of(checkpoint, checkpoint, {"org/base": base}.__getitem__) == base
    (run / "tokenizer.json").write_text("{}")
    assert words_of(checkpoint, checkpoint, lambda address: base) == run
