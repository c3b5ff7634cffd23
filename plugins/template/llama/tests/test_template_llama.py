"""The Llama templates against the official formats and transformers' rendering."""

import random
from pathlib import Path
from typing import Any

import pytest
from tunesmith import DataError
from tunesmith_library_chat import ChatTemplate, Rendered
from tunesmith_library_testing import TemplateSuite
from tunesmith_template_llama import (
    CodeLlama70,
    Llama2,
    Llama2Chinese,
    Llama3,
    Llama4,
    Llama31,
    Llama32,
    Llama33,
    Mllama,
)
from tunesmith_template_llama.others import FireFunction

ADD = {
    "type": "function",
    "function": {"name": "add", "description": "Summe <ü>", "parameters": {"type": "object", "properties": {}}},
}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "ü"}}}
CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " 1 + 2? "},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": '{"sum": 3}'},
    {"role": "assistant", "content": "三 "},
]
WITHOUT_TOOLS = [
    CHAT[0],
    CHAT[1],
    CHAT[4],
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "Bye."},
]


class TestLlama2(TemplateSuite):
    plugin = Llama2


class TestLlama3(TemplateSuite):
    plugin = Llama3


class TestLlama31(TemplateSuite):
    plugin = Llama31


class TestLlama32(TemplateSuite):
    plugin = Llama32


class TestLlama33(TemplateSuite):
    plugin = Llama33


class TestLlama4(TemplateSuite):
    plugin = Llama4


class TestMllama(TemplateSuite):
    plugin = Mllama


class TestFireFunction(TemplateSuite):
    plugin = FireFunction


class TestLlama2Chinese(TemplateSuite):
    plugin = Llama2Chinese


class TestCodeLlama70(TemplateSuite):
    plugin = CodeLlama70


def template(plugin: Any, tokenizer: Any) -> ChatTemplate:
    return plugin.chat_template(tokenizer).bind(tokenizer)


def said(rendered: Rendered) -> list[str]:
    return [rendered.text[span.start : span.end] for span in rendered.spans]


def random_chat(rng: random.Random, tools: bool) -> list[dict[str, Any]]:
    def text() -> str:
        return rng.choice(["hello", "你好，世界", "a\n\nb ", " <b>x</b>", 'it\'s "q"']) + str(rng.random())

    chat = [{"role": "system", "content": text()}] if rng.random() < 0.5 else []
    for _ in range(rng.randint(1, 4)):
        chat.append({"role": "user", "content": text()})
        if tools and rng.random() < 0.5:
            chat.append({"role": "assistant", "content": "", "tool_calls": [CALL]})
            chat.append({"role": "tool", "content": text()})
        chat.append({"role": "assistant", "content": text()})
    return chat


def test_llama2_text(tiny_bpe: Any) -> None:
    rendered = template(Llama2(), tiny_bpe).render(WITHOUT_TOOLS)
    assert rendered.text == (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n 1 + 2? [/INST] 三 </s><s>[INST] Bye [/INST] Bye. </s>"
    )
    assert said(rendered) == [" 三 </s>", " Bye. </s>"]


def test_llama3_text(tiny_bpe: Any) -> None:
    rendered = template(Llama3(), tiny_bpe).render(WITHOUT_TOOLS[:3])
    assert rendered.text == (
        "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n1 + 2?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n三<|eot_id|>"
    )
    assert said(rendered) == ["三<|eot_id|>"]


def test_llama4_text(tiny_bpe: Any) -> None:
    """Facts: the system turn only where there is a system message; calls behind `<|python_end|>`."""
    rendered = template(Llama4(), tiny_bpe).render(CHAT, [ADD])
    head, _, turns = rendered.text.partition("1 + 2?<|eot|>")
    assert head.startswith(
        "<s><|header_start|>system<|header_end|>\n\nEnvironment: ipython\nBe brief.<|eot|>"
        "<|header_start|>user<|header_end|>\n\nGiven the following functions, "
    )
    assert turns == (
        "<|header_start|>assistant<|header_end|>\n\n"
        '<|python_start|><|python_end|>{"name": "add", "parameters": {"a": 1, "b": "ü"}}<|eot|>'
        '<|header_start|>ipython<|header_end|>\n\n"{\\"sum\\": 3}"<|eot|>'
        "<|header_start|>assistant<|header_end|>\n\n三 <|eot|>"
    )
    assert said(rendered)[1] == "三 <|eot|>"
    assert template(Llama4(), tiny_bpe).render(CHAT[1:2]).text.startswith("<s><|header_start|>user")


