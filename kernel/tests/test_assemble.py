"""From a composition to live plugins; everything that is wrong in one report."""

import logging
from typing import Annotated

import pytest
from tunesmith import DataError, TunesmithError, hookimpl, plugin
from tunesmith.assemble import assemble, examine
from tunesmith.catalog import Catalog
from tunesmith.compose import compose
from tunesmith.errors import ConfigError, PluginError
from tunesmith.ranges import between
from tunesmith.types import LossOutput, Problem, Requirement

CONFIG = {"model": {"path": "org/tiny"}, "data": {"train": ["train.json"]}}


def plan_of(catalog, *overrides, command="train", config=CONFIG):
    found, problems, _ = examine(compose(config, overrides), command, catalog)
    return found, problems


def messages(problems):
    return [problem.message for problem in problems]


def test_the_plan_answers_for_checks(catalog):
    plan, problems = plan_of(catalog, "quantizer=hqq", "adapter.rank=4")
    assert problems == []
    assert plan.command == "train"
    assert plan.uses("quantizer") and plan.uses("quantizer", "hqq") and not plan.uses("quantizer", "gptq")
    assert not plan.uses("loss") and plan.name("loss") is None and plan.plugin("loss") is None
    assert plan.name("adapter") == "lora" and plan.plugin("adapter").rank == 4
    assert plan.names("tracker") == ["console", "plot"]
    assert plan.get("adapter.rank") == 4 and plan.get("quantizer.name") == "hqq"
    assert plan.get("trainer.learning_rate") == 1e-4 and plan.get("trainer.none", 7) == 7
    assert plan.get("data.train[0].path") == "train.json" and plan.get("data.train[5].path") is None
    assert plan.get("seed") == 42
    assert str(plan.origin(("adapter", "rank"))) == "command line" and plan.origin(("seed",)) is None


def test_a_command_selects_what_it_needs(catalog):
    plan, problems = plan_of(catalog, command="chat")
    assert problems == []
    assert {item.entry.kind for item in plan.selected} == {"model", "template", "hub", "adapter", "engine"}
    assert "trainer" not in plan.config


def test_all_problems_are_one_report(catalog, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "model: {}\nadaptor: lora\nadapter.rank: 4\nseed: x\nadapter:\n  rnak: 4\n"
        "trainer:\n  max_steps: many\ndata:\n  train:\n  - pth: a\nstage: sfd\n"
    )
    with pytest.raises(ConfigError) as caught:
        assemble(compose(path), "train", catalog)
    text = str(caught.value)
    assert text.startswith("9 problems in the configuration:\n\n")
    for expected in (
        f"seed cannot be 'x'.\n  type: int\n  {path}:4\n",
        "adaptor is not a key of a configuration.\n  possible: adapter, ",
        f"did you mean adapter?\n  {path}:2\n",
        f"adapter.rank is not a key of a file.\n  write adapter: {{rank: …}}; dots are for overrides\n  {path}:3\n",
        f"model=transformers needs model.path: folder or address of the model.\n  type: str\n  {path}:1\n",
        f"data.train[0] has no option pth.\n  possible: format, path, weight   did you mean path?\n  {path}:11\n",
        f"data.train[0] needs path: file or address.\n  type: str\n  {path}:11\n",
        "adapter=lora has no option rnak.\n"
        f"  possible: alpha, dropout, rank, target   did you mean rank?\n  {path}:6\n",
        f"trainer.max_steps cannot be 'many'.\n  type: int\n  {path}:8",
        "no installed plugin provides stage=sfd.\n  installed or known: ",
        f"did you mean sft?\n  {path}:12",
    ):
        assert expected in text, f"{expected!r}\nis not in\n{text}"


def test_long_lists_are_cut(catalog):
    _, problems = plan_of(catalog, "outptu_dir=x")
    assert problems[0].advice.startswith("possible: output_dir, ") and problems[0].advice.endswith(
        ", …   did you mean output_dir?"
    )
    assert len(problems[0].advice.split(", ")) == 6


