"""What tokens weigh: by rule, message and row; what the rules hold is counted; what is wrong with them is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from tunesmith import DataError
from tunesmith_library_chat import ChatTemplate, Thinking
from tunesmith_library_chat.calls import HERMES
from tunesmith_library_formats import tallying
from tunesmith_library_training.answers import LogProbStage
from tunesmith_library_training.encoding import Encoded, Spans, encode_conversations
from tunesmith_library_training.pairs import PairStage
from tunesmith_library_training.weighing import Rule, Weighing, rule_problems

JINJA = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
    "{% if m.reasoning %}<think>\n{{ m.reasoning }}\n</think>\n\n{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}\n<tool_call>\n{{ c.function | tojson }}\n</tool_call>{% endfor %}"
    "<|im_end|>{% endgeneration %}{% else %}{{ m.content | trim }}<|im_end|>{% endif %}\n{% endfor %}"
)
TEMPLATE = ChatTemplate("small", JINJA, ("<|im_end|>",), calls=HERMES, thinking=Thinking())
CALL = {"type": "function", "function": {"name": "tide", "arguments": {"at": "noon"}}}
CHAT = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "When is high tide?"},
    {"role": "assistant", "reasoning": "I ask the tool.", "content": "Let me see.", "tool_calls": [CALL]},
    {"role": "tool", "content": "at 12:04"},
    {"role": "assistant", "content": "High tide is \\boxed{12:04}, and low tide is \\boxed{6}."},
]


def encode(tokenizer: Any, *rules: Rule, chat: Any = CHAT, row: Any = None, **options: Any) -> Encoded:
    weighing = Weighing(rules, TEMPLATE) if rules else None
    rows = [{"messages": chat, **(row or {})}]
    return encode_conversations(rows, tokenizer, TEMPLATE, Spans(rules=weighing, template=TEMPLATE, **options))[0]


def texts(tokenizer: Any, found: Encoded) -> dict[float, list[str]]:
    """The runs of tokens of the same weight, as text; those that are not trained are not there."""
    runs: dict[float, list[str]] = {}
    before = 0.0
    for token, label, weight in zip(found["input_ids"], found["labels"], found["weights"], strict=True):
        assert (label == token) if weight else (label == -100)
        if weight and weight != before:
            runs.setdefault(weight, []).append("")
        if weight:
            runs[weight][-1] += tokenizer.decode([token])
        before = weight
    return runs


def test_parts_of_an_answer(tiny_bpe: Any) -> None:
    rules = [Rule(part="thought", weight=0.0), Rule(part="calls", weight=2.0), Rule(part="answer", weight=0.5)]
    found = texts(tiny_bpe, encode(tiny_bpe, *rules))
    assert found == {
        2.0: ['<tool_call>\n{"name": "tide", "arguments": {"at": "noon"}}\n</tool_call>'],
        0.5: ["\n\nLet me see.", "<|im_end|>", CHAT[4]["content"] + "<|im_end|>"],
    }
    assert texts(tiny_bpe, encode(tiny_bpe, Rule(part="end", weight=7.0)))[7.0] == ["<|im_end|>", "<|im_end|>"]


def test_calls_before_the_text_and_spelt_in_it(tiny_bpe: Any) -> None:
    """As some families write them, and as data have them that were rendered before; no mark is calls by itself."""
    jinja = JINJA.replace("{{ m.content }}{% for c in", "{% for c in")
    turned = replace(TEMPLATE, jinja=jinja.replace("{% endfor %}<|im_end|>", "{% endfor %}{{ m.content }}<|im_end|>"))
    weighing = Weighing([Rule(weight=0.0), Rule(part="calls", weight=1.0)], turned)
    [found] = encode_conversations([{"messages": CHAT[:3]}], tiny_bpe, turned, Spans(rules=weighing))
    call = '<tool_call>\n{"name": "tide", "arguments": {"at": "noon"}}\n</tool_call>'
    assert texts(tiny_bpe, found) == {1.0: [call]}
    spelt = [CHAT[1], {"role": "assistant", "content": f"See: {call} and so on"}]
    only = [Rule(weight=0.0), Rule(part="calls", weight=1.0)]
    assert texts(tiny_bpe, encode(tiny_bpe, *only, chat=spelt)) == {1.0: [call]}


def test_a_thought_that_the_prompt_begins(tiny_bpe: Any) -> None:
    jinja = JINJA.replace("{% generation %}{% if m.reasoning %}<think>", "<think>{% generation %}{% if m.reasoning %}")
    opened = replace(TEMPLATE, jinja=jinja)
    weighing = Weighing([Rule(part="thought", weight=0.0)], opened)
    [found] = encode_conversations([{"messages": CHAT[:3]}], tiny_bpe, opened, Spans(rules=weighing))
    assert texts(tiny_bpe, found)[1.0][0].startswith("\n\nLet me see.")


@pytest.mark.parametrize(
    ("role", "said"),
    [("user", ["When is high tide?"]), ("tool", ["at 12:04"]), ("system", ["Be brief."])],
)
def test_what_others_say(tiny_bpe: Any, role: Any, said: list[str]) -> None:
    """Without the marks of their turns; where a template changes what they say, it is looked for as it stands."""
    assert texts(tiny_bpe, encode(tiny_bpe, Rule(role=role, weight=0.1)))[0.1] == said
    split = replace(TEMPLATE, jinja=JINJA.replace("m.content | trim", "m.content.split('|')[0] | trim"))
    weighing = Weighing([Rule(role=role, weight=0.1)], split)
    chat = [{**CHAT[0], "content": "Be brief."}, *CHAT[1:]]
    [found] = encode_conversations([{"messages": chat}], tiny_bpe, split, Spans(rules=weighing))
    assert texts(tiny_bpe, found)[0.1] == said


def test_patterns_and_the_order_of_rules(tiny_bpe: Any) -> None:
    boxed = Rule(pattern=r"\\boxed\{.*?\}", weight=3.0)
    assert texts(tiny_bpe, encode(tiny_bpe, boxed))[3.0] == ["\\boxed{12:04}", "\\boxed{6}"]
    only = encode(tiny_bpe, Rule(weight=0.0), Rule(pattern="High tide", weight=1.0))
    assert texts(tiny_bpe, only) == {1.0: ["High tide"]}
    masked = encode(tiny_bpe, boxed, Rule(pattern=r"\d+:\d+", weight=0.0))
    assert "12:04" not in "".join(texts(tiny_bpe, masked)[3.0])
    within = encode(tiny_bpe, Rule(pattern="tide", part="calls", weight=4.0))
    assert texts(tiny_bpe, within)[4.0] == ["tide"]


def test_weights_are_multiplied(tiny_bpe: Any) -> None:
    """A rule's, the message's and the row's; what a message does not train is not trained by a rule."""
    chat = [*CHAT[:4], {**CHAT[4], "weight": 0.5}]
    found = encode(
        tiny_bpe, Rule(pattern="low", weight=3.0), chat=chat, row={"weight": 2}, by_message=True, by_row=True
    )
    assert set(texts(tiny_bpe, found)) == {2.0, 1.0, 3.0}
    assert texts(tiny_bpe, found)[3.0] == [" low"] or texts(tiny_bpe, found)[3.0] == ["low"]
    silent = [*CHAT[:4], {**CHAT[4], "weight": 0}]
    assert "boxed" not in str(texts(tiny_bpe, encode(tiny_bpe, Rule(pattern="boxed", weight=3.0), chat=silent)))


