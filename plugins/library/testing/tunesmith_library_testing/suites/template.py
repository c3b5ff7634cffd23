"""What every chat template keeps to; the checks are `tunesmith_library_chat.conformance`'s."""

from __future__ import annotations

import datetime
import functools
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith_library_chat import ChatTemplate, TemplateFacts, conformance
from tunesmith_library_chat.conversations import read_renderings
from tunesmith_library_chat.plain_tokenizer import PlainTokenizer, special_tokens_in
from tunesmith_library_chat.rereading import answers_are_read_back
from tunesmith_library_chat.subjects import Check, Subject

from tunesmith_library_testing.light import points_of
from tunesmith_library_testing.parts import CHAT, source_of
from tunesmith_library_testing.suites.plugin import PluginSuite

_DAY = datetime.datetime(2026, 1, 2)  # on which the official renderings were made


class TemplateSuite(PluginSuite):
    """The tests of a `template` plugin.

    Where `renderings.json` beside the test names the template, its cases are compared: what the official template
    makes of `tunesmith_library_chat.conversations.CASES`, with its `tokens` and `variables`.
    """

    kind = "template"
    tokenizer_template: ClassVar[str | None] = None  # the Jinja that the tokenizer brings along
    has_tools: ClassVar[bool | None] = None  # False: tools are refused with a DataError; None: as facts or Jinja say
    has_system: ClassVar[bool | None] = None  # False: a system message is refused; None: as the facts say
    chat: ClassVar[tuple[dict[str, Any], ...]] = CHAT  # ends with the assistant; no content occurs twice
    variables: ClassVar[dict[str, Any]] = {}  # given to every rendering, e.g. enable_thinking
    expected_differences: ClassVar[dict[str, str]] = {}  # cases that are not as the official template has them: why

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _day(cls) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tunesmith_library_chat.sources.now", lambda: _DAY)
            yield

    @property
    def facts(self) -> TemplateFacts:
        """What the class says of itself; the least when it says nothing."""
        said = getattr(self.plugin, "traits", None)
        return said if isinstance(said, TemplateFacts) else TemplateFacts()

    @property
    def official(self) -> Mapping[str, Any]:
        """The renderings of the official template: tokens, variables, cases."""
        file = Path(inspect.getfile(type(self))).parent / "renderings.json"
        found: Mapping[str, Any] = read_renderings(file).get(self.facts.name, {})
        return found

    def processor(self) -> Any:
        """The tokenizer that the hook is called with: bytes, and what the Jinja writes of special tokens."""
        return self._made()[0]

    def template(self, **options: Any) -> ChatTemplate:
        """What the plugin gives, with the tokenizer's special tokens bound as the pipeline binds them."""
        return self._bound(self.manager(**options), self.processor()) if options else self._made()[1]

    @classmethod
    @functools.cache
    def _made(cls) -> tuple[Any, ChatTemplate]:
        """The tokenizer, and the template with its default options: made once for all tests of a class."""
        suite = cls()
        tokens = suite.official.get("tokens", {"bos_token": "<s>", "eos_token": "</s>"})
        manager, first = suite.manager(), PlainTokenizer(**tokens)
        first.chat_template = cls.tokenizer_template
        made = manager.hook.chat_template(processor=first, source=source_of(Path()))
        tokenizer = PlainTokenizer(special_tokens_in(made.jinja, *made.stop), **tokens)
        tokenizer.chat_template = cls.tokenizer_template
        return tokenizer, suite._bound(manager, tokenizer)

    @staticmethod
    def _bound(manager: Any, processor: Any) -> ChatTemplate:
        given: ChatTemplate = manager.hook.chat_template(processor=processor, source=source_of(Path()))
        return given.bind(processor)

    def subject(self, **changed: Any) -> Subject:
        """What the checks are given."""
        facts = self.facts
        return Subject(
            **{
                "template": self.template(),
                "facts": facts,
                "tokenizer": self.processor(),
                "talk": self.chat,
                "variables": self.variables,
                "tools": self.has_tools,
                "has_system": facts.system if self.has_system is None else self.has_system,
                **changed,
            }
        )

    def holds(self, check: Check, **changed: Any) -> None:
        """Fail with everything that a check finds."""
        findings = [str(finding) for finding in check(self.subject(**changed))]
        assert not findings, "\n".join(findings)

    def test_gives_a_template(self) -> None:
        """A `ChatTemplate` with a name, Jinja, and strings that end a turn."""
        template = self.template()
        assert isinstance(template, ChatTemplate)
        assert template.name and template.jinja
        assert template.stop and all(template.stop), "no string ends the assistant's turn"

    @classmethod
    def idle_tests(cls) -> frozenset[str]:
        """Those of names and of official renderings too, where the class has no facts or no renderings."""
        suite = cls()
        idle = {"test_names": cls.one_file or not suite.facts.name, "test_official_renderings": not suite.official}
        return super().idle_tests().union(name for name, is_idle in idle.items() if is_idle)

    def test_names(self) -> None:
        """The name and the aliases of the facts are entry points of this class."""
        package = self.plugin.__module__.split(".")[0]
        points = [point for point in points_of("tunesmith.template") if point.module.startswith(package)]
        mine = {point.name for point in points if point.load() is self.plugin}
        assert mine == {self.facts.name, *self.facts.aliases}

    def test_renders_every_message(self) -> None:
        """Every content stands in the text, unchanged and in order."""
        self.holds(conformance.renders_every_message)

    def test_finds_what_the_assistant_says(self) -> None:
        """One span per assistant message: its content and the string that ends the turn, and nobody else's words."""
        self.holds(conformance.marks_what_the_assistant_says)

    def test_generation_prompt_precedes_the_answer(self) -> None:
        """What the model is asked with is the beginning of what it was trained on."""
        self.holds(conformance.prompt_begins_what_is_trained)

    def test_earlier_turns_stay(self) -> None:
        """A conversation that goes on begins as it did, or the facts say why not."""
        self.holds(conformance.earlier_turns_stay)

    def test_system_message(self) -> None:
        """A system message is rendered, or refused with a reason; it is never dropped."""
        self.holds(conformance.system_message)

    def test_tools(self) -> None:
        """Tools, a call and its result are rendered, or refused with a reason; they are never dropped."""
        self.holds(conformance.tools_are_written)

    def test_answers_are_read_back(self) -> None:
        """What a model was trained to say is read as that: text, thoughts, calls; written again, it is the same."""
        self.holds(answers_are_read_back)

    def test_users_cannot_forge_turns(self) -> None:
        """What a user writes is text, also where it spells a special token."""
        self.holds(conformance.users_cannot_forge_turns)

    def test_stop_tokens_end_the_answer(self) -> None:
        """Each string that ends a turn is a token that ends the answer in the engine, or is looked for in the text."""
        self.holds(conformance.stop_ends_the_answer)

    def test_exported_renders_the_same(self) -> None:
        """Other programs, given the exported Jinja, render the same text: what was trained is what is served."""
        self.holds(conformance.exported_renders_the_same)

    def test_official_renderings(self) -> None:
        """The text is the model's own official format, white space included."""
        official = self.official
        unknown = set(self.expected_differences) - set(official["cases"])
        assert not unknown, f"`expected_differences` names cases that are not compared: {', '.join(sorted(unknown))}"
        cases = {name: text for name, text in official["cases"].items() if name not in self.expected_differences}
        template = self.template().with_variables(**official["variables"])
        self.holds(conformance.is_the_official_format, template=template, official=cases)
