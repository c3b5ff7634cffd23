"""The order of the hook calls, and what they are given."""

import dataclasses
import os
from pathlib import Path
from typing import ClassVar

import pytest
import tunesmith
import yaml
from tunesmith import hookimpl, pipeline, plugin
from tunesmith.catalog import Catalog
from tunesmith.errors import ConfigError
from tunesmith.pipeline import plan, train
from tunesmith.traits import StageTraits
from tunesmith.types import Conversation, Problem

CONFIG = {"model": {"path": "org/tiny"}, "data": {"train": ["train.json"]}}


def test_train_calls_the_hooks_in_the_order_of_the_page(catalog, calls):
    folder = tunesmith.train(CONFIG, {"quantizer": "hqq", "tracker": "plot"}, catalog=catalog)
    assert calls == [
        ("fetch", "org/tiny", None),
        ("resolve_precision", "auto"),
        ("load_processor", Path("fetched/org/tiny")),
        ("chat_template",),
        ("build_dataset", ["train.json"]),
        ("to_rows",),
        ("encode", 1),
        ("quantization_config", 4),
        ("load_model", "fp32", {"bits": 4}),
        ("quantize", "model", 1),
        ("apply_adapter", "model-4bit", None),
        ("fit", "model-4bit+lora", False),
        ("compute_loss", "stage"),
        ("on_event", "tunesmith", "event"),
    ]
    assert folder == Path("runs/sft")
    assert sorted(path.name for path in folder.iterdir()) == ["plugins.lock", "run.yaml"]


def test_without_quantizer_the_model_is_as_it_was_loaded(catalog, calls):
    tunesmith.train(CONFIG, catalog=catalog)
    assert calls.of("load_model") == [("load_model", "fp32", None)]
    assert calls.of("apply_adapter") == [("apply_adapter", "model", None)]


def test_nothing_is_called_when_something_is_wrong(catalog, calls):
    with pytest.raises(ConfigError, match="2 problems"):
        tunesmith.train(CONFIG, {"adapter.rnak": 1, "trainer.max_steps": "x"}, catalog=catalog)
    assert calls == [] and not Path("runs").exists()


def test_nothing_is_loaded_when_the_folder_is_taken(catalog, calls):
    folder = tunesmith.train(CONFIG, {"output_dir": "out"}, catalog=catalog)
    (folder / "metrics.jsonl").touch()
    calls.clear()
    with pytest.raises(ConfigError, match="a run is already there"):
        tunesmith.train(CONFIG, {"output_dir": str(folder)}, catalog=catalog)
    assert calls == []


def test_run_yaml_repeats_the_run(catalog, calls):
    first = tunesmith.train(CONFIG, ["adapter.rank=3", "tracker={}", "adapter.alpha=${adapter.rank}"], catalog=catalog)
    before = list(calls)
    calls.clear()
    again = tunesmith.train(first / "run.yaml", catalog=catalog)
    assert again == Path("runs/sft-2")
    assert calls == before, "no trackers were chosen, so the repeated run has none either"
    assert (again / "run.yaml").read_text() == (first / "run.yaml").read_text()
    assert yaml.safe_load((again / "run.yaml").read_text())["adapter"] == {
        "name": "lora",
        "rank": 3,
        "alpha": 3.0,
        "target": "all",
        "dropout": 0.0,
    }


def test_a_run_s_folder_repeats_it_too(catalog):
    first = tunesmith.train(CONFIG, {"output_dir": "mine"}, catalog=catalog)
    assert tunesmith.train(first, catalog=catalog) == Path("mine-2")
    assert tunesmith.train(Path("mine-2"), catalog=catalog) == Path("mine-3")


def test_resume_continues_in_the_same_folder(catalog, calls):
    first = tunesmith.train(CONFIG, catalog=catalog)
    assert tunesmith.train(first, {"resume": True}, catalog=catalog) == first
    assert calls.of("fit")[-1] == ("fit", "model+lora", True)


