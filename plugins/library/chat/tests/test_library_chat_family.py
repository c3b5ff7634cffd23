"""What families of templates are made of: options, aliases, thoughts, announcements."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tunesmith import plugin
from tunesmith.types import Conversation, Sampling
from tunesmith_library_chat import ChatTemplate, FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.plain_tokenizer import PlainTokenizer

JINJA = (
    "{%- for message in messages %}{{- '<' ~ message.role ~ '>' }}{%- if message.role == 'assistant' %}"
    "{%- generation %}{{- '<think>' ~ (message.THOUGHT or '') ~ '</think>' if THINKS }}"
    "{{- message.content ~ eos_token }}{%- endgeneration %}{%- else %}{{- message.content }}{%- endif %}{%- endfor %}"
    "{{- '<assistant>' ~ (mood or '') ~ ('!' if thinking is false else '') if add_generation_prompt }}"
)
ASK = {"role": "user", "content": "Hi?"}


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with the Jinja files of the two templates below."""
    folder = tmp_path / "tunesmith_template_mine"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "thinks.jinja").write_text(JINJA.replace("THOUGHT", "reasoning").replace("THINKS", "true"))
    (folder / "plain.jinja").write_text(JINJA.replace("message.THOUGHT", "''").replace("THINKS", "false"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tunesmith_template_mine", raising=False)
    for cls in (Plain, Hybrid):
        monkeypatch.setattr(cls, "__module__", "tunesmith_template_mine.family")


@plugin
class Plain(FamilyTemplate):
    """Without thoughts."""

    traits: ClassVar = TemplateFacts(
        name="plain", file="plain.jinja", aliases={"old": "template=hybrid thinks", "older": ""}
    )

    mood: str | None = None  # in the prompt


@plugin
class Hybrid(SwitchedTemplate):
    """With thoughts."""

    traits: ClassVar = TemplateFacts(
        name="hybrid", file="thinks.jinja", stop=("</s>",), thinking=Thinking(switch="thinking")
    )


def template(made: Any) -> Any:
    tokenizer = PlainTokenizer(eos_token="</s>")
    return made.chat_template(tokenizer).bind(tokenizer)


def said(made: Any, **message: Any) -> list[str]:
    rendered = template(made).render([ASK, {"role": "assistant", "content": "Yes.", **message}])
    return [rendered.text[span.start : span.end] for span in rendered.spans]


def test_options_are_variables_of_the_jinja() -> None:
    for made, prompt in ((Plain(), ""), (Plain(mood="glad"), "glad"), (Hybrid(enable_thinking=False), "!")):
        assert template(made).render([ASK], add_generation_prompt=True).text == f"<user>Hi?<assistant>{prompt}"
    assert template(Plain()).stop == ("</s>",), "no stop is the tokenizer's end of sequence"
    assert template(Plain(default_system="Hm.")).render([ASK]).text == "<system>Hm.<user>Hi?"


def test_a_conversation_switches_thoughts_under_its_own_name() -> None:
    made = template(Hybrid())
    for value, prompt in ((False, "!"), (True, ""), (None, "")):
        text = made.render([ASK], add_generation_prompt=True, enable_thinking=value).text
        assert text == f"<user>Hi?<assistant>{prompt}"
    off = template(Hybrid(enable_thinking=False))
    assert off.render([ASK], add_generation_prompt=True, enable_thinking=True).text.endswith("<assistant>")


def test_thoughts() -> None:
    """Empty ones are not trained unless that is wanted; families without a form write them before the content."""
    assert said(Hybrid(), reasoning="Hm.") == ["<think>Hm.</think>Yes.</s>"]
    assert said(Hybrid()) == ["Yes.</s>"]
    assert said(Hybrid(train_empty_thought=True)) == ["<think></think>Yes.</s>"]
    assert said(Plain()) == ["Yes.</s>"]
    assert said(Plain(), reasoning="\nHm.") == ["<think>\nHm.\n</think>\n\nYes.</s>"]


@pytest.mark.parametrize(
    ("content", "written"),
    [
        ("<think>\nHm.\n</think>\n\nYes.", "<think>Hm.</think>Yes.</s>"),
        ("<think>Hm.</think>Yes.", "<think>Hm.</think>Yes.</s>"),
        ("<think>\n\n</think>\n\nYes.", "Yes.</s>"),  # the template's own empty one is enough
        ("It is <think>Hm.</think>.", "It is <think>Hm.</think>.</s>"),  # no thought, but a text of one
        ("<think>Hm.", "<think>Hm.</s>"),
    ],
)
def test_the_thought_before_an_answer_is_trained_in_the_form_of_the_family(content: str, written: str) -> None:
    """Data has it between marks in the content; the text that a template writes by itself is left as it is."""
    chat = [ASK, {"role": "assistant", "content": content}]
    rendered = template(Hybrid()).render(chat, training=True)
    [span] = rendered.spans
    assert rendered.text[span.start : span.end].removeprefix("<think></think>") == written
    assert template(Hybrid()).render(chat).text == f"<user>Hi?<assistant><think></think>{content}</s>"
    begins = "<user>Hi?<assistant>" + ("" if written.startswith("<think>Hm.</think>") else "<think></think>")
    earlier = template(Hybrid()).render([*chat, ASK], training=True).text
    assert earlier == f"{begins}{written}<user>Hi?"
    asked = PlainTokenizer(eos_token="</s>")
    request = template(Hybrid()).request(asked, Conversation([*chat, ASK]), Sampling())
    assert asked.decode(request.prompt) == f"{earlier}<assistant>", "as it was learnt, so it is asked"


def test_nobody_is_trained_to_think_who_is_told_not_to() -> None:
    for message in ({"content": "<think>Hm.</think>\nYes."}, {"content": "Yes.", "reasoning": "Hm."}):
        chat = [ASK, {"role": "assistant", **message}] * 2
        for made, given in ((Hybrid(enable_thinking=False), {}), (Hybrid(), {"enable_thinking": False})):
            text = template(made).render(chat, training=True, **given).text
            assert text == "<user>Hi?<assistant><think></think>Yes.</s>" * 2
        assert "Hm." in template(Hybrid(enable_thinking=False)).render(chat, training=True, enable_thinking=True).text
        assert "Hm." in template(Hybrid(enable_thinking=False)).render(chat).text


def test_a_thought_before_parts_and_calls() -> None:
    """What a template without thoughts is given is put before content of every kind, and other turns stay."""
    parts = [{"type": "text", "text": "Yes."}]
    jinja = (
        "{%- for message in messages %}{{- message.content | tojson }}{%- endfor %}{# for part in message.content #}"
    )

    made = replace(template(Plain()), jinja=jinja).with_written_thoughts()
    chat = [{**ASK, "reasoning": "no"}, {"role": "assistant", "content": parts, "reasoning": "Hm."}]
    written = [{"type": "text", "text": "<think>\nHm.\n</think>\n\nYes."}]
    assert made.render(chat).text == json.dumps([{"type": "text", "text": "Hi?"}]) + json.dumps(written)


@pytest.mark.parametrize(
    ("jinja", "learnt", "plain"),
    [
        ("{{ message.reasoning if deep else '' }}{{ message.content }}", "<think>\nHm.\n</think>\n\n", ""),
        ("{{ message.reasoning if training else '' }}{{ message.content }}", "Hm.", ""),
        ("{{ message.reasoning }}{{ message.content }}", "Hm.", "Hm."),
        ("{{ message.content }}", "<think>\nHm.\n</think>\n\n", "<think>\nHm.\n</think>\n\n"),
    ],
)
def test_a_family_that_leaves_thoughts_out_writes_the_one_that_is_trained(jinja: str, learnt: str, plain: str) -> None:
    """What counts is what it writes, not whether its Jinja, which families share, knows of thoughts."""
    jinja = f"{{%- for message in messages -%}}<{{{{ message.role }}}}>{jinja}{{%- endfor -%}}"
    made = replace(template(Plain()), jinja=jinja, variables={}).with_written_thoughts()
    chat = [ASK, {"role": "assistant", "content": "Yes.", "reasoning": "Hm."}]
    assert made.render(chat, training=True).text == f"<user>Hi?<assistant>{learnt}Yes."
    assert made.render(chat).text == f"<user>Hi?<assistant>{plain}Yes."
    within = [ASK, {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nYes."}]
    assert made.render(within, training=True).text == f"<user>Hi?<assistant>{learnt}Yes."


def test_a_switch_is_what_changes_the_text() -> None:
    """Not the word: the Jinja that families share names it for those that have it."""
    heard = "{{ '<think>' if add_generation_prompt and enable_thinking }}"
    trained = "{% for message in messages %}{{ message.reasoning if enable_thinking }}{{ message.content }}{% endfor %}"
    unheard = "{{ '<think>' if hybrid and enable_thinking }}"
    for jinja, variables, switches in (
        (heard, {}, True),
        (trained, {}, True),
        (unheard, {}, False),
        (unheard, {"hybrid": True}, True),
        ("{{ '<think>' if add_generation_prompt }}", {}, False),
    ):
        made = ChatTemplate("mine", jinja, ("</s>",), variables, thinking=Thinking())
        assert made.switches_thinking is switches, jinja


def test_what_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    for made, name, command in ((Plain(), "old", "train"), (Plain(), "plain", "train"), (Hybrid(), "hybrid", "train")):
        plan: Any = SimpleNamespace(name=lambda kind, name=name: name, command=command)
        made.configured(plan)
    Hybrid().configured(SimpleNamespace(name=lambda kind: "hybrid", command="chat"))  # type: ignore[arg-type]
    assert [record.getMessage() for record in caplog.records] == [
        "template: plain (old is another name of it; template=hybrid thinks)",
        "template.train_empty_thought: false (data without thoughts would teach the model not to think)",
    ]


@pytest.mark.parametrize(
    ("jinja", "early"),
    [
        ("{{ message.content }}", "<thought>\nHm.\n</thought>\n\nYes."),  # reads no field, and keeps its own marks
        ("{{ message.content.split('</thought>')[-1] }}", "\n\nYes."),
        (
            "{{ '<thought>' ~ message.reasoning ~ '</thought>' if message.reasoning else '' }}{{ message.content }}",
            None,
        ),
        ("{{ message.reasoning if loop.last else '' }}{{ message.content }}", "Yes."),
    ],
)
@pytest.mark.parametrize("marks", ["<think>", "<thought>"])
def test_thoughts_in_earlier_answers_are_never_text(jinja: str, early: str | None, marks: str) -> None:
    """They stand as the template has them, or not at all, in whichever marks the data has them."""
    within = f"{marks}\nHm.\n{marks.replace('<', '</')}\n\nYes."
    talk = [ASK, {"role": "assistant", "content": within}, ASK, {"role": "assistant", "content": "No."}]
    jinja = f"{{% for message in messages %}}<{{{{ message.role }}}}>{jinja}{{% endfor %}}"
    made = ChatTemplate("mine", jinja, ("</s>",), thinking=Thinking("<thought>", "</thought>"))
    early = "<thought>Hm.</thought>Yes." if early is None else early
    assert made.render(talk, training=True).text == f"<user>Hi?<assistant>{early}<user>Hi?<assistant>No."
