"""The command line: exit codes, help without weight, and what each command prints."""

import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Annotated

import click
import jsonschema
import pytest
from click.testing import CliRunner
from tunesmith import __version__, announce, hookimpl, plugin
from tunesmith.assemble import examine
from tunesmith.catalog import Catalog, Entry
from tunesmith.cli import cli, main
from tunesmith.cli.soundness import faults
from tunesmith.compose import compose
from tunesmith.errors import Interrupted
from tunesmith.messages import is_quiet
from tunesmith.ranges import at_least
from tunesmith.traits import QuantizerTraits

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
        return stop.value.code or 0, out, err

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


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"]])
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
    for command in ("train", "chat", "export", "plan", "config", "plugins", "help"):
        assert f"\n  {command} " in out
    assert "\n  version" not in out, "it may be typed, and is not taught"
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


def test_an_interrupted_run_that_can_go_on_is_code_75(run, calls, config):
    calls.interrupted = True
    code, _, err = run("train", config)
    assert code == 75 and "interrupted. continue with: tunesmith train runs/sft resume=true" in err


def test_an_interruption_whose_cause_would_come_again_has_a_code_of_its_own(plugins, monkeypatch, run, config):
    class Diverged(Interrupted):
        code = 76

    def diverge(self, job):
        raise Diverged("step 4: the loss is nan\n  look at it")

    monkeypatch.setattr(plugins["trainer.transformers"], "fit", hookimpl(diverge))
    assert run("train", config)[::2] == (76, "interrupted. step 4: the loss is nan\n  look at it\n")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, click.Abort])
def test_another_interruption_is_code_130(plugins, monkeypatch, run, config, stop):
    def interrupt(self, job):
        raise stop

    monkeypatch.setattr(plugins["trainer.transformers"], "fit", hookimpl(interrupt))
    assert run("train", config) == (130, "output_dir: runs/sft (not given)\n", "interrupted.\n")


def test_the_exit_codes_are_in_the_help(run):
    out = run("--help")[1]
    assert "Exit codes:\n  0    done\n" in out and "75   interrupted; it can go on where it was" in out


def test_a_mistake_of_a_library_of_commands_is_code_2(run, plugins, monkeypatch):
    def refuse():
        raise click.ClickException("Nothing to serve.")

    with_command(monkeypatch, plugins, "serve", click.Command("serve", callback=refuse))
    assert run("serve") == (2, "", "error: nothing to serve.\n")


# ---- what goes where -------------------------------------------------------------------------------------------------


def test_a_run_says_what_comes_next(run, config):
    code, out, err = run("train", config)
    assert code == 0 and err == "", "what a run reports is what `> log` catches"
    assert out == (
        "output_dir: runs/sft (not given)\ndone: runs/sft\n  tunesmith chat runs/sft\n  tunesmith export runs/sft\n"
    )


def test_a_second_run_says_that_the_first_could_go_on(run, config):
    run("train", config)
    for number, (source, former) in enumerate([(config, "sft"), (config, "sft-2"), ("runs/sft", "sft")], start=2):
        told = run("train", source, "trainer.max_steps=1")[1].splitlines()[0]
        assert told == f"output_dir: runs/sft-{number} (not given; resume=true goes on with runs/{former})"
    assert "resume=true" not in run("train", config, "resume=true", "trainer.max_steps=1")[1]


def test_a_number_in_a_configurations_name_is_no_former_run(run, config):
    run("train", config)
    other = Path(config).rename(Path(config).with_name("sft-2.yaml"))
    assert run("train", str(other))[1].startswith("output_dir: runs/sft-2 (not given)\n")


def test_a_run_names_only_commands_that_can_be_called(run, config, plugins, monkeypatch):
    some = {address: cls for address, cls in plugins.items() if not address.startswith(("engine.", "tracker."))}
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: Catalog.of(some)))
    _, out, _ = run("train", config)
    assert out.splitlines() == [
        "tracker: none, for console, guard, jsonl, plot, record are not installed",
        "output_dir: runs/sft (not given)",
        "done: runs/sft",
        "  tunesmith export runs/sft",
    ]
    assert "tracker: none" not in run("train", config, "tracker=[]")[1], "that is a choice"


