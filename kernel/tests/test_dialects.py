"""Configurations of other programs are known by their content, and become ours with the lines they came from."""

from typing import ClassVar

import pytest
from tunesmith import hookimpl, plugin
from tunesmith.assemble import assemble, examine
from tunesmith.catalog import Catalog
from tunesmith.compose import compose
from tunesmith.errors import ConfigError, choices
from tunesmith.types import Note, Translation

TABLE = {"base_model": "model.path", "r": "adapter.rank", "lr": "trainer.learning_rate", "files": "data.train"}


@plugin
class Foreign:
    """Reads what another program calls by other names."""

    claims: ClassVar[frozenset[str]] = frozenset({"base_model"})

    @hookimpl
    def translate_config(self, config, origin):
        if "base_model" not in config:
            return None
        made, sources, notes = {"adapter": {"alpha": 2.0}}, {}, []
        for name, value in config.items():
            if name in TABLE:
                kind, option = TABLE[name].split(".")
                made.setdefault(kind, {})[option] = value
                sources[TABLE[name]] = name
            elif name == "seed":
                made["seed"] = value
            elif name == "wandb":
                notes.append(Note(name, "dropped", "trackers are chosen by name."))
            elif name == "task":
                notes.append(Note(name, "translated", "it is sft."))
            else:
                notes.append(Note(name, "refused", "it is no key of foreign's.", choices(name, TABLE)))
        return Translation(made, sources, config.get("task", "train"), tuple(notes))


@pytest.fixture
def foreign(plugins):
    return Catalog.of({**plugins, "dialect.foreign": Foreign})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "theirs.yaml"
    path.write_text("base_model: org/name\nr: 4\nfiles:\n  - a.json\nlr: 1e-3\nseed: 3\n")
    return path


def where(composition):
    return {str(key): str(origin) for key, origin in composition.origins.items()}


def test_a_foreign_file_becomes_ours_with_its_lines(foreign, file):
    made = compose(file, None, foreign)
    assert made.tree == {
        "model": {"path": "org/name"},
        "adapter": {"rank": 4, "alpha": 2.0},
        "data": {"train": ["a.json"]},
        "trainer": {"learning_rate": 1e-3},
        "seed": 3,
    }
    assert where(made)["adapter.rank"] == f"{file}:2"
    assert (where(made)["data.train"], where(made)["data.train[0]"]) == (f"{file}:3", f"{file}:4")
    assert where(made)["adapter.alpha"] == "default of foreign"
    assert (where(made)["adapter"], where(made)["trainer"]) == (f"{file}:2", f"{file}:5"), "what is in them says it"
    (notice,) = made.notices
    assert notice.startswith(f"{file}: read as foreign's, by ")
    assert (made.command, made.problems, made.file) == ("train", (), file)


@pytest.mark.parametrize(
    "overrides",
    [
        ["r=8", "adapter.alpha=16", "base_model=other/name"],
        {"adapter.alpha": 16, "base_model": "other/name", "r": 8},
    ],
)
def test_overrides_in_either_words(foreign, file, overrides):
    made = compose(file, overrides, foreign)
    assert made.tree["adapter"] == {"rank": 8, "alpha": 16}
    assert made.tree["model"] == {"path": "other/name"}
    assert where(made)["adapter.rank"] == ("overrides" if isinstance(overrides, dict) else "command line")


def test_what_is_written_in_the_file_is_changed_there(foreign, file):
    """Also where the word is one of ours: `stage=…` is theirs then, `stage.name=…` ours."""
    file.write_text("base_model: org/name\nseed: 3\nstage: strange\n")
    made = compose(file, ["seed=5", "stage.name=sft", "stage=stranger"], foreign)
    assert made.tree["seed"] == 5 and made.tree["stage"] == {"name": "sft"}
    assert [problem.message for problem in made.problems] == ["stage: it is no key of foreign's."]


def test_foreign_words_alone(foreign):
    made = compose(None, ["base_model=org/name", "r=2"], foreign)
    assert made.tree == {"model": {"path": "org/name"}, "adapter": {"rank": 2, "alpha": 2.0}}
    assert made.notices[0].startswith("command line: read as foreign's")


def test_a_mapping_is_left_as_it_was(foreign):
    given = {"base_model": "org/name", "files": ["a"]}
    made = compose(given, ["r=2", "files=[b]"], foreign)
    assert made.tree["data"] == {"train": ["b"]} and given == {"base_model": "org/name", "files": ["a"]}


def test_a_foreign_file_is_inherited(foreign, file):
    mine = file.with_name("mine.yaml")
    mine.write_text("defaults: [theirs.yaml]\nadapter: {rank: 64}\n")
    assert compose(mine, ["lr=1"], foreign).tree["adapter"] == {"rank": 64, "alpha": 2.0}
    assert compose(mine, ["lr=1"], foreign).tree["trainer"] == {"learning_rate": 1}


