"""A request for completions, as OpenAI's API has it, with what vLLM's clients send beside."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from .constraint_fields import ConstraintFields
from .errors import invalid
from .fields import StreamOptions, refuse
from .sampling_fields import refuse_unsupported


class CompletionRequest(ConstraintFields):
    """The body of /v1/completions."""

    prompt: str | list[int] | list[str] | list[list[int]]
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    best_of: Annotated[int, Field(ge=1, le=128)] | None = None
    add_special_tokens: bool | None = None
    return_token_ids: bool | None = None  # beside the text of an answer its tokens, by their numbers
    return_tokens_as_token_ids: bool | None = None  # in `logprobs`, in the place of their text: token_id:9
    # known, and refused where they would make a difference
    suffix: str | None = None
    min_tokens: int | None = None
    use_beam_search: bool | None = None
    length_penalty: float | None = None
    bad_words: list[str] | None = None
    prompt_logprobs: int | None = None
    prompt_embeds: Any = None
    include_stop_str_in_output: bool | None = None
    # known, and without effect on an answer
    user: str | None = None
    spaces_between_special_tokens: bool | None = None


_IMPOSSIBLE = {
    "suffix": "the model goes on from a prompt, and does not fill what stands before another text",
    "min_tokens": "ignore_eos holds back the tokens that end an answer for all of its tokens",
    "use_beam_search": "beams are an option of the engine",
    "length_penalty": "it is for beams, which are an option of the engine",
    "bad_words": "logit_bias with -100 forbids tokens",
    "prompt_logprobs": "echo with logprobs gives them",
    "prompt_embeds": "prompts are texts or token ids",
    "include_stop_str_in_output": "the text ends before it",
}


def refuse_impossible(request: CompletionRequest) -> None:
    """Raises: ApiError for a field that is known and cannot be honoured."""
    refuse_unsupported(request)
    refuse(request, _IMPOSSIBLE, {"length_penalty": (1.0,)})
    if request.stream_options is not None and not request.stream:
        raise invalid("stream_options needs stream: true", "stream_options")
    best_of = request.best_of or request.count
    if best_of < request.count:
        raise invalid(f"best_of={best_of} is less than n={request.count}", "best_of")
    if best_of > request.count and request.stream:
        raise invalid("best_of chooses between whole answers, and cannot be streamed", "best_of")