@pytest.mark.parametrize("words", [("--quiet", "train"), ("-q", "train"), ("train", "--quiet"), ("train", "-q")])
def test_quiet_leaves_results_and_warnings(run, config, words, plugins, monkeypatch):
    class Warns(plugins["model.transformers"]):
        @hookimpl
        def load_model(self):
            logging.getLogger("tunesmith").warning("it is slow")
            announce("speed", "slow", "it is old")

    warns = Catalog.of({**plugins, "model.transformers": plugin(Warns)})
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: warns))
    assert run(*words, config) == (0, "done: runs/sft\n", "warning: it is slow\n")


def test_answers_are_not_mixed_with_announcements(run, plugins, monkeypatch):
    class Tells(plugins["engine.transformers"]):
        @hookimpl
        def open_engine(self, handle):
            announce("speed", "fast", "it is an echo")
            return super().open_engine(handle)

    tells = Catalog.of({**plugins, "engine.transformers": plugin(Tells)})
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: tells))
    assert run("chat", "model.path=org/tiny", "-m", "one") == (
        0,
        "> one\nmodel one\n\n",
        "speed: fast (it is an echo)\n",
    )


def test_debug_is_taken_after_the_command(run, config):
    code, _, err = run("train", config, "adapter.rnak=3", "--debug")
    assert code == 2 and err.startswith("Traceback")


def test_a_command_keeps_its_own_options(run, plugins, monkeypatch):
    @click.command()
    @click.option("-q", "--question")
    def ask(question):
        click.echo(f"{question} {is_quiet()}")

    with_command(monkeypatch, plugins, "ask", ask)
    assert run("ask", "-q", "why")[1] == "why False\n"
    assert run("ask", "-q", "why", "--quiet")[1] == "why True\n"


