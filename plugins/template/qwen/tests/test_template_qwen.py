"""The Qwen templates against the official formats and transformers' rendering."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_chat import ChatTemplate, Rendered
from tunesmith_library_testing import TemplateSuite
from tunesmith_template_qwen import (
    Qwen,
    Qwen2,
    Qwen3,
    Qwen3Coder,
    Qwen3CoderNext,
    Qwen3NoThink,
    Qwen3Thinking,
    Qwen15Base,
    Qwen25Long,
    Qwen25Math,
    QwQ,
)
from tunesmith_template_qwen.derived import Marco, Sailor, Sailor14B, XiYanSQL
from tunesmith_template_qwen.multimodal import (
    QVQ,
    Qwen2Audio,
    Qwen2Omni,
    Qwen2VL,
    Qwen3Omni,
    Qwen3OmniNoThink,
    Qwen3VL,
    Qwen3VLNoThink,
    Qwen35,
    Qwen35NoThink,
    Qwen36,
    Qwen38,
    Qwen38Max,
)

ADD = {
    "type": "function",
    "function": {"name": "add", "description": "Summe <ü>", "parameters": {"type": "object", "properties": {}}},
}
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "ü"}}}
THOUGHTS: list[dict[str, Any]] = [
    {"role": "user", "content": "1?"},
    {"role": "assistant", "content": "one", "reasoning": "easy"},
    {"role": "user", "content": "2?"},
    {"role": "assistant", "content": "", "reasoning": "hard", "tool_calls": [CALL]},
    {"role": "tool", "content": "2"},
    {"role": "assistant", "content": "二", "reasoning": "done"},
]


class TestQwen(TemplateSuite):
    plugin = Qwen


class TestQwen3(TemplateSuite):
    plugin = Qwen3


class TestQwen3NoThink(TemplateSuite):
    plugin = Qwen3NoThink


class TestQwen3Thinking(TemplateSuite):
    plugin = Qwen3Thinking


class TestQwen25Long(TemplateSuite):
    plugin = Qwen25Long


class TestQwen25Math(TemplateSuite):
    plugin = Qwen25Math


class TestQwen2(TemplateSuite):
    plugin = Qwen2


class TestQwQ(TemplateSuite):
    plugin = QwQ


class TestQwen3Coder(TemplateSuite):
    plugin = Qwen3Coder


class TestQwen3CoderNext(TemplateSuite):
    plugin = Qwen3CoderNext


class TestQwen15Base(TemplateSuite):
    plugin = Qwen15Base


class TestXiYanSQL(TemplateSuite):
    plugin = XiYanSQL


class TestQwen2VL(TemplateSuite):
    plugin = Qwen2VL


class TestQVQ(TemplateSuite):
    plugin = QVQ


class TestQwen2Audio(TemplateSuite):
    plugin = Qwen2Audio


class TestQwen2Omni(TemplateSuite):
    plugin = Qwen2Omni


class TestQwen3VL(TemplateSuite):
    plugin = Qwen3VL


class TestQwen3VLNoThink(TemplateSuite):
    plugin = Qwen3VLNoThink


class TestQwen3Omni(TemplateSuite):
    plugin = Qwen3Omni


class TestQwen3OmniNoThink(TemplateSuite):
    plugin = Qwen3OmniNoThink


class TestQwen35(TemplateSuite):
    plugin = Qwen35


class TestQwen35NoThink(TemplateSuite):
    plugin = Qwen35NoThink


class TestQwen36(TemplateSuite):
    plugin = Qwen36


class TestQwen38(TemplateSuite):
    plugin = Qwen38


class TestQwen38Max(TemplateSuite):
    plugin = Qwen38Max


class TestMarco(TemplateSuite):
    plugin = Marco


class TestSailor(TemplateSuite):
    plugin = Sailor


class TestSailor14B(TemplateSuite):
    plugin = Sailor14B


def said(rendered: Rendered) -> list[str]:
    return [rendered.text[span.start : span.end] for span in rendered.spans]


def random_chat(rng: random.Random, thoughts: bool) -> list[dict[str, Any]]:
    def text() -> str:
        return rng.choice(["hello", "你好，世界", "a\n\nb ", "\n<b>x</b>", 'it\'s "q"']) + str(rng.random())

    def answer(**more: Any) -> dict[str, Any]:
        thought = {"reasoning": text()} if thoughts and rng.random() < 0.5 else {}
        return {"role": "assistant", "content": text(), **thought, **more}

    chat = [{"role": "system", "content": text()}] if rng.random() < 0.5 else []
    for _ in range(rng.randint(1, 4)):
        chat.append({"role": "user", "content": text()})
        while rng.random() < 0.5:
            calls = [CALL] * rng.randint(1, 2)
            chat.append(answer(tool_calls=calls, content=rng.choice(["", text()])))
            chat.extend({"role": "tool", "content": text()} for _ in calls)
        chat.append(answer())
    return chat


def test_qwen_text() -> None:
    rendered = Qwen().chat_template(None).render(THOUGHTS[:2])
    assert rendered.text == (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n1?<|im_end|>\n<|im_start|>assistant\n<think>\neasy\n</think>\n\none<|im_end|>\n"
    )
    two = Qwen(default_system="You are a helpful assistant.").chat_template(None)
    assert two.render(THOUGHTS[:1]).text.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n")


def test_qwen3_drops_the_thoughts_before_the_last_question() -> None:
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": "ü"}}\n</tool_call>'
    rendered = Qwen3().chat_template(None).render(THOUGHTS)
    assert rendered.text == (
        "<|im_start|>user\n1?<|im_end|>\n<|im_start|>assistant\none<|im_end|>\n<|im_start|>user\n2?<|im_end|>\n"
        f"<|im_start|>assistant\n<think>\nhard\n</think>\n\n{call}<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\n2\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n<think>\ndone\n</think>\n\n二<|im_end|>\n"
    )
    assert said(rendered) == [
        "one<|im_end|>",
        f"<think>\nhard\n</think>\n\n{call}<|im_end|>",
        "<think>\ndone\n</think>\n\n二<|im_end|>",
    ]


def test_preserved_thoughts_make_every_answer_what_the_model_says() -> None:
    """Then each prompt is a prefix of the whole conversation, and each span begins where its prompt ends."""
    for plugin in (Qwen3(preserve_thinking=True), Qwen3Thinking(preserve_thinking=True)):
        template = plugin.chat_template(None)
        rendered = template.render(THOUGHTS)
        for span in rendered.spans:
            asked = template.render(THOUGHTS[: span.message], add_generation_prompt=True).text
            assert rendered.text.startswith(asked) and len(asked) == span.start
            assert THOUGHTS[span.message]["reasoning"] in rendered.text[span.start : span.end]


@pytest.mark.parametrize(
    ("plugin", "prompt", "trained"),
    [
        (Qwen3(train_empty_thought=True), "", "<think>\n\n</think>\n\nHi<|im_end|>"),
        (Qwen3(train_empty_thought=True, enable_thinking=True), "", "<think>\n\n</think>\n\nHi<|im_end|>"),
        (Qwen3(train_empty_thought=True, enable_thinking=False), "<think>\n\n</think>\n\n", "Hi<|im_end|>"),
        (Qwen3Thinking(train_empty_thought=True), "<think>\n", "\n</think>\n\nHi<|im_end|>"),
        (Qwen3NoThink(), "", "Hi<|im_end|>"),
    ],
)
def test_an_answer_without_thought(plugin: Any, prompt: str, trained: str) -> None:
    """What the prompt writes is not trained, and of the rest the empty thought only if that is wanted."""
    if "train_empty_thought" in vars(plugin):
        default = type(plugin)(enable_thinking=plugin.enable_thinking) if isinstance(plugin, Qwen3) else Qwen3Thinking()
        rendered = default.chat_template(None).render([THOUGHTS[0], {"role": "assistant", "content": "Hi"}])
        assert said(rendered) == ["Hi<|im_end|>"]
    template = plugin.chat_template(None)
    asked = template.render(THOUGHTS[:1], add_generation_prompt=True).text
    rendered = template.render([THOUGHTS[0], {"role": "assistant", "content": "Hi"}])
    assert asked == "<|im_start|>user\n1?<|im_end|>\n<|im_start|>assistant\n" + prompt
    assert rendered.text == asked + trained + "\n"
    assert said(rendered) == [trained]


def test_thought_inside_the_content() -> None:
    inside = [THOUGHTS[0], {"role": "assistant", "content": "<think>\neasy\n</think>\n\none"}]
    for plugin in (Qwen3(), Qwen3Thinking()):
        assert plugin.chat_template(None).render(inside) == plugin.chat_template(None).render(THOUGHTS[:2])


def test_options_travel_in_the_exported_template(tiny_bpe: Any) -> None:
    template = Qwen3(enable_thinking=False, default_system="Be brief.").chat_template(None)
    theirs = tiny_bpe.apply_chat_template(
        THOUGHTS[:1], chat_template=template.exported, tokenize=False, add_generation_prompt=True
    )
    assert theirs == template.render(THOUGHTS[:1], add_generation_prompt=True).text
    assert theirs.startswith("<|im_start|>system\nBe brief.") and theirs.endswith("</think>\n\n")


@pytest.mark.parametrize(
    ("plugin", "file", "thoughts", "variables"),
    [
        (Qwen(), "qwen2_5", False, {}),
        (Qwen3(train_empty_thought=True), "qwen3", True, {}),
        (Qwen3(enable_thinking=False), "qwen3", False, {"enable_thinking": False}),
        (Qwen3NoThink(), "qwen3_instruct_2507", True, {}),
    ],
    ids=["qwen", "qwen3", "qwen3-off", "qwen3_nothink"],
)
def test_official_template_renders_the_same(
    plugin: Any, file: str, thoughts: bool, variables: dict[str, Any], tiny_bpe: Any
) -> None:
    """TRL keeps copies of the official templates; they have no marks, so their spans are searched for."""
    trl = pytest.importorskip("trl")
    official = (Path(trl.__file__).parent / "chat_templates" / f"{file}.jinja").read_text(encoding="utf-8")
    ours, searched = plugin.chat_template(None), ChatTemplate("official", official, ("<|im_end|>",), variables)
    rng = random.Random(0)
    for _ in range(60):
        chat = random_chat(rng, thoughts)
        tools = [ADD] if rng.random() < 0.8 else None
        for messages, prompt in ((chat, False), (chat[:-1], True)):
            known = [{**each, "reasoning_content": each.get("reasoning", "")} for each in messages]  # as it calls them
            theirs = tiny_bpe.apply_chat_template(
                known, tools, chat_template=official, tokenize=False, add_generation_prompt=prompt, **variables
            )
            assert ours.render(messages, tools, add_generation_prompt=prompt).text == theirs
        assert searched.render(chat, tools).spans == ours.render(chat, tools).spans


@pytest.mark.parametrize(
    "plugin",
    [
        Qwen(),
        Qwen3(train_empty_thought=True),
        Qwen3NoThink(),
        Qwen3Thinking(preserve_thinking=True, train_empty_thought=True),
    ],
)
def test_transformers_renders_and_masks_the_same(plugin: Any, tiny_bpe: Any) -> None:
    template = plugin.chat_template(None)
    rng = random.Random(1)
    for _ in range(20):
        chat = random_chat(rng, thoughts=True)
        rendered = template.render(chat, [ADD])
        theirs = tiny_bpe.apply_chat_template(
            chat,
            [ADD],
            chat_template=template.jinja,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            **template.variables,
        )
        pairs = zip(theirs["input_ids"], theirs["assistant_masks"], strict=True)
        assert tiny_bpe.decode(theirs["input_ids"]) == rendered.text
        assert tiny_bpe.decode([token for token, mask in pairs if mask]) == "".join(said(rendered))


@pytest.mark.real
def test_search_agrees_with_marks_on_real_tool_conversations(real_files: Path) -> None:
    roles = {"human": "user", "gpt": "assistant", "function_call": "assistant", "observation": "tool"}
    template = Qwen3(train_empty_thought=True).chat_template(None)
    unmarked = ChatTemplate("unmarked", template.exported, template.stop)
    for row in json.loads((real_files / "data" / "glaive_toolcall_en_demo.json").read_text(encoding="utf-8"))[:100]:
        chat = [{"role": roles[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]
        assert unmarked.render(chat) == template.render(chat)
