"""The tokenizer's own template: found, announced, and its answers found without marks."""

import copy
import dataclasses
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import hookimpl, plugin
from tunesmith.generation import Conversation
from tunesmith_library_chat import ChatTemplate, FamilyTemplate, TemplateFacts
from tunesmith_library_chat.chatml import CHATML
from tunesmith_library_chat.detection import format_in, thinking_in
from tunesmith_library_testing import TemplateSuite
from tunesmith_library_testing.parts import StubPlan, source_of
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
    return Auto(**options).chat_template(tokenizer, source_of(Path())).bind(tokenizer)


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
        assert Auto().chat_template(processor, source_of(Path())).jinja == expected


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


# As deepseek-ai/DeepSeek-R1-Distill-Qwen publishes it, without its calls of tools.
R1 = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    "{% set ns = namespace(system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}"
    "{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}"
    "{%- for message in messages %}{%- if message['role'] == 'user' %}{{'[User]' + message['content']}}{%- endif %}"
    "{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{'[Assistant]' + content + '</s>'}}{%- endif %}{%- endfor -%}"
    "{% if add_generation_prompt %}{{'[Assistant]<think>\\n'}}{% endif %}"
)
# As Qwen3's thinking models have it: the last answer's thought stands behind the prompt, earlier ones are cut.
QWEN3_THINKING = (
    "{%- for message in messages %}{%- set content = message.content %}"
    "{%- set thought = message.reasoning_content or '' %}"
    "{%- if '</think>' in content %}{%- set thought = content.split('</think>')[0].split('<think>')[-1] %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}"
    "{{- '<|im_start|>' + message.role + '\\n' }}{%- if message.role == 'assistant' and loop.last %}"
    "{{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}{%- endif %}{{- content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}"
)
THOUGHTS = {
    "apart": {"role": "assistant", "content": "Hi!", "reasoning": "They greet\nme."},
    "within": {"role": "assistant", "content": "<think>\nThey greet\nme.\n</think>\n\nHi!"},
    "begun": {"role": "assistant", "content": "They greet\nme.\n</think>\n\nHi!"},
}


@pytest.mark.parametrize("answer", THOUGHTS.values(), ids=THOUGHTS)
@pytest.mark.parametrize("earlier", [[], [CHAT[0], {"role": "assistant", "content": "<think>\nHm\n</think>\n\nWhat?"}]])
def test_an_answer_stands_in_the_thought_that_its_prompt_opens(answer: Any, earlier: Any, tiny_bpe: Any) -> None:
    """What is trained goes on with the prompt, character by character; earlier turns are those of the template."""
    template = made(tiny_bpe, R1)
    rendered = template.render([*earlier, CHAT[0], answer], training=True)
    before = "[User]你好?[Assistant]\n\nWhat?</s>" if earlier else ""
    prompt = f"<s>{before}[User]你好?[Assistant]<think>\n"
    assert rendered.text == f"{prompt}They greet\nme.\n</think>\n\nHi!</s>"
    assert template.render([*earlier, CHAT[0]], add_generation_prompt=True).text == prompt
    said = [rendered.text[span.start : span.end] for span in rendered.spans]
    assert said[-1] == "They greet\nme.\n</think>\n\nHi!</s>" and len(said) == 1 + bool(earlier)
    exported = {"chat_template": template.exported, "tokenize": False}
    talk = [*earlier, CHAT[0], answer]
    assert tiny_bpe.apply_chat_template(talk, training=True, **exported) == rendered.text
    published = tiny_bpe.apply_chat_template(talk, chat_template=R1, tokenize=False)
    assert tiny_bpe.apply_chat_template(talk, **exported) == published == template.render(talk).text
    assert tiny_bpe.apply_chat_template([*earlier, CHAT[0]], add_generation_prompt=True, **exported) == prompt


