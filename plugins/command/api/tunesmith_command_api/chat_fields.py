"""A request for chat completions, as OpenAI's API has it, with what vLLM's clients send beside."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .constraint_fields import ConstraintFields
from .fields import Fields, StreamOptions


class Part(Fields):
    """A part of a message."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: Any = None
    input_audio: Any = None
    audio_url: Any = None
    video_url: Any = None
    file: Any = None


class Function(Fields):
    """A function that is called."""

    name: str
    arguments: str | dict[str, Any] = ""


class Call(Fields):
    """A call of a tool in a message."""

    id: str | None = None
    type: str = "function"
    index: int | None = None  # clients send back what they were streamed
    function: Function


class ChatMessage(Fields):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: Function | None = None  # what tool calls were called once
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: Any = None
    refusal: str | None = None
    audio: Any = None
    annotations: Any = None


class Declaration(Fields):
    """A function that may be called."""

    name: Annotated[str, Field(min_length=1)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Fields):
    """A tool that may be called."""

    type: str = "function"
    function: Declaration | None = None


class ChatRequest(ConstraintFields):
    """The body of /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    model: str | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Declaration] | None = None
    function_call: str | dict[str, Any] | None = None
    # for the template
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    enable_thinking: bool | None = None
    include_reasoning: bool | None = None  # false: thoughts are thought, and not shown
    documents: list[dict[str, Any]] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    # known, and refused where they would make a difference; see `refuse_impossible`
    best_of: int | None = None
    echo: bool | None = None
    min_tokens: int | None = None
    use_beam_search: bool | None = None
    length_penalty: float | None = None
    bad_words: list[str] | None = None
    prompt_logprobs: int | None = None
    chat_template: str | None = None
    modalities: list[str] | None = None
    audio: Any = None
    web_search_options: Any = None
    # known, and without effect on an answer
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prediction: Any = None
    verbosity: str | None = None
    include_stop_str_in_output: bool | None = None
    spaces_between_special_tokens: bool | None = None