def test_the_whole_conversation(tiny_bpe: Any) -> None:
    chat = [CHAT[0], {**CHAT[1], "weight": 0.25}, CHAT[2], {**CHAT[3], "weight": 0}, {**CHAT[4], "weight": 0.5}]
    found = encode(tiny_bpe, chat=chat, whole=True, by_message=True)
    runs = texts(tiny_bpe, found)
    assert runs[0.25] == ["When is high tide?"] and runs[0.5] == [CHAT[4]["content"] + "<|im_end|>"]
    assert "at 12:04" not in str(runs) and "Be brief." in runs[1.0][0]


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "much", 2e6])
def test_weights_that_are_none(tiny_bpe: Any, weight: Any) -> None:
    with pytest.raises(DataError, match=r"weight of a message must be a number from 0 to 1,000,000, found"):
        encode(tiny_bpe, chat=[*CHAT[:4], {**CHAT[4], "weight": weight}], by_message=True)
    with pytest.raises(DataError, match=r"weight of a row must be a number from 0"):
        encode(tiny_bpe, row={"weight": weight}, by_row=True)


def test_what_rules_hold_is_counted(tiny_bpe: Any) -> None:
    """Rows, not matches; of a row's two answers one is enough."""
    rows = [{"messages": [CHAT[1], {"role": "assistant", "content": text}]} for text in ("a b", "b b", "c", "c c")]
    rules = [Rule(pattern="b", weight=2.0), Rule(pattern="c c", weight=2.0), Rule(pattern="d", weight=2.0)]
    with tallying() as tally:
        weighing = Weighing(rules, TEMPLATE)
        encode_conversations(rows, tiny_bpe, TEMPLATE, Spans(rules=weighing))
        weighing.count(4)
    assert list(tally.matches.values()) == [2, 1, 0]
    assert next(iter(tally.matches)) == "stage.weights[0], the pattern b in assistant messages, weight 2"
    with tallying() as tally:
        weighing = Weighing(rules, TEMPLATE)
        encode_conversations(rows, tiny_bpe, TEMPLATE, Spans(rules=weighing))
        weighing.count(2)  # the first and third are of one row, and the second and fourth
    assert list(tally.matches.values()) == [2, 1, 0]


