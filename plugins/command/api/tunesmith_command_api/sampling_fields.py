"""The fields by which requests say how tokens are chosen, and where answers end: the same for all completions."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field
from tunesmith.errors import TunesmithError
from tunesmith.types import Sampling

from .errors import invalid
from .fields import Fields, refuse
from .service import Service


class SamplingFields(Fields):
    """How to choose tokens, in the names of OpenAI's API and, where it has none, of vLLM's."""

    max_tokens: Annotated[int, Field(ge=0)] | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: int | None = None  # 0 and -1 are all
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    logit_bias: dict[str, float] | None = None  # by token id, written as text
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    # known, and refused where they would make a difference; see `sampling_of`
    allowed_token_ids: Any = None
    detokenize: bool | None = None
    logits_processors: Any = None
    mm_processor_kwargs: Any = None
    truncate_prompt_tokens: int | None = None
    vllm_xargs: Any = None
    regex: Any = None  # these are of SGLang's clients
    ebnf: Any = None
    stop_regex: Any = None
    no_stop_trim: bool | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that end an answer."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(string for string in given if string)

    @property
    def count(self) -> int:
        """How many answers are wanted to each prompt."""
        return self.n or 1


_IMPOSSIBLE = {
    "allowed_token_ids": "structured_outputs.choice or a grammar says what the text may be",
    "logits_processors": "this server runs no code of a request; logit_bias makes tokens more or less likely",
    "mm_processor_kwargs": "the model's own processor is used as it is",
    "truncate_prompt_tokens": "a prompt is taken whole, or refused",
    "vllm_xargs": "the engine has no arguments beside the fields of a request",
    "regex": "structured_outputs.regex is",
    "ebnf": "structured_outputs.grammar is",
    "stop_regex": "stop takes strings",
    "no_stop_trim": "the text ends before what stopped it",
}


def sampling_of(request: SamplingFields, limit: int | None, service: Service) -> Sampling:
    """How tokens are chosen for a request.

    Args:
        limit: tokens of an answer, from the field that this route has for it.

    Raises: ApiError for a value out of its range, and for a field that is known and cannot be honoured.
    """
    refuse_unsupported(request)
    for token in request.stop_token_ids or ():
        if not 0 <= token < service.vocabulary:
            message = f"stop_token_ids: {token} is no token id; possible: 0 to {service.vocabulary - 1}"
            raise invalid(message, "stop_token_ids")
    biases = _biases(request.logit_bias or {}, service.vocabulary)
    if request.ignore_eos:  # what is never chosen ends nothing
        biases.update(dict.fromkeys(service.end_token_ids, -math.inf))
    top_k = None if request.top_k is None else max(request.top_k, 0) if request.top_k >= -1 else request.top_k
    given: dict[str, Any] = {
        "max_new_tokens": limit,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": top_k,
        "min_p": request.min_p,
        "repetition_penalty": request.repetition_penalty,
        "frequency_penalty": request.frequency_penalty or 0.0,
        "presence_penalty": request.presence_penalty or 0.0,
        "logit_bias": biases,
        "stop_token_ids": tuple(request.stop_token_ids or ()),
        "seed": request.seed,
    }
    try:
        return Sampling(**given)
    except TunesmithError as error:
        raise invalid(error, str(error).partition("=")[0]) from error


def refuse_unsupported(request: SamplingFields) -> None:
    """Raises: ApiError for a field of all completions that is known and cannot be honoured."""
    refuse(request, _IMPOSSIBLE)
    if request.detokenize is False:
        message = "detokenize: false is not supported: answers are text, to which return_token_ids adds tokens"
        raise invalid(message, "detokenize", "unsupported_parameter")


def _biases(given: dict[str, float], vocabulary: int) -> dict[int, float]:
    biases: dict[int, float] = {}
    for token, bias in given.items():
        if not (token.isascii() and token.isdecimal() and int(token) < vocabulary):
            message = f"logit_bias: {token!r} is no token id; possible: 0 to {vocabulary - 1}, written as text"
            raise invalid(message, "logit_bias")
        if not -100 <= bias <= 100:
            raise invalid(f"logit_bias: {bias} of token {token} is out of range: -100 to 100", "logit_bias")
        biases[int(token)] = -math.inf if bias == -100 else bias
    return biases
