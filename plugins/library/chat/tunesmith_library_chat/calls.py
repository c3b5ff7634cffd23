"""The formats in which models call tools, as data: between which marks, in which shape. Templates name theirs in their
facts; a template of one's own may bring a format of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from tunesmith_library_chat.shapes import Reader, braced, either, elements, headed, objects, python_calls

Begins = Callable[[str], bool | None]
"""Whether an answer that begins so is calls from there to its end; None: not to be said yet."""


@dataclass(frozen=True)
class CallFormat:
    """How a model writes calls."""

    name: str
    read: Reader  # what stands between the marks
    open: tuple[str, ...] = ()  # any of these begins a block of calls
    close: tuple[str, ...] = ()  # any of these ends it; none: the end of the answer
    begins: Begins | None = None  # for calls without a mark, which only declared tools tell from text
    closes: bool = False  # only the mark that ends a block tells a whole call from one that was cut off
    keeps: bool = False  # the opening mark is part of what is read
    skips: tuple[str, ...] = ()  # marks between the parts of an answer, which are no text
    inner: tuple[str, ...] = ()  # marks that the reader looks for within a block

    @property
    def marks(self) -> tuple[str, ...]:
        """What a template of this format writes, of several openings and ends the first."""
        return (*self.open[:1], *self.close[:1], *self.inner)


def starting(*starts: str) -> Begins:
    """An answer that begins with one of these strings, behind white space."""

    def begins(text: str) -> bool | None:
        text = text.lstrip()
        if any(text.startswith(start) for start in starts):
            return True
        return None if any(start.startswith(text) for start in starts) else False

    return begins


def naming(text: str) -> bool | None:
    """An answer whose first line is a name, and whose second begins an object: GLM-4's."""
    name, line_break, rest = text.lstrip("\n").partition("\n")
    if not re.fullmatch(r"[A-Za-z_][\w.\-]*|", name):
        return False
    return rest.startswith("{") if line_break and rest else None


_DEEPSEEK = ("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>")
_DSML = "｜DSML｜"
_XML_PARAMETER = r"<parameter=(?P<key>[^>\n]+)>(?P<value>.*?)</parameter>"
_XML_FUNCTION = r"<function=(?P<name>[^>\n]+)>(?P<body>.*?)</function>"

