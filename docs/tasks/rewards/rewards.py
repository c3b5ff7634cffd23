"""A reward of one's own: the sum is written out before its result."""

import re
from typing import Any


def written_out(prompts: list[list[dict[str, Any]]], completions: list[str], rows: list[Any]) -> list[float]:
    """1 for "8 + 12 = 20" where 8 + 12 was asked, else 0; whether the result is right is not looked at."""
    asked = [re.findall(r"\d+ [+-] \d+", conversation[-1]["content"])[-1] for conversation in prompts]
    return [float(text.startswith(f"{terms} = ")) for terms, text in zip(asked, completions, strict=True)]
