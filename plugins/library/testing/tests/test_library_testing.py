"""The conformance kit notices what it is there for: each broken plugin here fails the test that names its fault."""

import dataclasses
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import tunesmith_library_testing
from tunesmith import DataError, hookimpl, plugin
from tunesmith.kinds import KINDS
from tunesmith.types import Evaluated, LossOutput, Problem, RunStarted, StepEnded
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing import (
    FormatSuite,
    OptimizerSuite,
    PluginSuite,
    RewardSuite,
    StageSuite,
    TemplateSuite,
    TrackerSuite,
)
from tunesmith_library_testing.fixtures import pytest_pycollect_makeitem
from tunesmith_library_testing.parts import CHAT, CHATML, StubPlan, collate, compute_loss, examples, load_plain, train

Fails = (AssertionError, pytest.fail.Exception)


@plugin
class Good:
    """A format that keeps to the contract."""

    reads: ClassVar[str] = "text"

    column: str = "text"  # where the text stands

    @staticmethod
    def looks_like(record: Any) -> bool:
        return "text" in record

    @hookimpl
    def to_rows(self, records: Any, columns: Any) -> Iterator[dict[str, Any]]:
        column = columns.get("text", self.column)
        for record in records:
            if column not in record:
                raise DataError(f"no {column} among {', '.join(record)}")
            yield {"text": record[column]}

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        return [] if plan.uses("stage") else [Problem("format", "what for?")]


class GoodSuite(FormatSuite):
    plugin = Good
    records: ClassVar = [{"text": "a"}, {"text": "b"}]
    rows: ClassVar = [{"text": "a"}, {"text": "b"}]
    renamed: ClassVar = {"text": "content"}


def suite_of(base: type, broken: type, **attributes: Any) -> Any:
    """A suite for a broken plugin, as a test file would declare it."""
    return type("TestBroken", (base,), {"plugin": broken, **attributes})()


def test_a_suite_for_every_kind() -> None:
    suites = {
        getattr(tunesmith_library_testing, name).__dict__.get("kind") for name in tunesmith_library_testing.__all__
    }
    assert suites - {None} == set(KINDS)


def test_import_is_light() -> None:
    package = "tunesmith_library_testing"
    program = f"import sys, {package}.parts; print({{'torch', 'pytest'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "set()"


def test_a_good_plugin_passes() -> None:
    suite, needs_installation = GoodSuite(), {"test_names_follow_the_rule", "test_requires_the_kernel"}
    needs_installation |= {"test_import_is_light", "test_readme", "test_check_is_light"}
    for name in dir(suite):
        if name.startswith("test_") and name not in needs_installation:
            getattr(suite, name)()


def test_what_says_nothing_of_a_plugin_is_not_collected() -> None:
    """The tests of a `check` that it has not, and of names and renderings that are not there."""
    bare = plugin(type("Bare", (), {"__doc__": "Does nothing."}))
    of_check = {"test_check_is_light", "test_knows_nobody_by_name"}
    for suite, idle in (
        (GoodSuite, set()),
        (type(suite_of(PluginSuite, bare)), of_check),
        (type(suite_of(TemplateSuite, bare)), {*of_check, "test_names", "test_official_renderings"}),
        (PluginSuite, set()),
    ):
        collector = SimpleNamespace(cls=suite)
        assert {name for name in dir(suite) if pytest_pycollect_makeitem(collector, name) == []} == idle


# ---- every plugin ----------------------------------------------------------------------------------------------------


def test_notices_a_plain_class() -> None:
    class Plain:
        """Not a plugin."""

    with pytest.raises(Fails, match="put @plugin above"):
        suite_of(PluginSuite, Plain, kind="format").test_is_a_plugin()


def test_notices_a_missing_docstring() -> None:
    @plugin
    class Silent:
        pass

    with pytest.raises(Fails, match="needs a docstring"):
        suite_of(PluginSuite, Silent, kind="format").test_is_a_plugin()


@dataclasses.dataclass(kw_only=True)
class Entry:
    path: str = ""


@plugin
class Undocumented:
    """Has options without words, one of them nested."""

    rank: int = 8
    alpha: int = 16  # documented
    entries: list[Entry] = dataclasses.field(default_factory=list)  # documented, but not what is in it


