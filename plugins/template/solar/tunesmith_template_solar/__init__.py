"""The formats of Upstage's Solar models."""

from tunesmith import plugin
from tunesmith_library_chat import FamilyTemplate, TemplateFacts, Thinking, ThinkingTemplate
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import headed

_CALLS = CallFormat(
    "solar",
    headed(
        r"<\|tool_call:begin\|>(?P<id>[^<]*)<\|tool_call:name\|>(?P<name>[^<]+)<\|tool_call:args\|>",
        r"<\|tool_call:end\|>",
    ),
    ("<|tool_calls|>",),
    ("<|calls|>",),
    skips=("<|begin|>assistant", "<|content|>", "<|end|>"),
    inner=("<|tool_call:begin|>", "<|tool_call:name|>", "<|tool_call:args|>", "<|tool_call:end|>"),
)


@plugin
class Solar(FamilyTemplate):
    """SOLAR 10.7B: `### User:` and `### Assistant:`."""

    traits = TemplateFacts(
        name="solar",
        file="solar.jinja",
        models=(r"solar-10\.7b",),
        source="upstage/SOLAR-10.7B-Instruct-v1.0",
    )


@plugin
class SolarOpen(ThinkingTemplate):
    """Solar Open, which thinks, with tools."""

    traits = TemplateFacts(
        name="solar_open",
        file="solar_open.jinja",
        models=(r"solar-open",),
        stop=("<|end|>", "<|calls|>"),
        default_system="",
        calls=_CALLS,
        thinking=Thinking("<|think|>", "<|end|>"),
        rewrites="thoughts before the last question are dropped",
        source="upstage/Solar-Open-100B",
    )

    reasoning_effort: str | None = None  # "low" or "minimal": prompts hold an empty thought