def test_what_is_not_installed_is_one_command(catalog, monkeypatch, tmp_path):
    known = {"stage.dpo": "tunesmith-stage-dpo", "loss.dft": "tunesmith-loss-dft", "format.x": "tunesmith-format-x"}
    monkeypatch.setattr("tunesmith.catalog.known_distributions", lambda: known)
    path = tmp_path / "c.yaml"
    path.write_text("model: {path: org/tiny}\nstage: dpo\ndata: {train: [{path: a, format: x}]}\n")
    with pytest.raises(ConfigError) as caught:
        assemble(compose(path, ["loss=dft"]), "train", catalog)
    assert str(caught.value) == (
        "1 problem in the configuration:\n\n"
        f"not installed: stage=dpo ({path}:2), loss=dft (command line), format=x ({path}:3).\n"
        "  pip install tunesmith-format-x tunesmith-loss-dft tunesmith-stage-dpo"
    )


def test_with_nothing_installed_the_hub_is_named_in_the_same_breath(monkeypatch):
    known = {address: f"tunesmith-{address.replace('.', '-')}" for address in ("hub.s3", "model.transformers")}
    monkeypatch.setattr("tunesmith.catalog.known_distributions", lambda: known)
    _, problems = plan_of(Catalog([]), "model.path=s3://bucket/x", config={})
    assert problems[-1].advice == "pip install tunesmith-hub-s3 tunesmith-model-transformers"


def test_default_trackers_that_are_not_installed_are_left_out_but_named_ones_are_missed(catalog):
    assert plan_of(catalog)[0].names("tracker") == ["console", "plot"]
    assert plan_of(catalog, "tracker.plot=false")[0].names("tracker") == ["console"]
    assert plan_of(catalog, "tracker={}")[0].names("tracker") == []
    assert plan_of(catalog, "tracker=[jsonl]")[1][0].message.startswith(("no installed plugin", "not installed"))


@pytest.mark.parametrize("word", ["quantizer=null", "quantizer.name=null"])
def test_a_quantizer_can_be_taken_away(catalog, word):
    plan, problems = plan_of(catalog, word, config={**CONFIG, "quantizer": {"name": "hqq", "bits": 2}})
    assert problems == [] and not plan.uses("quantizer")
    assert plan.notices == ("quantizer=null drops quantizer.bits, which belonged to hqq",)


def test_options_need_a_name(catalog):
    _, problems = plan_of(catalog, "quantizer.bits=2", "adapter=null")
    assert messages(problems) == ["quantizer needs a name.", "adapter needs a name."]
    assert problems[0].advice == "installed: hqq\nwrite quantizer=NAME"


# ---- interpolation ---------------------------------------------------------------------------------------------------


def test_interpolation_reaches_defaults_names_and_required_fields(catalog):
    plan, problems = plan_of(
        catalog,
        "adapter.alpha=${trainer.learning_rate}",
        "model.path=org/${adapter.name}-${seed}",
        "output_dir=out/${stage.name}",
        "tracker.wandb.project=${output_dir}",
        "data.train[0]={path: '${model.path}', weight: '${adapter.rank}'}",
        config={"data": {"train": ["a"]}},
    )
    assert problems == []
    assert plan.plugin("adapter").alpha == 1e-4
    assert plan.plugin("model").path == "org/lora-42"
    assert plan.run.output_dir == "out/sft" and plan.plugin("tracker", "wandb").project == "out/sft"
    entry = plan.plugin("data").train[0]
    assert (entry.path, entry.weight) == ("org/lora-42", 8.0)


def test_interpolation_of_a_kind_that_the_command_does_not_need(catalog):
    words = ["adapter.alpha=${trainer.learning_rate}", "trainer.learning_rate=2.0"]
    plan, problems = plan_of(catalog, *words, command="chat")
    assert problems == [] and plan.plugin("adapter").alpha == 2.0


