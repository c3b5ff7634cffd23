"""A request for a response, as OpenAI's API has it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from .fields import Fields
from .sampling_fields import SamplingFields


class Part(Fields):
    """A part of a message, of a thought, or of what a tool gave."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    annotations: Any = None
    logprobs: Any = None
    prompt_cache_breakpoint: Any = None


class Item(Fields):
    """What was said, thought, called or given; which fields it has, its type says."""

    type: str | None = None  # a message, where there is none
    id: str | None = None
    status: str | None = None
    role: str | None = None
    content: str | list[Part] | None = None
    phase: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    output: str | list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None


class Tool(Fields):
    """A tool that may be called."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: Any = None
    allowed_callers: Any = None
    output_schema: Any = None


class TextFormat(Fields):
    """What the text must be."""

    type: str
    name: str | None = None
    description: str | None = None
    json_schema: dict[str, Any] | bool | None = Field(default=None, alias="schema")
    strict: bool | None = None


class TextConfig(Fields):
    """How the text is to be."""

    format: TextFormat | None = None
    verbosity: str | None = None


class Reasoning(Fields):
    """How the model thinks, and what is told of it."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None  # its former name
    context: Any = None
    mode: Any = None


class StreamOptions(Fields):
    """How to stream."""

    include_obfuscation: bool | None = None


class ResponsesRequest(SamplingFields):
    """The body of /v1/responses."""

    input: str | list[Item] | None = None
    model: str | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    metadata: dict[str, str] | None = None
    truncation: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    enable_thinking: bool | None = None
    # known, and not honoured where they would make a difference
    background: bool | None = None
    background_options: Any = None
    context_management: Any = None
    conversation: Any = None
    prompt: Any = None
    moderation: Any = None
    image: Any = None
    # known, and without effect on an answer
    user: str | None = None
    max_tool_calls: int | None = None  # of tools that a server has
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: Any = None
    access_programs: Any = None
