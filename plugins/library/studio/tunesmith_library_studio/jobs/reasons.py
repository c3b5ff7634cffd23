"""Why a job waits or failed: a code with values, for front ends in any language, and its English words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Reason = dict[str, Any]
"""`code`, one of `CODES`, and the values that its words name."""

_WORDS = {
    "paused": "the queue is paused",
    "after": "after {title}",
    "waits": "waits for {what}",
    "missed": "what it comes after did not get done: {title} {state}",
    "removed": "what it comes after did not get done: it was removed",
    "few": "it wants {wanted} GPUs; there are {there}",
    "absent": "there is no GPU {device} on this machine; there are: {what}",
    "lost": "its process ended without a word: it was killed, or the machine was started again",
    "not_finite": "it ended on numbers that are not finite, or on a bad row",
    "log_full": "its run is complete; its log is not, for the disk was full",
}
CODES = tuple(_WORDS)
_DEVICES = {"cpu": "the processor", "any": "a GPU"}


def reason(code: str, **values: Any) -> Reason:
    """A reason. `devices`, where it has them, is a list: numbers of GPUs, `cpu`, `any`."""
    return {"code": code, **values}


def in_words(given: Mapping[str, Any]) -> str:
    """A reason in English; nothing where there is none."""
    if not given:
        return ""
    named = "GPU {}" if given["code"] == "waits" else "{}"
    devices = [_DEVICES.get(device) or named.format(device) for device in given.get("devices", ())]
    return _WORDS[given["code"]].format(what=", ".join(devices) or "none", **given)