def test_an_interrupted_run_says_how_to_continue(catalog, calls):
    calls.interrupted = True
    with pytest.raises(KeyboardInterrupt, match="tunesmith train runs/sft resume=true"):
        tunesmith.train(CONFIG, catalog=catalog)


def test_the_stage_may_bring_its_own_loop(plugins, calls):
    stage = plugins["stage.sft"]

    @plugin
    class Own(stage):
        """A stage with a loop."""

        @hookimpl
        def fit(self, job):
            self.calls.append(("fit", "own"))
            return True

    tunesmith.train(CONFIG, catalog=Catalog.of({**plugins, "stage.sft": Own}))
    assert calls.of("fit") == [("fit", "own")]


def trained(catalog, file):
    folder = tunesmith.train(CONFIG, {"tracker": None}, catalog=catalog)
    (folder / file).touch()
    return folder


def test_chat_with_an_adapter_loads_the_base_and_the_adapter(catalog, calls):
    folder = trained(catalog, "adapter_config.json")
    calls.clear()
    answers = tunesmith.chat(
        folder,
        [[{"role": "user", "content": "one"}], Conversation([{"role": "user", "content": "two"}])],
        catalog=catalog,
    )
    assert answers == ["model+lora one", "model+lora two"]
    assert calls.names() == [
        *("fetch", "resolve_precision", "load_processor", "chat_template"),
        *("load_model", "apply_adapter", "close"),
    ]
    assert calls.of("load_processor") == [("load_processor", folder)], "the run's tokenizer, with its template"
    assert calls.of("apply_adapter") == [("apply_adapter", "model", folder)]


def test_chat_with_a_whole_model_fetches_nothing(catalog, calls):
    folder = trained(catalog, "config.json")
    calls.clear()
    assert tunesmith.chat(folder, [[{"role": "user", "content": "one"}]], catalog=catalog) == ["model one"]
    assert "fetch" not in calls.names() and "apply_adapter" not in calls.names()


def test_chat_with_a_plain_model(catalog, calls):
    answers = tunesmith.chat(None, [[{"role": "user", "content": "hi"}]], {"model.path": "org/tiny"}, catalog=catalog)
    assert answers == ["model hi"]


def test_a_session_loads_only_when_it_is_asked(catalog, calls):
    session = tunesmith.ChatSession({"model": {"path": "org/tiny"}}, catalog=catalog)
    assert "load_model" not in calls.names()
    assert [piece.text for piece in session.answer([[{"role": "user", "content": "hi"}]])] == ["model ", "hi"]


def test_chat_needs_a_trained_model(catalog):
    folder = tunesmith.train(CONFIG, catalog=catalog)
    with pytest.raises(ConfigError, match=r"holds no trained model yet\.\nfinish it: tunesmith train .* resume=true"):
        tunesmith.ChatSession(folder, catalog=catalog)


def test_export_writes_beside_the_run_in_full_precision(catalog, calls):
    folder = trained(catalog, "adapter_config.json")
    assert tunesmith.export(folder, catalog=catalog) == folder.with_name("sft-merged")
    assert calls.of("export") == [("export", "merged")]
    assert calls.of("resolve_precision")[-1] == ("resolve_precision", "fp32"), "merging in fewer bits would round"


def test_export_refuses_a_taken_target_before_it_fetches(catalog, calls):
    folder = trained(catalog, "adapter_config.json")
    Path("there").mkdir()
    calls.clear()
    with pytest.raises(ConfigError, match=r"there exists already\.\nremove it"):
        tunesmith.export(folder, output_dir="there", catalog=catalog)
    assert calls == []


def test_export_of_a_plain_model_is_named_after_it(catalog):
    exported = tunesmith.export(None, {"model.path": "hf://org/tiny-7b/"}, catalog=catalog)
    assert exported == Path("runs/tiny-7b-merged")