def test_interpolation_that_leads_nowhere(catalog):
    words = ["adapter.rank=${trainer.nothing}", "output_dir=${stage.nam}"]
    _, problems = plan_of(catalog, *words)
    assert [str(problem.key) for problem in problems] == ["output_dir", "adapter.rank"]
    assert "'trainer.nothing' not found" in problems[1].message


# ---- requires and check ----------------------------------------------------------------------------------------------


def test_requirements_are_selected_and_may_form_a_circle(plugins):
    @plugin
    class Circle(plugins["format.plain"]):
        """Needs a tracker, which needs it."""

        @hookimpl
        def requires(self):
            return [Requirement("tracker", "needy", "data.train[0].format")]

    @plugin
    class Needy(plugins["tracker.plot"]):
        """Needs a format."""

        @hookimpl
        def requires(self):
            return [Requirement("format", "plain", "tracker.needy")]

    catalog = Catalog.of({**plugins, "format.plain": Circle, "tracker.needy": Needy})
    plan, problems = plan_of(catalog, "format.plain={}")
    assert problems == []
    assert plan.names("format") == ["plain"] and plan.names("tracker") == ["console", "plot", "needy"]
    assert plan.names("hub") == ["huggingface"]


def test_requires_may_ask_what_is_installed(plugins):
    @plugin
    class Asking(plugins["tracker.plot"]):
        """Needs whatever formats there are."""

        @hookimpl
        def requires(self, installed):
            return [Requirement("format", name, "tracker.asking") for name in installed("format")]

    plan, problems = plan_of(Catalog.of({**plugins, "tracker.asking": Asking}), "tracker=asking")
    assert problems == [] and plan.names("format") == sorted(Catalog.of(plugins).classes("format")) != []


def test_a_required_plugin_of_a_kind_that_has_another(plugins):
    @plugin
    class Needy(plugins["tracker.plot"]):
        """Needs another adapter."""

        @hookimpl
        def requires(self):
            return [Requirement("adapter", "full", "tracker.needy")]

    _, problems = plan_of(Catalog.of({**plugins, "tracker.needy": Needy}), "tracker=needy")
    assert messages(problems) == ["tracker.needy needs adapter=full, selected is adapter=lora."]
    assert problems[0].advice == "write adapter=full"


def test_errors_of_requires(plugins):
    @plugin
    class Refusing(plugins["tracker.plot"]):
        """Cannot say."""

        wrong: bool = False  # which way

        @hookimpl
        def requires(self):
            if self.wrong:
                raise ZeroDivisionError
            raise DataError("the registry is not there.\nwrite one")

    catalog = Catalog.of({**plugins, "tracker.bad": Refusing})
    _, problems = plan_of(catalog, "tracker=bad", "seed=x")
    assert messages(problems) == ["seed cannot be 'x'.", "the registry is not there."]
    with pytest.raises(ZeroDivisionError) as caught:
        plan_of(catalog, "tracker.bad.wrong=true")
    assert caught.value.__notes__ == ["while requires of tracker.bad"]


def checking(plugins, answer):
    @plugin
    class Checking(plugins["tracker.plot"]):
        """Looks at the plan."""

        @hookimpl
        def check(self, plan):
            return answer(plan)

    return Catalog.of({**plugins, "tracker.checks": Checking})


def test_checks_are_reported_with_everything_else(plugins):
    def answer(plan):
        assert plan.uses("adapter", "lora"), "selected, although its options are wrong"
        assert plan.plugin("adapter") is None
        return [Problem("trainer.max_steps", "too few.", "more"), Problem("", "hm.", severity="warning")]

    _, problems = plan_of(checking(plugins, answer), "tracker=checks", "adapter.rank=x")
    assert messages(problems) == ["adapter.rank cannot be 'x'.", "too few.", "hm."]
    with pytest.raises(ConfigError, match="2 problems"):
        assemble(compose(CONFIG, ["tracker=checks", "adapter.rank=x"]), "train", checking(plugins, answer))


