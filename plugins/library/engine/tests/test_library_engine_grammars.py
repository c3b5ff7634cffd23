"""Grammars, and answers that follow them, without a model: tokens are drawn from those that may come next."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Collection
from typing import Any

import jsonschema
import pytest
from tunesmith import TunesmithError
from tunesmith_library_engine import grammars
from tunesmith_library_engine.constraints import Constraints
from tunesmith_library_engine.vocabularies import vocabulary_of

PLACE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "height": {"type": "number"},
        "kind": {"enum": ["hill", "sea", None]},
        "near": {"type": "array", "items": {"$ref": "#/$defs/code"}, "minItems": 1, "maxItems": 2},
    },
    "required": ["name", "height", "kind", "near"],
    "additionalProperties": False,
    "$defs": {"code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]$"}},
}


@pytest.fixture(scope="module")
def constraints(tiny_bpe: Any) -> Constraints:
    return Constraints(functools.partial(vocabulary_of, tiny_bpe, len(tiny_bpe) + 3), [tiny_bpe.eos_token_id])


def walked(
    constraints: Constraints, tokenizer: Any, grammar: str, seed: int = 0, ends: Collection[int] = (), most: int = 400
) -> str:
    """An answer whose tokens are drawn without regard to a model, and which ends as soon as it may."""
    ends = ends or [tokenizer.eos_token_id]
    constraint = constraints.constraint(grammar, ends)
    assert constraint is not None
    rng, made = random.Random(seed), list[int]()
    while len(made) < most:
        allowed = constraint.allowed().nonzero()[0].tolist()
        if set(allowed) & set(ends):
            return str(tokenizer.decode(made))
        made.append(rng.choice(allowed))
        constraint.push(made[-1])
    raise AssertionError(f"no end: {tokenizer.decode(made)!r}")


def test_answers_are_valid_by_their_schema(constraints: Constraints, tiny_bpe: Any) -> None:
    grammar = grammars.json_schema(PLACE)
    told = {walked(constraints, tiny_bpe, grammar, seed) for seed in range(10)}
    assert len(told) == 10
    for answer in told:
        jsonschema.validate(json.loads(answer), PLACE)


def test_numbers_end(constraints: Constraints, tiny_bpe: Any) -> None:
    """A model that repeats itself does not write digits, or white space, until its tokens are used up."""
    for schema in ({"type": "number"}, {"type": "integer"}, {"type": "number", "minimum": 0, "maximum": 1}):
        for favourite in ("3", " ", "\n"):
            constraint = constraints.constraint(
                grammars.json_schema({"type": "array", "items": schema, "maxItems": 2}), [1]
            )
            assert constraint is not None
            wanted, made = tiny_bpe.encode(favourite)[0], list[int]()
            while not (allowed := constraint.allowed())[1] and len(made) < 300:
                made.append(wanted if allowed[wanted] else int(allowed.nonzero()[0][-1]))
                constraint.push(made[-1])
            assert len(made) < 300, tiny_bpe.decode(made)


def test_regex_choice_lark(constraints: Constraints, tiny_bpe: Any) -> None:
    assert walked(constraints, tiny_bpe, grammars.regex(r"^a/b\$[0-9]{2}\\$"))[:4] == "a/b$"
    assert walked(constraints, tiny_bpe, grammars.choice(['so "so"', "né\n"])) in ('so "so"', "né\n")
    assert walked(constraints, tiny_bpe, grammars.lark('start: "x" y\ny: "1" | "2"')) in ("x1", "x2")
    assert json.loads(walked(constraints, tiny_bpe, grammars.json_schema({"const": {"a": [1]}}))) == {"a": [1]}
    with pytest.raises(TunesmithError, match="texts to choose from"):
        grammars.choice([])


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "array", "uniqueItems": True, "contains": {}}, "uniqueItems"),
        ({"properties": {"a": {"not": {"type": "string"}}}}, "follow: not."),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "required property 'a'"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "write anyOf"),
        ({"type": "string", "format": "moon"}, "format: moon"),
        ({"$ref": "#/$defs/none"}, "none"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "minimum"),
        (False, "Unsatisfiable|enum"),
    ],
)
def test_schemas_that_cannot_be_followed(schema: Any, said: str) -> None:
    with pytest.raises(TunesmithError, match=said):
        grammars.json_schema(schema)


def test_what_is_no_schema() -> None:
    deep: dict[str, object] = {"type": "integer"}
    for _ in range(3000):
        deep = {"type": "array", "items": deep}
    for schema in (deep, [1], "text", {"enum": {1, 2}}):
        with pytest.raises(TunesmithError, match="JSON Schema"):
            grammars.json_schema(schema)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "grammar", ["bogus", "start: x", 'start: "a"' + " " * grammars.MOST_CHARACTERS, "start: /(?=a)/"]
)
def test_what_is_no_grammar(constraints: Constraints, grammar: str) -> None:
    for refuse in (grammars.lark, lambda text: constraints.constraint(text, [1])):
        with pytest.raises(TunesmithError, match="grammar"):
            refuse(grammar)


def test_an_answer_ends_where_its_grammar_does(constraints: Constraints, tiny_bpe: Any) -> None:
    """Only the tokens that end this answer may come then, and before none of them."""
    ends = [tiny_bpe.eos_token_id, tiny_bpe.convert_tokens_to_ids("<|im_end|>")]
    constraint = constraints.constraint(grammars.choice(["ab"]), ends)
    assert constraint is not None and not constraint.complete and not constraint.allowed()[ends].any()
    for token in tiny_bpe.encode("ab"):
        constraint.push(token)
    assert constraint.complete and constraint.allowed().nonzero()[0].tolist() == sorted(ends)
    again = constraints.constraint(grammars.choice(["ab"]), ends)
    assert again is not None and not again.complete
    with pytest.raises(TunesmithError, match="does not follow"):
        again.push(tiny_bpe.encode("z")[0])
    with pytest.raises(TunesmithError, match="this model has none"):
        constraints.constraint(grammars.choice(["ab"]), [])
    assert constraints.constraint(None, []) is None
    with pytest.raises(TunesmithError, match="no grammar that an answer can follow"):
        constraints.constraint('start: %json {"$ref": "#"}', ends)


def test_special_tokens_are_no_text(constraints: Constraints, tiny_bpe: Any) -> None:
    special = tiny_bpe.convert_tokens_to_ids("<|im_start|>")
    anything = constraints.constraint("start: /(.|\\n)*/", [1])
    assert anything is not None and not anything.allowed()[special]
    named = constraints.constraint(f'start: <[{special}]> "a"', [1])
    assert named is not None and named.allowed().nonzero()[0].tolist() == [special]


def spaced(*decoders: Any) -> Any:
    """A tokenizer whose tokens have `▁` for a space, and bytes as `<0x…>`."""
    from tokenizers import Tokenizer, models
    from tokenizers.decoders import Sequence as Steps
    from transformers import PreTrainedTokenizerFast

    words = ["</s>", "▁", "▁a", "a", "b", '"', "{", "}", "[", "]", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "a")], byte_fallback=True))
    tokenizer.decoder = Steps(list(decoders)) if decoders else None
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def test_other_vocabularies() -> None:
    """What is written for spaces and bytes; where it is not told, answers cannot follow a grammar."""
    from tokenizers import decoders

    tokenizer = spaced(decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse())
    vocabulary = vocabulary_of(tokenizer, len(tokenizer))
    assert [vocabulary.tokens[index] for index in (1, 2, 3, 10 + 0xC3)] == [b" ", b" a", b"a", b"\xc3"]
    bound = Constraints(lambda: vocabulary, [0])
    assert walked(bound, tokenizer, grammars.choice(["é a"]), ends=[0]) == "é a"
    with pytest.raises(TunesmithError, match=r"decoder \(none\) does not say"):
        vocabulary_of(spaced(), 100)

    class Plain:
        """One that is no Rust object: what its tokens are shows when they are decoded."""

        added_tokens_decoder: dict[int, Any] = {}
        words = ("a", "b", " b", "\ufffd")

        def __len__(self) -> int:
            return len(self.words)

        def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
            return [self.words.index(character) for character in text]

        def decode(self, ids: list[int]) -> str:
            return "".join(self.words[index] for index in ids)

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [self.words[index] for index in ids]

    assert list(vocabulary_of(Plain(), 6).tokens) == [b"a", b"b", b" b", b"", b"", b""]


def test_ends_that_only_a_request_has(tiny_bpe: Any) -> None:
    bound = Constraints(functools.partial(vocabulary_of, tiny_bpe, len(tiny_bpe)), [])
    assert walked(bound, tiny_bpe, grammars.choice(["ab"]), ends=[tiny_bpe.encode("z")[0]]) == "ab"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama2", "llama3", "mistral", "qwen"])
def test_published_vocabularies(real_files: Any, name: str) -> None:
    """The bytes of tokens, joined, are what the tokenizer decodes; and answers by a schema are valid."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_files / "tokenizers" / name)
    vocabulary = vocabulary_of(tokenizer, len(tokenizer))
    text = 'x Whales sing: "né 你好 🐳"\n\n\tif a:\n        b = {"c": [1, 2]}'
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert b"".join(vocabulary.tokens[token] for token in ids).decode().removeprefix(" ") == text
    constraints = Constraints(lambda: vocabulary, [tokenizer.eos_token_id])
    for seed in range(5):
        jsonschema.validate(json.loads(walked(constraints, tokenizer, grammars.json_schema(PLACE), seed)), PLACE)