@pytest.mark.parametrize("overrides", [["output_dir=here"], {"output_dir": "here"}])
def test_export_goes_where_an_override_says(catalog, overrides):
    """Not where the file says that the run trains; and an argument goes before both."""
    folder = trained(catalog, "adapter_config.json")
    assert tunesmith.export(folder, overrides, catalog=catalog) == Path("here")
    assert tunesmith.export(folder, overrides, output_dir="there", catalog=catalog) == Path("there")
    assert (
        tunesmith.export({"model": {"path": "hf://o/tiny"}, "output_dir": "run"}, catalog=catalog).name == "tiny-merged"
    )


def test_export_of_the_current_folder_is_beside_it(catalog, monkeypatch):
    folder = trained(catalog, "adapter_config.json").resolve()
    monkeypatch.chdir(folder)
    assert tunesmith.export(".", catalog=catalog) == folder.with_name("sft-merged")


def test_show_encodes_without_loading_the_model(catalog, calls):
    processor, splits = tunesmith.show(CONFIG, catalog=catalog)
    assert splits.train == [[1]] and processor.chat_template == "{{ messages }} for others"
    assert "load_model" not in calls.names()


def test_plan_finds_problems_without_raising(catalog, calls):
    found, problems = pipeline.plan({"adapter": {"rank": "x"}}, catalog=catalog)
    assert [str(problem.key) for problem in problems] == ["model.path", "adapter.rank"]
    assert found.uses("stage", "sft") and calls == []


def test_the_fingerprint_follows_what_the_encoding_depends_on(catalog, plugins):
    seen = []

    @plugin
    class Watching(plugins["data.datasets"]):
        """Looks at the encoder."""

        @hookimpl
        def build_dataset(self, fetch, to_rows, encode):
            seen.append(encode.fingerprint)
            return plugins["data.datasets"].build_dataset(self, fetch, to_rows, encode)

    watched = Catalog.of({**plugins, "data.datasets": Watching})
    for changed in ({}, {"stage.max_length": 7}, {"model.path": "org/other"}, {"trainer.learning_rate": 1.0}):
        tunesmith.train(CONFIG, changed, catalog=watched)
    file = Path("fetched/org/tiny/tokenizer.json")
    for content in ("{}", "[]"):  # of the same size at the same time
        file.write_text(content)
        os.utime(file, ns=(1, 1))
        tunesmith.train(CONFIG, catalog=watched)
    first, *others, former, latter = seen
    assert [fingerprint == first for fingerprint in others] == [False, True, True], "another place of the same files"
    assert len({first, former, latter}) == 3


def test_a_run_remembers_how_to_answer(catalog):
    """What the configuration says of later commands is in run.yaml, though training does not look at it."""
    folder = tunesmith.train(CONFIG, {"engine": {"temperature": 0}, "exporter.unheard": 3}, catalog=catalog)
    written = yaml.safe_load((folder / "run.yaml").read_text())
    assert written["engine"] == {"temperature": 0}
    assert written["exporter"] == {"merged": {"unheard": 3}}


def shaping(plugins):
    """The plugins with a stage that shapes the model, as one that puts another head on it does."""
    stage = plugins["stage.sft"]

    @plugin
    class Shaping(stage):
        """A stage with a wrapper of load_model."""

        @hookimpl
        def check(self, plan):
            return [Problem("stage", "it does not write.")] if plan.command == "chat" else []

        @hookimpl(wrapper=True)
        def load_model(self):
            return f"{(yield)}+head"

    return Catalog.of({**plugins, "stage.sft": Shaping})


def test_a_stage_that_shapes_the_model_belongs_to_the_run_for_good(plugins, calls):
    catalog = shaping(plugins)
    folder = trained(catalog, "adapter_config.json")
    assert calls.of("fit") == [("fit", "model+head+lora", False)]
    tunesmith.export(folder, catalog=catalog)
    assert calls.of("apply_adapter")[-1] == ("apply_adapter", "model+head", folder)
    handle = tunesmith.open_model(folder, catalog=catalog)
    assert handle.load() == "model+head+lora" and handle.adapter == folder
    with pytest.raises(ConfigError, match="it does not write"):
        tunesmith.chat(folder, [[{"role": "user", "content": "one"}]], catalog=catalog)


