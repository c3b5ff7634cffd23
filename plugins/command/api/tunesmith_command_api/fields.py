"""Fields of requests: those that are known, those that are known and change nothing, and those that nobody knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from tunesmith.errors import nearest

from .errors import ApiError, invalid
from .service import Service

logger = logging.getLogger("tunesmith")

IGNORED_FIELDS = "x-tunesmith-ignored-fields"
"""The header of a response that names the fields that nobody knows."""


class Fields(BaseModel):
    """A part of a request. Fields that it does not declare are kept in `model_extra`, see `unknown_fields`."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, protected_namespaces=())


class StreamOptions(Fields):
    """How to stream."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None


def unknown_fields(part: Any, path: str = "") -> Iterator[tuple[str, type[Fields]]]:
    """The fields of a request that no model declares, such as `messages[0].colour`, each with what it is a part of."""
    if isinstance(part, Fields):
        for name in part.model_extra or ():
            yield f"{path}{name}", type(part)
        for name in part.model_fields_set:
            if name in type(part).model_fields:
                yield from unknown_fields(getattr(part, name), f"{path}{name}.")
    elif isinstance(part, list) and part and isinstance(part[0], Fields | list):  # prompts are long lists of numbers
        for index, each in enumerate(part):
            yield from unknown_fields(each, f"{path[:-1]}[{index}].")


def passed_over(service: Service, request: Fields) -> dict[str, str]:
    """Headers of a response that name the fields that are passed over; they are logged too.

    Raises: ApiError with `--strict`, and for text that is none.
    """
    try:
        request.model_dump_json()
    except ValueError as error:  # JSON can spell half a character, which nothing can write down again
        raise invalid("the request holds text that is no Unicode: one half of a surrogate pair") from error
    parts = dict(unknown_fields(request))
    unknown = sorted(parts)
    if not unknown:
        return {}
    if service.options.strict:
        declared = parts[unknown[0]].model_fields
        near = nearest(unknown[0].rpartition(".")[2], [field.alias or name for name, field in declared.items()])
        meant = f"; did you mean {near}?" if near else ""
        raise invalid(f"unknown fields: {', '.join(unknown)}{meant}", unknown[0], "unknown_parameter")
    shown = [name.encode("ascii", "replace").decode()[:100] for name in unknown[:20]]
    logger.warning("unknown fields of a request are passed over: %s", ", ".join(shown))
    return {IGNORED_FIELDS: ", ".join("".join(c if c.isprintable() else "?" for c in name) for name in shown)}


def refuse(request: Fields, reasons: Mapping[str, str], neutral: Mapping[str, Sequence[Any]] | None = None) -> None:
    """Refuse known fields that cannot be honoured and would make a difference.

    Args:
        reasons: by field what is to be said of it.
        neutral: by field the values that ask for nothing, beside null, false, and what is empty.

    Raises: ApiError that names the field.
    """
    for name, reason in reasons.items():
        value = getattr(request, name)
        if value and value not in (neutral or {}).get(name, ()):
            raise invalid(f"{name} is not supported: {reason}", name, "unsupported_parameter")


def validation_error(errors: Sequence[Any]) -> ApiError:
    """What pydantic found wrong with a body, as an error that names the field."""
    told, first = [], None
    broken = next((error for error in errors if error["type"] == "json_invalid"), None)
    if broken is not None:
        why = (broken.get("ctx") or {}).get("error", broken["msg"])
        return invalid(f"the body is no JSON: {why} at character {broken['loc'][-1]}", code="invalid_json")
    for error in errors[:5]:
        path = _path([part for part in error["loc"] if part != "body"])
        first = first or path
        told.append(f"{path or 'the body'}: {error['msg']}")
    if errors and tuple(errors[0]["loc"]) == ("body",) and not isinstance(errors[0].get("input"), dict):
        told = ["the body is no JSON object, or was not sent with the header Content-Type: application/json"]
    return invalid("; ".join(dict.fromkeys(told)), first or None)


def _path(parts: Sequence[Any]) -> str:
    """A place in a request; what pydantic tells of the alternatives of a type is left out."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier() and (part.islower() or not part[0].isupper()) and part not in _ALTERNATIVES:
            path += f".{part}" if path else part
    return path


_ALTERNATIVES = {"str", "int", "float", "bool", "list", "dict", "json"}
