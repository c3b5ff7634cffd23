"""Values of a model's configuration that do not go together: found before a library stumbles over them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeGuard

from tunesmith import TunesmithError
from tunesmith.types import Problem

_COUNTS = (
    "hidden_size",
    "intermediate_size",
    "moe_intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "num_experts",
    "num_local_experts",
    "num_experts_per_tok",
)
# (a key, what it must be a multiple of)
_MULTIPLES = (("hidden_size", "num_attention_heads"), ("num_attention_heads", "num_key_value_heads"))
# (a key, what it must not exceed)
_SHARES = (("num_experts_per_tok", "num_experts"), ("num_experts_per_tok", "num_local_experts"))
_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id")


def inconsistencies(config: Mapping[str, Any], changed: Collection[str]) -> list[Problem]:
    """What is wrong with values that were set, by themselves or beside the others; what was published is believed.

    Args:
        config: what config.json holds of a text model, with the values that were set.
        changed: their keys.
    """
    found = [*_alone(config, changed), *_together(config, changed)]
    return [Problem(f"model.config.{key}", message, advice) for key, message, advice in found]


def refuse_inconsistent(config: Mapping[str, Any], changed: Collection[str]) -> None:
    """Raise TunesmithError for the first of the `inconsistencies`."""
    for problem in inconsistencies(config, changed):
        raise TunesmithError(f"{problem.message}\n{problem.advice}")


def _alone(config: Mapping[str, Any], changed: Collection[str]) -> Iterator[tuple[str, str, str]]:
    for key in changed:
        value = config.get(key)
        if key in _COUNTS and _is_whole(value) and value < 1:
            yield key, f"model.config.{key}={value} is no size of a model.", "possible: 1 or more"
        elif key in _TOKENS and _is_whole(value) and _is_whole(config.get("vocab_size")):
            size = config["vocab_size"]
            if not -1 <= value < size:
                yield key, f"model.config.{key}={value} is no token of {size:,}.", f"possible: 0 to {size - 1:,}"


def _together(config: Mapping[str, Any], changed: Collection[str]) -> Iterator[tuple[str, str, str]]:
    for key, unit in _MULTIPLES:
        size, count = config.get(key), config.get(unit)
        apart = key == "hidden_size" and config.get("head_dim") is not None  # heads have a size of their own
        if not apart and {key, unit} & {*changed} and _is_size(size) and _is_size(count) and size % count:
            message = f"model.config: {key}={size} is no multiple of {unit}={count}."
            divisors = [number for number in range(1, size + 1) if not size % number and abs(number - count) <= count]
            yield (unit if unit in changed else key), message, f"possible {unit}: {', '.join(map(str, divisors[:12]))}"
    for key, most in _SHARES:
        used, there = config.get(key), config.get(most)
        if {key, most} & {*changed} and _is_size(used) and _is_size(there) and used > there:
            yield (
                (key if key in changed else most),
                f"model.config: {key}={used} of {most}={there}.",
                f"at most {there}",
            )
    size = config.get("head_dim")
    rotates = config.get("rope_parameters") or config.get("rope_theta") or config.get("rope_scaling")
    if "head_dim" in changed and rotates and _is_size(size) and size % 2:
        message = f"model.config.head_dim={size} is odd, and positions turn pairs of numbers."
        yield "head_dim", message, f"possible: {size - 1 or 2}, {size + 1}"


def _is_whole(value: Any) -> TypeGuard[int]:
    return type(value) is int


def _is_size(value: Any) -> TypeGuard[int]:
    return type(value) is int and value > 0