def test_a_stage_that_generates_has_an_engine_over_the_model_that_is_trained(plugins, catalog, calls):
    """Its options are checked then, and recorded; other trainings take no notice of an engine."""
    stage = plugins["stage.sft"]

    @plugin
    class Generating(stage):
        """A stage that learns from answers."""

        traits: ClassVar[StageTraits] = StageTraits(generates=True)

    jobs = []

    @plugin
    class Keeping(plugins["trainer.transformers"]):
        """A loop that shows its job."""

        @hookimpl
        def fit(self, job):
            jobs.append(job)
            return True

    both = Catalog.of({**plugins, "stage.drawn": Generating, "trainer.transformers": Keeping})
    run = pipeline.assemble(pipeline.compose(CONFIG, {"stage": "drawn"}, both), "train", both)
    assert run.plan.name("engine") == "transformers" and run.plan.name("stage") == "drawn"
    folder = tunesmith.train(CONFIG, {"stage": "drawn"}, catalog=both)
    assert yaml.safe_load((folder / "run.yaml").read_text())["engine"] == {"name": "transformers"}
    (job,) = jobs
    assert job.handle.load() is job.model == "model+lora" and job.handle.merge("model") == "merged"
    engine = job.open_engine(handle=job.handle)
    assert (engine.model, engine.calls) == (job.model, calls)
    with pytest.raises(ConfigError, match="engine=transformers has no option unheard"):
        tunesmith.train(CONFIG, {"stage": "drawn", "engine.unheard": 3, "output_dir": "other"}, catalog=both)
    plain, problems = pipeline.plan(CONFIG, {"engine.unheard": 3}, catalog=both)
    assert problems == [] and not plain.uses("engine")
    for missing in ("nobody", "my_stage.py:Mine"):
        found, problems = pipeline.plan(CONFIG, {"stage": missing}, catalog=both)
        assert problems and not found.uses("engine"), "which is told of the stage, and of nothing else"


def test_a_stage_that_does_not_shape_the_model_is_not_needed_afterwards(plugins, catalog, calls):
    folder = trained(catalog, "config.json")
    without = Catalog.of({address: cls for address, cls in plugins.items() if address != "stage.sft"})
    found, problems = pipeline.plan(folder, command="export", catalog=without)
    assert problems == [] and not found.uses("stage") and found.get("stage.max_length") == 2048
    assert tunesmith.open_model(folder, catalog=without).load() == "model"


def test_a_stage_that_was_not_written_does_not_shape_a_plain_model(plugins):
    handle = tunesmith.open_model(CONFIG, catalog=shaping(plugins))
    assert handle.load() == "model" and handle.adapter is None


def test_a_broken_stage_of_a_run_is_told(plugins, catalog):
    folder = trained(catalog, "config.json")
    broken = Catalog.of(plugins)
    (entry,) = broken._entries["stage.sft"]

    def fail():
        raise ImportError("no module named torch")

    broken._entries["stage.sft"] = [dataclasses.replace(entry, load=fail)]
    with pytest.raises(ConfigError, match="no module named torch"):
        tunesmith.open_model(folder, catalog=broken)


def test_a_quantizer_sees_batches_without_names_of_data_sets(plugins, calls):
    stage, quantizer, seen = plugins["stage.sft"], plugins["quantizer.hqq"], []

    @plugin
    class Naming(stage):
        """A stage whose batches say of which data set they are."""

        @hookimpl
        def collate(self, examples, padding_free):
            return {"num_items": 1.0, "datasets": [0], "dataset_names": ["a"]}

    @plugin
    class Seeing(quantizer):
        """A quantizer that looks."""

        @hookimpl
        def quantize(self, model, calibration):
            seen.extend([*calibration(), *calibration()])
            return model

    changed = {**plugins, "stage.sft": Naming, "quantizer.hqq": Seeing}
    tunesmith.train(CONFIG, {"quantizer": "hqq"}, catalog=Catalog.of(changed))
    assert seen == [{"num_items": 1.0}] * 2


