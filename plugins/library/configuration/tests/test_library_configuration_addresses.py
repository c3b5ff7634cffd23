"""Which hub an address belongs to."""

import pytest
from tunesmith_library_configuration.addresses import hub_of


@pytest.mark.parametrize(
    ("address", "hub"),
    [
        ("Qwen/Qwen3-4B", ("huggingface", "Qwen/Qwen3-4B")),
        ("gpt2", ("huggingface", "gpt2")),
        ("org/model-v1.5", ("huggingface", "org/model-v1.5")),
        ("hf://org/name", ("huggingface", "org/name")),
        ("s3://bucket/a/b", ("s3", "bucket/a/b")),
        ("file:///data/x.json", ("local", "/data/x.json")),
        *(
            (path, ("local", path))
            for path in ("./x", "../x", "/x", "~/x", "data/x.json", "X.JSONL", "a/b/c", "set.zip/en")
        ),
    ],
)
def test_an_address_names_its_hub(address, hub):
    assert hub_of(address) == hub


def test_a_folder_that_is_there_is_local_and_the_default_can_be_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert hub_of("org/name") == ("local", "org/name")
    assert hub_of("org/other", "modelscope") == ("modelscope", "org/other")


def test_the_environment_switches_a_hub_on(monkeypatch):
    """In place of the default that is built in, not of one that was chosen, nor of a scheme."""
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "1")
    assert hub_of("org/name") == ("modelscope", "org/name")
    assert hub_of("hf://org/name") == ("huggingface", "org/name")
    assert hub_of("org/name", "mine") == ("mine", "org/name")
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "0")
    assert hub_of("org/name") == ("huggingface", "org/name")
    monkeypatch.setenv("USE_OPENMIND_HUB", "true")
    assert hub_of("org/name") == ("modelers", "org/name")


def test_files_by_their_names():
    for name in ("a/b.zip", "b.tar.gz", "b.NDJSON", "b.jsonl.zst", "b.tgz"):
        assert hub_of(name)[0] == "local"
    for name in ("org/zip", "org/model.v1"):
        assert hub_of(name)[0] == "huggingface"
