"""Files, what they inherit, and overrides become one tree whose values know where they came from."""

import pytest
from tunesmith.compose import compose
from tunesmith.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def origins(composition):
    return {str(key): str(origin) for key, origin in composition.origins.items()}


def test_later_wins_and_origins_follow(write):
    write("base.yaml", "seed: 1\nadapter:\n  rank: 8\n  dropout: 0.1\n")
    write("more.yaml", "seed: 2\ntrainer: {max_steps: 5}\n")
    path = write("run.yml", "defaults: [base.yaml, more.yaml]\nadapter:\n  rank: 16\n")
    made = compose(path, ["adapter.dropout=0.2", "seed=3"])
    assert made.tree == {"seed": 3, "adapter": {"rank": 16, "dropout": 0.2}, "trainer": {"max_steps": 5}}
    where = origins(made)
    assert where["seed"] == where["adapter.dropout"] == "command line"
    assert where["adapter.rank"] == f"{path}:3"
    assert where["trainer.max_steps"] == f"{path.parent / 'more.yaml'}:2"
    assert made.file == path and made.notices == ()


def test_a_file_that_is_not_there(write, tmp_path):
    write("conf/sft.yaml", "")
    with pytest.raises(ConfigError, match=r"no such file\.\n.*did you mean conf/sft\.yaml\?"):
        compose("conf/stf.yaml")
    with pytest.raises(ConfigError, match=r"is a folder without run\.yaml, so not a run"):
        compose(tmp_path)


def test_recipes_of_installed_packages(write, tmp_path, monkeypatch, caplog):
    write("recipes/sft.yaml", "defaults: [base.yaml]\n")
    write("recipes/base.yaml", "seed: 9\n")
    for module in ("tunesmith.compose", "tunesmith_library_configuration.recipes"):
        monkeypatch.setattr(f"{module}.recipe_folders", lambda: [tmp_path / "recipes"])
    with caplog.at_level("INFO", "tunesmith"):
        for name in ("sft.yaml", "sft", "conf/sft.yaml", "conf/sft"):
            assert compose(name).tree == {"seed": 9}
    assert caplog.messages[0] == f"configuration: {tmp_path / 'recipes/sft.yaml'} (an installed recipe)"
    with pytest.raises(ConfigError, match=r"no such file\.\n.*did you mean sft\.yaml\?"):
        compose("elsewhere/sft.yaml")
    assert compose(write("mine/c.yaml", "defaults: [sft.yaml]\n")).tree == {"seed": 9}


def test_a_run_folder_is_a_configuration(write):
    path = write("runs/x/run.yaml", "seed: 4\n")
    assert compose(path.parent).tree == {"seed": 4}


def test_a_mapping_is_like_a_file_and_is_left_as_it_was(write):
    write("base.yaml", "seed: 1\n")
    given = {"defaults": ["base.yaml"], "adapter": {"rank": 8}, "data": {"train": [{"path": "a"}]}}
    made = compose(given, {"data.train[0].path": "b", "adapter.rank": 2})
    assert made.tree == {"seed": 1, "adapter": {"rank": 2}, "data": {"train": [{"path": "b"}]}}
    assert given["data"] == {"train": [{"path": "a"}]} and given["adapter"] == {"rank": 8}
    assert origins(made)["data.train"] == "the given mapping"
    assert origins(made)["data.train[0].path"] == "overrides"


def test_the_options_of_a_default_plugin_are_dropped_too():
    made = compose({"adapter": {"rank": 8}}, ["adapter=full"])
    assert made.tree["adapter"] == {"name": "full"} and "lora" in made.notices[0]


@pytest.mark.parametrize("words", [["quantizer.bits=2", "quantizer=hqq"], ["quantizer=hqq", "quantizer.bits=2"]])
def test_the_order_of_name_and_option_does_not_matter(words):
    made = compose(None, words)
    assert made.tree["quantizer"] == {"name": "hqq", "bits": 2} and made.notices == ()
    changed = compose({"quantizer": {"name": "gptq", "group": 8}}, words)
    assert changed.tree["quantizer"] == {"name": "hqq", "bits": 2}
    assert changed.notices == ("quantizer=hqq drops quantizer.group, which belonged to gptq",)


def test_null_takes_a_plugin_away():
    made = compose({"quantizer": {"name": "hqq", "bits": 2}}, ["quantizer=null"])
    assert made.tree["quantizer"] == {"name": None}
    assert made.notices == ("quantizer=null drops quantizer.bits, which belonged to hqq",)


def test_one_tracker_more_or_less_keeps_the_other_defaults():
    assert set(compose(None, ["tracker.wandb.project=x"]).tree["tracker"]) == {
        "console",
        "guard",
        "jsonl",
        "plot",
        "record",
        "wandb",
    }
    assert set(compose(None, ["tracker.plot=false"]).tree["tracker"]) == {"console", "guard", "jsonl", "record"}


def test_nothing_at_all():
    made = compose()
    assert made.tree == {} and made.file is None


def test_runs_beside_a_run_that_is_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"no such file\.\n."):
        compose("runs/nothere")
    (tmp_path / "runs/mystyle").mkdir(parents=True)
    (tmp_path / "runs/mystyle/run.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError, match=r"configurations and runs: .*runs/mystyle"):
        compose("runs/nothere")


def test_a_configuration_of_axolotl_is_told_by_its_keys(tmp_path):
    (tmp_path / "ax.yaml").write_text("base_model: a/b\nsequence_len: 2048\n")
    (problem,) = compose(tmp_path / "ax.yaml").problems
    assert "Axolotl" in problem.message and "from_axolotl.md" in problem.advice
    (tmp_path / "ours.yaml").write_text("seed: 1\nbase_model: a/b\n")
    assert compose(tmp_path / "ours.yaml").problems == ()