def test_libraries_are_silent_unless_debugging(plugins, monkeypatch, run):
    names = ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE", "TRANSFORMERS_VERBOSITY")

    @click.command()
    def tell():
        logging.getLogger("torchao").warning("no CUDA extension")
        warnings.warn_explicit("it will change", FutureWarning, "peft.py", 1, "peft.tuners")
        click.echo([os.environ.get(name) for name in names])

    with_command(monkeypatch, plugins, "tell", tell)
    for name in (*names, "TQDM_DELAY", "DATASETS_VERBOSITY", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.delenv(name, raising=False)
    with warnings.catch_warnings():
        assert run("tell") == (0, "['1', '1', None]\n", "")
        assert run("tell", "-q")[1] == "['1', '1', 'error']\n"
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0")
        assert run("tell")[1] == "['0', '1', None]\n", "what the user says counts"
        monkeypatch.setenv("TUNESMITH_DEBUG", "1")
        code, out, _ = run("tell")
        assert (code, out) == (0, "['0', None, None]\n")
        assert logging.getLogger("torchao").level == logging.NOTSET
    assert "TQDM_DISABLE" not in os.environ and not is_quiet(), "all is as it was"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no command trian."),
        (["train", "--nope"], "error: tunesmith train has no option --nope.\n  possible: --debug, --help"),
        (["train", "--qiet"], "did you mean --quiet?\n  tunesmith train --help\n"),
        (["plan", "--for", "sing"], "error: invalid value for '--for'"),
        (["plugins", "show"], "error: missing argument '[KIND.]NAME'.\n  tunesmith plugins show --help\n"),
        (["config", "shwo"], "error: no command shwo.\n  commands: convert, schema, show   did you mean show?"),
        (["run.yaml"], "did you mean tunesmith train run.yaml?"),
        (["predict"], "error: no command predict.\n  pip install tunesmith-command-predict\n"),
        (["train", "a.yaml", "b.yaml"], "one configuration is possible, got 2: a.yaml, b.yaml"),
        (["train", "nope.yaml"], "nope.yaml: no such file."),
        (["plugins", "show", "wnadb"], "no plugin is called wnadb."),
        (["plugins", "show", "badam"], "badam is not installed.\n  pip install tunesmith-optimizer-badam\n"),
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
    _, (problem,), _ = examine(compose(file), "train", Catalog([]))
    command, *rest = problem.advice.splitlines()
    assert command.startswith("pip install ") and "tunesmith-adapter-lora" in command.split() and not rest
    assert problem.message.startswith("not installed: ") and f"adapter=lora ({file}:2)" in problem.message


def test_what_the_environment_hides_is_not_to_be_installed(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("model: {path: org/tiny}\nadapter: lora\n")
    addresses = ["model.transformers", "adapter.lora", "stage.sft", "hub.huggingface"]
    hiding = Catalog([], "TUNESMITH_PLUGINS=none hides other plugins", hidden=addresses)
    _, problems, _ = examine(compose(file), "train", hiding)
    (hidden,) = (problem for problem in problems if "hides" in problem.message)
    (missing,) = (problem for problem in problems if "hides" not in problem.message)
    assert hidden.message.startswith("TUNESMITH_PLUGINS=none hides other plugins: ")
    assert f"adapter=lora ({file}:2)" in hidden.message and hidden.advice.startswith("unset it, or add ")
    assert set(hidden.advice.removeprefix("unset it, or add ").split(",")) == set(addresses)
    assert "lora" not in missing.advice and "tunesmith-trainer-transformers" in missing.advice


def test_a_closed_pipe_has_a_code_of_its_own():
    program = "import click; from tunesmith.cli import cli, main\n"
    program += "cli.get_command = lambda context, name: click.Command('x', callback=lambda: click.echo('y' * 10**7))\n"
    program += "import sys; sys.argv = ['tunesmith', 'x']; main()"
    shell = f'{sys.executable} -c "$PROGRAM" | (exec 0<&-; sleep 2); echo "${{PIPESTATUS[0]}}"'
    environment = {**os.environ, "PROGRAM": program}
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout == "141\n" and done.stderr == ""


def test_a_closed_pipe_is_no_traceback():
    program = f"{sys.executable} -c 'from tunesmith.cli import main; main()' config schema | head -1"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "{\n" and done.stderr == ""


# ---- chat, export ---------------------------------------------------------------------------------------------------


def test_chat_with_questions(run):
    code, out, _ = run("chat", "model.path=org/tiny", "-m", "one", "-m", "two")
    assert code == 0 and out == "> one\nmodel one\n\n> two\nmodel two\n\n"


def test_chat_tells_its_speed_on_stderr_and_shows_images_to_models_that_take_them(run):
    code, out, err = run("chat", "model.path=org/tiny", "-m", "one", "--verbose")
    assert code == 0 and out == "> one\nmodel one\n\n" and "9 tokens in " in err and "tokens/s" in err
    code, out, err = run("chat", "model.path=org/tiny", "-m", "one", "--image", "sea.png")
    assert code == 2 and "sea.png: this model takes no images" in err and out == ""
    code, _, err = run("chat", "model.path=org/tiny", "--image", "sea.png")
    assert code == 2 and "--image goes with --message" in err and "/image PATH" in err
    code, _, err = run("chat", "model.path=org/tiny", "--audio", "sea.wav")
    assert code == 2 and "--audio goes with --message" in err and "/audio PATH" in err


def test_chat_from_the_terminal(catalog, monkeypatch):
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: catalog))
    result = CliRunner().invoke(cli, ["chat", "model.path=org/tiny"], input="one\n\n/clear\ntwo\n/exit\nthree\n")
    assert result.exit_code == 0, result.output
    assert "model one\nmodel two\n" in result.stdout and "three" not in result.stdout
    words = "clear\none\nexit\nthree\n"
    asked = CliRunner().invoke(cli, ["chat", "model.path=org/tiny"], input=words)
    assert asked.stdout == "model clear\nmodel one\nmodel exit\nmodel three\n"
    meant = CliRunner().invoke(cli, ["chat", "model.path=org/tiny", "--bare-words"], input=words)
    assert meant.stdout == "model one\n"


def test_export(run):
    code, out, err = run("export", "model.path=org/tiny", "-o", "out")
    assert code == 0 and out.endswith("done: out\n") and err == "" and Path("out").is_dir()


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


def test_a_flag_is_an_override(run, config):
    code, out, _ = run("config", "show", config, "--adapter.rank", "5", "--seed=7")
    assert code == 0 and "rank: 5 " in out and "seed: 7 " in out


def test_plan_shows_hooks_notices_and_problems(run, config):
    code, out, err = run("plan", config, "quantizer=hqq")
    assert code == 0 and err == ""
    assert "compute_loss: stage.sft" in out and out.endswith("no problems\n")
    brief = run("plan", "--quiet", config, "quantizer=hqq")[1]
    assert brief.startswith("\n# what it needs") and out.endswith(brief), "the configuration and the hooks are left out"
    code, out, err = run("plan", config, "adapter=full", "trainer.max_steps=x")
    assert code == 2
    assert "note: adapter=full drops adapter.rank, which belonged to lora" in out
    assert "1 problem:\n\ntrainer.max_steps cannot be 'x'." in err