def test_an_answer_without_thought_closes_it_at_once(tiny_bpe: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    for trains, said in ((True, "\n</think>\n\nHi!</s>"), (False, "Hi!</s>")):
        template = made(tiny_bpe, R1, default_system="Be brief.", train_empty_thought=trains)
        assert template.stop == ("</s>",) and "its prompts open <think>" in caplog.text
        rendered = template.render(CHAT, training=True)
        assert rendered.text == "<s>Be brief.[User]你好?[Assistant]<think>\n\n</think>\n\nHi!</s>"
        assert [rendered.text[span.start : span.end] for span in rendered.spans] == [said]


_FORM = (
    "{% for message in messages %}{% if message.role == 'user' %}<U>{{ message.content }}{% else %}<A>ANSWER</s>"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<A>OPEN{% endif %}"
)
_GIVEN = (
    "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}{{ message.content }}"
)
_LAST = "{{ message.content if loop.last else message.content.split('</think>')[-1] }}"


@pytest.mark.parametrize(
    ("answer", "opened", "thought", "none"),
    [
        ("{{ message.content.split('[/THINK]')[-1] }}", "[THINK]", "Hm\n[/THINK]\n\n", "\n[/THINK]\n\n"),
        (_GIVEN, "<think>", "Hm</think>", "</think>"),  # writes the thoughts that there are
        (_LAST, "<think>\n", "Hm\n</think>\n\n", "\n</think>\n\n"),  # those of content only
        ("<think></think>{{ message.content }}", "<think>", "Hm</think>", "</think>"),  # closes it, and writes another
        ("{{ message.content[0].text.split('</think>')[-1] }}", "<think>", "Hm\n</think>\n\n", "\n</think>\n\n"),
    ],
)
def test_every_answer_stands_behind_the_thought_that_its_prompt_opens(
    answer: str, opened: str, thought: str, none: str, tiny_bpe: Any
) -> None:
    """In the marks of the template, wherever the data has its thought; the empty one of an answer is not trained."""
    form = _FORM.replace("{{ message.content }}", "{{ message.content[0].text }}") if "[0]" in answer else _FORM
    template = made(tiny_bpe, form.replace("ANSWER", answer).replace("OPEN", opened))
    forms = [{"reasoning": "Hm", "content": "Hi!"}, {"content": "<think>\nHm\n</think>\n\nHi!"}, {"content": "Hi!"}]
    for given, before, said in zip(forms, ["", "", none], [f"{thought}Hi!</s>"] * 2 + ["Hi!</s>"], strict=True):
        rendered = template.render([CHAT[0], {"role": "assistant", **given}], training=True)
        assert rendered.text == f"<U>你好?<A>{opened}{before}{said}"
        assert [rendered.text[span.start : span.end] for span in rendered.spans] == [said]


def test_a_prompt_that_closes_the_thought_opens_none(tiny_bpe: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Such are DeepSeek-V3.1's, which does not think unless told so: all is written as the template has it."""
    answer = "</think>{{ message.content.split('</think>')[-1] }}"
    template = made(tiny_bpe, _FORM.replace("ANSWER", answer).replace("OPEN", "</think>"))
    for given in ({"reasoning": "Hm", "content": "Hi!"}, {"content": "<think>Hm</think>Hi!"}, {"content": "Hi!"}):
        rendered = template.render([CHAT[0], {"role": "assistant", **given}], training=True)
        assert rendered.text == "<U>你好?<A></think>Hi!</s>"
        assert [rendered.text[span.start : span.end] for span in rendered.spans] == ["Hi!</s>"]
    assert "its prompts open" not in caplog.text
    assert template.parse("Hi!", Conversation([CHAT[0]])) == {"role": "assistant", "content": "Hi!"}


def test_an_answer_of_a_model_that_is_told_not_to_think_opens_no_thought(tiny_bpe: Any) -> None:
    opened = "{{ '<think></think>' if enable_thinking is false else '<think>' }}"
    answer = "{{ '<think></think>' if enable_thinking is false else '' }}{{ message.content.split('</think>')[-1] }}"
    template = made(tiny_bpe, _FORM.replace("ANSWER", answer).replace("OPEN", opened))
    for thinks, text in ((False, "<think></think>Hi!"), (True, "<think>\n</think>\n\nHi!")):
        assert template.render(CHAT, training=True, enable_thinking=thinks).text == f"<U>你好?<A>{text}</s>"


def test_marks_and_line_breaks_stay(tiny_bpe: Any) -> None:
    marked = "''}}{% generation %}{{ content + '</s>' }}{% endgeneration %}{{ '\\n'}}"
    own = "\n" + R1.replace("content + '</s>'}}", marked)
    rendered = made(tiny_bpe, own).render([*CHAT, CHAT[0], THOUGHTS["apart"]], training=True)
    assert rendered.text == (
        "\n<s>[User]你好?[Assistant]Hi!</s>\n[User]你好?[Assistant]<think>\nThey greet\nme.\n</think>\n\nHi!</s>\n"
    )
    said = [rendered.text[span.start : span.end] for span in rendered.spans]
    assert said[-1] == "They greet\nme.\n</think>\n\nHi!</s>"


def test_what_writes_thoughts_itself_stays_as_it_is(tiny_bpe: Any) -> None:
    assert made(tiny_bpe, QWEN3_THINKING).jinja == QWEN3_THINKING
    assert made(tiny_bpe, OWN).jinja == OWN


class _Installed(StubPlan):
    """A plan that knows installed templates."""

    def installed(self, kind: str) -> dict[str, type]:
        return {"sea": Sea, "sea_old": Sea, "river": River, "other": SimpleNamespace}


@plugin
class Sea(FamilyTemplate):
    """A stranger's template."""

    traits = TemplateFacts(name="sea", models=(r"sea-\d",), model_types=("sea",), stop=("[END]",))

    @hookimpl
    def chat_template(self, source: Any) -> ChatTemplate:
        marked = OWN.replace("{{- message.content }}", "").replace(
            "{{- '[' ~ message.role ~ ']' ~ message.content }}",
            "{{- '[' ~ message.role ~ ']' }}{% if message.role == 'assistant' %}{% generation %}{{- message.content }}"
            "{{- '[END]' }}{% endgeneration %}{{- '\\n' }}{% continue %}{% endif %}{{- message.content }}",
        )
        return ChatTemplate("sea", marked, ("[END]",))


@plugin
class River(FamilyTemplate):
    """Another one."""

    traits = TemplateFacts(name="river", models=(r"sea-\d-river",))

    @hookimpl
    def chat_template(self) -> ChatTemplate:
        return ChatTemplate("river", CHATML.jinja, ("<|im_end|>",))


@pytest.mark.parametrize(
    ("address", "kind", "name", "why"),
    [
        ("org/Sea-2", None, "sea", "by the model's name, Sea-2"),
        ("org/sea-2-River-chat", "sea", "river", "by the model's name, sea-2-River-chat"),
        ("org/lake", "sea", "sea", "by the model's type, sea"),
        ("org/lake", "lake", "chatml", "the tokenizer has no chat template)"),
        ("org/sea-9", "sea", "river", "as models.yaml says of Spring; the tokenizer has no chat template)"),
        ("hf://org/bay", "sea", "sea", "by the model's type, sea"),
        (
            "org/bay",
            None,
            "chatml",
            "the tokenizer has no chat template, and template=tide, which conf/",
        ),
    ],
)
def test_an_installed_template_where_the_tokenizer_has_none(
    address: str,
    kind: str | None,
    name: str,
    why: str,
    tiny_bpe: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a registry of models, then by what installed templates say of themselves: the longest match of the name, then
    the type."""
    caplog.set_level(logging.INFO, "tunesmith")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    registry = "Spring: {huggingface: org/sea-9, template: river}\nBay: {huggingface: org/bay, template: tide}\n"
    (tmp_path / "conf" / "models.yaml").write_text(registry, encoding="utf-8")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    auto = Auto()
    auto.configured(_Installed({}))
    source = dataclasses.replace(source_of(tmp_path), address=address)
    tokenizer = copy.deepcopy(tiny_bpe)
    tokenizer.chat_template = None  # another library may have given one to the tokenizer that all tests share
    assert auto.chat_template(tokenizer, source).name == name
    assert f"template: {name} ({why}" in caplog.text


def test_the_installed_template_that_writes_what_the_tokenizers_does(
    tiny_bpe: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    tokenizer = copy.deepcopy(tiny_bpe)
    source = dataclasses.replace(source_of(tmp_path), address="org/sea-3")
    auto = Auto()
    auto.configured(_Installed({}))
    calls = "{%- for call in message.tool_calls or [] %}{{- call.function | tojson }}{%- endfor %}"
    for own, name in ((OWN, "auto"), (OWN.replace("END", "STOP"), "auto"), (OWN.replace(calls, ""), "sea")):
        tokenizer.chat_template = own
        assert auto.chat_template(tokenizer, source).name == name
    assert "template: sea (by the model's name, sea-3; it writes what the tokenizer's own does)" in caplog.text


def test_calls_and_thoughts_of_the_tokenizers_template_are_read(tiny_bpe: Any) -> None:
    """The marks in its Jinja tell the format."""
    jinja = "{% if message.tool_calls %}<tool_call>{name}<arg_key></arg_key><arg_value></arg_value></tool_call>"
    for more, name in (("", "glm"), ("<function=x><parameter=y>", None)):
        assert format_in(jinja + more) is not None
        assert name is None or format_in(jinja + more).name == name
    assert format_in("<tool_call>") is None
    assert thinking_in("x </think> {% if enable_thinking %}").switch == "enable_thinking"
    for close, opened in (("[/THINK]", "[THINK]"), ("</thought>", "<thought>"), ("</seed:think>", "<seed:think>")):
        assert (thinking_in(f"split('{close}')").open, thinking_in(f"split('{close}')").close) == (opened, close)
    assert thinking_in("<b>{{ x }}</b>{# think #}") is None
    template = made(tiny_bpe, CHATML.jinja)
    assert template.calls is not None and template.calls.name == "hermes" and template.thinking is not None
