"""The grammar of a whole answer: a thought where the model thinks, then text by a grammar, or calls of tools that are
right: of declared tools, with arguments that are valid, written as the template writes them."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.errors import TunesmithError, choices
from tunesmith.types import Conversation, Sampling

from tunesmith_library_chat.argument_rules import arguments_rule, json_rule
from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.leading import Lead, Source, calls_lead, text_lead
from tunesmith_library_chat.rules import ANYTHING, Rules, bounded, escaped, without
from tunesmith_library_chat.samples import as_key
from tunesmith_library_chat.tokenizers import tokenizer_of
from tunesmith_library_chat.tokenizing import special_ids
from tunesmith_library_chat.writing import NAME, Writing

WHOLE = "// a whole answer\n"
"""How a grammar begins that has in it what stands before an answer; other grammars are of what is said."""


def with_lead(template: Any, processor: Any, conversation: Conversation, sampling: Sampling) -> Sampling:
    """Settings whose grammar, if they have one, has in it what stands before the text that it is of."""
    grammar, limit = sampling.grammar, sampling.max_new_tokens
    if grammar is None:
        return sampling
    if not grammar.startswith(WHOLE):
        special = special_ids(tokenizer_of(processor))
        grammar = _of_text(source_of(template, special, conversation), special, grammar)
    return replace(sampling, grammar=grammar if limit is None else bounded(grammar, limit))


def of_calls(
    template: Any,
    processor: Any,
    conversation: Conversation,
    choice: str,
    parallel: bool,
    said: str | None,
) -> str | None:
    """The grammar of an answer that calls tools rightly, for `Sampling.grammar`; None where it may be anything.

    Args:
        choice: `required`, the name of the tool that is called, `none`, or `auto`, where calls are bound only if a tool
            says `strict`.
        parallel: whether there may be several calls, as far as the template writes several in an answer.
        said: the grammar of the text, where there need be no call.

    Raises: TunesmithError for a tool that is not there, or whose schema cannot be followed, and where the template does
        not say how calls are written.
    """
    special = special_ids(tokenizer_of(processor))
    source = source_of(template, special, conversation)
    tools = {} if choice == "none" else _functions(conversation.tools)
    if choice not in ("auto", "required", "none"):
        if choice not in tools:
            raise TunesmithError(f"there is no tool {choice!r} to be called.\n{choices(choice, sorted(tools))}")
        tools = {choice: tools[choice]}
    found = calls_lead(source) if template.calls and tools else None
    if choice in ("auto", "none"):
        if said is None and not any(tool.get("strict") is True for tool in tools.values()):
            return None
        if found is None:
            return said and _of_text(source, special, said)
    if found is None:
        why = "no tools are declared" if not tools else f"template {template.name} does not say how calls are written"
        raise TunesmithError(f"a call of a tool cannot be demanded: {why}.\n  possible: tool_choice auto or none")
    listed = json.dumps(tools, default=str)
    return WHOLE + _of_calls(source, tuple(special.items()), template.calls, listed, (choice == "auto", parallel, said))


def _of_text(source: Source, special: Mapping[str, int], grammar: str) -> str:
    lead = text_lead(source)
    if lead.thought is None and not lead.plain:
        return grammar
    rules = Rules(special)
    return WHOLE + rules.grammar(f"{lead.rule(rules)} {_nested(rules, grammar)}")


@functools.lru_cache(maxsize=128)
def _of_calls(
    source: Source,
    special: tuple[tuple[str, int], ...],
    calls: CallFormat | None,
    listed: str,
    asked: tuple[bool, bool, str | None],
) -> str:
    """
    Args:
        listed: the tools, as JSON; most requests declare those of the one before.
        asked: whether there may be none, whether there may be several, and the grammar of the text.
    """
    (free, parallel, said), tools, rules = asked, json.loads(listed), Rules(dict(special))
    found = calls_lead(source)
    assert found is not None
    lead, writing = found
    written = _calls(rules, writing, tools, parallel)
    if not free:
        start = f"{lead.rule(rules)} {written}"
    elif said is None:
        start = _free(rules, lead, calls, written, tools, dict(special))
    else:
        text = f"{text_lead(source).rule(rules)} {_nested(rules, said)}"
        start = rules.add(f"{lead.rule(rules)} {written} | {text}")
    return _checked(rules.grammar(start))


def source_of(template: Any, special: Mapping[str, int], conversation: Conversation) -> Source:
    """A template, as far as answers to a conversation are concerned."""
    variables = {**template.variables, **template.switched(conversation.variables)}
    asked = [{"role": "user", "content": "1"}]
    prompt = template.render(asked, conversation.tools, add_generation_prompt=True, **conversation.variables).text
    begun = bool(template.thinking and template.thinking.begun(prompt))
    marks = tuple(sorted(special, key=len, reverse=True))
    return Source(template.jinja, as_key(variables), template.stop, template.thinking, marks, begun)


def _functions(tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Mapping[str, Any]]:
    functions = [tool.get("function") or tool for tool in tools or ()]
    return {str(function.get("name")): function for function in functions}


def _nested(rules: Rules, grammar: str) -> str:
    return rules.add(f"%lark {{\n{grammar}\n}}")


def _checked(grammar: str) -> str:
    from tunesmith_library_engine.grammars import check_grammar

    check_grammar(grammar)
    return grammar


def _calls(rules: Rules, writing: Writing, tools: Mapping[str, Mapping[str, Any]], parallel: bool) -> str:
    """Calls behind the head of the first."""
    ways = []
    for name, tool in tools.items():
        schema = _closed(tool.get("parameters"))
        _checked(f"start: {json_rule(schema)}")  # which says what of it is not supported, whatever the form
        arguments = arguments_rule(rules, schema, writing.arguments)
        joint = rules.text(writing.joint.replace(NAME, name))
        first, last = (arguments, rules.text(name)) if writing.name_last else (rules.text(name), arguments)
        ways.append(f"{first} {joint} {last}")
    call = rules.add(" | ".join(ways))
    tail = rules.text(writing.tail.rstrip())
    if not parallel or writing.between is None:
        return f"{call} {tail}"
    return f"{call} ({rules.text(writing.between)} {call})* {tail}"


def _closed(parameters: Any) -> Mapping[str, Any]:
    """The schema of an object, that a tool declares; one that declares nothing has no arguments."""
    if not isinstance(parameters, Mapping) or not parameters:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    return parameters if "type" in parameters or "$ref" in parameters else {"type": "object", **parameters}


def _free(
    rules: Rules,
    lead: Lead,
    calls: CallFormat | None,
    written: str,
    tools: Mapping[str, Any],
    special: Mapping[str, int],
) -> str:
    """Text, behind which there may be calls."""
    head = lead.plain.lstrip()
    mark = next((mark for mark in calls.open if mark.strip() in head), "").strip() if calls else ""
    thought = Lead("", "", lead.thought, lead.close).rule(rules)
    if not mark:
        start = escaped(head[:1]) if head else f"({'|'.join(map(escaped, tools))})"
        text = rules.terminal(rf"{ANYTHING} & ~/\s*{start}(?s:.*)/")
        return f"{thought} ({text} | {rules.text(head)} {written})"
    rest = head.partition(mark)[2]
    behind = f"{rules.text(rest)} {written}"
    whole = mark in special
    text = rules.terminal(ANYTHING + ("" if whole else without(mark)))
    opened = rules.until(rules.terminal(ANYTHING), mark)
    return f"{thought} ({text} | {opened} {behind})"