def test_plan_for_another_command(run):
    code, out, _ = run("plan", "--for", "chat", "model.path=org/tiny")
    assert code == 0 and "open_engine: engine.transformers" in out and "trainer" not in out


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


# ---- plugins ---------------------------------------------------------------------------------------------------------


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


@plugin
class Unsound:
    """A stage with one mistake of each kind."""

    wrong: "Nowhere" = 1  # noqa: F821

    @hookimpl
    def colate(self, examples):
        return {}

    @hookimpl
    def encode(self, rows, procesor):
        return {}

    @hookimpl
    def load_model(self, source):
        return None

    @hookimpl(wrapper=True)
    def apply_adapter(self, model):
        return (yield)


def test_what_is_wrong_with_a_class_is_told_without_an_instance(monkeypatch, catalog, plugins, run):
    found = faults("stage", Unsound)
    assert len(found) == 4, found
    assert "Nowhere" in found[0]
    assert "implements the hook colate, which does not exist; " in found[1] and "did you mean collate?" in found[1]
    assert "asks in encode for procesor, which the hook does not have; " in found[2]
    assert "did you mean processor?" in found[2]
    assert "implements load_model, which belongs to the kind model" in found[3]
    assert faults("hub", Unsound)[-1] == "does not implement fetch"
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: Catalog.of({**plugins, "stage.bad": Unsound})))
    rows = {(row["kind"], row["name"]): row["status"] for row in json.loads(run("plugins", "--json")[1])}
    assert rows["stage", "bad"].startswith("broken: ") and "colate" in rows["stage", "bad"]
    assert {status for (_, name), status in rows.items() if name != "bad"} == {"ok"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["acme:console"], "tracker.console  (acme 2)"),
        (["my_loss.py:Mine"], "of what kind is the plugin?\n  write KIND=FILE, like loss=my_loss.py:Mine"),
        (["nobody:console"], "no plugin is called nobody:console."),
    ],
)
def test_a_plugin_of_one_distribution_is_shown(monkeypatch, plugins, run, words, expected):
    entries = [
        Entry("tracker", "console", name, "2", "", "", lambda: plugins["tracker.console"]) for name in ("acme", "b")
    ]
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: Catalog(entries)))
    assert expected in "".join(run("plugins", "show", *words)[1:])


def test_a_broken_plugin_that_is_not_selected_does_not_matter(monkeypatch, catalog, config, run):
    some = Catalog([*catalog.entries(), broken_entry()])
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: some))
    assert run("train", config)[0] == 0
    code, _, err = run("train", config, "adapter=sad")
    assert code == 2 and "cannot be imported: ImportError: no module named nothing" in err
    assert "tell the authors of the plugin" in err and "pip install" not in err


def test_plugins_show(run):
    code, out, _ = run("plugins", "show", "adapter.lora")
    assert code == 0 and out.startswith("adapter.lora  (") and "Low rank." in out
    assert "traits: not beside" in out
    rows = {line.split()[0]: line for line in out.splitlines()[7:]}
    assert rows["rank"].split()[1:3] == ["int", "8"] and rows["rank"].rstrip().endswith("rank of the update")
    assert "all | attention" in rows["target"] and "float | null" in rows["alpha"]


@pytest.mark.parametrize("address", ["lora", "adapter=lora", "adapter.lora"])
def test_a_plugin_is_found_by_what_people_type(run, address):
    assert run("plugins", "show", address)[1].startswith("adapter.lora  (")


def test_a_name_of_several_kinds_lists_them(run):
    code, out, _ = run("plugins", "show", "transformers")
    addresses = [line.split()[0] for line in out.splitlines()[1:]]
    assert code == 0 and addresses == ["model.transformers", "trainer.transformers", "engine.transformers"]
    assert "Loads nothing." in out
    listed = run("plugins", "show", "adapter")[1].splitlines()[1:]
    assert [line.split()[0] for line in listed] == ["adapter.full", "adapter.lora"]


def test_ranges_and_traits_are_shown(run, plugins, monkeypatch):
    @plugin
    class Ranged(plugins["quantizer.hqq"]):
        """Fewer bits."""

        group: Annotated[int, at_least(8)] = 64
        keeps: bool = False

        @property
        def traits(self):
            return QuantizerTraits(bits=(2, 4), saves=self.keeps)

    ranged = Catalog.of({**plugins, "quantizer.ranged": Ranged})
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: ranged))
    out = run("plugins", "show", "ranged")[1]
    assert "int, at least 8" in out
    assert "traits: bits 2, 4; trains; not trains base" in out and "not saves" in out
    assert "(with the default options)" in out