HERMES = CallFormat("hermes", objects(), ("<tool_call>",), ("</tool_call>",))
LLAMA = CallFormat("llama", objects(arguments="parameters"), ("<|python_tag|>",), (), starting('{"name"', '{"type"'))
PYTHON = CallFormat("python", python_calls, ("<|python_start|>",), ("<|python_end|>",), starting("["))
LLAMA_4 = CallFormat(
    "llama_4",
    either(objects(arguments="parameters"), python_calls),
    ("<|python_end|>",),
    ("<|python_end|>",),
    starting('{"name"', '{"type"', "["),
    skips=("<|python_start|>",),
)
LFM = CallFormat("lfm", python_calls, ("<|tool_call_start|>",), ("<|tool_call_end|>",))
OLMO = CallFormat("olmo", python_calls, ("<function_calls>",), ("</function_calls>",))
MISTRAL = CallFormat("mistral", objects(), ("[TOOL_CALLS]",))
MISTRAL_NAMED = CallFormat(
    "mistral_named",
    headed(r"(?:\[TOOL_CALLS\])?(?P<name>[^\[\]{}\s]+)(?:\[CALL_ID\](?P<id>[^\[\]{}\s]+))?(?:\[ARGS\])?"),
    ("[TOOL_CALLS]",),
    inner=("[CALL_ID]", "[ARGS]"),
)
GLM4 = CallFormat("glm4", headed(r"(?P<name>[\w.\-]+)\n"), begins=naming)
GLM = CallFormat(
    "glm",
    elements(
        r"^\s*(?P<name>[^<\s]+?)\s*(?P<body>(?:<arg_key>.*)?)\s*$",
        r"<arg_key>(?P<key>.*?)</arg_key>\s*<arg_value>(?P<value>.*?)</arg_value>",
        strip="",
    ),
    ("<tool_call>",),
    ("</tool_call>",),
    inner=("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    closes=True,
)
QWEN_XML = CallFormat(
    "qwen_xml",
    elements(_XML_FUNCTION, _XML_PARAMETER),
    ("<tool_call>",),
    ("</tool_call>",),
    inner=("<function=", "<parameter="),
)
SEED = CallFormat(
    "seed", elements(_XML_FUNCTION, _XML_PARAMETER, strip=""), ("<seed:tool_call>",), ("</seed:tool_call>",)
)
MINICPM = CallFormat(
    "minicpm",
    elements(
        r'^(?P<name>[^"]+)">(?P<body>.*)$',
        r'<param name="(?P<key>[^"]+)">(?:<!\[CDATA\[)?(?P<value>.*?)(?:\]\]>)?</param>',
        strip="",
    ),
    ('<function name="',),
    ("</function>",),
    inner=("<param name=",),
    closes=True,
)
MINIMAX = CallFormat(
    "minimax",
    elements(
        r'<invoke name="(?P<name>[^"]+)">(?P<body>.*?)</invoke>',
        r'<parameter name="(?P<key>[^"]+)">(?P<value>.*?)</parameter>',
        strip="",
    ),
    ("<minimax:tool_call>",),
    ("</minimax:tool_call>",),
)
MINIMAX_1 = CallFormat("minimax_1", objects(), ("<tool_calls>",), ("</tool_calls>",))
DEEPSEEK_3 = CallFormat(
    "deepseek_3",
    headed(
        r"<｜tool▁call▁begin｜>function<｜tool▁sep｜>(?P<name>[^\n]+)\n```json\n",
        r"\n?```<｜tool▁call▁end｜>",
    ),
    ("<｜tool▁calls▁begin｜>",),
    ("<｜tool▁calls▁end｜>",),
    inner=_DEEPSEEK,
)
DEEPSEEK_3_1 = CallFormat(
    "deepseek_3_1",
    headed(r"<｜tool▁call▁begin｜>(?P<name>[^<]+)<｜tool▁sep｜>", r"<｜tool▁call▁end｜>"),
    ("<｜tool▁calls▁begin｜>",),
    ("<｜tool▁calls▁end｜>",),
    inner=_DEEPSEEK,
)
DEEPSEEK_3_2 = CallFormat(
    "deepseek_3_2",
    elements(
        rf'<{_DSML}invoke name="(?P<name>[^"]+)">(?P<body>.*?)</{_DSML}invoke>',
        rf'<{_DSML}parameter name="(?P<key>[^"]+)"(?: string="(?P<string>true|false)")?>'
        rf"(?P<value>.*?)</{_DSML}parameter>",
        strip="",
    ),
    (f"<{_DSML}function_calls>",),
    (f"</{_DSML}function_calls>",),
    inner=(_DSML,),
)
DEEPSEEK_4 = replace(DEEPSEEK_3_2, name="deepseek_4", open=(f"<{_DSML}tool_calls>",), close=(f"</{_DSML}tool_calls>",))
KIMI = CallFormat(
    "kimi",
    headed(
        r"<\|tool_call_begin\|>\s*(?P<id>(?:functions\.)?(?P<name>[^\s<]+?)(?::\d+)?)\s*<\|tool_call_argument_begin\|>",
        r"<\|tool_call_end\|>",
    ),
    ("<|tool_calls_section_begin|>",),
    ("<|tool_calls_section_end|>",),
    inner=("<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"),
)
HARMONY = CallFormat(
    "harmony",
    headed(r"(?P<name>[\w.\-]+)(?:<\|channel\|>\w+)?\s*(?:<\|constrain\|>)?(?:json)?\s*<\|message\|>"),
    ("<|start|>assistant to=functions.", "<|channel|>commentary to=functions.", "to=functions."),
    ("<|call|>",),
    skips=(
        "<|start|>assistant",
        "<|channel|>final<|message|>",
        "<|channel|>commentary<|message|>",
        "<|end|>",
    ),
    inner=("<|channel|>", "<|constrain|>", "<|message|>"),
)
COMMAND = CallFormat(
    "command",
    objects(name="tool_name", arguments="parameters", id="tool_call_id"),
    ("<|START_ACTION|>",),
    ("<|END_ACTION|>",),
    skips=("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
COMMAND_R = CallFormat(
    "command_r",
    objects(name="tool_name", arguments="parameters"),
    ("Action:\n```json\n", "Action: ```json\n", "Action:```json\n"),
    ("```",),
)
GRANITE = CallFormat("granite", objects(), ("<|tool_call|>", "<tool_call>"))
PHI = CallFormat("phi", objects(), ("<|tool_call|>",), ("<|/tool_call|>",))
INTERNLM = CallFormat("internlm", objects(arguments="parameters"), ("<|action_start|><|plugin|>",), ("<|action_end|>",))
NEMOTRON = CallFormat("nemotron", objects(), ("<TOOLCALL>",), ("</TOOLCALL>",))
HUNYUAN = CallFormat(
    "hunyuan",
    headed(r"<tool_call>function<tool_sep>(?P<name>[^\n]+)\n```json\n", r"\n?```</tool_call>"),
    ("<tool_calls>",),
    ("</tool_calls>",),
    inner=("<tool_call>", "<tool_sep>", "</tool_call>"),
)
GEMMA = CallFormat("gemma", braced('<|"|>'), ("<|tool_call>",), ("<tool_call|>",), inner=('<|"|>',))
FUNCTION_GEMMA = CallFormat(
    "function_gemma", braced("<escape>"), ("<start_function_call>",), ("<end_function_call>",), inner=("<escape>",)
)
REACT = CallFormat(
    "react", headed(r"(?:Action:\s*)?(?P<name>[^\n]+?)\s*\nAction Input:\s*"), ("Action: ",), ("\nObservation:",)
)