def test_notices_undocumented_options() -> None:
    with pytest.raises(Fails, match=r"them: rank, entries\.path\n"):
        suite_of(PluginSuite, Undocumented, kind="adapter").test_every_option_is_documented()


def test_notices_a_misspelt_hook() -> None:
    @plugin
    class Misspelt:
        """Wants to be a format."""

        @hookimpl
        def to_row(self, records: Any) -> Any: ...

    with pytest.raises(Fails, match="unknown hook 'to_row'"):
        suite_of(PluginSuite, Misspelt, kind="format").test_hooks_exist()


def test_notices_an_argument_that_does_not_exist() -> None:
    @plugin
    class Wishful:
        """Wants to know more."""

        @hookimpl
        def to_rows(self, records: Any, dataset: Any) -> Any: ...

    with pytest.raises(Fails, match="dataset"):
        suite_of(PluginSuite, Wishful, kind="format").test_hooks_exist()


def test_notices_a_hook_of_another_kind() -> None:
    class Base:
        """Hooks."""

        @hookimpl
        def compute_loss(self, model: Any, batch: Any) -> Any: ...

        @hookimpl(wrapper=True)
        def load_model(self) -> Any:
            return (yield)

    for kind in ("loss", "stage"):
        suite_of(PluginSuite, plugin(type("Mine", (Base,), {})), kind=kind).test_hooks_belong_to_the_kind()
    with pytest.raises(Fails, match="compute_loss belongs to loss and stage"):
        suite_of(PluginSuite, plugin(type("Mine", (Base,), {})), kind="patch").test_hooks_belong_to_the_kind()


def test_notices_options_that_are_no_schema() -> None:
    @plugin
    class Odd:
        """Has an option that no YAML can hold."""

        where: complex = 1j  # a complex number

    with pytest.raises(Exception, match="complex"):
        suite_of(PluginSuite, Odd, kind="format").test_options_are_a_schema()