# ---- commands of plugins ---------------------------------------------------------------------------------------------


def with_command(monkeypatch, plugins, name, command):
    """Install a command."""

    @plugin
    class Command:
        """Does something.

        And more.
        """

        def command(self):
            return command

    more = Catalog.of({**plugins, f"command.{name}": Command})
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: more))


def test_commands_of_plugins(monkeypatch, plugins, run):
    with_command(monkeypatch, plugins, "hello", click.Command("hello", callback=lambda: click.echo("hello")))
    assert run("hello")[1] == "hello\n"
    assert "Commands of plugins:\n  hello  Does something.\n" in run("--help")[1]


def test_a_command_that_hides_behind_a_built_in_name_is_said(monkeypatch, plugins, run):
    with_command(monkeypatch, plugins, "train", click.Command("train", callback=lambda: click.echo("mine")))
    assert "\nHidden by a command of the same name:\n  train  of kernel local\n" in run("--help")[1]
    rows = {(row["kind"], row["name"]): row["status"] for row in json.loads(run("plugins", "--json")[1])}
    assert rows["command", "train"] == "hidden: train is a command of the kernel"
    assert run("train")[1] != "mine\n"


def test_a_broken_command_is_listed_and_says_its_cause(monkeypatch, run):
    def load():
        raise ImportError("no fastapi")

    some = Catalog([Entry("command", "serve", "acme-serve", "1.0", "x:Serve", "", load)])
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: some))
    assert "  serve  broken: no fastapi\n" in run("--help")[1]
    code, _, err = run("serve")
    assert code == 2 and "no fastapi" in err and "tell the authors" in err


def test_a_command_that_cannot_be_made_says_whose_it_is(monkeypatch, plugins, run):
    class Raising:
        """Raises."""

        def command(self):
            raise ModuleNotFoundError("No module named 'fastapi'")

    more = Catalog.of({**plugins, "command.api": plugin(Raising)})
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: more))
    code, _, err = run("api")
    assert code == 2 and err.startswith("error: command api (kernel local) cannot be made: ModuleNotFoundError")


def test_two_commands_of_one_name_are_told(monkeypatch, run):
    entries = [Entry("command", "api", name, "1.0", "x:Api", "", lambda: None) for name in ("acme", "tunesmith-api")]
    some = Catalog(entries)
    monkeypatch.setattr(Catalog, "discover", classmethod(lambda cls: some))
    assert "api  broken: command=api is offered by 2 distributions" in run("--help")[1]
    assert run("api")[0] == 2


# ---- help and version ------------------------------------------------------------------------------------------------


def test_help_of_commands(run):
    assert run("help")[1] == run("--help")[1]
    assert run("help", "train")[1] == run("train", "--help")[1]
    assert run("help", "plugins", "show")[1] == run("plugins", "show", "--help")[1]
    code, _, err = run("help", "trian")
    assert code == 2 and "did you mean train?" in err
    assert run("help", "train", "x")[2].startswith("error: tunesmith train has no commands within, so no x.\n")


@pytest.mark.parametrize("words", [("--version",), ("-V",), ("version",), ("--quiet", "--version"), ("version", "-q")])
def test_version(run, words):
    assert run(*words) == (0, f"tunesmith {__version__}\n", "")


def test_the_version_is_told_without_click():
    program = "import sys; sys.argv = ['tunesmith', '-V']\nfrom tunesmith.cli import main\ntry: main()\n"
    program += "finally: print(sorted({'click', 'omegaconf', 'rich', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"tunesmith {__version__}\n[]\n" and done.stderr == ""


def test_a_ctrl_c_while_the_command_line_itself_is_imported_is_code_130(run, monkeypatch):
    def interrupted(words):
        raise KeyboardInterrupt

    monkeypatch.setattr("tunesmith.cli._run", interrupted)
    assert run("train") == (130, "", "interrupted.\n")


def test_nothing_slow_is_imported_before_a_ctrl_c_is_heard():
    program = f"import sys; sys.path[:0] = {sys.path!r}; before = {{*sys.modules}}\nimport tunesmith.cli\n"
    program += "print(*sorted(name for name in {*sys.modules} - before if '.' not in name))"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, timeout=60)
    assert "tunesmith" in done.stdout and {*done.stdout.split()} <= {"__future__", "importlib", "warnings", "tunesmith"}
