"""The command line: exit codes, help without weight, and what each command prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from tunesmith import __version__, hookimpl, plugin
from tunesmith.catalog import Catalog, Entry
from tunesmith.cli import cli, main
from tunesmith.errors import TunesmithError

HEAVY = ("torch", "transformers", "omegaconf", "pluggy", "yaml", "rich", "packaging", "jinja2")


@pytest.fixture
def run(catalog, monkeypatch, capfd):
    """Runs the command line in this process as the console script does; the plugins are those at hand."""
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: catalog))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tunesmith", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        return stop.value.code, out, err

    return run


def shell(*words, **environment):
    return subprocess.run(
        [sys.executable, "-c", "from tunesmith.cli import main; main()", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "sft.yaml"
    path.write_text("model: {path: org/tiny}\nadapter:\n  rank: 16\n")
    return str(path)


# ---- start-up --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["version"]])
def test_help_imports_nothing_heavy(words):
    program = (
        "import sys\nfrom tunesmith.cli import cli\n"
        f"cli.main({words!r}, standalone_mode=False)\n"
        f"print('IMPORTED', sorted({set(HEAVY)!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "IMPORTED []", done.stdout + done.stderr


def test_help_lists_every_command(run, plugins):
    code, out, _ = run("--help")
    assert code == 0
    for command in ("train", "chat", "export", "plan", "config", "plugins", "data", "env", "version"):
        assert f"\n  {command} " in out
    assert "tunesmith train conf/sft_lora.yaml" in out


def test_help_of_a_command_lists_what_can_be_chosen(run):
    code, out, _ = run("train", "--help")
    assert code == 0
    assert "adapter    full, lora" in out and "loss       none installed" in out
    assert "tunesmith plugins show KIND.NAME" in out


# ---- exit codes ------------------------------------------------------------------------------------------------------


def test_a_mistake_is_code_2_without_traceback(run, config):
    code, out, err = run("train", config, "adapter.rnak=3")
    assert code == 2 and out == ""
    assert err == (
        "error: 1 problem in the configuration:\n\nadapter=lora has no option rnak.\n"
        "  possible: alpha, dropout, rank, target   did you mean rank?\n  command line\n"
    )


def test_debug_adds_the_traceback(run, config):
    code, _, err = run("--debug", "train", config, "adapter.rnak=3")
    assert code == 2 and err.startswith("Traceback") and "did you mean rank?" in err


def test_another_error_keeps_its_traceback_and_says_whose_it_is(plugins, monkeypatch, config):
    @plugin
    class Broken(plugins["stage.sft"]):
        """Raises."""

        @hookimpl
        def compute_loss(self):
            raise ZeroDivisionError("no")

    broken = Catalog.of({**plugins, "stage.sft": Broken})
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: broken))
    monkeypatch.setattr(sys, "argv", ["tunesmith", "train", config])
    with pytest.raises(ZeroDivisionError) as caught:
        main()
    assert caught.value.__notes__ == ["while compute_loss of stage.sft"]


def test_an_interrupted_run_is_code_1(run, calls, config):
    calls.interrupted = True
    code, _, err = run("train", config)
    assert code == 1 and "interrupted. continue with: tunesmith train runs/sft resume=true" in err


def test_a_run_says_what_comes_next(run, config):
    code, out, err = run("train", config)
    assert code == 0 and out == ""
    assert err == (
        "output_dir: runs/sft (not given)\ndone: runs/sft\n  tunesmith chat runs/sft\n  tunesmith export runs/sft\n"
    )
    assert run("--quiet", "train", config)[2].startswith("done: runs/sft-2\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command trian."),
        (["train", "--nope"], "No such option"),
        (["train", "a.yaml", "b.yaml"], "one configuration is possible, got 2: a.yaml, b.yaml"),
        (["train", "nope.yaml"], "nope.yaml: no such file."),
        (["plugins", "show", "adapter"], "'adapter' is not KIND.NAME."),
        (["plugins", "show", "adapter.lroa"], "did you mean lora?"),
        (["chat", "."], "is a folder without run.yaml, so not a run."),
    ],
)
def test_mistakes_on_the_command_line(run, words, message):
    code, _, err = run(*words)
    assert code == 2 and message in err and "Traceback" not in err


def test_a_misspelt_command_gets_a_suggestion(run):
    assert "did you mean train?" in run("trian")[2]


def test_nothing_installed_is_one_command_to_run(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("model: {path: org/tiny}\nadapter: lora\n")
    done = shell("train", str(file), TUNESMITH_PLUGINS="none")
    assert done.returncode == 2
    commands = [line.strip() for line in done.stderr.splitlines() if line.strip().startswith("pip install")]
    assert len(commands) == 1 and "tunesmith-adapter-lora" in commands[0]
    assert f"adapter=lora ({file}:2)" in done.stderr
    assert "TUNESMITH_PLUGINS=none hides other plugins" in done.stderr


def test_a_closed_pipe_is_no_traceback():
    program = f"{sys.executable} -c 'from tunesmith.cli import main; main()' config schema | head -1"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "{\n" and done.stderr == ""


# ---- chat, export, data ----------------------------------------------------------------------------------------------


def test_chat_with_questions(run):
    code, out, _ = run("chat", "model.path=org/tiny", "-m", "one", "-m", "two")
    assert code == 0 and out == "> one\nmodel one\n\n> two\nmodel two\n\n"


def test_chat_from_the_terminal(catalog, monkeypatch):
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: catalog))
    result = CliRunner().invoke(cli, ["chat", "model.path=org/tiny"], input="one\n\n/clear\ntwo\n/exit\nthree\n")
    assert result.exit_code == 0, result.output
    assert "model one\nmodel two\n" in result.stdout and "three" not in result.stdout


def test_export(run):
    code, _, err = run("export", "model.path=org/tiny", "-o", "out")
    assert code == 0 and err.endswith("done: out\n") and Path("out").is_dir()


# ---- plan and config -------------------------------------------------------------------------------------------------


def test_config_show_has_the_origin_of_each_value(run, config):
    code, out, _ = run("config", "show", config, "seed=7", "model.api_token=abc", "data.train=[a.json]")
    assert code == 0
    lines = dict(line.split("#") for line in out.splitlines() if "#" in line)
    origins = {text.strip(): origin.strip() for text, origin in lines.items()}
    assert origins["seed: 7"] == "command line"
    assert origins["rank: 16"] == f"{config}:3"
    assert origins["dropout: 0.0"] == "default"
    assert origins['path: "org/tiny"'] == f"{config}:1"
    assert origins['name: "lora"'] == "default"
    assert origins['path: "a.json"'] == "command line", "a plain string stands for the path"
    assert origins["weight: 1.0"] == "default"
    assert "abc" not in out and origins['api_token: "***"'] == "command line"


def test_plan_shows_hooks_notices_and_problems(run, config):
    code, out, err = run("plan", config, "quantizer=hqq")
    assert code == 0 and err == ""
    assert "compute_loss: stage.sft" in out and out.endswith("no problems\n")
    code, out, err = run("plan", config, "adapter=full", "trainer.max_steps=x")
    assert code == 2
    assert "note: adapter=full drops adapter.rank, which belonged to lora" in out
    assert "1 problem:\n\ntrainer.max_steps cannot be 'x'." in err


def test_plan_for_another_command(run):
    code, out, _ = run("plan", "--for", "chat", "model.path=org/tiny")
    assert code == 0 and "generate: engine.transformers" in out and "trainer" not in out


def test_warnings_alone_are_no_failure(run, config, plugins, monkeypatch):
    from tunesmith.types import Problem

    @plugin
    class Warning(plugins["tracker.plot"]):
        """Warns."""

        @hookimpl
        def check(self):
            return [Problem("seed", "odd.", severity="warning")]

    warned = Catalog.of({**plugins, "tracker.warns": Warning})
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: warned))
    monkeypatch.setattr(sys, "argv", ["tunesmith", "plan", config, "tracker=warns"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0


def test_config_schema(run):
    code, out, _ = run("config", "schema")
    assert code == 0
    schema = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema).is_valid
    for right in (
        {},
        {"model": {"path": "x"}, "adapter": "lora", "quantizer": None, "seed": 3, "defaults": ["base.yaml"]},
        {"adapter": {"name": "lora", "rank": 4}, "tracker": {"plot": {}, "wandb": {"project": "x"}, "console": None}},
        {"adapter": {"rank": 4}, "tracker": ["plot"], "data": {"train": ["a.json", {"path": "b"}]}},
        *({"tracker": empty} for empty in (None, [], {})),
    ):
        assert valid(right), right
    for wrong in (
        {"adaptor": "lora"},
        {"adapter": "lroa"},
        {"adapter": {"name": "full", "rank": 4}},
        {"adapter": {"rank": "x"}},
        {"tracker": {"plot": {"projct": "x"}}},
        {"data": {"train": [{"pth": "b"}]}},
        {"precision": "int3"},
    ):
        assert not valid(wrong), wrong


# ---- plugins, env, version -------------------------------------------------------------------------------------------


def broken_entry():
    def load():
        raise ImportError("no module named nothing")

    return Entry("adapter", "sad", "tunesmith-adapter-sad", "0.3", "x:Sad", "", load)


def test_plugins_lists_a_broken_one_with_its_cause(monkeypatch, catalog):
    some = Catalog([*catalog.entries(), broken_entry()])
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: some))
    result = CliRunner().invoke(cli, ["plugins", "--json"])
    rows = {(row["kind"], row["name"]): row for row in json.loads(result.stdout)}
    assert rows["adapter", "lora"]["status"] == "ok"
    assert rows["adapter", "sad"] == {
        "kind": "adapter",
        "name": "sad",
        "version": "0.3",
        "distribution": "tunesmith-adapter-sad",
        "status": "broken: adapter=sad (tunesmith-adapter-sad 0.3) cannot be imported: "
        "ImportError: no module named nothing",
    }
    table = CliRunner().invoke(cli, ["plugins"]).stdout
    assert "no module named nothing" in table and table.splitlines()[0].split()[:2] == ["kind", "name"]


def test_a_broken_plugin_that_is_not_selected_does_not_matter(monkeypatch, catalog, config, run):
    some = Catalog([*catalog.entries(), broken_entry()])
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: some))
    assert run("train", config)[0] == 0
    code, _, err = run("train", config, "adapter=sad")
    assert code == 2 and "cannot be imported: ImportError: no module named nothing" in err
    assert "pip install --upgrade --force-reinstall tunesmith-adapter-sad" in err


def test_plugins_show(run):
    code, out, _ = run("plugins", "show", "adapter.lora")
    assert code == 0 and out.startswith("adapter.lora  (") and "Low rank." in out
    rows = {line.split()[0]: line for line in out.splitlines()[5:]}
    assert rows["rank"].split()[1:3] == ["int", "8"] and rows["rank"].rstrip().endswith("rank of the update")
    assert "all | attention" in rows["target"] and "float | null" in rows["alpha"]


def test_commands_of_plugins(monkeypatch, plugins, capfd):
    import click

    @plugin
    class Hello:
        """A command."""

        def command(self):
            @click.command()
            def hello():
                click.echo("hello")

            return hello

    more = Catalog.of({**plugins, "command.hello": Hello})
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: more))
    runner = CliRunner()
    assert runner.invoke(cli, ["hello"]).stdout == "hello\n"
    assert "hello    from" in runner.invoke(cli, ["--help"]).stdout


def test_a_broken_command_is_listed_and_says_its_cause(monkeypatch):
    def load():
        raise ImportError("no fastapi")

    some = Catalog([Entry("command", "api", "tunesmith-command-api", "1.0", "x:Api", "", load)])
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: some))
    assert "from tunesmith-command-api" in CliRunner().invoke(cli, ["--help"]).stdout
    result = CliRunner().invoke(cli, ["api"])
    assert isinstance(result.exception, TunesmithError) and "no fastapi" in str(result.exception)


def test_version_and_env(run):
    assert run("version")[:2] == (0, f"tunesmith {__version__}\n")
    code, out, _ = run("env")
    assert code == 0
    for line in (f"tunesmith: {__version__}", "python: ", "torch: ", "plugins: ", "accelerator"):
        assert line in out
