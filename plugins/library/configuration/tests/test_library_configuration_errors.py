"""How errors read."""

import pytest
from tunesmith_library_configuration.errors import TunesmithError, choices, nearest, noted


@pytest.mark.parametrize(
    ("asked", "possible", "found"),
    [
        ("lroa", ["lora", "oft"], "lora"),
        ("LoRA", ["lora", "oft"], "lora"),
        ("hf_model", ["HF_Model", "x"], "HF_Model"),
        ("dir.json", ["dpo_missr.jsonl", "kto_two.jsonl", "mir.csv", "dr.json"], "dr.json"),  # by their stems
        ("train.json", ["train.csv", "train.jsonl", "test.json"], "train.jsonl"),
        ("elsewhere/sft.yaml", ["base.yaml", "sft.yaml"], "sft.yaml"),
        ("data/en/a.yaml", ["conf/a.yaml", "data/de/a.yaml"], "data/de/a.yaml"),
        ("loop.json", ["kto_two.jsonl", "poll.json.gz"], None),
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


def test_an_error_is_noted_once_unless_the_user_can_mend_it():
    with pytest.raises(ValueError) as caught, noted("the whole"), noted("a part"):
        raise ValueError
    assert caught.value.__notes__ == ["while a part"]
    with pytest.raises(TunesmithError) as caught, noted("a part"):
        raise TunesmithError("mend it")
    assert not hasattr(caught.value, "__notes__")
