"""What servers know beside OpenAI's own fields, by what they call themselves in `owned_by` of /v1/models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith.types import Problem, Sampling
from tunesmith_library_engine.schemas import schema_of


@dataclass(frozen=True)
class Server:
    """A kind of server.

    A field of sampling that it does not know is refused, not left out: the answers would be others.
    """

    name: str
    # names of fields by those of `Sampling`
    sampling: Mapping[str, str] = field(default_factory=dict)
    lists: bool = True  # whether it answers no model that it does not list
    tokens: Mapping[str, Any] = field(default_factory=dict)  # what asks it to say tokens as numbers, not as text alone
    numbers: bool = False  # whether alternatives are named by the numbers of their tokens, with the same fields
    grammars: bool = False  # whether it follows grammars, beside JSON Schemas
    switches: bool = True  # whether it takes variables of the chat template
    thoughts: bool = True  # whether it takes what the model thought before
    no_limit: int = 0  # the top_k that is all
    max_tokens: str = "max_tokens"  # what it calls the limit of an answer to a conversation


_OPENAI = {
    **dict.fromkeys(("temperature", "top_p", "frequency_penalty", "presence_penalty"), ""),
    **dict.fromkeys(("logit_bias", "seed"), ""),
}
_MORE = {**_OPENAI, **dict.fromkeys(("top_k", "min_p", "repetition_penalty", "stop_token_ids"), "")}
_IDS = {"return_token_ids": True, "return_tokens_as_token_ids": True, "skip_special_tokens": False}

SERVERS = {
    server.name: server
    for server in (
        Server("openai", _OPENAI, lists=False, switches=False, thoughts=False, max_tokens="max_completion_tokens"),
        Server("vllm", _MORE, tokens=_IDS, numbers=True, grammars=True, no_limit=-1),
        Server("sglang", _MORE, tokens={"return_token_ids": True, "skip_special_tokens": False}, no_limit=-1),
        Server(
            "llamacpp",
            {**_OPENAI, "top_k": "", "min_p": "", "repetition_penalty": "repeat_penalty"},
            lists=False,
            tokens={"logprobs": 1},
            numbers=True,
        ),
        Server("tunesmith", _MORE, tokens=_IDS, numbers=True, grammars=True),
    )
}
"""By name. `openai` is what any of them is at least."""


def server_problems(name: str) -> list[Problem]:
    """What is wrong with the name of a kind of server."""
    if name == "auto" or name in SERVERS:
        return []
    return [Problem("engine.server", f"{name} is no kind of server.", choices(name, ["auto", *SERVERS]))]


def sampling_fields(server: Server, sampling: Sampling, defaults: Sampling) -> dict[str, Any]:
    """How a server is told what was asked, over the engine's options; what neither says is the server's choice.

    Raises: TunesmithError for what the server does not know.
    """
    fields: dict[str, Any] = {}
    for name, neutral in _NEUTRAL.items():
        value = getattr(sampling, name)
        value = getattr(defaults, name) if value is None else value
        if value is None or (value == neutral and name not in server.sampling):
            continue
        if name not in server.sampling:
            raise TunesmithError(
                f"{name}={value}: a server of the kind {server.name} does not know {name}.\n"
                f"  leave it out; engine.server=NAME says that it is of another kind: {choices('', SERVERS)}"
            )
        if value != neutral or name in _ALWAYS:
            fields[server.sampling[name] or name] = _said(server, name, value)
    return {**fields, **_constraint(server, sampling.grammar)}


_NEUTRAL: dict[str, Any] = {  # the values that change nothing
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "logit_bias": {},
    "seed": None,
}
# a server may have other values of its own for these where it is told none
_ALWAYS = frozenset({"temperature", "top_p", "top_k", "min_p", "repetition_penalty"})


def _said(server: Server, name: str, value: Any) -> Any:
    if name == "top_k" and value == 0:
        return server.no_limit
    if name == "logit_bias":  # JSON has no infinity; -100 forbids a token
        return {str(token): max(bias, -100.0) for token, bias in value.items()}
    return value


def _constraint(server: Server, grammar: str | None) -> dict[str, Any]:
    """What makes an answer follow a grammar.

    Raises: TunesmithError for one that the server does not follow.
    """
    if grammar is None:
        return {}
    schema = schema_of(grammar)
    if schema is not None:
        named = {"name": "answer", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if not server.grammars:
        raise TunesmithError(f"a server of the kind {server.name} follows JSON Schemas, and no other grammars")
    return {"structured_outputs": {"grammar": grammar}}
