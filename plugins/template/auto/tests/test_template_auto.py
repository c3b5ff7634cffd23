"""The tokenizer's own template: found, announced, and its answers found without marks."""

import copy
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.chatml import CHATML
from tunesmith_library_testing import TemplateSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_template_auto import Auto

OWN = (  # as models publish it: no generation marks
    "{{- bos_token }}{%- if tools %}{{- 'TOOLS ' ~ (tools | tojson) ~ '\\n' }}{%- endif %}"
    "{%- for message in messages %}{{- '[' ~ message.role ~ ']' ~ message.content }}"
    "{%- for call in message.tool_calls or [] %}{{- call.function | tojson }}{%- endfor %}{{- '[END]\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '[assistant]' }}"
    "{{- '(no thoughts)' if enable_thinking is false else '' }}{%- endif %}"
)
CHAT = [{"role": "user", "content": "你好?"}, {"role": "assistant", "content": "Hi!"}]


class TestAutoWithOwnTemplate(TemplateSuite):
    plugin = Auto
    tokenizer_template = OWN


class TestAutoWithoutTemplate(TemplateSuite):
    plugin = Auto


def made(tokenizer: Any, own: Any, **options: Any) -> ChatTemplate:
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = own
    return Auto(**options).chat_template(tokenizer).bind(tokenizer)


def test_the_tokenizers_template_with_its_stop_string(tiny_bpe: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    template = made(tiny_bpe, OWN)
    assert (template.jinja, template.stop) == (OWN, ("[END]",))
    rendered = template.render(CHAT)
    assert rendered.text == "<s>[user]你好?[END]\n[assistant]Hi![END]\n"
    assert [rendered.text[span.start : span.end] for span in rendered.spans] == ["Hi![END]"]
    assert "template: the tokenizer's own (its turns end with [END])" in caplog.text


def test_chatml_where_the_tokenizer_has_none(tiny_bpe: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    assert made(tiny_bpe, None).jinja == CHATML.jinja
    assert "template: chatml (the tokenizer has no chat template)" in caplog.text


def test_end_of_sequence_where_the_template_writes_no_stop_string(
    tiny_bpe: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert made(tiny_bpe, "{% for message in messages %}{{ message.content }}\n{% endfor %}").stop == ("</s>",)
    assert "does not learn to stop" in caplog.text


def test_named_templates(tiny_bpe: Any) -> None:
    """`tool_use` serves conversations with tools, as in transformers, whose choice is the reference."""
    own = {"default": "DEFAULT\n{{ messages[0].content }}\n", "tool_use": "  {{ tools | tojson }}\nTOOLS\n"}
    template = made(tiny_bpe, own)
    theirs = copy.deepcopy(tiny_bpe)
    theirs.chat_template = own
    for tools in (None, [{"type": "function", "function": {"name": "add"}}]):
        assert template.render(CHAT, tools).text == theirs.apply_chat_template(CHAT, tools=tools, tokenize=False)
    assert made(tiny_bpe, {"rag": "RAG"}).jinja == "RAG"


def test_template_of_a_processor_before_that_of_its_tokenizer(tiny_bpe: Any) -> None:
    tiny_bpe = copy.deepcopy(tiny_bpe)
    tiny_bpe.chat_template = "TOKENIZER"
    for own, expected in ((OWN, OWN), (None, "TOKENIZER")):
        processor = SimpleNamespace(chat_template=own, tokenizer=tiny_bpe)
        assert Auto().chat_template(processor).jinja == expected


def test_file(tiny_bpe: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(OWN, encoding="utf-8")
    template = made(tiny_bpe, CHATML.jinja, file=str(file))
    assert (template.name, template.jinja, template.stop) == ("mine", OWN, ("[END]",))
    assert Auto(file=str(file)).check(StubPlan({})) == []
    (problem,) = Auto(file=str(tmp_path / "absent.jinja")).check(StubPlan({}))
    assert problem.key == "template.file" and "absent.jinja" in problem.message


def test_variables_and_default_system_message_reach_the_exported_template(tiny_bpe: Any) -> None:
    template = made(
        tiny_bpe,
        "{{- greeting }}" + OWN,
        enable_thinking=False,
        default_system="Hm.",
        variables={"greeting": "Hello "},
    )
    ours = template.render(CHAT[:1], add_generation_prompt=True).text
    assert ours == "Hello <s>[system]Hm.[END]\n[user]你好?[END]\n[assistant](no thoughts)"
    theirs = tiny_bpe.apply_chat_template(
        CHAT[:1], chat_template=template.exported, tokenize=False, add_generation_prompt=True
    )
    assert theirs == ours
