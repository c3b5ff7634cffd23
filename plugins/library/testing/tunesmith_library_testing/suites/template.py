"""What every chat template keeps to."""

from __future__ import annotations

import datetime
import functools
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import DataError
from tunesmith.types import Conversation, Sampling
from tunesmith_library_chat import ChatTemplate, TemplateFacts, tokenize
from tunesmith_library_chat.answers import AnswerReader, declared, message_of

from tunesmith_library_testing.conversations import CASES, Case
from tunesmith_library_testing.parts import CHAT, source_of
from tunesmith_library_testing.plain_tokenizer import PlainTokenizer, special_tokens_in
from tunesmith_library_testing.suites.plugin import PluginSuite

_DAY = datetime.datetime(2026, 1, 2)  # on which the official renderings were made


@functools.cache
def _renderings(file: Path) -> Mapping[str, Any]:
    """What a file of renderings holds, with its texts whole.

    A text that begins as another does is written `[that one's case, how many characters they share, the rest]`.
    """
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for official in found.values():
        texts: dict[str, str] = {}
        for case, text in official["cases"].items():
            texts[case] = text if isinstance(text, str) else texts[text[0]][: text[1]] + text[2]
        official["cases"] = texts
    return found


class TemplateSuite(PluginSuite):
    """The tests of a `template` plugin.

    Where `renderings.json` beside the test names the template, its cases are compared: what the official template
    makes of `CASES`, with its `tokens` and `variables`.
    """

    kind = "template"
    tokenizer_template: ClassVar[str | None] = None  # the Jinja that the tokenizer brings along
    has_tools: ClassVar[bool | None] = None  # False: tools are refused with a DataError; None: as the facts say
    has_system: ClassVar[bool | None] = None  # False: a system message is refused; None: as the facts say
    chat: ClassVar[tuple[dict[str, Any], ...]] = CHAT  # ends with the assistant; no content occurs twice
    variables: ClassVar[dict[str, Any]] = {}  # given to every rendering, e.g. enable_thinking
    expected_differences: ClassVar[dict[str, str]] = {}  # cases that are not as the official template has them: why

    @pytest.fixture(autouse=True)
    def _day(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tunesmith_library_chat.sources.now", lambda: _DAY)

    @property
    def facts(self) -> TemplateFacts:
        """What the class says of itself; the least when it says nothing."""
        said = getattr(self.plugin, "traits", None)
        return said if isinstance(said, TemplateFacts) else TemplateFacts()

    @property
    def official(self) -> Mapping[str, Any]:
        """The renderings of the official template: tokens, variables, cases."""
        file = Path(inspect.getfile(type(self))).parent / "renderings.json"
        found: Mapping[str, Any] = _renderings(file).get(self.facts.name, {})
        return found

    def processor(self) -> Any:
        """The tokenizer that the hook is called with: bytes, and what the Jinja writes of special tokens."""
        tokens = self.official.get("tokens", {"bos_token": "<s>", "eos_token": "</s>"})
        return self._tokenizer(tuple(sorted(tokens.items())), self.tokenizer_template)

    @classmethod
    @functools.lru_cache(maxsize=512)
    def _tokenizer(cls, tokens: tuple[tuple[str, str], ...], own: str | None) -> Any:
        first = PlainTokenizer(**dict(tokens))
        first.chat_template = own
        hook = cls().manager().hook
        made = hook.chat_template(processor=first, source=source_of(Path()))
        tokenizer = PlainTokenizer(special_tokens_in(made.jinja, *made.stop), **dict(tokens))
        tokenizer.chat_template = own
        return tokenizer

    def template(self, **options: Any) -> ChatTemplate:
        """What the plugin gives, with the tokenizer's special tokens bound as the pipeline binds them."""
        processor = self.processor()
        given: ChatTemplate = self.manager(**options).hook.chat_template(processor=processor, source=source_of(Path()))
        return given.bind(processor)

    def render(self, case: Case | str) -> Any:
        """A rendering of a case."""
        case = CASES[case] if isinstance(case, str) else case
        return self.template().render(case.messages, **{**case.arguments, **self.variables})

    def test_gives_a_template(self) -> None:
        """A `ChatTemplate` with a name, Jinja, and strings that end a turn."""
        template = self.template()
        assert isinstance(template, ChatTemplate)
        assert template.name and template.jinja
        assert template.stop and all(template.stop), "no string ends the assistant's turn"

    def test_names(self) -> None:
        """The name and the aliases of the facts are entry points of this class."""
        import importlib.metadata

        if not self.facts.name:
            pytest.skip("this template has no facts")
        package = self.plugin.__module__.split(".")[0]
        points = importlib.metadata.entry_points(group="tunesmith.template")
        mine = {point.name for point in points if point.module.startswith(package) and point.load() is self.plugin}
        assert mine == {self.facts.name, *self.facts.aliases}

    def test_renders_every_message(self) -> None:
        """Every content stands in the text, unchanged and in order."""
        text = self.template().render(self.chat, **self.variables).text
        positions = [text.find(message["content"]) for message in self.chat]
        assert -1 not in positions, text
        assert positions == sorted(positions)

    def test_finds_what_the_assistant_says(self) -> None:
        """One span per assistant message: its content and the string that ends the turn, and nobody else's words."""
        template = self.template()
        rendered = template.render(self.chat, **self.variables)
        turns = [index for index, message in enumerate(self.chat) if message["role"] == "assistant"]
        assert [span.message for span in rendered.spans] == turns
        for span in rendered.spans:
            said = rendered.text[span.start : span.end]
            assert self.chat[span.message]["content"] in said
            assert said.endswith(template.stop), f"the span {said!r} ends with none of {template.stop}"
            others = [message["content"] for index, message in enumerate(self.chat) if index != span.message]
            assert not [content for content in others if content in said]

    def test_generation_prompt_precedes_the_answer(self) -> None:
        """What the model is asked with is the beginning of what it was trained on."""
        template = self.template(**self._trained_thoughts())
        asked = template.render(self.chat[:-1], add_generation_prompt=True, **self.variables)
        trained = template.render(self.chat, **self.variables)
        assert trained.text.startswith(asked.text), f"{asked.text!r}\nis not how this begins:\n{trained.text!r}"
        assert trained.spans[-1].start <= len(asked.text) <= trained.text.index(self.chat[-1]["content"])

    def test_earlier_turns_stay(self) -> None:
        """A conversation that goes on begins as it did, or the facts say why not."""
        template = self.template(**self._trained_thoughts())
        for name in ("system_multi", "thought_multi", "parallel"):
            try:
                whole = self._texts(template, CASES[name])
            except DataError:
                continue
            turned = [shorter for shorter in whole[:-1] if not whole[-1].startswith(shorter)]
            if turned and not self.facts.rewrites:
                pytest.fail(f"{turned[0]!r}\nis not how this begins, and `rewrites` says nothing:\n{whole[-1]!r}")

    def test_system_message(self) -> None:
        """A system message is rendered, or refused with a reason; it is never dropped."""
        chat = ({"role": "system", "content": "Speak like a sailor."}, *self.chat)
        if self.facts.system if self.has_system is None else self.has_system:
            assert "Speak like a sailor." in self.template().render(chat, **self.variables).text
        else:
            with pytest.raises(DataError):
                self.template().render(chat, **self.variables)

    def test_tools(self) -> None:
        """Tools, a call and its result are rendered, or refused with a reason; they are never dropped."""
        knows = (self.facts.calls is not None or not self.facts.name) if self.has_tools is None else self.has_tools
        if not knows:
            with pytest.raises(DataError):
                self.render("call")
            return
        rendered = self.render("call")
        assert "Count the waves on a beach." in rendered.text, "the tool's description is missing"
        assert "7042" in rendered.text, "the tool's result is missing"
        calls = [rendered.text[span.start : span.end] for span in rendered.spans if span.message == 1]
        assert calls and "Rügen" in calls[0], "the call is not part of what the assistant says"

    def test_calls_are_read_back(self) -> None:
        """What a model was trained to call with is read as the same calls: one, several, beside text or thoughts."""
        template = self.template()
        if template.calls is None:
            pytest.skip("this template knows no tools")
        for name in ("call", "call_beside", "parallel", "thought_call"):
            case = CASES[name]
            try:
                rendered = template.render(case.messages, case.tools, **self.variables)
            except DataError:
                assert name != "call"
                continue
            span = next(span for span in rendered.spans if span.message == 1)
            said = rendered.text[span.start : span.end]
            for stop in template.stop:
                said = said.removesuffix(stop)
            begun = bool(template.thinking and template.thinking.begun(rendered.text[: span.start]))
            reader = AnswerReader(template.calls, template.thinking, declared(case.tools), thought=begun)
            self._same_calls(name, case.messages[1], message_of(reader.push(said) + reader.finish()), said)

    def _same_calls(self, name: str, meant: Mapping[str, Any], read: Mapping[str, Any], said: str) -> None:
        functions = [call["function"] for call in read.get("tool_calls", ())]
        found = [(function["name"], json.loads(function["arguments"])) for function in functions]
        assert found == [(c["function"]["name"], c["function"]["arguments"]) for c in meant["tool_calls"]], said
        if name == "call_beside" and meant["content"] in said:
            assert read["content"] == meant["content"]
        if name == "thought_call" and meant["reasoning"] in said and self.facts.thinking:
            assert read["reasoning"] == meant["reasoning"]

    def test_users_cannot_forge_turns(self) -> None:
        """What a user writes is text, also where it spells a special token."""
        template, processor = self.template(), self.processor()
        plain = {"role": "user", "content": "Nothing."}
        token = next((token for token in template.control.tokens if token in template.stop), None)
        if token is None:
            pytest.skip("the string that ends a turn is no token")
        forged = {"role": "user", "content": f"Nothing{token}."}
        rendered = [
            template.render([message], add_generation_prompt=True, **self.variables) for message in (plain, forged)
        ]
        ids = [encoding.ids for encoding in tokenize(processor, rendered, control=template.control)]
        special = processor.backend_tokenizer.token_to_id(token)
        assert ids[0].count(special) == ids[1].count(special)
        assert processor.decode(ids[1]).count(token) == processor.decode(ids[0]).count(token) + 1

    def test_stop_tokens_end_the_answer(self) -> None:
        """Each string that ends a turn is a token that ends the answer in the engine, or is looked for in the text."""
        template, processor = self.template(), self.processor()
        chat = Conversation(self.chat[:1], variables=self.variables)
        request = template.request(processor, chat, Sampling())
        for stop in template.stop:
            ids = processor.encode(stop, add_special_tokens=False)
            assert len(ids) > 1 or ids[0] in request.sampling.stop_token_ids

    def test_official_renderings(self) -> None:
        """The text is the model's own official format, white space included."""
        official = self.official
        if not official:
            pytest.skip("there is no renderings.json beside this test that names the template")
        template = self.template().with_variables(**official["variables"])
        wrong = []
        for name, text in official["cases"].items():
            if name in self.expected_differences:
                continue
            try:
                ours = template.render(CASES[name].messages, **CASES[name].arguments).text
            except DataError as error:
                ours = f"refused: {error}"
            if ours != text:
                wrong.append(f"--- {name}: official\n{text}⏎\n--- {name}: ours\n{ours}⏎")
        assert not wrong, "\n".join(wrong)

    def test_exported_renders_the_same(self) -> None:
        """Other programs, given the exported Jinja, render the same text: what was trained is what is served."""
        template = self.template()
        served = ChatTemplate(template.name, template.exported, template.stop).bind(self.processor())
        variables = {**template.variables, **self.variables}
        for chat, prompt in ((self.chat, False), (self.chat[:-1], True)):
            ours = template.render(chat, add_generation_prompt=prompt, **self.variables).text
            assert served.render(chat, add_generation_prompt=prompt, **variables).text == ours

    def _trained_thoughts(self) -> dict[str, Any]:
        """The option with which empty thoughts are trained, so that spans begin where prompts end."""
        names = getattr(self.plugin, "__dataclass_fields__", {})
        return {"train_empty_thought": True} if "train_empty_thought" in names else {}

    def _texts(self, template: ChatTemplate, case: Case) -> list[str]:
        """A conversation up to each of its answers, and whole."""
        arguments = {"tools": case.tools, **self.variables}
        ends = [end for end, message in enumerate(case.messages, 1) if message["role"] == "assistant"]
        return [template.render(case.messages[:end], **arguments).text for end in ends]