def test_a_pattern_that_takes_for_ever(tiny_bpe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith_library_training.weighing._SECONDS", 0.2)
    chat = [CHAT[1], {"role": "assistant", "content": "a" * 60 + "b"}]
    with pytest.raises(DataError, match=r"stage\.weights\[0\]\.pattern takes more than 0\.2 s"):
        encode(tiny_bpe, Rule(pattern=r"(a|aa)+$", weight=2.0), chat=chat)


def test_what_is_wrong_with_rules() -> None:
    def said(rule: Rule, **options: Any) -> str:
        [problem] = rule_problems([rule], **options)
        return f"{problem.severity}: {problem.key}: {problem.message} {problem.advice}"

    assert "error: stage.weights[0].pattern" in said(Rule(pattern="boxed{(", weight=1.0))
    assert r"boxed\{\(" in said(Rule(pattern="boxed{(", weight=1.0))
    assert "single quotes" in said(Rule(pattern="\boxed", weight=1.0))
    assert r"\\boxed" in said(Rule(pattern=r"\boxed\{.*?\}", weight=1.0))
    assert "finds nothing" in said(Rule(pattern="a*", weight=1.0))
    assert "has no thought" in said(Rule(role="user", part="thought", weight=1.0))
    assert "last_turn_only" in said(Rule(role="user", weight=1.0), last_only=True)
    assert "trains nothing" in said(Rule(weight=0.0))
    assert (
        rule_problems([Rule(pattern=r"\\boxed\{.*?\}", weight=2.0), Rule(weight=0.0), Rule(part="calls", weight=1)])
        == []
    )


def test_rules_over_the_whole_and_over_the_last_answer(tiny_bpe: Any) -> None:
    """`train_on_prompt` weighs all tokens 1 before the rules; with `last_turn_only` they hold the last answer alone."""
    rules = [Rule(role="user", weight=0.1), Rule(part="thought", weight=0.0)]
    runs = texts(tiny_bpe, encode(tiny_bpe, *rules, whole=True))
    assert runs[0.1] == ["When is high tide?"]
    assert "I ask the tool." not in str(runs[1.0]) and "<|im_start|>tool" in str(runs[1.0])
    last = texts(tiny_bpe, encode(tiny_bpe, Rule(pattern="tide", weight=2.0), last_only=True))
    assert last[2.0] == [" tide", " tide"] and "Let me see" not in str(last)


@pytest.mark.parametrize("longer", ["cut", "cut_prompt"])
def test_answers_of_a_pair_weigh(tiny_bpe: Any, longer: Any) -> None:
    """By message and row; the prompt's messages have none, and a stage that scores answers whole reads rows' alone."""
    said = [{"role": "assistant", "content": text, "weight": weight} for text, weight in (("low", 0.5), ("high", 2.0))]
    rows = [{"prompt": [{**CHAT[1], "weight": 3.0}], "chosen": said[:1], "rejected": said[1:], "weight": 4.0}]
    made = Weighed(message_weights=True, row_weights=True, longer=longer)
    columns = made.encode(rows=rows, processor=tiny_bpe, template=TEMPLATE)
    assert columns["weight"] == [4.0]
    for name, weight in (("chosen", 0.5), ("rejected", 2.0)):
        assert set(columns[f"{name}_weights"][0]) == {0.0, weight}
    with pytest.raises(DataError, match=r"stage\.message_weights=true"):
        Weighed().encode(rows=rows, processor=tiny_bpe, template=TEMPLATE)
    scored = Scored(row_weights=True).encode(rows=rows, processor=tiny_bpe, template=TEMPLATE)
    assert scored["weight"] == [4.0] and "chosen_weights" not in scored


@dataclass(kw_only=True, eq=False)
class Weighed(PairStage, LogProbStage):
    NAME = "weighed"


@dataclass(kw_only=True, eq=False)
class Scored(PairStage):
    NAME = "scored"
