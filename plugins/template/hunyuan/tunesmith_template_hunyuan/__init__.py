"""The formats of the Hunyuan models."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, SwitchedTemplate, TemplateFacts, Thinking
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.facts import tuned
from tunesmith_library_chat.shapes import elements, headed, objects

_LARGE = {
    "begin": "<|startoftext|>",
    "every": True,
    "after_system": "<|extra_4|>",
    "behind_user": "<|extra_0|>",
    "stop": "<|eos|>",
}
_LAST = "only the last answer has its thought, and the end of a thought that is switched off"
_SMALL = {
    "begin": "<｜hy_begin▁of▁sentence｜>",
    "after_system": "<｜hy_place▁holder▁no▁3｜>",
    "before_user": "<｜hy_User｜>",
    "before_answer": "<｜hy_Assistant｜>",
    "stop": "<｜hy_place▁holder▁no▁2｜>",
}

_CALLS = CallFormat(
    "hunyuan_dense",
    headed(r"<tool_call>(?P<name>[^\n]+)\n```json\n", r"\n?```</tool_call>"),
    ("<tool_calls>",),
    ("</tool_calls>",),
    inner=("<tool_call>", "</tool_call>"),
)


def _calls(mark: str) -> CallFormat:
    """Calls between special tokens that all hold this mark."""
    return CallFormat(
        f"hy3{mark}",
        elements(
            rf"<tool_call{mark}>(?P<name>[^<]+)<tool_sep{mark}>\s*(?P<body>.*?)</tool_call{mark}>",
            rf"<arg_key{mark}>(?P<key>.*?)</arg_key{mark}>\s*<arg_value{mark}>(?P<value>.*?)</arg_value{mark}>",
            strip="",
        ),
        (f"<tool_calls{mark}>",),
        (f"</tool_calls{mark}>",),
        inner=(f"<tool_sep{mark}>", f"<arg_key{mark}>"),
    )


_A13B_CALLS = CallFormat(
    "hunyuan_a13b",
    objects(),
    ("<tool_calls>",),
    ("</tool_calls>",),
    skips=("<answer>\n", "<answer>", "\n</answer>", "</answer>", "助手："),
)


@plugin
class Hunyuan(SwitchedTemplate):
    """Hunyuan-A13B, with tools, and the translating models of 7B, Hy-MT2-7B too (as Tencent-Hunyuan/Hy-MT2 trains)."""

    traits = TemplateFacts(
        name="hunyuan",
        file="hunyuan_a13b.jinja",
        models=(r"hunyuan(?!-?(ocr|vl|image|video|3d|world))", r"hy-mt.*-7b"),
        stop=("<|eos|>",),
        calls=_A13B_CALLS,
        thinking=Thinking(switch="enable_thinking"),
        variables=_LARGE,
        rewrites=_LAST,
        aliases={"hy_dense_7b": ""},
        source="tencent/Hunyuan-A13B-Instruct",
    )


@plugin
class Hunyuan7B(SwitchedTemplate):
    """Hunyuan-7B, with tools; thinks unless it is told not to."""

    traits = TemplateFacts(
        name="hunyuan_7b",
        file="hunyuan_dense.jinja",
        models=(r"hunyuan-7b-instruct", tuned("hunyuan", "7b")),
        stop=("<|eos|>",),
        calls=_CALLS,
        thinking=Thinking(switch="enable_thinking"),
        variables=_LARGE,
        rewrites=_LAST,
        source="tencent/Hunyuan-7B-Instruct",
    )


@plugin
class HunyuanSmall(SwitchedTemplate):
    """Hunyuan-0.5B, 1.8B and 4B, as Hunyuan-7B with other tokens; HY-MT1.5-1.8B."""

    traits = TemplateFacts(
        name="hunyuan_small",
        file="hunyuan_dense.jinja",
        models=(r"hunyuan-(0\.5|1\.8|4)b", r"hy-mt1\.5-1\.8b"),
        stop=("<｜hy_place▁holder▁no▁2｜>",),
        calls=_CALLS,
        thinking=Thinking(switch="enable_thinking"),
        variables={**_SMALL, "behind_user": _SMALL["before_answer"]},
        rewrites=_LAST,
        source="tencent/Hunyuan-1.8B-Instruct",
    )


@plugin
class HyDense(FamilyTemplate):
    """Hy-MT2-1.8B, which writes a mark behind conversations that ask for nothing."""

    traits = TemplateFacts(
        name="hy_dense_1_8b",
        file="hunyuan.jinja",
        models=(r"hy-mt2",),
        stop=("<｜hy_place▁holder▁no▁2｜>",),
        variables={**_SMALL, "closes": "<｜hy_place▁holder▁no▁8｜>"},
        rewrites="a mark closes a conversation that ends",
        source="tencent/Hy-MT2-1.8B",
    )


@plugin
class Hy3(SwitchedTemplate):
    """Hy3, which thinks if it is told to, as hard as `reasoning_effort` says."""

    traits = TemplateFacts(
        name="hy3",
        file="hy3.jinja",
        models=(r"hy3",),
        stop=("<｜hy_eos:opensource｜>",),
        calls=_calls(":opensource"),
        thinking=Thinking("<think:opensource>", "</think:opensource>", switch="enable_thinking"),
        variables={"mark": ":opensource", "joint": "_", "open_end": True},
        rewrites="without tools thoughts before the last question are dropped",
        source="tencent/Hy3",
    )

    reasoning_effort: str | None = None  # no_think, low or high; null is no_think, or high with enable_thinking=true
    preserved_thinking: bool | None = None  # whether earlier answers keep their thoughts; null: where there are tools


@plugin
class Hy3Preview(SwitchedTemplate):
    """Hy3-preview and Hy-MT2-30B-A3B, whose special tokens are without `:opensource`."""

    traits = TemplateFacts(
        name="hy3_preview",
        file="hy3.jinja",
        models=(r"hy3-preview", r"hy-mt2-30b"),
        stop=("<｜hy_eos｜>",),
        calls=_calls(""),
        thinking=Thinking(switch="enable_thinking"),
        variables={"mark": "", "joint": "▁", "open_end": True, "sparing": True},
        rewrites="only the answer that is trained has its thought, and an end while it is the last",
        source="tencent/Hy3-preview",
    )

    reasoning_effort: str | None = None  # no_think, low or high; null is no_think, or high with enable_thinking=true
    preserved_thinking: bool | None = None  # whether all answers keep their thoughts; null: none does
    interleaved_thinking: bool | None = None  # whether those behind the last question keep them, where there are tools
