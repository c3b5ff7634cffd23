"""The arguments of a tool as a grammar: by their JSON Schema, in the form in which a template writes them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tunesmith_library_chat.declarations import Declared, referred
from tunesmith_library_chat.rules import ANYTHING, Rules, quoted, without
from tunesmith_library_chat.writing import KEY, VALUE, Elements

_PYTHON_ESCAPES = 'nrtbf\\"'  # that Python reads as JSON does
_ONE_LINE = "string", "number", "boolean", "null", "array", "object"


def arguments_rule(rules: Rules, schema: Mapping[str, Any], form: str | Elements) -> str:
    """What the arguments of a call may be.

    Args:
        schema: of the object that they are.
        form: see `Writing.arguments`.
    """
    declared = Declared(schema, schema)
    if form == "json":
        return rules.add(json_rule(schema))
    if form == "python":
        python = {"escapes": _PYTHON_ESCAPES}
        return _in_order(
            rules, declared, ", ", lambda key, inner: f"{quoted(key + '=')} {_json(rules, inner, **python)}"
        )
    if isinstance(form, Elements):
        return _in_order(rules, declared, form.between, lambda key, inner: _element(rules, key, inner, form))
    return Braces(rules, form).object(declared)


def json_rule(schema: Mapping[str, Any], escapes: str | None = None) -> str:
    from tunesmith_library_engine import grammars

    return grammars.json_rule(schema, escapes=escapes)


def _json(rules: Rules, declared: Declared, escapes: str | None = None) -> str:
    return rules.add(json_rule(_rooted(declared.schema, declared.root), escapes))


def _rooted(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of a schema with what its references lead to."""
    return {**schema, **{key: root[key] for key in ("$defs", "definitions") if key in root}}


