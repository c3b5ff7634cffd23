"""A request for messages, as Anthropic's API has it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .fields import Fields
from .sampling_fields import SamplingFields


class Block(Fields):
    """A part of a message; which fields it has, its type says."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    source: dict[str, Any] | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[Block] | None = None
    is_error: bool | None = None
    cache_control: Any = None
    citations: Any = None
    caller: Any = None


class Turn(Fields):
    """One turn."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class ToolDeclaration(Fields):
    """A tool that may be called."""

    name: Annotated[str, Field(min_length=1)]
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: Any = None
    input_examples: Any = None
    eager_input_streaming: Any = None
    allowed_callers: Any = None
    defer_loading: Any = None


class ToolChoice(Fields):
    """Which tools are called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingChoice(Fields):
    """Whether the model thinks before it speaks."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(Fields):
    """What the text must be."""

    type: str
    json_schema: dict[str, Any] | bool | None = Field(default=None, alias="schema")


class OutputConfig(Fields):
    """How the answer is to be."""

    effort: str | None = None
    format: OutputFormat | None = None


class CountRequest(SamplingFields):
    """The body of /v1/messages/count_tokens, and what it shares with /v1/messages."""

    messages: Annotated[list[Turn], Field(min_length=1)]
    model: str | None = None
    system: str | list[Block] | None = None
    tools: list[ToolDeclaration] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingChoice | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    cache_control: Any = None
    # known, and not honoured where they would make a difference
    mcp_servers: list[Any] | None = None
    container: Any = None
    context_management: Any = None
    diagnostics: Any = None


class MessagesRequest(CountRequest):
    """The body of /v1/messages."""

    max_tokens: Annotated[int, Field(ge=1)]
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    # known, and without effect on an answer
    metadata: Any = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None
