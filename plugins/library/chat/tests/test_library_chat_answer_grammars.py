"""Grammars of answers, read off templates: of whatever tokens are drawn by them the reader makes right calls.

The templates here have one form of calls each; `tests/test_demanded_calls.py` has all that are installed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema
import pytest
from tunesmith import TunesmithError
from tunesmith.types import Conversation, Sampling
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.calls import FUNCTION_GEMMA, GLM, HERMES, LFM, LLAMA, CallFormat
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_engine import grammars
from tunesmith_library_engine.constraints import Constraints
from tunesmith_library_engine.vocabularies import vocabulary_of

TURNS = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.reasoning %}<think>{{ message.reasoning }}</think>\n{% endif %}{{ message.content }}"
    "{% for call in message.tool_calls %}CALL{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NAME, ARGUMENTS = "{{ call.function.name }}", "call.function.arguments"
PAIRS = f"{{% for key, value in {ARGUMENTS}.items() %}}"
FORMS: Mapping[str, tuple[CallFormat, str]] = {
    "objects": (
        HERMES,
        f'<tool_call>\n{{"name": "{NAME}", "arguments": {{{{ {ARGUMENTS} | tojson }}}}}}\n</tool_call>',
    ),
    "name_last": (
        HERMES,
        f'<tool_call>\n{{"arguments": {{{{ {ARGUMENTS} | tojson }}}}, "name": "{NAME}"}}\n</tool_call>',
    ),
    "without_mark": (LLAMA, f'{{"name": "{NAME}", "parameters": {{{{ {ARGUMENTS} | tojson }}}}}}'),
    "python": (
        LFM,
        f"<|tool_call_start|>[{NAME}({PAIRS}{{{{ key }}}}={{{{ value | tojson }}}}"
        "{% if not loop.last %}, {% endif %}{% endfor %})]<|tool_call_end|>",
    ),
    "elements": (
        GLM,
        f"<tool_call>{NAME}\n{PAIRS}<arg_key>{{{{ key }}}}</arg_key>\n"
        "<arg_value>{{ value if value is string else value | tojson }}</arg_value>\n{% endfor %}</tool_call>",
    ),
    "braces": (
        FUNCTION_GEMMA,
        f"<start_function_call>call:{NAME}{{{{ '{{' }}}}{PAIRS}{{{{ key }}}}:"
        "{% if value is string %}<escape>{{ value }}<escape>{% else %}{{ value | tojson }}{% endif %}"
        "{% if not loop.last %},{% endif %}{% endfor %}{{ '}' }}<end_function_call>",
    ),
}
PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 4},
        "height": {"type": "number", "minimum": -5, "maximum": 5},
        "kind": {"enum": ["a b", "c"]},
        "hours": {"type": "integer", "enum": [1, 2]},
        "code": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[0-9]{2}$"}]},
        "part": {
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/letters"}, "y": {"type": "boolean"}},
            "required": ["y"],
            "additionalProperties": False,
        },
        "names": {"type": "array", "items": {"$ref": "#/$defs/letters"}, "minItems": 1, "maxItems": 2},
    },
    "required": ["name", "height", "names"],
    "additionalProperties": False,
    "$defs": {"letters": {"type": "string", "pattern": "^[A-Z]{1,2}$"}},
}
SCHEMAS = {"find_place": PLACE, "tell_time": {"type": "object", "properties": {}}}


def tools(**more: Any) -> list[dict[str, Any]]:
    functions = [{"name": name, "description": "", "parameters": schema, **more} for name, schema in SCHEMAS.items()]
    return [{"type": "function", "function": function} for function in functions]


def template(form: str, tokenizer: Any, **more: Any) -> ChatTemplate:
    calls, jinja = FORMS[form]
    return ChatTemplate(form, TURNS.replace("CALL", jinja), ("<|im_end|>",), calls=calls, **more).bind(tokenizer)


@pytest.fixture(scope="module")
def constraints(tiny_bpe: Any) -> Constraints:
    return Constraints(lambda: vocabulary_of(tiny_bpe, len(tiny_bpe)), [tiny_bpe.eos_token_id])


def walked(constraints: Constraints, tokenizer: Any, grammar: str, seed: int, said: str = "") -> str:
    """An answer of tokens drawn without regard to a model, which ends once in two times that it may.

    Args:
        said: how it begins.
    """
    constraint, rng = constraints.constraint(grammar, [tokenizer.eos_token_id]), random.Random(seed)
    assert constraint is not None
    made: list[int] = tokenizer.encode(said) if said else []
    for token in made:
        constraint.push(token)
    while len(made) < 2000:
        allowed: Sequence[int] = constraint.allowed().nonzero()[0].tolist()
        if tokenizer.eos_token_id in allowed and (len(allowed) == 1 or rng.random() < 0.5):
            return str(tokenizer.decode(made))
        allowed = [token for token in allowed if token != tokenizer.eos_token_id]
        made.append(rng.choice(allowed))
        constraint.push(made[-1])
    raise AssertionError(f"no end: {tokenizer.decode(made)!r}")


def right_calls(message: Mapping[str, Any]) -> list[str]:
    """The names of a message's calls, all of which are valid."""
    found = [call["function"] for call in message.get("tool_calls", ())]
    for call in found:
        jsonschema.validate(json.loads(call["arguments"]), SCHEMAS[call["name"]])
    return [call["name"] for call in found]


