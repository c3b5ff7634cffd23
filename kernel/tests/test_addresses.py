"""Which hub an address belongs to."""

import pytest
from tunesmith.addresses import hub_of


@pytest.mark.parametrize(
    ("address", "hub"),
    [
        ("Qwen/Qwen3-4B", ("huggingface", "Qwen/Qwen3-4B")),
        ("gpt2", ("huggingface", "gpt2")),
        ("org/model-v1.5", ("huggingface", "org/model-v1.5")),
        ("hf://org/name", ("huggingface", "org/name")),
        ("s3://bucket/a/b", ("s3", "bucket/a/b")),
        ("file:///data/x.json", ("local", "/data/x.json")),
        *((path, ("local", path)) for path in ("./x", "../x", "/x", "~/x", "data/x.json", "X.JSONL", "a/b/c")),
    ],
)
def test_an_address_names_its_hub(address, hub):
    assert hub_of(address) == hub


def test_a_folder_that_is_there_is_local_and_the_default_can_be_another(tmp_path, monkeypatch):
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert hub_of("org/name") == ("local", "org/name")
    assert hub_of("org/other", "modelscope") == ("modelscope", "org/other")
