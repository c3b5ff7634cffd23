"""What an answer's text must follow, written as a grammar: from a JSON Schema, a regular expression, or a choice.

A grammar is text in llguidance's dialect of Lark, which `Sampling.grammar` takes; these name no tokens, so that any
engine that has such grammars can follow them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.errors import TunesmithError

MOST_CHARACTERS = 400_000
"""Of a grammar; what is longer is refused."""

# Between the parts of JSON there may be one space, or a line break and an indentation: without a limit a model may
# write white space until its tokens are used up.
_WHITE_SPACE = r"(\n {0,32}| )?"
_LARGEST = 10**15  # of numbers without limits of their own: whole ones that a double holds exactly
_FINEST = 1e-9  # and digits behind the point without end are no answer either


def json_schema(schema: Mapping[str, Any] | bool) -> str:
    """The grammar of JSON that is valid by a schema.

    What the schema leaves open is kept within bounds, so that answers end: numbers without limits stay within ±10¹⁵,
    with at most 9 digits behind the point; an object has no properties beside those that are declared, unless
    `additionalProperties` says so; white space is one space, or a line break with an indentation.

    Raises: TunesmithError for a schema that is none, that nothing fits, or with a keyword that is not supported.
    """
    grammar = f"start: {json_rule(schema)}"
    check_grammar(grammar)
    return grammar


def json_object() -> str:
    """The grammar of any JSON object."""
    return f"start: {json_rule({'type': 'object'})}"


def regex(pattern: str) -> str:
    """The grammar of text that a regular expression matches from its beginning to its end.

    Raises: TunesmithError for a pattern that is none, or one with what a regular language lacks: references, and looks
        ahead and back.
    """
    bare = pattern.removeprefix("^")
    bare = bare[:-1] if re.search(r"(?<!\\)(\\\\)*\$$", bare) else bare
    grammar = f"start: ANSWER\nANSWER: {_pattern(bare)}"
    check_grammar(grammar)
    return grammar


def choice(options: Sequence[str]) -> str:
    """The grammar of one of several texts.

    Raises: TunesmithError for no texts, and for an empty one.
    """
    if not options or not all(isinstance(option, str) and option for option in options):
        raise TunesmithError(f"a choice needs texts to choose from, none of them empty; found {json.dumps(options)}")
    return "start: " + " | ".join(map(literal, options))


def lark(grammar: str) -> str:
    """A grammar that is written already.

    Raises: TunesmithError for one that is none, with the place of the mistake.
    """
    check_grammar(grammar)
    return grammar


def literal(text: str) -> str:
    """A text within a grammar."""
    return json.dumps(text, ensure_ascii=False)


def json_rule(schema: Mapping[str, Any] | bool, *, escapes: str | None = None) -> str:
    """JSON by a schema, as a part of a grammar; `check_grammar` says whether there is one.

    Args:
        escapes: what may stand behind a backslash in texts; None: all that JSON has.

    Raises: TunesmithError for what is no schema at all.
    """
    if not isinstance(schema, Mapping | bool):
        raise TunesmithError(f"a JSON Schema is an object, or true or false; found {type(schema).__name__}")
    plain = dict(schema) if not isinstance(schema, bool) else {} if schema else {"enum": []}
    try:
        bounded = _written(_bounded(copy.deepcopy(plain)), escapes)
    except (RecursionError, TypeError) as error:
        raise TunesmithError(f"this JSON Schema is nested too deep, or no JSON: {error}") from error
    return bounded if _cause(f"start: {bounded}") is None else _written(plain, escapes)


def _written(schema: Mapping[str, Any], escapes: str | None) -> str:
    guidance: dict[str, Any] = {"whitespace_flexible": True, "whitespace_pattern": _WHITE_SPACE}
    if escapes is not None:
        guidance["json_allowed_escapes"] = escapes
    return f"%json {json.dumps({**schema, 'x-guidance': guidance}, ensure_ascii=False)}"


def check_grammar(grammar: str) -> None:
    """Raises: TunesmithError for a text that is no grammar, with the cause."""
    refuse_long(grammar)
    cause = _cause(grammar)
    if cause is not None:
        raise TunesmithError(described(cause))


def _cause(grammar: str) -> str | None:
    """What llguidance has against a grammar; None: nothing."""
    import llguidance

    said: str = llguidance.LLMatcher.validate_grammar(grammar)
    return said if said and not said.startswith("WARNING") else None


def refuse_long(grammar: str) -> None:
    """Raises: TunesmithError for a grammar that is longer than any is."""
    if len(grammar) > MOST_CHARACTERS:
        raise TunesmithError(
            f"the grammar has {len(grammar):,} characters; at most {MOST_CHARACTERS:,} are taken.\n"
            "  ask for a part of it at a time"
        )


def described(said: str) -> str:
    """What is wrong with a grammar, in the words of this project.

    Args:
        said: what llguidance says of it.
    """
    cause = next((line for line in said.splitlines() if line.strip()), said)
    _, marked, about_schema = cause.partition("failed to compile JSON schema: ")
    if not marked:
        return f"this is no grammar that an answer can follow: {said.removesuffix('<non-verbose/>').strip()}"
    keywords = re.search(r"Unimplemented keys: \[(.*)\]", about_schema)
    if keywords:
        names = keywords[1].replace('"', "")
        return (
            f"this JSON Schema has keywords that answers cannot be made to follow: {names}.\n"
            f"  leave out {names}, and check the answer for it"
        )
    if "oneOf" in about_schema:
        return (
            "this JSON Schema has a oneOf whose schemas are not told apart, which answers cannot be made to follow.\n"
            "  write anyOf, or give each of its objects a property with a const of its own"
        )
    return f"answers cannot be made to follow this JSON Schema: {about_schema}"


def _pattern(pattern: str) -> str:
    """A regular expression within a grammar."""
    written = re.sub(r"(\\.)|/", lambda found: found[1] or r"\/", pattern, flags=re.DOTALL)
    return f"/{written}/".replace("\n", r"\n").replace("\r", r"\r")


def _bounded(schema: Any) -> Any:
    """A schema whose numbers and objects end; changed in place, and given back."""
    if isinstance(schema, list):
        for item in schema:
            _bounded(item)
    if not isinstance(schema, dict):
        return schema
    for key, item in schema.items():
        if key not in ("enum", "const", "default", "examples", "allOf"):
            for inner in item.values() if key in _BY_NAME and isinstance(item, dict) else [item]:
                _bounded(inner)
    if isinstance(schema.get("properties"), dict) and not schema.keys() & _JOINED:
        schema.setdefault("additionalProperties", False)
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if ("number" in kinds or "integer" in kinds) and not schema.keys() & {"enum", "const"}:
        if not schema.keys() & {"minimum", "exclusiveMinimum"}:
            schema["minimum"] = -_LARGEST
        if not schema.keys() & {"maximum", "exclusiveMaximum"}:
            schema["maximum"] = _LARGEST
        if "number" in kinds:
            schema.setdefault("multipleOf", _FINEST)
    return schema


_JOINED = {"allOf", "anyOf", "oneOf", "$ref"}  # beside these, others say what more there may be
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")  # what these hold are schemas by any name
