"""A run's folder: which one, what may be there, what is written."""

import importlib.metadata
import os
import shutil
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from tunesmith import hookimpl, plugin, runs
from tunesmith.assemble import examine
from tunesmith.catalog import Catalog
from tunesmith.compose import compose
from tunesmith.errors import ConfigError, TunesmithError
from tunesmith.ranges import file_in_run
from tunesmith_library_configuration.handles import holds_adapter, holds_model
from tunesmith_library_configuration.manifests import seal
from tunesmith_library_configuration.records import CONFIGURATION, MARKER
from tunesmith_library_configuration.secrets import redacted

CONFIG = {"model": {"path": "org/tiny"}}


@pytest.fixture
def plan(catalog):
    def plan(*overrides):
        found, problems, _ = examine(compose(CONFIG, overrides), "train", catalog)
        assert [problem for problem in problems if problem.severity == "error"] == []
        return found

    return plan


def run_in(name):
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "run.yaml").touch()
    return folder


def test_a_given_folder_is_taken(plan):
    assert runs.output_folder(plan("output_dir=a/b"), Path("conf/x.yaml")) == Path("a/b")


def test_folders_are_numbered(plan):
    recipe = Path("conf/sft_lora.yaml")
    assert runs.output_folder(plan(), recipe) == Path("runs/sft_lora")
    assert runs.output_folder(plan(), None) == Path("runs/sft")
    run_in("runs/sft_lora")
    assert runs.output_folder(plan(), recipe) == Path("runs/sft_lora-2")
    run_in("runs/sft_lora-2")
    Path("runs/sft_lora-3").mkdir()
    assert runs.output_folder(plan(), recipe) == Path("runs/sft_lora-4")
    assert runs.output_folder(plan("resume=true"), recipe) == Path("runs/sft_lora-2"), "the newest run"


def test_a_repeated_run_is_numbered_after_its_original(plan):
    first, second = run_in("runs/x"), run_in("runs/x-2")
    assert runs.output_folder(plan(), first / "run.yaml") == Path("runs/x-3")
    assert runs.output_folder(plan(), second / "run.yaml") == Path("runs/x-3")
    assert runs.output_folder(plan("resume=true"), first / "run.yaml") == first
    named = run_in("runs/qwen-7")
    assert runs.output_folder(plan(), named / "run.yaml") == Path("runs/qwen-7-2"), "7 is part of the name"


def test_the_current_folder_as_a_run(plan, monkeypatch, tmp_path):
    monkeypatch.chdir(run_in("runs/x"))
    assert runs.output_folder(plan("resume=true"), Path("run.yaml")) == Path()
    assert runs.output_folder(plan(), Path("run.yaml")) == tmp_path / "runs" / "x-2"


def opened(folder, plan):
    with runs.opened(folder, plan):
        assert (folder / "run.lock").exists() == runs.is_main_process()
    assert not (folder / "run.lock").exists()


def test_a_folder_is_opened(plan):
    folder = Path("out/deep")
    opened(folder, plan("adapter.rank=3"))
    assert runs.is_run(folder) and not holds_model(folder) and not holds_adapter(folder)
    written = yaml.safe_load((folder / "run.yaml").read_text())
    assert written["adapter"]["rank"] == 3 and written["seed"] == 42
    assert not {"output_dir", "resume", "overwrite"} & set(written)


def test_an_empty_folder_is_fine(plan):
    Path("out").mkdir()
    opened(Path("out"), plan())
    assert runs.is_run(Path("out"))


def test_a_run_that_failed_before_it_trained_is_not_in_the_way(plan):
    folder = run_in("out")
    (folder / "plugins.lock").write_text("unheard==1\n")
    opened(folder, plan())
    assert "unheard" not in (folder / "plugins.lock").read_text()


def test_a_run_that_is_there_is_left_alone(plan):
    folder = run_in("out")
    (folder / "precious").touch()
    with pytest.raises(ConfigError, match=r"output_dir=out: a run is already there\.\nresume=true continues"):
        opened(folder, plan())
    opened(folder, plan("resume=true"))
    assert (folder / "precious").exists() and (folder / "run.yaml").read_text()
    opened(folder, plan("overwrite=true"))
    assert not (folder / "precious").exists() and runs.is_run(folder)


def test_what_is_no_run_is_never_deleted(plan):
    Path("out").mkdir()
    Path("out/thesis.tex").touch()
    with pytest.raises(ConfigError, match="files are already there"):
        opened(Path("out"), plan())
    with pytest.raises(ConfigError, match=r"out is not a run, so it is not deleted\.\nchoose another output_dir"):
        opened(Path("out"), plan("overwrite=true"))
    assert Path("out/thesis.tex").exists()


def test_nothing_to_resume(plan):
    with pytest.raises(ConfigError, match=r"resume=true: there is no run in out\.\nstart it without resume"):
        opened(Path("out"), plan("resume=true"))