@pytest.mark.parametrize("plugin", [Llama2(), Llama3(), Llama31(), Llama4()], ids=lambda plugin: type(plugin).__name__)
def test_thoughts_are_written_and_trained(plugin: Any, tiny_bpe: Any) -> None:
    chat = [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "one", "reasoning": "easy"}]
    (words,) = said(template(plugin, tiny_bpe).render(chat))
    assert words.strip().startswith("<think>\neasy\n</think>\n\none")


@pytest.mark.parametrize("plugin", [Llama2(), Llama3()], ids=["llama2", "llama3"])
def test_tools_are_refused_with_advice(plugin: Any, tiny_bpe: Any) -> None:
    for chat, tools in ((CHAT[:2], [ADD]), (CHAT[:3], None)):
        with pytest.raises(DataError, match="Llama"):
            template(plugin, tiny_bpe).render(chat, tools)


def test_two_calls_in_a_turn_are_refused(tiny_bpe: Any) -> None:
    chat = [*CHAT[:2], {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}]
    with pytest.raises(DataError, match="one tool per turn, and a message has 2 calls"):
        template(Llama31(), tiny_bpe).render(chat, [ADD])


def test_alternation_of_llama2(tiny_bpe: Any) -> None:
    with pytest.raises(DataError, match="turn 2 is of role user"):
        template(Llama2(), tiny_bpe).render([CHAT[1], CHAT[1]])


def test_date(tiny_bpe: Any) -> None:
    for plugin, date in ((Llama31(), "26 Jul 2024"), (Llama32(date_string="1 May 2025"), "1 May 2025")):
        made = template(plugin, tiny_bpe)
        theirs = tiny_bpe.apply_chat_template(CHAT, chat_template=made.exported, tokenize=False)
        assert f"Today Date: {date}\n\nBe brief." in theirs
        assert theirs == made.render(CHAT).text


@pytest.mark.parametrize(
    ("plugin", "file", "tools"),
    [
        (Llama3(), "llama3", False),
        (Llama31(), "llama3_1", True),
        (Llama33(), "llama3_1", True),
        (Llama32(), "llama3_2", True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_official_template_renders_the_same(plugin: Any, file: str, tools: bool, tiny_bpe: Any) -> None:
    """TRL keeps copies of the official templates."""
    trl = pytest.importorskip("trl")
    official = (Path(trl.__file__).parent / "chat_templates" / f"{file}.jinja").read_text(encoding="utf-8")
    ours, searched = template(plugin, tiny_bpe), ChatTemplate("official", official, ("<|eot_id|>",)).bind(tiny_bpe)
    rng = random.Random(0)
    for _ in range(60):
        chat = random_chat(rng, tools)
        given = [ADD] if tools and rng.random() < 0.8 else None
        for messages, prompt in ((chat, False), (chat[:-1], True)):
            theirs = tiny_bpe.apply_chat_template(
                messages, given, chat_template=official, tokenize=False, add_generation_prompt=prompt
            )
            assert ours.render(messages, given, add_generation_prompt=prompt).text == theirs
        assert searched.render(chat, given).spans == ours.render(chat, given).spans


@pytest.mark.parametrize(
    "plugin", [Llama2(), Llama3(), Llama31(), Llama32(), Llama4()], ids=lambda plugin: type(plugin).__name__
)
def test_transformers_renders_and_masks_the_same(plugin: Any, tiny_bpe: Any) -> None:
    made = template(plugin, tiny_bpe)
    unmarked = ChatTemplate(made.name, made.exported, made.stop, made.variables)
    has_tools = not isinstance(plugin, Llama2) and type(plugin) is not Llama3
    rng = random.Random(2)
    for _ in range(20):
        chat = random_chat(rng, has_tools)
        tools = [ADD] if has_tools else None
        rendered = made.render(chat, tools)
        theirs = tiny_bpe.apply_chat_template(
            chat,
            tools,
            chat_template=made.jinja,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            **made.variables,
        )
        pairs = zip(theirs["input_ids"], theirs["assistant_masks"], strict=True)
        assert tiny_bpe.decode(theirs["input_ids"]) == rendered.text
        assert tiny_bpe.decode([token for token, mask in pairs if mask]) == "".join(said(rendered))
        assert unmarked.render(chat, tools) == rendered
