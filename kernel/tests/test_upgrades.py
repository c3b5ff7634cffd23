"""What was called otherwise keeps working: options of plugins, and files of older versions."""

from typing import ClassVar

import pytest
from tunesmith import __version__, hookimpl, plugin
from tunesmith.assemble import examine
from tunesmith.catalog import Catalog
from tunesmith.compose import compose
from tunesmith.errors import ConfigError
from tunesmith.planning import report
from tunesmith.runs import run_yaml
from tunesmith.upgrades import Step, upgraded


@plugin
class Renamed:
    """Has an option that was called otherwise."""

    renamed: ClassVar[dict[str, str]] = {"r": "rank"}

    rank: int = 8  # of the update

    @hookimpl
    def apply_adapter(self, model):
        return model

    @hookimpl
    def merge_adapter(self, model):
        return model


@pytest.fixture
def renamed(plugins):
    return Catalog.of({**plugins, "adapter.lora": Renamed})


def examined(tmp_path, text, catalog, overrides=None):
    path = tmp_path / "c.yaml"
    path.write_text(f"model: {{path: .}}\n{text}\n")
    found, problems, _ = examine(compose(path, overrides, catalog), "train", catalog)
    return found, problems


def test_a_renamed_option_is_taken_with_a_notice(renamed, tmp_path):
    found, problems = examined(tmp_path, "adapter: {r: 4}", renamed)
    assert problems == [] and found.get("adapter.rank") == 4
    assert found.notices == (f"adapter.r is called adapter.rank now; write that ({tmp_path / 'c.yaml'}:2)",)
    assert str(found.origin(next(key for key in found.origins if str(key) == "adapter.rank"))).endswith("c.yaml:2")


def test_a_renamed_option_of_the_command_line(renamed, tmp_path):
    found, _ = examined(tmp_path, "adapter: lora", renamed, ["adapter.r=3"])
    assert found.get("adapter.rank") == 3 and found.notices[0].endswith("write that (command line)")


def test_the_old_name_and_the_new_one_together_are_an_error(renamed, tmp_path):
    _, problems = examined(tmp_path, "adapter:\n  rank: 2\n  r: 4", renamed)
    (problem,) = problems
    assert problem.message == "adapter.r and adapter.rank are the same option."
    assert report(problems, compose(tmp_path / "c.yaml").origins).endswith(f"{tmp_path / 'c.yaml'}:4")


def test_a_wrong_value_under_an_old_name_has_its_line(renamed, tmp_path):
    found, problems = examined(tmp_path, "adapter:\n  r: much", renamed)
    assert report(problems, found.origins).endswith(f"{tmp_path / 'c.yaml'}:3")


# ---- files of older versions -----------------------------------------------------------------------------------------


def test_a_run_says_which_version_wrote_it(catalog):
    found, _, _ = examine(compose({"model": {"path": "."}}), "train", catalog)
    assert run_yaml(found).splitlines()[0] == f"tunesmith: {__version__}"


def test_the_version_is_taken_off(tmp_path):
    path = tmp_path / "again.yaml"
    path.write_text(f"tunesmith: {__version__}\nseed: 3\n")
    made = compose(path)
    assert made.tree == {"seed": 3} and made.notices == ()


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
    tree, told = upgraded({"r": 3}, "runs/x/run.yaml", steps)
    assert tree == {"adapter": {"rank": 3, "alpha": 1}}
    assert told == [
        "runs/x/run.yaml, of version unknown, is upgraded: r is adapter.rank",
        "runs/x/run.yaml, of version unknown, is upgraded: alpha is said",
    ]
    tree, told = upgraded({"tunesmith": "0.0.2", "adapter": {}}, "copy.yaml", steps)
    assert tree == {"adapter": {"alpha": 1}} and len(told) == 1


def test_a_file_of_the_users_own_is_not_upgraded():
    step = Step("9", "always", lambda tree: {})
    assert upgraded({"seed": 1}, "my.yaml", (step,)) == ({"seed": 1}, [])


def test_a_newer_version_is_said():
    tree, told = upgraded({"tunesmith": "99.0", "seed": 1}, "run.yaml")
    assert tree == {"seed": 1} and told == [f"run.yaml was written by tunesmith 99.0; this one is {__version__}"]


def test_a_version_that_is_none():
    with pytest.raises(ConfigError, match=r"run\.yaml: tunesmith: soon is not a version"):
        upgraded({"tunesmith": "soon"}, "run.yaml")


def test_a_run_of_the_first_version_that_said_how_answers_are_shown(tmp_path, catalog):
    """Its engine had an option `skip_special_tokens`, which stood in run.yaml although training has no engine."""
    path = tmp_path / "run.yaml"
    path.write_text("seed: 1\nmodel: {path: .}\nengine:\n  name: transformers\n  skip_special_tokens: false\n")
    made = compose(path)
    assert made.tree["engine"] == {"name": "transformers"}
    (notice,) = made.notices
    assert notice.startswith(
        f"{path}, of version unknown, is upgraded: engine.skip_special_tokens is no option any more"
    )
    _, problems, _ = examine(made, "chat", catalog)
    assert problems == []
    path.write_text("engine: {name: acme, skip_special_tokens: false}\n")
    assert compose(path).tree["engine"] == {"name": "acme", "skip_special_tokens": False}