def test_keys_that_are_dropped_or_refused(foreign, file):
    file.write_text("base_model: org/name\nwandb: true\ntask: train\nfiels: []\nadapter: {rnak: 1}\n")
    made = compose(file, ["max_len=3"], foreign)
    assert made.notices[1:] == (
        f"{file}:2: wandb is dropped: trackers are chosen by name.",
        f"{file}:3: task: it is sft.",
    )
    _, problems, _ = examine(made, "train", foreign)
    with pytest.raises(ConfigError) as error:
        assemble(made, "train", foreign)
    assert (
        f"fiels: it is no key of foreign's.\n  possible: base_model, files, lr, r   did you mean files?\n  {file}:4"
        in (str(error.value))
    )
    assert "max_len: it is no key of foreign's.\n  possible: base_model, files, lr, r\n  command line" in str(
        error.value
    )
    assert len([problem for problem in problems if "foreign" in problem.message]) == 3


def test_what_is_ours_is_not_asked_of_a_dialect(monkeypatch, foreign):
    """Neither a file of our keys, nor one that mixes ours with what nobody claims."""

    def asked(*_, **__):
        raise AssertionError("a dialect was asked")

    monkeypatch.setattr(Foreign, "translate_config", hookimpl(asked))
    assert compose({"seed": 1, "adapter": {"r": 1}}, ["adapter.rank=3"], foreign).command is None
    assert compose({"seed": 1, "r": 1}, None, foreign).tree == {"seed": 1, "r": 1}
    assert compose({"seed": 1}, ["base_model=x"], foreign).tree == {"seed": 1, "base_model": "x"}


def test_a_key_that_is_claimed_makes_a_mixture_foreign(foreign):
    assert compose({"seed": 1, "base_model": "x"}, None, foreign).tree["model"] == {"path": "x"}


def test_an_option_of_ours_in_a_foreign_file_is_one_problem(monkeypatch, foreign, file):
    monkeypatch.setattr(Foreign, "claims", frozenset())
    file.write_text(file.read_text().replace("seed: 3", "adapter: {rank: 8}"))
    made = compose(file, None, foreign)
    assert made.tree["model"] == {"path": "org/name"} and made.tree["adapter"]["rank"] == 4
    _, problems, _ = examine(made, "train", foreign)
    ours = [problem for problem in problems if "in words of ours" in problem.message]
    assert [problem.message.partition(" ")[0] for problem in ours] == ["adapter"]
    assert "adapter.OPTION=VALUE" in ours[0].advice and "theirs.yaml:6" in ours[0].advice


def test_what_no_dialect_knows_stays_an_unknown_key(foreign):
    _, problems, _ = examine(compose({"modle": {"path": "x"}}, None, foreign), "train", foreign)
    assert [problem.message for problem in problems if "modle" in problem.message] == [
        "modle is not a key of a configuration."
    ]


def test_a_dialect_that_fails_is_named(monkeypatch, foreign, file):
    def stumbles(self, config):
        raise ZeroDivisionError

    monkeypatch.setattr(Foreign, "translate_config", hookimpl(stumbles))
    with pytest.raises(ZeroDivisionError) as error:
        compose(file, None, foreign)
    assert error.value.__notes__ == ["while translate_config of dialect.foreign"]


def test_a_configuration_of_another_command(foreign, file, calls):
    file.write_text("base_model: ./m\ntask: export\n")
    plan, _, _ = examine(compose(file, None, foreign), "train", foreign)
    assert f"{file} is for: tunesmith export" in plan.notices
    assert not any("is for" in notice for notice in examine(compose(file, None, foreign), "export", foreign)[0].notices)


def test_a_foreign_configuration_trains(foreign, file, calls, in_tmp_path):
    import tunesmith

    file.with_name("m").mkdir()
    file.write_text("base_model: ./m\nfiles: [{path: a, format: plain}]\nr: 2\n")
    folder = tunesmith.train(file, catalog=foreign)
    assert calls.of("fit") and "rank: 2" in (folder / "run.yaml").read_text()


def test_the_plan_of_a_foreign_file_is_of_its_command(foreign, file, calls, monkeypatch):
    from click.testing import CliRunner
    from tunesmith.cli.group import cli

    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: foreign))
    file.write_text("base_model: ./m\ntask: export\n")
    file.with_name("m").mkdir()
    shown = CliRunner().invoke(cli, ["plan", str(file)]).output
    assert "is for: tunesmith export" not in shown and "exporter:" in shown and "trainer:" not in shown


def test_a_foreign_file_is_converted_into_one_of_ours(foreign, file):
    """Composed again it is the same, and each line says where its value came from."""
    from tunesmith.cli.converting import converted

    file.write_text(file.read_text() + "wandb: x\n")
    made = compose(file, ["adapter.alpha=4", "tracker.plot.size=[1, 2]"], foreign)
    text = converted(made, str(file))
    ours = file.with_name("ours.yaml")
    ours.write_text(text)
    again = compose(ours, None, foreign)
    assert (again.tree, again.command) == (made.tree, None)
    lines = {line.partition("  # ")[0].strip(): line.partition("  # ")[2] for line in text.splitlines()}
    assert lines["rank: 4"] == f"{file}:2" and lines["alpha: 4"] == "command line"
    assert f"# {file}:7: wandb is dropped: trackers are chosen by name." in text.splitlines()


def test_what_cannot_be_had_is_not_converted(foreign, file):
    from tunesmith.cli.converting import converted

    file.write_text("base_model: org/name\nrr: 4\n")
    with pytest.raises(ConfigError, match="rr: it is no key of foreign's"):
        converted(compose(file, None, foreign), "theirs.yaml")