def test_a_plugin_with_a_wrong_option_tells_all_else(plugins):
    @plugin
    class Checking(plugins["adapter.lora"]):
        """Looks at itself."""

        size: Annotated[int, between(1, 9)] = 3
        other: str = "a"

        @hookimpl
        def check(self, plan):
            assert plan.plugin("adapter") is None, "nobody else sees what is not the user's"
            if self.other == "stumbles":
                raise ValueError(self.other)
            found = [Problem("adapter.other", f"other cannot be {self.other} here.")] if self.other == "b" else []
            return [*found, Problem("adapter.name", f"size={self.size} does not go with it."), Problem("", "hm.")]

    catalog = Catalog.of({**plugins, "adapter.lora": Checking})
    for wrong in ("adapter.size=0", "adapter.size=x", "adapter.sizes=3"):
        _, problems = plan_of(catalog, wrong, "adapter.other=b")
        told = messages(problems)
        assert told[0].startswith(("adapter.size cannot be", "adapter=lora has no option sizes"))
        assert "other cannot be b here." in told and "hm." in told
        assert ("size=3 does not go with it." in told) == (wrong == "adapter.sizes=3"), "3 is not what was written"
    assert len(plan_of(catalog, "adapter.size=0", "adapter.other=stumbles")[1]) == 1


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("learning_rate=1e-4", "write trainer.learning_rate=1e-4"),
        ("learning_rat=1e-4", "write trainer.learning_rate=1e-4"),
        ("rank=0x10", "write adapter.rank=0x10"),
        ("bits=4", "write quantizer.bits=4 with quantizer=hqq"),
        ("lora_rank=4", "write adapter.rank=4"),
        ("defaults=[a.yaml]", "defaults stands in a file, and names the files that it inherits"),
        ("max_steps=a b", "write 'trainer.max_steps=a b'"),
    ],
)
def test_names_of_options_alone_are_answered_with_the_line_to_write(catalog, word, advice):
    _, problems = plan_of(catalog, word)
    (problem,) = (problem for problem in problems if "is not a key of a" in problem.message)
    assert problem.advice == advice


def test_in_a_file_the_line_to_write_is_that_of_a_file(catalog, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: {path: org/tiny}\nlearning_rate: 1e-4\n")
    _, (problem, *_) = plan_of(catalog, config=path)
    assert problem.advice == "write trainer: {learning_rate: 1e-4}"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("default_hub=nowhere", "no installed plugin provides hub=nowhere."),
        ("default_hub=", "default_hub cannot be empty."),
        ("output_dir=", "output_dir cannot be empty."),
        (f"output_dir={'x' * 5000}", "output_dir is too long for a path: 5,000 characters."),
        ("output_dir=~nobody_of_this_name/x", "begins with the home folder of nobody here: ~nobody_of_this_name"),
    ],
)
def test_what_no_path_and_no_hub_can_be(catalog, word, message):
    assert any(message in told for told in messages(plan_of(catalog, word)[1]))


def test_warnings_do_not_stop_a_run(plugins, caplog):
    caplog.set_level(logging.INFO, "tunesmith")
    logging.getLogger("tunesmith").propagate = True
    catalog = checking(plugins, lambda plan: [Problem("seed", "odd.", "even", severity="warning")])
    assemble(compose(CONFIG, ["tracker=checks", "seed=3"]), "train", catalog)
    assert ("tunesmith", logging.WARNING, "odd.\n  even\n  command line") in caplog.record_tuples


def test_a_check_that_stumbles(plugins):
    catalog = checking(plugins, lambda plan: [plan.plugin("adapter").rank / 0])
    with pytest.raises(ZeroDivisionError) as caught:
        plan_of(catalog, "tracker=checks")
    assert caught.value.__notes__ == ["while check of tracker.checks"]
    _, problems = plan_of(catalog, "tracker=checks", "adapter.rank=x")
    assert messages(problems) == ["adapter.rank cannot be 'x'."], "a broken plan is not the plugin's fault"


# ---- hooks -----------------------------------------------------------------------------------------------------------


