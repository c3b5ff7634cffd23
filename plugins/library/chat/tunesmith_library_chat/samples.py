"""Small conversations that a template's Jinja is tried with, to learn from what it writes how it writes."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from tunesmith_library_chat.messages import canonical, content_form
from tunesmith_library_chat.sources import fill_in

RENDERING_FAULTS = (TypeError, ValueError, AttributeError, LookupError, RecursionError, ArithmeticError)
"""What templates raise over a conversation that they cannot write, beside Jinja's own errors."""


def as_key(variables: Mapping[str, Any]) -> str:
    """Variables of a Jinja as JSON, by which what it makes of them is kept."""
    return json.dumps(variables, sort_keys=True, default=str)


@functools.lru_cache(maxsize=512)
def sample(jinja: str, variables: str, answer: str) -> str | None:
    """What Jinja makes of a question and an answer to it; None where it refuses them.

    Args:
        variables: of the Jinja, as JSON.
        answer: a message, as JSON; null asks for one.
    """
    said = json.loads(answer)
    talk = [canonical(message, content_form(jinja)) for message in ({"role": "user", "content": "1"}, said) if message]
    tokens = {"bos_token": "", "eos_token": "", "tools": None}
    values = {**tokens, **json.loads(variables), "messages": talk, "add_generation_prompt": said is None}
    return filled(jinja, values)


def filled(jinja: str, values: Mapping[str, Any]) -> str | None:
    """What Jinja makes of values; None where it refuses them."""
    from jinja2 import TemplateError

    try:
        return fill_in(jinja, {"documents": None, **values})
    except (TemplateError, *RENDERING_FAULTS):
        return None
