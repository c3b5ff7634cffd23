"""Every installed template that calls tools can be made to: of whatever tokens are drawn by the grammar, its own reader
makes calls of declared tools, whose arguments are valid."""

from __future__ import annotations

import importlib.metadata
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema
import pytest
from tunesmith import TunesmithError
from tunesmith.types import Conversation
from tunesmith_library_chat import answer_grammars, leading
from tunesmith_library_chat.family import FamilyTemplate
from tunesmith_library_chat.tokenizing import special_ids
from tunesmith_library_chat.writing import ID
from tunesmith_library_engine.constraints import Constraints
from tunesmith_library_engine.vocabularies import vocabulary_of

pytestmark = pytest.mark.slow

PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "beach": {"type": "string", "maxLength": 6},
        "hours": {"type": "integer", "enum": [1, 2]},
        "depth": {"type": "number", "minimum": -5, "maximum": 5},
        "wet": {"type": "boolean"},
        "kind": {"enum": ["a b", "c"]},
        "names": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        "place": {
            "type": "object",
            "properties": {"x": {"type": "integer", "minimum": 0, "maximum": 9}, "code": {"$ref": "#/$defs/code"}},
            "required": ["x"],
            "additionalProperties": False,
        },
        "when": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[0-9]{2}$"}]},
    },
    "required": ["beach", "depth"],
    "additionalProperties": False,
    "$defs": {"code": {"type": "string", "pattern": "^[A-Z]{2}$"}},
}
ZONE = {"type": "object", "properties": {"zone": {"type": "string", "maxLength": 4}}, "additionalProperties": False}
SCHEMAS = {"count_waves": PLACE, "tell_time": ZONE, "stop": {"type": "object", "properties": {}}}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "d", "parameters": schema}}
    for name, schema in SCHEMAS.items()
]
ASKED = Conversation([{"role": "user", "content": "Who?"}], TOOLS)


def families() -> dict[str, type[FamilyTemplate]]:
    """The classes of templates that call tools, by their first name."""
    found: dict[type[FamilyTemplate], str] = {}
    for entry in sorted(importlib.metadata.entry_points(group="tunesmith.template"), key=lambda entry: entry.name):
        cls = entry.load()
        if isinstance(cls, type) and issubclass(cls, FamilyTemplate) and cls.traits.calls is not None:
            found.setdefault(cls, entry.name)
    return {name: cls for cls, name in found.items()}


def walked(constraints: Constraints, tokenizer: Any, grammar: str, seed: int, said: str) -> str | None:
    """An answer of tokens drawn without regard to a model; None where it becomes too long."""
    constraint, rng = constraints.constraint(grammar, [tokenizer.eos_token_id]), random.Random(seed)
    assert constraint is not None
    made: list[int] = tokenizer.encode(said, add_special_tokens=False) if said else []
    for token in made:
        constraint.push(token)
    while len(made) < 400:
        allowed: Sequence[int] = constraint.allowed().nonzero()[0].tolist()
        if tokenizer.eos_token_id in allowed:
            return str(tokenizer.decode(made))
        made.append(rng.choice(allowed))
        constraint.push(made[-1])
    return None


def beginning(source: leading.Source, lead: leading.Lead) -> str:
    """What stands before the first call, with a thought where the prompt begins one: drawn tokens would not end it."""
    if lead.thought is None:
        return lead.plain
    return f"Hm.\n{lead.close}{lead.behind_thought.lstrip()}" if source.begun else lead.plain.lstrip()


def checked(template: Any, text: str) -> list[Mapping[str, Any]]:
    message = template.parse(text, ASKED)
    calls = [call["function"] for call in message.get("tool_calls", ())]
    assert calls and not message["content"].strip(), text
    for call in calls:
        jsonschema.validate(json.loads(call["arguments"]), SCHEMAS[call["name"]])
    return calls


def told(constraints: Constraints, tokenizer: Any, template: Any, seeds: Sequence[int]) -> tuple[int, list[str]]:
    """How many drawn answers came to their end, and what was wrong with them."""
    whole, wrong = 0, []
    source = answer_grammars.source_of(template, special_ids(tokenizer), ASKED)
    found = leading.calls_lead(source)
    assert found is not None, f"how {template.name} writes calls is not read off its Jinja"
    for seed in seeds:
        choice, parallel = [("required", False), ("tell_time", True), ("required", True)][seed % 3]
        grammar = template.tool_grammar(tokenizer, ASKED, choice, parallel) or ""
        try:
            said = beginning(source, found[0]).replace(ID, "abcdefgh1")
            text = walked(constraints, tokenizer, grammar, seed, said)
            calls = checked(template, text) if text is not None else []
        except (AssertionError, TunesmithError, jsonschema.ValidationError, KeyError) as error:
            wrong.append(f"{template.name} {choice}: {error}")
            continue
        whole += bool(calls)
        if (not parallel and len(calls) > 1) or any(call["name"] != choice in SCHEMAS for call in calls):
            wrong.append(f"{template.name} {choice}: {calls}")
    return whole, wrong


def test_every_family(tiny_bpe: Any) -> None:
    """Those that write calls alike, and read them alike, are tried once."""
    constraints = Constraints(lambda: vocabulary_of(tiny_bpe, len(tiny_bpe)), [tiny_bpe.eos_token_id])
    tried, whole, wrong = set[Any](), 0, []
    for cls in families().values():
        template = cls().chat_template(tiny_bpe).bind(tiny_bpe)
        found = leading.calls_lead(answer_grammars.source_of(template, special_ids(tiny_bpe), ASKED))
        if (kind := (repr(found), template.calls, template.thinking)) in tried:
            continue
        tried.add(kind)
        count, faults = told(constraints, tiny_bpe, template, range(3))
        whole, wrong = whole + count, wrong + faults
    assert not wrong, "\n".join(wrong[:5])
    assert whole > 2.4 * len(tried), "most walks come to an end"


@pytest.mark.real
@pytest.mark.parametrize(
    ("tokenizer_name", "names"),
    [
        ("qwen", ("qwen3", "qwen3_coder", "qwen2_5")),
        ("llama3", ("llama3_1",)),
        ("mistral", ("mistral", "mistral_small")),
    ],
)
def test_with_their_own_tokenizers(real_files: Any, tokenizer_name: str, names: Sequence[str]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_files / "tokenizers" / tokenizer_name)
    constraints = Constraints(lambda: vocabulary_of(tokenizer, len(tokenizer)), [tokenizer.eos_token_id])
    known = families()
    assert set(names) & set(known)
    for name in set(names) & set(known):
        template = known[name]().chat_template(tokenizer).bind(tokenizer)
        whole, wrong = told(constraints, tokenizer, template, range(6))
        assert whole >= 3 and not wrong, wrong[:3]
