"""Real tokenizers: a conversation has the ids that transformers gives it with the official template of its model."""

from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_chat.conversations import CASES, TOOLS, read_renderings

pytestmark = pytest.mark.real

OFFICIAL = {
    "llama3": {"llama3": "llama3", "llama3_1": "llama3_1", "llama3_2": "llama3_2"},
    "qwen": {
        "qwen": "qwen2_5",
        "qwen3": "qwen3",
        "qwen3_nothink": "qwen3_instruct_2507",
        "qwen3_vl_nothink": "qwen3_vl",
    },
}
"""By tokenizer the templates of its models, and the files in which trl has the official ones."""

RENDERED = {"llama2": {"llama": ["llama2"]}, "mistral": {"mistral": ["mistral", "ministral"]}}
"""By tokenizer the families, and their templates, whose official renderings stand beside their tests."""

DAY = {"date_string": "02 Jan 2026"}


TRAINED = {
    "llama3": ["Three", ",", "Ġof", "Ġcourse", "<|eot_id|>"],
    "qwen": ["Three", ",", "Ġof", "Ġcourse", "<|im_end|>"],
}
"""By tokenizer the tokens of which its models learn the answer `Three, of course`, when they do not think."""


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


CALL = {"type": "function", "function": {"name": "count_waves", "arguments": {"beach": "Rügen", "hours": 2}}}
CONVERSATIONS: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "one": ([said("user", "Who counts the waves?"), said("assistant", "Nobody does.")], False),
    "system": (
        [said("system", "Speak like a sailor."), said("user", "Ahoy!"), said("assistant", "Ahoy.")],
        False,
    ),
    "turns": (
        [
            said("user", "One?"),
            said("assistant", "Two."),
            said("user", "Three?"),
            said("assistant", "Four."),
            said("user", "5"),
            said("assistant", "6"),
        ],
        False,
    ),
    "scripts": ([said("user", "你好，世界！ Größe, ναι, да, 🌊🏖️"), said("assistant", "再见。 Ünïcödé — “so”…")], False),
    "code": (
        [
            said("user", "```python\ndef f(x):\n\treturn x ** 2\n```\n\n    what?"),
            said("assistant", "It squares:\n\n1. `x`\n2. 12345.678e-9 {{x}} {% y %}"),
        ],
        False,
    ),
    "spaces": ([said("user", "a  b   c\n\n\nd\te"), said("assistant", "f    g\r\nh")], False),
    "tools": ([said("user", "How many waves?"), said("assistant", "I do not know.")], True),
    "calls": (
        [
            said("system", "Count."),
            said("user", "How many waves?"),
            said("assistant", "", tool_calls=[CALL]),
            said("tool", '{"waves": 7042}', name="count_waves"),
            said("assistant", "7042 waves."),
        ],
        True,
    ),
}


def tokenizer_in(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def template_of(name: str, tokenizer: Any) -> Any:
    """The template with its default options, as the plan would give it to a stage."""
    plugin = next(iter(entry_points(group="tunesmith.template", name=name))).load()()
    return plugin.chat_template(processor=tokenizer).bind(tokenizer)


@pytest.mark.parametrize("folder", sorted(OFFICIAL))
def test_ids_are_those_of_the_official_template(folder: str, real_files: Path) -> None:
    """Whole conversations as the encoder trains them, and prompts as an engine asks them."""
    pytest.importorskip("trl")
    from tunesmith_library_chat import tokenize
    from tunesmith_library_training.encoding import Spans, encode_conversations

    tokenizer = tokenizer_in(real_files / "tokenizers" / folder)
    for name, file in OFFICIAL[folder].items():
        official = resources.files("trl").joinpath("chat_templates", f"{file}.jinja").read_text(encoding="utf-8")
        template = template_of(name, tokenizer).with_variables(**DAY)
        for case, (messages, with_tools) in CONVERSATIONS.items():
            if with_tools and "tools" not in official:
                continue
            tools = list(TOOLS) if with_tools else None
            common = {"tools": tools, "chat_template": official, "return_dict": False, **DAY}
            [row] = encode_conversations([{"messages": messages, "tools": tools}], tokenizer, template, Spans())
            wanted = tokenizer.apply_chat_template(messages, **common)
            assert row["input_ids"] == wanted, (
                name,
                case,
                tokenizer.decode(row["input_ids"]),
                tokenizer.decode(wanted),
            )
            prompt = template.render(messages[:-1], tools, add_generation_prompt=True)
            wanted = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, **common)
            assert tokenize(tokenizer, [prompt], control=template.control)[0].ids == wanted, (name, case)
        if template.thinking and template.thinking.switch:
            continue
        answer = [said("user", " 1 + 2? "), said("assistant", "Three, of course")]
        [row] = encode_conversations([{"messages": answer}], tokenizer, template, Spans())
        learnt = [label for label in row["labels"] if label >= 0]
        assert tokenizer.convert_ids_to_tokens(learnt) == TRAINED[folder], name
        starts = tokenizer.convert_ids_to_tokens(row["input_ids"]).count("<|begin_of_text|>")
        assert starts == (folder == "llama3"), name


@pytest.mark.parametrize("folder", sorted(RENDERED))
def test_ids_are_those_of_official_renderings(folder: str, real_files: Path) -> None:
    """What transformers makes of a text that the official template has written, of at least eight conversations."""
    from tunesmith_library_chat import tokenize
    from tunesmith_library_training.encoding import Spans, encode_conversations

    tokenizer = tokenizer_in(real_files / "tokenizers" / folder)
    plugins = Path(__file__).parents[1] / "plugins" / "template"
    for family, names in RENDERED[folder].items():
        renderings = read_renderings(plugins / family / "tests" / "renderings.json")
        for name in names:
            official, template, compared = renderings[name], template_of(name, tokenizer), 0
            for case, text in official["cases"].items():
                rendered = template.render(CASES[case].messages, **CASES[case].arguments)
                ids = tokenize(tokenizer, [rendered], control=template.control)[0].ids
                assert ids == tokenizer(text, add_special_tokens=False)["input_ids"], (name, case, rendered.text, text)
                compared += 1
            assert compared >= 8, (name, compared)
        if folder == "llama2":
            turns = [said("user", " 1 + 2? "), said("assistant", "Yes")] * 2
            [row] = encode_conversations([{"messages": turns}], tokenizer, template_of("llama2", tokenizer), Spans())
            tokens, learnt = (
                tokenizer.convert_ids_to_tokens([one for one in row[key] if one >= 0])
                for key in ("input_ids", "labels")
            )
            assert tokens.count("<s>") == tokens.count("</s>") == 2
            assert learnt.count("▁Yes") == learnt.count("</s>") == 2 and learnt[-1] == "</s>"
