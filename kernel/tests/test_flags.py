"""Flags that are keys of a configuration become overrides; what is an option of a command stays one."""

import pytest
from tunesmith.cli.flags import with_overrides

OWN = ["--quiet", "--debug", "--help", "--output"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--adapter.rank", "16", "a.yaml"], ["adapter.rank=16", "a.yaml"]),
        (["a.yaml", "--seed=3", "--quiet"], ["a.yaml", "seed=3", "--quiet"]),
        (["--output-dir", "runs/x", "--resume"], ["output_dir=runs/x", "resume=true"]),
        (["--adapter.target_modules", "q_proj", "v_proj"], ["adapter.target_modules=[q_proj, v_proj]"]),
        (["--stage", "sft", "seed=1"], ["stage=sft", "seed=1"]),
        (["--template.default_system", "You are: a bot"], ["template.default_system=You are: a bot"]),
        (["--patch", "liger", "say: no"], ['patch=[liger, "say: no"]']),
        (["--trainer.weight_decay", "-0.1", "-q"], ["trainer.weight_decay=-0.1", "-q"]),
        (["--seed", "1", "--no_such", "2"], ["seed=1", "no_such=2"]),  # told by whoever reads keys
    ],
)
def test_flags_are_overrides(words, expected):
    assert with_overrides(words, OWN) == expected


@pytest.mark.parametrize(
    "words", [["--nope"], ["--quite"], ["a.yaml", "--outptu", "x"], ["-o", "x", "--", "--seed"], []]
)
def test_what_is_no_key_is_left_to_the_command(words):
    assert with_overrides(words, OWN) == words


def test_a_misspelt_option_beside_a_flag_stays_one():
    assert with_overrides(["--seed", "1", "--quite"], OWN) == ["seed=1", "--quite"]
