"""How errors read, and which hub an address belongs to."""

import pytest
from tunesmith.addresses import hub_of
from tunesmith.errors import choices, nearest


@pytest.mark.parametrize(
    ("asked", "possible", "found"),
    [
        ("lroa", ["lora", "oft"], "lora"),
        ("LoRA", ["lora", "oft"], "lora"),
        ("hf_model", ["HF_Model", "x"], "HF_Model"),
        *(("xyz", ["lora"], None), ("", ["a"], None), ("a", [], None)),
    ],
)
def test_the_nearest_name(asked, possible, found):
    assert nearest(asked, possible) == found


def test_choices_are_one_line():
    assert choices("lroa", {"oft", "lora"}) == "possible: lora, oft   did you mean lora?"
    assert choices("xyz", ["oft", "lora"], "installed") == "installed: lora, oft"
    assert choices("xyz", [], "installed") == "installed: nothing"


def test_of_many_names_the_nearest_are_listed():
    names = [f"{letter}{letter}" for letter in "abcdefghijklmnopqrst"] + ["learning_rate"]
    line = choices("learnin_rate", names)
    assert line.startswith("possible: learning_rate, ") and line.endswith(", …   did you mean learning_rate?")
    assert line.count(",") == 5
    assert choices("xyz!", names).count(",") == 12 and choices("xyz!", names).endswith(", …")
    assert "…" not in choices("x", names[:12])


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