@pytest.mark.parametrize("form", FORMS)
def test_demanded_calls(constraints: Constraints, tiny_bpe: Any, form: str) -> None:
    written = template(form, tiny_bpe)
    asked = Conversation([{"role": "user", "content": "Where?"}], tools())
    called: list[list[str]] = []
    for choice, parallel in (("required", True), ("find_place", False)):
        grammar = written.tool_grammar(tiny_bpe, asked, choice, parallel)
        assert grammar is not None
        for seed in range(6):
            message = written.parse(walked(constraints, tiny_bpe, grammar, seed), asked)
            assert message["content"] == ""
            called.append(right_calls(message))
            assert called[-1] if choice == "required" else called[-1] == ["find_place"]
    grammar = written.tool_grammar(tiny_bpe, asked) or ""
    bare = FORMS[form][1].partition(NAME)[0].partition("{% for")[0].partition("{{ call")[0]
    bare += "{}" if form == "name_last" else "tell"
    called.append(right_calls(written.parse(walked(constraints, tiny_bpe, grammar, 1, bare), asked)))
    assert called[-1][0] == "tell_time" and {name for names in called for name in names} == set(SCHEMAS)
    assert any(len(names) > 1 for names in called)


@pytest.mark.parametrize("form", ["objects", "without_mark"])
def test_calls_that_may_be(constraints: Constraints, tiny_bpe: Any, form: str) -> None:
    """Text is free, until calls begin, which are right then; without a strict tool nothing is bound."""
    written = template(form, tiny_bpe)
    plain, strict = (
        Conversation([{"role": "user", "content": "Where?"}], tools(**more)) for more in ({}, {"strict": True})
    )
    assert written.tool_grammar(tiny_bpe, plain, "auto") is None
    assert written.tool_grammar(tiny_bpe, strict, "none") is None
    grammar = written.tool_grammar(tiny_bpe, strict, "auto") or ""
    assert written.parse(walked(constraints, tiny_bpe, grammar, 0, "Well"), strict)["content"].startswith("Well")
    begun = {"objects": 'Well.\n<tool_call>\n{"name": "', "without_mark": '{"name": "'}[form]
    for seed in range(3):
        assert right_calls(written.parse(walked(constraints, tiny_bpe, grammar, seed, begun), strict))
    constraint = constraints.constraint(grammar, [tiny_bpe.eos_token_id])
    assert constraint is not None
    for token in tiny_bpe.encode(begun):
        constraint.push(token)
    assert not constraint.allowed()[tiny_bpe.encode("z")].any()


def test_calls_or_text_by_a_grammar(constraints: Constraints, tiny_bpe: Any) -> None:
    written, asked = template("objects", tiny_bpe), Conversation([{"role": "user", "content": "Where?"}], tools())
    grammar = written.tool_grammar(tiny_bpe, asked, "auto", said=grammars.choice(["here", "there"])) or ""
    told = [written.parse(walked(constraints, tiny_bpe, grammar, seed), asked) for seed in range(12)]
    assert {message["content"] for message in told} <= {"here", "there", ""}
    assert {bool(right_calls(message)) for message in told} == {True, False}


def test_thoughts_come_first(constraints: Constraints, tiny_bpe: Any) -> None:
    """What is said, or called, follows the grammar; a thought before it is free."""
    written = template("objects", tiny_bpe, thinking=Thinking())
    asked = Conversation([{"role": "user", "content": "Where?"}], tools())
    request = written.request(tiny_bpe, asked, Sampling(grammar=grammars.choice(["here"])))
    thought = "<think>Is it { there?</think>"
    for begun, reasoning in (("", None), (thought, "Is it { there?")):
        text = walked(constraints, tiny_bpe, request.sampling.grammar or "", 3, begun + "here")
        message = written.parse(text, asked)
        assert message["content"] == "here" and message.get("reasoning") == reasoning
    calling = written.tool_grammar(tiny_bpe, asked) or ""
    message = written.parse(walked(constraints, tiny_bpe, calling, 1, thought + "<tool_call>"), asked)
    assert message["reasoning"] == "Is it { there?" and right_calls(message)
    again = written.request(tiny_bpe, asked, Sampling(grammar=calling)).sampling.grammar
    assert again == calling
    prompted = template("objects", tiny_bpe, thinking=Thinking())
    jinja = prompted.jinja.replace("assistant\n{% endif %}", "assistant\n<think>{% endif %}")
    prompted = ChatTemplate("prompted", jinja, prompted.stop, thinking=Thinking(), calls=HERMES).bind(tiny_bpe)
    grammar = prompted.request(tiny_bpe, asked, Sampling(grammar=grammars.choice(["here"]))).sampling.grammar or ""
    message = prompted.parse(walked(constraints, tiny_bpe, grammar, 3, "Hm.</think>"), asked)
    assert (message["content"], message["reasoning"]) == ("here", "Hm.")


