"""The Modelfile: what Ollama makes a model of beside the GGUF file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tunesmith import TunesmithError

from .limits import holds_quotes


def modelfile(
    source: str,
    *,
    system: str | None = None,
    template: str | None = None,
    builtin: Mapping[str, str] | None = None,
    stop: Sequence[str] = (),
    parameters: Mapping[str, int | float] | None = None,
) -> str:
    """Write a Modelfile.

    Args:
        source: the GGUF file, beside it.
        template: in Go.
        builtin: RENDERER and PARSER by the names of Ollama's own.
        stop: strings that end an answer.
        parameters: by Ollama's names.

    Raises: TunesmithError for text that a Modelfile cannot hold.
    """
    lines = [f"FROM ./{source}"]
    lines += [f"TEMPLATE {_quoted('template', template)}"] if template else []
    lines += [f"{key} {name}" for key, name in (builtin or {}).items()]
    lines += [f"SYSTEM {_quoted('system', system)}"] if system else []
    lines += [f"PARAMETER {name} {value}" for name, value in (parameters or {}).items()]
    lines += list(_stops(stop))
    return "\n".join(lines) + "\n"


def _stops(stop: Sequence[str]) -> Iterator[str]:
    for text in dict.fromkeys(stop):
        plain = '"' not in text and "\n" not in text
        yield f'PARAMETER stop "{text}"' if plain else f"PARAMETER stop {_quoted('stop', text)}"


def _quoted(what: str, text: str) -> str:
    """Text between three quotes, which it cannot hold itself."""
    if holds_quotes(text):
        raise TunesmithError(f'the {what} text holds """ or ends with ", which a Modelfile has no way to write')
    return f'"""{text}"""'