def test_only_the_main_process_writes(plan, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    opened(Path("out"), plan())
    assert not Path("out").exists() and not runs.is_main_process()


def problems_of(catalog, *overrides):
    return examine(compose(CONFIG, overrides), "train", catalog)[1]


def test_a_folder_that_cannot_be_made_is_a_problem_of_the_plan(catalog, plan):
    Path("file").touch()
    (problem,) = problems_of(catalog, "output_dir=file/run")
    place = Path("file").absolute()
    assert problem.message == f"output_dir=file/run cannot be made: {place} is not a folder."
    assert problem.key == "output_dir"
    (problem,) = problems_of(catalog, "output_dir=file")
    assert problem.message.endswith("is not a folder.")
    with pytest.raises(TunesmithError, match="file/run cannot be written to: "):
        opened(Path("file/run"), plan())


def test_a_folder_that_may_not_be_written_is_a_problem_of_the_plan(catalog, monkeypatch, tmp_path):
    Path("locked").mkdir()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and allowed(path, mode))
    (problem,) = problems_of(catalog, "output_dir=locked/a/b")
    assert problem.message == f"output_dir=locked/a/b cannot be made: {tmp_path / 'locked'} may not be written to."
    assert problem.advice == "choose another: output_dir=FOLDER"


def test_resume_and_overwrite_exclude_each_other(catalog):
    (problem,) = problems_of(catalog, "resume=true", "overwrite=true")
    assert problem.message == "resume=true and overwrite=true exclude each other."


def test_one_mistake_of_a_run_that_goes_on_is_told_as_one(catalog, plan):
    """What is wrong has no value, and is not said to have been another before."""
    opened(Path("out"), plan("adapter.rank=3", "seed=7"))
    folder = Path("out/checkpoint-2")
    folder.mkdir()
    shutil.copy("out/run.yaml", folder / CONFIGURATION)
    seal(folder, MARKER, {})
    resumed = ("output_dir=out", "resume=true", "adapter.rank=3", "seed=7")
    assert problems_of(catalog, *resumed) == []
    assert plan(*resumed).resumed == folder and plan("output_dir=out", "overwrite=true").resumed is None
    for wrong in ("adapter.rank=many", "adapter=nobody", "precision=half"):
        (problem,) = problems_of(catalog, *resumed, wrong)
        assert wrong.partition("=")[2] in problem.message
    Path("out/checkpoint-4").touch()
    (problem,) = problems_of(catalog, *resumed)
    assert problem.message == "out/checkpoint-4 is a file, where the run keeps a checkpoint."


def test_two_trackers_that_write_one_file_are_a_problem_of_the_plan(plugins):
    @plugin
    class Mine:
        """A stranger's, whose file is called as another's."""

        into: Annotated[str, file_in_run] = "loss.png"  # written

        @hookimpl
        def on_event(self, event): ...

    found = Catalog.of({**plugins, "tracker.mine": Mine, "tracker.yours": Mine})
    assert problems_of(found, "tracker=[mine]") == []
    (problem,) = problems_of(found, "tracker=[mine,yours]")
    assert "tracker.mine.into and tracker.yours.into name one file, loss.png" in problem.message
    assert problems_of(found, "tracker=[mine,yours]", "tracker.mine.into=a.png") == []


def test_several_processes_need_one_folder(catalog, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    (problem,) = problems_of(catalog)
    assert problem.message == "a run of several processes needs output_dir, which all of them share."
    assert problems_of(catalog, "output_dir=runs/x") == []


def test_secrets_are_not_written(plan):
    text = runs.run_yaml(plan("model.api_token=hf_12345"))
    assert "12345" not in text
    assert "api_token" not in yaml.safe_load(text)["model"], "a repeated run takes its default, not a placeholder"


def test_what_came_from_the_environment_is_not_written_out(plan, monkeypatch):
    monkeypatch.setenv("SOME_PLACE", "nobody-shall-see-this")
    monkeypatch.setenv("SOME_TOKEN", "nor-this-here")
    monkeypatch.setenv("SOME_SEED", "77123")
    made = plan(
        "tracker={plot: {project: 'a ${oc.env:SOME_PLACE}'}}",
        "model.revision=${tracker.plot.project}",
        "seed=${oc.env:SOME_SEED}",
        "model.path=x/nor-this-here",
    )
    assert made.get("tracker.plot.project") == "a nobody-shall-see-this" and made.run.seed == 77123
    text = runs.run_yaml(made)
    assert "nobody-shall" not in text and "nor-this" not in text and "77123" not in text
    assert "nobody-shall" not in str(redacted(made.config))
    again = compose_text(text)
    assert (
        again["tracker"]["plot"]["project"] == "a ${oc.env:SOME_PLACE}"
        and again["model"]["path"] == "x/${oc.env:SOME_TOKEN}"
    )


def test_run_yaml_keeps_text_as_it_is(plan):
    text = runs.run_yaml(plan("tracker={plot: {project: 'Grüße 1e-4: yes'}}", "trainer.learning_rate=1e-5"))
    read = yaml.safe_load(text)
    assert read["tracker"] == {"plot": {"project": "Grüße 1e-4: yes"}}
    assert compose_text(text)["trainer"]["learning_rate"] == 1e-5


def compose_text(text):
    Path("again.yaml").write_text(text, encoding="utf-8")
    return compose("again.yaml").tree


def test_the_lock_pins_what_made_the_run(plan):
    lines = runs.lock_lines(plan())
    assert lines[0] == f"tunesmith=={importlib.metadata.version('tunesmith')}"
    assert f"omegaconf=={importlib.metadata.version('omegaconf')}" in lines
    assert all(line.count("==") == 1 for line in lines) and len(set(lines)) == len(lines)
