"""Files of older versions, in the words of the present one."""

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin
from tunesmith_library_configuration.versions import Step, renamed, suits, upgraded


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


def test_former_names_of_options():
    origins = {Key("thing", "r"): Origin("c.yaml", 2)}
    options, moved, notices, problems = renamed({"r": "rank", "a": "alpha"}, {"r": 4}, Key("thing"), origins)
    assert options == {"rank": 4} and moved == {Key("thing", "rank"): Origin("c.yaml", 2)} and problems == []
    assert notices == ["thing.r is called thing.rank now; write that (c.yaml:2)"]
    options, _, _, (problem,) = renamed({"r": "rank"}, {"r": 4, "rank": 2}, Key("thing"), origins)
    assert options == {"rank": 2} and problem.message == "thing.r and thing.rank are the same option."


@pytest.mark.parametrize(
    ("version", "specifier", "fits"),
    [("0.2.1", ">=0.1", True), ("0.1", ">=0.2", False), ("1.5", ">=1,<2", True), ("2.0", "<2", False)],
)
def test_versions_that_suit(version, specifier, fits):
    assert suits(version, specifier) is fits and suits(version, "")
