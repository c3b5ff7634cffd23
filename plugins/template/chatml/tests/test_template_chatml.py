"""ChatML: the text of a conversation, and what of it is trained."""

import copy
import json
from typing import Any

from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.chatml import CHATML
from tunesmith_library_testing import TemplateSuite
from tunesmith_template_chatml import ChatML

ADD = {"type": "function", "function": {"name": "add", "description": "Sum of <a> & <b>", "parameters": {}}}
WITH_TOOLS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "1 + 2? 3 + 4?"},
    {
        "role": "assistant",
        "content": "Let me see.",
        "reasoning": "Two sums.",
        "tool_calls": [
            {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}},
            {"type": "function", "function": {"name": "add", "arguments": '{"a": 3, "b": 4}'}},
        ],
    },
    {"role": "tool", "content": "3"},
    {"role": "tool", "content": "7"},
    {"role": "assistant", "content": "三和七"},
]


class TestChatML(TemplateSuite):
    plugin = ChatML


def test_text_of_a_conversation_with_tools_and_thoughts() -> None:
    rendered = CHATML.render(WITH_TOOLS, [ADD])
    system, _, turns = rendered.text.partition("<|im_end|>\n")
    assert system.startswith("<|im_start|>system\nBe brief.\n\n# Tools\n\n")
    assert (
        '\n<tools>\n{"type": "function", "function": {"name": "add", "description": "Sum of <a> & <b>", '
        '"parameters": {}}}\n</tools>\n'
    ) in system
    assert turns == (
        "<|im_start|>user\n1 + 2? 3 + 4?<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nTwo sums.\n</think>\n\nLet me see.\n"
        '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>\n'
        '<tool_call>\n{"name": "add", "arguments": {"a": 3, "b": 4}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\n<tool_response>\n3\n</tool_response><|im_end|>\n"
        "<|im_start|>tool\n<tool_response>\n7\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n三和七<|im_end|>\n"
    )
    first, last = (rendered.text[span.start : span.end] for span in rendered.spans)
    assert first.startswith("<think>\nTwo sums.") and first.endswith("</tool_call><|im_end|>")
    assert last == "三和七<|im_end|>"


def test_tools_without_system_message_make_a_system_turn() -> None:
    text = CHATML.render(WITH_TOOLS[1:2], [ADD], add_generation_prompt=True).text
    assert text.startswith("<|im_start|>system\n# Tools\n\n")
    assert text.endswith("</tool_call><|im_end|>\n<|im_start|>user\n1 + 2? 3 + 4?<|im_end|>\n<|im_start|>assistant\n")


def test_prompt_is_how_the_answer_begins() -> None:
    for end in (2, 5):
        asked = CHATML.render(WITH_TOOLS[:end], [ADD], add_generation_prompt=True).text
        whole = CHATML.render(WITH_TOOLS, [ADD])
        assert whole.text.startswith(asked)
        assert len(asked) in [span.start for span in whole.spans]


def test_search_without_marks_finds_the_same_spans() -> None:
    unmarked = ChatTemplate("unmarked", CHATML.exported, CHATML.stop)
    assert unmarked.render(WITH_TOOLS, [ADD]) == CHATML.render(WITH_TOOLS, [ADD])


def test_transformers_renders_and_masks_the_same(tiny_bpe: Any) -> None:
    chat = copy.deepcopy(WITH_TOOLS)
    for call in chat[2]["tool_calls"]:
        if isinstance(call["function"]["arguments"], str):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    rendered = CHATML.render(WITH_TOOLS, [ADD])
    theirs = tiny_bpe.apply_chat_template(
        chat,
        tools=[ADD],
        chat_template=CHATML.jinja,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    pairs = zip(theirs["input_ids"], theirs["assistant_masks"], strict=True)
    trained = "".join(rendered.text[span.start : span.end] for span in rendered.spans)
    assert tiny_bpe.decode(theirs["input_ids"]) == rendered.text
    assert tiny_bpe.decode([token for token, mask in pairs if mask]) == trained


def test_default_system_message() -> None:
    template = ChatML(default_system="Be kind.").chat_template()
    assert template.render(WITH_TOOLS[1:2]).text.startswith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user")
    assert template.render(WITH_TOOLS[1:2], [ADD]).text.startswith("<|im_start|>system\nBe kind.\n\n# Tools\n")
    assert template.render(WITH_TOOLS, [ADD]) == CHATML.render(WITH_TOOLS, [ADD])