def test_an_exclusive_hook_that_nothing_implements(plugins):
    @plugin
    class Lacking:
        """Forgot one mark."""

        @hookimpl
        def apply_adapter(self, model):
            return model

        def merge_adapter(self, model):
            return model

    _, problems = plan_of(Catalog.of({**plugins, "adapter.lora": Lacking}))
    assert messages(problems) == ["nothing implements merge_adapter: adapter.lora (kernel local) should."]
    assert problems[0].advice == "put @hookimpl above its method merge_adapter"


def test_a_stage_with_its_own_loop_needs_no_batches(plugins):
    @plugin
    class Loop:
        """Encodes, and trains by itself."""

        @hookimpl
        def encode(self, rows):
            return {}

        @hookimpl
        def fit(self, job):
            return True

    _, problems = plan_of(Catalog.of({**plugins, "stage.sft": Loop}))
    assert problems == []

    class Half:
        """Encodes only."""

        @hookimpl
        def encode(self, rows):
            return {}

    _, problems = plan_of(Catalog.of({**plugins, "stage.sft": plugin(Half)}))
    assert messages(problems) == [
        f"nothing implements {hook}: stage.sft (kernel local) should." for hook in ("collate", "compute_loss")
    ]


def test_a_routed_hook_that_nothing_implements(plugins):
    @plugin
    class Lacking:
        """No hooks."""

    _, problems = plan_of(Catalog.of({**plugins, "hub.huggingface": Lacking}))
    assert messages(problems) == ["nothing implements fetch: hub.huggingface (kernel local) should."]
    assert problems[0].advice == "tell the authors of the plugin"


def test_an_exclusive_hook_of_another_kind(plugins):
    @plugin
    class Foreign(plugins["tracker.plot"]):
        """Takes over."""

        @hookimpl
        def compute_loss(self):
            return None

    _, problems = plan_of(Catalog.of({**plugins, "tracker.odd": Foreign}), "tracker=odd")
    assert messages(problems) == [
        "tracker.odd (kernel local) implements compute_loss, which belongs to the kind loss or stage."
    ]
    assert problems[0].advice == "make it a wrapper: @hookimpl(wrapper=True)"


def test_a_loss_takes_over_from_the_stage_and_says_so(plugins, calls, caplog):
    @plugin
    class Mine:
        """A loss."""

        @hookimpl
        def compute_loss(self, model, batch):
            return LossOutput(loss=2.0, num_items=1.0)

    caplog.set_level(logging.INFO, "tunesmith")
    logging.getLogger("tunesmith").propagate = True
    run = assemble(compose(CONFIG, ["loss=mine"]), "train", Catalog.of({**plugins, "loss.mine": Mine}))
    assert "compute_loss: loss.mine (over stage.sft)" in caplog.messages
    assert run.hook.compute_loss(model=None, batch={}).loss == 2.0
    assert calls.of("compute_loss") == []


def test_a_misspelt_hook(plugins):
    @plugin
    class Typo(plugins["tracker.plot"]):
        """Spelt wrong."""

        @hookimpl
        def on_evnt(self, event):
            return None

    _, problems = plan_of(Catalog.of({**plugins, "tracker.typo": Typo}), "tracker=typo")
    assert messages(problems) == ["tracker.typo (kernel local) implements the hook on_evnt, which does not exist."]
    assert "did you mean on_event?" in problems[0].advice


def test_an_argument_that_the_hook_does_not_have(plugins):
    @plugin
    class Odd(plugins["adapter.lora"]):
        """Asks too much."""

        @hookimpl
        def apply_adapter(self, model, tokenizer):
            return model

    _, problems = plan_of(Catalog.of({**plugins, "adapter.lora": Odd}), "seed=x")
    asked = "adapter.lora (kernel local) asks in apply_adapter for tokenizer, which the hook does not have."
    assert messages(problems)[:2] == ["seed cannot be 'x'.", asked]
    assert problems[1].advice == "possible: model, source, trained"
    assert len(problems) == 2, "that its hooks are missing then is no second problem"