@pytest.mark.parametrize("close", ["</think>", "<|im_start|>"])
def test_a_thought_leaves_room(constraints: Constraints, tiny_bpe: Any, close: str) -> None:
    """Of an answer whose length is known; the mark behind it is text, or a special token."""
    jinja = TURNS.replace("CALL", FORMS["objects"][1]).replace("</think>", close)
    written = ChatTemplate("late", jinja, ("<|im_end|>",), thinking=Thinking(close=close), calls=HERMES).bind(tiny_bpe)
    asked = Conversation([{"role": "user", "content": "Where?"}], tools())
    (letter,) = tiny_bpe.encode("a")
    for limit, room in ((40, False), (4000, True), (None, True)):
        wanted = Sampling(grammar=written.tool_grammar(tiny_bpe, asked), max_new_tokens=limit)
        grammar = written.request(tiny_bpe, asked, wanted).sampling.grammar
        constraint = constraints.constraint(grammar, [tiny_bpe.eos_token_id])
        assert constraint is not None
        for token in tiny_bpe.encode("<think>"):
            constraint.push(token)
        for _ in range(8):
            constraint.push(letter)
        said = 8
        while said < 30 and constraint.allowed()[letter]:
            constraint.push(letter)
            said += 1
        assert (said == 30) == room
        assert constraint.allowed()[tiny_bpe.encode(close)[0]]


@pytest.mark.parametrize("form", ["python", "elements", "braces"])
@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"allOf": [{"type": "string", "minLength": 2}, {"maxLength": 3}]}}, "required": ["a"]},
        {"properties": {"a": {"enum": ["1", 2, None, "x y"]}}, "required": ["a"]},
        {"properties": {"a": {"const": "é\n<b>"}, "from": {"const": 3}}, "required": ["a", "from"]},
        {"properties": {"a": {"type": ["string", "integer"], "maxLength": 3, "maximum": 9}}, "required": ["a"]},
        {"properties": {"a": {"type": "boolean"}}, "required": ["a", "b"], "additionalProperties": {"type": "null"}},
        {"anyOf": [{"properties": {key: {"type": "boolean"}}, "required": [key]} for key in "ab"]},
        {"$ref": "#/$defs/r", "$defs": {"r": {"properties": {"a": {"type": "null"}}, "required": ["a"]}}},
        {"properties": {"a": {"type": "string", "pattern": "[0-9]", "maxLength": 4}}, "required": ["a"]},
    ],
)
def test_schemas_of_arguments(constraints: Constraints, tiny_bpe: Any, form: str, schema: dict[str, Any]) -> None:
    """What several schemas say together holds in forms that are no JSON."""
    written = template(form, tiny_bpe)
    listed = [{"type": "function", "function": {"name": "do-it_1", "parameters": {"type": "object", **schema}}}]
    asked = Conversation([{"role": "user", "content": "Where?"}], listed)
    grammar = written.tool_grammar(tiny_bpe, asked, "do-it_1", False) or ""
    for seed in range(2):
        (call,) = written.parse(walked(constraints, tiny_bpe, grammar, seed), asked)["tool_calls"]
        jsonschema.validate(json.loads(call["function"]["arguments"]), {"type": "object", **schema})


def test_special_tokens_are_written_as_such(tiny_bpe: Any, constraints: Constraints) -> None:
    """A mark that the tokenizer has as a control token is that token, and no text that is written alike."""
    calls = CallFormat("marked", HERMES.read, ("<|im_start|>",), ("<|im_end|>",))
    jinja = TURNS.replace("CALL", FORMS["objects"][1].replace("<tool_call>\n", "<|im_start|>"))
    written = ChatTemplate("marked", jinja.replace("</tool_call>", ""), ("</s>",), calls=calls).bind(tiny_bpe)
    asked = Conversation([{"role": "user", "content": "Where?"}], tools())
    constraint = constraints.constraint(written.tool_grammar(tiny_bpe, asked), [tiny_bpe.eos_token_id])
    assert constraint is not None
    assert constraint.allowed().nonzero()[0].tolist() == [tiny_bpe.convert_tokens_to_ids("<|im_start|>")]


def test_what_cannot_be_demanded(tiny_bpe: Any) -> None:
    written, asked = template("elements", tiny_bpe), Conversation([{"role": "user", "content": "Where?"}], tools())
    with pytest.raises(TunesmithError, match="find_place"):
        written.tool_grammar(tiny_bpe, asked, "find_plaice")
    with pytest.raises(TunesmithError, match="no tools are declared"):
        written.tool_grammar(tiny_bpe, Conversation(asked.messages), "required")
    silent = ChatTemplate("silent", TURNS.replace("CALL", ""), ("<|im_end|>",)).bind(tiny_bpe)
    with pytest.raises(TunesmithError, match="silent does not say how calls are written"):
        silent.tool_grammar(tiny_bpe, asked, "required")
    odd = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    listed = [{"type": "function", "function": {"name": "odd", "parameters": odd}}]
    with pytest.raises(TunesmithError, match="uniqueItems"):
        written.tool_grammar(tiny_bpe, Conversation(asked.messages, listed), "required")