def test_rewards_are_weighted_in_one_place(plugins, calls):
    """A reward scores; its weight is the pipeline's business, and one without the option counts once."""

    @plugin
    class Length:
        """Long answers."""

        weight: float = 1.0  # of the score

        @hookimpl
        def score(self, completions):
            return [float(len(text)) for text in completions]

    @plugin
    class Flat:
        """One for all."""

        @hookimpl
        def score(self, completions):
            return [1.0 for _ in completions]

    seen = {}

    @plugin
    class Scoring(plugins["trainer.transformers"]):
        """Asks for scores."""

        @hookimpl
        def fit(self, job):
            seen["scores"] = job.score(prompts=[[], []], completions=["a", "bcd"], rows=[{}, {}])
            return True

    added = {"reward.length": Length, "reward.flat": Flat, "trainer.transformers": Scoring}
    train(CONFIG, ["reward={length: {weight: 0.5}, flat: {}}"], catalog=Catalog.of({**plugins, **added}))
    assert sorted(seen["scores"]) == [[0.5, 1.5], [1.0, 1.0]]


def test_configured_comes_once_when_nothing_is_wrong(plugins, calls):
    @plugin
    class Learns(plugins["adapter.lora"]):
        """Learns of the plan."""

        _stage: str | None = None

        @hookimpl
        def check(self, plan):
            return []

        @hookimpl
        def configured(self, plan):
            self._stage = plan.name("stage")
            self.calls.append(("configured", plan.command))

        @hookimpl
        def apply_adapter(self, model):
            self.calls.append(("knows", self._stage))
            return model

    catalog = Catalog.of({**plugins, "adapter.lora": Learns})
    with pytest.raises(ConfigError):
        train(CONFIG, ["seed=x"], catalog=catalog)
    assert calls.of("configured") == []
    train(CONFIG, catalog=catalog)
    assert calls.of("configured") == [("configured", "train")] and ("knows", "sft") in calls
    assert calls.names().index("configured") < calls.names().index("fetch")


def test_a_run_whose_plugin_is_gone_names_it_from_the_lock(plugins, calls, monkeypatch):
    folder = train(CONFIG, ["adapter=full"], catalog=Catalog.of(plugins))
    lock = folder / "plugins.lock"
    assert "adapter=full" not in lock.read_text(), "classes at hand belong to no distribution"
    lock.write_text("tunesmith==0.1.0\nacme-adapters==2.3  # adapter=full adapter=more\n")
    (folder / "config.json").write_text("{}")
    del plugins["adapter.full"]
    _, problems = plan(folder, command="chat", catalog=Catalog.of(plugins))
    (problem,) = problems
    assert problem.message == "no installed plugin provides adapter=full."
    assert problem.advice == f"this run was made with acme-adapters==2.3: pip install -r {lock}"


def test_several_exporters_share_one_handle(plugins):
    """Each writes a folder of its own, in the order of the configuration, and what one made is there for the next."""
    seen = []

    class Second:
        """Keeps what it is given."""

        verify: bool = True

        @hookimpl
        def export(self, handle, output_dir):
            seen.append((handle.shared.once("made", lambda: len(seen)), self.verify))
            output_dir.mkdir(parents=True)
            return output_dir

    class Third(Second):
        """The same."""

    both = Catalog.of({**plugins, "exporter.second": plugin(Second), "exporter.third": plugin(Third)})
    folder = trained(both, "adapter_config.json")
    words = ["exporter=[third,second]", "exporter.verify=false"]
    written = tunesmith.exports(folder, words, catalog=both)
    assert written == [folder.with_name("sft-third"), folder.with_name("sft-second")]
    assert seen == [(0, False), (0, False)]
    assert tunesmith.export(folder, words, output_dir="all", catalog=both) == Path("all/second")
    with pytest.raises(ConfigError, match=r"sft-third exists already"):
        tunesmith.exports(folder, words, catalog=both)
