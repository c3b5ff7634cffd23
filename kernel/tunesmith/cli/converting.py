"""`tunesmith config convert`: a configuration in our words, each line with where its value came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.compose import Composition
from tunesmith.errors import ConfigError
from tunesmith.keys import Key
from tunesmith.planning import report
from tunesmith_library_configuration.reading import to_yaml

_WIDTH = 60  # where the comments begin, unless a line is longer


def converted(made: Composition, source: str) -> str:
    """The YAML file that says the same in our words.

    Args:
        source: the configuration that it is made of, as it is told.

    Raises: ConfigError for keys that cannot be had, all of them at once.
    """
    if made.problems:
        raise ConfigError(f"{source} cannot be converted:\n\n{report(made.problems, made.origins)}")
    tree = dict(made.tree)
    output = tree.pop("output_dir", None) if made.command == "export" else None
    told = f" --output {output}" if output else ""
    head = [f"# From {source}, by tunesmith config convert."]
    if made.command not in (None, "train"):
        head.append(f"# For: tunesmith {made.command} THIS-FILE{told}")
    head += [f"# {line}" for notice in made.notices for line in notice.splitlines()]
    lines = list(_lines(tree, Key(), made))
    width = min(_WIDTH, max((len(text) for text, _ in lines), default=0))
    body = [f"{text.ljust(width)}  # {origin}" if origin else text for text, origin in lines]
    return "\n".join([*head, "", *body]) + "\n"


def _lines(tree: Mapping[str, Any], at: Key, made: Composition) -> Iterator[tuple[str, str]]:
    """The lines of a mapping, each with where its value was written."""
    indent = "  " * len(at)
    for name, value in tree.items():
        key, head = at / name, f"{indent}{_flow(name)}:"
        if isinstance(value, Mapping) and value:
            yield head, ""
            yield from _lines(value, key, made)
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield head, ""
            for number, item in enumerate(value):
                yield f"{indent}  - {_flow(item)}", _origin(key / number, made)
        else:
            yield f"{head} {_flow(value)}", _origin(key, made)


def _origin(key: Key, made: Composition) -> str:
    return str(made.origins.get(key, ""))


def _flow(value: Any) -> str:
    """A value as YAML has it in one line."""
    return to_yaml(value, flow=True, width=float("inf")).strip().removesuffix("...").strip()