def variants(declared: Declared, depth: int = 16) -> Iterator[Declared]:
    """The schemas of which a value fits one, each with what references, allOf, anyOf and oneOf say put together."""
    schema, root = declared.schema, declared.root
    rest = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "anyOf", "oneOf")}
    joined = [referred(schema["$ref"], root)] if isinstance(schema.get("$ref"), str) else []
    joined += [part for part in schema.get("allOf") or () if isinstance(part, Mapping)]
    either = [part for key in ("anyOf", "oneOf") for part in schema.get(key) or () if isinstance(part, Mapping)]
    if not depth or not (joined or either):
        yield Declared(rest, root)
    elif joined:
        kept = {key: schema[key] for key in ("anyOf", "oneOf") if key in schema}
        yield from variants(Declared(functools.reduce(_merged, joined, {**rest, **kept}), root), depth - 1)
    else:
        for part in either:
            yield from variants(Declared(_merged(rest, part), root), depth - 1)


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Two schemas that both hold, as one."""
    properties = {**(one.get("properties") or {}), **(other.get("properties") or {})}
    required = [*(one.get("required") or ()), *(other.get("required") or ())]
    more = {key: value for key, value in (("properties", properties), ("required", required)) if value}
    return {**one, **other, **more}


def _in_order(rules: Rules, declared: Declared, between: str, argument: Callable[[str, Declared], str]) -> str:
    """The properties of an object, in their order; those that are not required may be absent."""
    ways = [_properties(rules, one, between, argument) for one in variants(declared)]
    return rules.add(" | ".join(ways))


def _properties(rules: Rules, declared: Declared, between: str, argument: Callable[[str, Declared], str]) -> str:
    schema, root = declared.schema, declared.root
    required = schema.get("required") or ()
    undeclared = {key: schema.get("additionalProperties") or {} for key in required}
    properties = {**undeclared, **(schema.get("properties") or {})}
    first = more = rules.add('""')  # what may follow the last of them
    for key in reversed(properties):
        one = rules.add(argument(key, Declared(_schema(properties[key]), root)))
        rest_first, rest_more = first, more
        absent = "" if key in required else " | "
        first = rules.add(f"{one} {rest_more}" + (absent and absent + rest_first))
        joined = f"{rules.text(between)} {one} {rest_more}" if between else f"{one} {rest_more}"
        more = rules.add(joined + (absent and absent + rest_more))
    return first


def _schema(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _element(rules: Rules, key: str, declared: Declared, form: Elements) -> str:
    """One argument between its marks: a text as it stands, anything else as JSON."""
    kinds = _kinds(declared)
    ways = []
    if not kinds or "string" in kinds:
        before, _, close = form.forms["string"].replace(KEY, key).partition(VALUE)
        ways += [f"{rules.text(before)} {way}" for way in texts(rules, declared, close)]
    for forms in dict.fromkeys(form.forms[_known(kind)] for kind in kinds - {"string"}):
        those = sorted(kind for kind in kinds - {"string"} if form.forms[_known(kind)] == forms)
        before, _, close = forms.replace(KEY, key).partition(VALUE)
        schema = (
            declared.schema
            if "string" not in kinds and len(those) == len(kinds)
            else {"allOf": [declared.schema, {"type": those}]}
        )
        ways.append(f"{rules.text(before)} {_json(rules, Declared(schema, declared.root))} {rules.text(close)}")
    return " | ".join(ways)


def _kinds(declared: Declared) -> frozenset[str]:
    """The JSON types that a value may have; null is none that is but `nullable`, which JSON Schema does not know."""
    return Declared({**declared.schema, "nullable": False}, declared.root).kinds


def _known(kind: str) -> str:
    return kind if kind in _ONE_LINE else "number"


def texts(rules: Rules, declared: Declared, close: str) -> list[str]:
    """The texts that a value may be, each with the mark that ends it."""
    found = []
    for one in variants(declared):
        schema = one.schema
        if one.kinds and "string" not in one.kinds:
            continue
        fixed = fixed_values(schema)
        if fixed is not None:
            found += [f"{rules.text(text)} {rules.text(close)}" for text in fixed if isinstance(text, str)]
            continue
        body = rules.terminal(text_pattern(schema) + without(close.strip().partition("\n")[0].partition(KEY)[0]))
        found.append(rules.until(body, close))
    return found


def fixed_values(schema: Mapping[str, Any]) -> Sequence[Any] | None:
    """The only values that a schema allows; None: there are others."""
    if "const" in schema:
        return [schema["const"]]
    return schema["enum"] if isinstance(schema.get("enum"), list) else None


def text_pattern(schema: Mapping[str, Any]) -> str:
    """What a terminal of the texts is that a schema allows."""
    import llguidance

    parts = [ANYTHING]
    least, most = schema.get("minLength") or 0, schema.get("maxLength")
    if least or most is not None:
        parts = [f"/(?s:.{{{least},{'' if most is None else most}}})/"]
    if isinstance(schema.get("pattern"), str):
        pattern = schema["pattern"]
        start = "" if pattern.startswith("^") else "(?s:.*)"
        end = "" if pattern.endswith("$") and not pattern.endswith(r"\$") else "(?s:.*)"
        inner = pattern.removeprefix("^")
        inner = inner if end else inner[:-1]
        parts.append(f"/{start}(?:{llguidance.regex_to_lark(inner, 'dw')}){end}/")
    return " & ".join(parts)


class Braces:
    """`{key:value,…}`, with texts between quotes of their own, and no quotes around keys.

    Args:
        quote: stands before and behind a text.
    """

    def __init__(self, rules: Rules, quote: str) -> None:
        self._rules, self._quote = rules, quote
        self._known: dict[str, str] = {}

    def object(self, declared: Declared) -> str:
        """An object by its properties."""

        def pair(key: str, inner: Declared) -> str:
            return f"{self._rules.text(self._key(key) + ':')} {self.value(inner)}"

        return self._rules.add(f'"{{" {_in_order(self._rules, declared, ",", pair)} "}}"')

    def value(self, declared: Declared) -> str:
        """Anything that a schema allows."""
        key = json.dumps(declared.schema, sort_keys=True)
        if key not in self._known:
            self._known[key] = name = self._rules.reserve()
            ways = [way for one in variants(declared) for way in self._ways(one)]
            self._rules.fill(name, " | ".join(ways))
        return self._known[key]

    def _ways(self, declared: Declared) -> list[str]:
        schema = declared.schema
        fixed = fixed_values(schema)
        if fixed is not None:
            return [self._rules.text(self._written(value)) for value in fixed]
        kinds, ways = _kinds(declared) or {"string"}, []
        for kind in sorted(kinds):
            if kind == "string":
                body = self._rules.terminal(text_pattern(schema) + without(self._quote))
                ways.append(f"{self._rules.text(self._quote)} {self._rules.until(body, self._quote)}")
            elif kind == "object":
                ways.append(self.object(declared))
            elif kind == "array":
                ways.append(self._array(declared))
            elif kind != "integer" or "number" not in kinds:
                ways.append(_json(self._rules, Declared({**schema, "type": kind}, declared.root)))
        return ways

    def _array(self, declared: Declared) -> str:
        item, schema = self.value(declared.item), declared.schema
        least, most = schema.get("minItems") or 0, schema.get("maxItems")
        more = f'("," {item}){{{max(least - 1, 0)},{"" if most is None else max(most - 1, 0)}}}'
        listed = "" if most == 0 else f"{item} {more}" if least else f"({item} {more})?"
        return f'"[" {listed} "]"'

    def _written(self, value: Any) -> str:
        if isinstance(value, str):
            return f"{self._quote}{value}{self._quote}"
        if isinstance(value, Mapping):
            pairs = (f"{self._key(key)}:{self._written(inner)}" for key, inner in value.items())
            return "{" + ",".join(pairs) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(self._written, value)) + "]"
        return json.dumps(value)

    def _key(self, key: str) -> str:
        plain = key == key.strip() and not set(key) & set(':,{}[]"')
        return key if plain and key else f"{self._quote}{key}{self._quote}"