def test_notices_a_format_that_does_not_know_its_records() -> None:
    class Silent(Good):
        reads: ClassVar[str] = "conversations"

        @staticmethod
        def looks_like(record: Any) -> bool:
            return len(record["text"]) > 3

    suite = suite_of(GoodSuite, plugin(Silent))
    with pytest.raises(Fails, match="no record has the columns of 'conversations'"):
        suite.test_says_what_it_reads()
    with pytest.raises(Fails, match=r"it reads this record, and says no: {'text': 'a'}"):
        suite.test_looks_like()
    with pytest.raises(Fails, match="a record of another shape is a no"):
        suite.test_looks_like_is_asked_about_everything()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that writes a package, offers it as an installed distribution, and gives a suite for its plugin."""

    def make(source: str, *, distribution: str = "tunesmith-format-mine", requires: str = "tunesmith>=0.1") -> Any:
        package = "tunesmith_format_mine"
        monkeypatch.delitem(sys.modules, package, raising=False)
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(source, encoding="utf-8")
        info = tmp_path / f"{distribution.replace('-', '_')}-1.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\nRequires-Dist: {requires}\n"
        (info / "METADATA").write_text(head, encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[tunesmith.format]\nmine = {package}:Mine\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        mine = importlib.import_module(package).Mine
        return suite_of(FormatSuite, mine, records=[{"text": "a"}], rows=[{"text": "a"}])

    return make


SOURCE = '''
from tunesmith import hookimpl, plugin

@plugin
class Mine:
    """Mine."""

    @hookimpl
    def to_rows(self, records, columns):
        yield from records

    @hookimpl
    def check(self, plan):
        CHECK
        return []
'''


def test_an_installed_plugin_passes(installed: Any) -> None:
    suite = installed(SOURCE.replace("CHECK", ""))
    suite.test_names_follow_the_rule()
    suite.test_requires_the_kernel()
    suite.test_import_is_light()
    suite.test_check_is_light()


def test_notices_a_missing_entry_point() -> None:
    with pytest.raises(Fails, match=r"no entry point of group tunesmith\.format names Good"):
        GoodSuite().test_names_follow_the_rule()


def test_notices_a_wrong_distribution_name(installed: Any) -> None:
    suite = installed(SOURCE.replace("CHECK", ""), distribution="my-format")
    with pytest.raises(Fails, match="distribution my-format"):
        suite.test_names_follow_the_rule()


def test_notices_that_the_kernel_is_not_required(installed: Any) -> None:
    suite = installed(SOURCE.replace("CHECK", ""), requires="tunesmith-format-text")
    with pytest.raises(Fails, match="tunesmith-format-text"):
        suite.test_requires_the_kernel()


def test_notices_a_heavy_import(installed: Any) -> None:
    suite = installed("import numpy\n" + SOURCE.replace("CHECK", ""))
    with pytest.raises(Fails, match=r"imports .*numpy"):
        suite.test_import_is_light()


def test_notices_a_heavy_check(installed: Any) -> None:
    suite = installed(SOURCE.replace("CHECK", "import numpy"))
    suite.test_import_is_light()
    with pytest.raises(Fails, match=r"check imports .*numpy"):
        suite.test_check_is_light()


def test_notices_a_check_that_answers_nothing(installed: Any) -> None:
    suite = installed(SOURCE.replace("CHECK", "return None"))
    with pytest.raises(Fails):
        suite.test_check_is_light()


# ---- overriding ------------------------------------------------------------------------------------------------------


def test_notices_an_overridden_test() -> None:
    class Bent(GoodSuite):
        def test_wrong_columns(self) -> None: ...

    with pytest.raises(Fails, match="replaces test_wrong_columns without a reason"):
        Bent().test_no_standard_test_is_overridden()


def test_notices_a_deleted_test() -> None:
    class Cut(GoodSuite):
        test_is_lazy = None

    with pytest.raises(Fails, match="replaces test_is_lazy"):
        Cut().test_no_standard_test_is_overridden()


def test_a_reason_is_enough() -> None:
    class Reasoned(GoodSuite):
        deviations: ClassVar = {"test_is_lazy": "the file's index stands at its end"}
        test_is_lazy = None

        @pytest.mark.xfail(reason="issue 7")
        def test_wrong_columns(self) -> None: ...

    Reasoned().test_no_standard_test_is_overridden()


def test_notices_a_reason_for_nothing() -> None:
    class Stale(GoodSuite):
        deviations: ClassVar = {"test_is_lasy": "misspelt"}

    with pytest.raises(Fails, match="test_is_lasy"):
        Stale().test_no_standard_test_is_overridden()


def test_the_guard_cannot_be_overridden() -> None:
    with pytest.raises(TypeError, match="deviations"):

        class Sly(GoodSuite):
            def test_no_standard_test_is_overridden(self) -> None: ...


# ---- kinds: one fault, one test that notices it ----------------------------------------------------------------------


def test_notices_a_format_that_reads_everything_first() -> None:
    class Greedy(GoodSuite):
        def convert(self, records: Any, columns: Any = None) -> Any:
            rows = []
            for number, row in enumerate(super().convert(records, columns)):
                assert number < 1000, "it does not stop reading"
                rows.append(row)
            return rows

    with pytest.raises(Fails, match="does not stop"):
        Greedy().test_is_lazy()


@pytest.mark.parametrize(
    ("jinja", "test"),
    [
        (CHATML.jinja.replace("+ '<|im_end|>' }}{%- endgen", "}}{%- endgen"), "finds_what_the_assistant_says"),
        (CHATML.jinja.replace("message['content'] or ''", "message['content'] | upper"), "renders_every_message"),
        (CHATML.jinja.replace("im_start|>assistant\\n", "im_start|>model\\n"), "generation_prompt_precedes_the_answer"),
        (CHATML.jinja + "{#- tools, some day -#}", "tools"),
    ],
)
def test_notices_faults_of_templates(jinja: str, test: str) -> None:
    @plugin
    class Faulty:
        """A faulty template."""

        @hookimpl
        def chat_template(self) -> ChatTemplate:
            return ChatTemplate("faulty", jinja, CHATML.stop)

    with pytest.raises(Fails):
        getattr(suite_of(TemplateSuite, Faulty), f"test_{test}")()


def test_notices_a_tracker_that_needs_a_beginning(tmp_path: Path) -> None:
    @plugin
    class Trusting:
        """Believes that every run begins."""

        @hookimpl
        def on_event(self, event: Any) -> None:
            if isinstance(event, RunStarted):
                self._started = True
            assert self._started

    with pytest.raises(AttributeError):
        suite_of(TrackerSuite, Trusting).test_hears_a_run_that_never_began(tmp_path)


def test_notices_an_optimizer_that_forgets(tiny_llama: Path, tiny_bpe: Any) -> None:
    import torch

    class Forgetful(torch.optim.AdamW):
        def state_dict(self) -> Any:
            return {**super().state_dict(), "state": {}}

    @plugin
    class Faulty:
        """Forgets its momentum."""

        @hookimpl
        def build_optimizer(self, model: Any, settings: Any) -> Any:
            return Forgetful(model.parameters(), settings.learning_rate)

    suite_of(OptimizerSuite, Faulty).test_lowers_the_loss(tiny_llama, tiny_bpe)
    with pytest.raises(Fails, match="differs after the next step"):
        suite_of(OptimizerSuite, Faulty).test_state_round_trip(tiny_llama, tiny_bpe)


def test_notices_a_loss_that_is_a_mean(tiny_llama: Path, tiny_bpe: Any) -> None:
    @plugin
    class Faulty:
        """Divides by itself."""

        @hookimpl
        def encode(self, rows: Any, processor: Any) -> Any:
            columns = examples(processor)
            return {name: [row[name] for row in columns] for name in columns[0]}

        @hookimpl
        def collate(self, examples: Any, padding_free: bool) -> Any:
            return collate(examples, padding_free)

        @hookimpl
        def compute_loss(self, model: Any, batch: Any) -> LossOutput:
            output = compute_loss(model, batch)
            return LossOutput(output.loss / output.num_items, output.num_items)

    suite = suite_of(StageSuite, Faulty, rows=[{}, {}])
    suite.test_loss_is_a_sum(tiny_llama, tiny_bpe)
    with pytest.raises(Fails):
        suite.test_batching_does_not_matter(tiny_llama, tiny_bpe)


def test_notices_a_reward_that_weighs_itself() -> None:
    @plugin
    class Faulty:
        """Likes long answers."""

        weight: float = 1.0  # multiplies the score

        @hookimpl
        def score(self, completions: Any) -> list[float]:
            return [self.weight * len(answer) for answer in completions]

    suite = suite_of(RewardSuite, Faulty, better="whales", worse="cod")
    suite.test_scores()
    with pytest.raises(Fails):
        suite.test_weight()


# ---- parts -----------------------------------------------------------------------------------------------------------


def test_stub_plan_answers_like_a_plan() -> None:
    plan = StubPlan(
        {"format": {"good": Good(column="body")}, "optimizer": {"galore": None}},
        command="chat",
        values={"trainer.max_steps": 5},
    )
    assert plan.uses("optimizer", "galore") and plan.uses("optimizer") and not plan.uses("optimizer", "apollo")
    assert plan.name("format") == "good" and plan.name("adapter") is None
    assert plan.get("format.good.column") == "body" and plan.get("trainer.max_steps") == 5
    assert plan.get("trainer.nothing", 7) == 7 and plan.get("seed") == 42
    assert plan.plugin("format").column == "body" and plan.plugin("adapter") is None
    assert plan.command == "chat"


def test_chatml_of_the_kit_marks_the_assistant() -> None:
    rendered = CHATML.render(CHAT)
    said = [rendered.text[span.start : span.end] for span in rendered.spans]
    assert said == ["Nobody counts them twice.<|im_end|>", "Good bye, 朋友.<|im_end|>"]


def test_both_batches_of_the_kit_have_the_same_loss(tiny_llama: Path, tiny_bpe: Any) -> None:
    model, rows = load_plain(tiny_llama), examples(tiny_bpe)
    padded, free = (compute_loss(model, collate(rows, padding_free)) for padding_free in (False, True))
    assert padded.loss.item() == pytest.approx(free.loss.item(), rel=1e-5)
    assert padded.num_items == free.num_items == sum(label != -100 for row in rows for label in row["labels"])
    losses = train(model, collate(rows))
    assert losses[-1] < 0.7 * losses[0] and len(losses) == 21


def test_events_of_the_kit() -> None:
    from tunesmith_library_testing.suites.tracker import events_of

    told = events_of(Path("run"), resumed_from=1)
    assert [event.step for event in told if isinstance(event, StepEnded)] == [2, 3, 4]
    assert [type(event) for event in told].count(Evaluated) == 1