def test_wrappers_go_around_the_hook(plugins, calls):
    @plugin
    class Doubling:
        """Twice the loss."""

        @hookimpl(wrapper=True)
        def compute_loss(self, model, batch):
            output = yield
            return LossOutput(loss=output.loss * 2, num_items=output.num_items)

    catalog = Catalog.of({**plugins, "patch.double": Doubling, "patch.again": Doubling})
    run = assemble(compose(CONFIG, ["patch=[double, again]"]), "train", catalog)
    assert run.hook.compute_loss(model=None, batch={}).loss == 4.0


def raising(plugins, address, method):
    base = plugins.get(address, object)
    made = plugin(type("Raising", (base,), {"__doc__": "Raises.", method.__name__: hookimpl(method)}))
    return Catalog.of({**plugins, address: made})


def test_exceptions_say_which_hook_of_which_plugin(plugins):
    def compute_loss(self, model, batch):
        raise ZeroDivisionError("no")

    run = assemble(compose(CONFIG), "train", raising(plugins, "stage.sft", compute_loss))
    with pytest.raises(ZeroDivisionError) as caught:
        run.hook.compute_loss(model=None, batch={})
    assert caught.value.__notes__ == ["while compute_loss of stage.sft"]


def test_exceptions_of_generators_are_noted_while_they_run(plugins):
    def to_rows(self, records):
        yield {"text": "a"}
        raise ZeroDivisionError("no")

    run = assemble(compose(CONFIG), "train", raising(plugins, "format.plain", to_rows))
    rows = run.to_rows("plain", [], {})
    assert next(rows) == {"text": "a"}
    with pytest.raises(ZeroDivisionError) as caught:
        next(rows)
    assert caught.value.__notes__ == ["while to_rows of format.plain"]


@pytest.mark.parametrize("own", [True, False])
def test_exceptions_of_wrappers_are_theirs_only_if_they_raise(plugins, own):
    @plugin
    class Wrapping:
        """Raises itself, or lets pass."""

        @hookimpl(wrapper=True)
        def compute_loss(self):
            output = yield
            if own:
                raise ZeroDivisionError("mine")
            return output

    def compute_loss(self, model, batch):
        return None if own else 1 / 0

    catalog = raising({**plugins, "patch.wraps": Wrapping}, "stage.sft", compute_loss)
    run = assemble(compose(CONFIG, ["patch=wraps"]), "train", catalog)
    with pytest.raises(ZeroDivisionError) as caught:
        run.hook.compute_loss(model=None, batch={})
    assert caught.value.__notes__ == [f"while compute_loss of {'patch.wraps' if own else 'stage.sft'}"]


def test_errors_for_the_user_get_no_note(plugins):
    def compute_loss(self, model, batch):
        raise TunesmithError("your mistake")

    run = assemble(compose(CONFIG), "train", raising(plugins, "stage.sft", compute_loss))
    with pytest.raises(TunesmithError) as caught:
        run.hook.compute_loss(model=None, batch={})
    assert not hasattr(caught.value, "__notes__")


def test_a_trace_of_the_calls(catalog, monkeypatch, capsys):
    monkeypatch.setenv("TUNESMITH_TRACE", "1")
    run = assemble(compose(CONFIG), "train", catalog)
    run.hook.compute_loss(model=None, batch={})
    assert "[tunesmith] compute_loss of stage.sft: " in capsys.readouterr().err
    monkeypatch.delenv("TUNESMITH_TRACE")
    assemble(compose(CONFIG), "train", catalog).hook.compute_loss(model=None, batch={})
    assert capsys.readouterr().err == ""


# ---- routed hooks ----------------------------------------------------------------------------------------------------


def test_addresses_find_their_hub(catalog, calls, tmp_path):
    (tmp_path / "there").mkdir()
    run = assemble(compose(CONFIG, ["hub=[local, huggingface]"]), "train", catalog)
    run.fetch("org/name", "main")
    run.fetch("./there")
    run.fetch("file:///data/x.json")
    assert calls == [("fetch", "org/name", "main"), ("fetch", "./there", None), ("fetch", "/data/x.json", None)]


