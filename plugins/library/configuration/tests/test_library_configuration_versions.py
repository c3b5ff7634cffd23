"""Files of older versions, in the words of the present one."""

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.versions import Step, upgraded


def test_steps_are_applied_in_their_order_and_named():
    def first(tree):
        return {**tree, "adapter": {"rank": tree["r"]}, "r": None}

    def second(tree):
        return {"adapter": {**tree["adapter"], "alpha": 1}}

    steps = (
        Step("0.0.2", "r is adapter.rank", first),
        Step("0.0.3", "alpha is said", second),
        Step("0.0.3", "nothing", lambda tree: None),
    )
    tree, told = upgraded({"r": 3}, "runs/x/run.yaml", steps, "program", "1.0")
    assert tree == {"adapter": {"rank": 3, "alpha": 1}}
    assert told == [
        "runs/x/run.yaml, of version unknown, is upgraded: r is adapter.rank",
        "runs/x/run.yaml, of version unknown, is upgraded: alpha is said",
    ]
    tree, told = upgraded({"program": "0.0.2", "adapter": {}}, "copy.yaml", steps, "program", "1.0")
    assert tree == {"adapter": {"alpha": 1}} and len(told) == 1


def test_a_newer_version_is_said():
    tree, told = upgraded({"program": "99.0", "seed": 1}, "old.yaml", (), "program", "1.0")
    assert tree == {"seed": 1} and told == ["old.yaml was written by program 99.0; this one is 1.0"]


def test_a_version_that_is_none():
    with pytest.raises(ConfigError, match=r"old\.yaml: program: soon is not a version"):
        upgraded({"program": "soon"}, "old.yaml", (), "program", "1.0")