def test_the_hub_of_the_model_must_be_there(catalog):
    _, problems = plan_of(catalog, "model.path=s4://bucket/x")
    assert messages(problems) == ["no installed plugin provides hub=s4."]
    assert plan_of(catalog, "default_hub=local")[0].names("hub") == ["local"]
    as_recorded = plan_of(catalog, "default_hub=huggingface")[0]
    assert as_recorded.names("hub") == plan_of(catalog)[0].names("hub"), "a record of a run selects nothing more"


def test_a_routed_call_that_nobody_announced(catalog):
    run = assemble(compose(CONFIG), "train", catalog)
    with pytest.raises(
        PluginError, match=r"to_rows of format\.alpaca is called, but no plugin announced it\.\n.*requires"
    ):
        run.to_rows("alpaca", [], {})


def test_a_routed_call_names_a_file_as_it_was_written(catalog, tmp_path, monkeypatch):
    source = 'from tunesmith import hookimpl, plugin\n\n\n@plugin\nclass {0}:\n    """One."""\n\n    @hookimpl\n'
    source += "    def to_rows(self, records):\n        return iter(['{0}'])\n\n\n"
    (tmp_path / "mine.py").write_text(source.format("Mine") + source.format("Yours"))
    monkeypatch.chdir(tmp_path)
    run = assemble(compose(CONFIG, {"format": {"mine.py:Mine": {}, "./mine.py:Yours": {}}}), "train", catalog)
    assert [list(run.to_rows(f"{place}mine.py:{name}", [], {})) for place, name in [("", "Mine"), ("./", "Yours")]] == [
        ["Mine"],
        ["Yours"],
    ]


def test_two_runs_do_not_know_of_each_other(catalog):
    first = assemble(compose(CONFIG), "train", catalog)
    second = assemble(compose(CONFIG, {"adapter.rank": 3}), "train", catalog)
    assert first.plan.plugin("adapter") is not second.plan.plugin("adapter")
    assert (first.plan.plugin("adapter").rank, second.plan.plugin("adapter").rank) == (8, 3)


def test_an_engine_that_brings_its_model_needs_none():
    """Nothing that a model needs is selected then, unless one is named; where something is trained, one is needed."""
    from tunesmith.pipeline import model_handle
    from tunesmith.traits import EngineTraits

    @plugin
    class Elsewhere:
        traits = EngineTraits(brings_model=True)

        @hookimpl
        def open_engine(self, handle):
            return handle

    catalog = Catalog.of({"engine.elsewhere": Elsewhere})
    composition = compose(None, {"engine": "elsewhere"}, catalog)
    run = assemble(composition, "chat", catalog)
    assert {item.entry.kind for item in run.plan.selected} == {"engine"}
    handle = model_handle(run, composition)
    assert handle.source.address == "" and handle.adapter is None
    for ask in (lambda: handle.template.render([]), lambda: handle.processor.encode("a"), handle.load):
        with pytest.raises(ConfigError, match="runs elsewhere"):
            ask()
    for command, values in (("chat", {"model.path": "x"}), ("train", {}), ("export", {})):
        with pytest.raises(ConfigError):
            assemble(compose(None, {"engine": "elsewhere", **values}, catalog), command, catalog)


def test_what_is_typed_for_a_command_without_use_of_it_is_told(catalog):
    """A run keeps it for later commands, and a file may hold what others need."""
    typed = compose(CONFIG, ["trainer.steps=3", "stage.beta=0.5", "adapter.rank=3"], catalog)
    told = examine(typed, "export", catalog)[0].notices
    assert "trainer.steps: not used, for tunesmith export has no trainer" in told
    assert "stage.beta: not used, for tunesmith export has no stage" in told
    assert not any("adapter" in notice for notice in told)
    assert not any("not used" in notice for notice in examine(typed, "train", catalog)[0].notices)
    assert not any(
        "not used" in notice for notice in examine(compose(CONFIG, None, catalog), "export", catalog)[0].notices
    )
