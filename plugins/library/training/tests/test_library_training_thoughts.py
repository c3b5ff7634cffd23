"""Thoughts of a conversation that a template does not write are counted, those of the last answer by themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tunesmith_library_chat import ChatTemplate, Thinking
from tunesmith_library_formats import tallying
from tunesmith_library_training.encoding import Spans, encode_conversations

SILENT = "{% for message in messages %}[{{ message.role }}]{{ message.content.split('</think>')[-1] }}</s>{% endfor %}"
LAST = (
    "{% for message in messages %}[{{ message.role }}]"
    "{% if loop.last and message.reasoning %}<think>{{ message.reasoning }}</think>{% endif %}{{ message.content }}</s>"
    "{% endfor %}"
)
ASK = {"role": "user", "content": "Hi?"}
APART = {"role": "assistant", "content": "Hi!", "reasoning": " They greet. "}
WITHIN = {"role": "assistant", "content": "<think>They greet.</think>Hi!"}
BEGUN = {"role": "assistant", "content": "They greet.</think>Hi!"}
PLAIN = {"role": "assistant", "content": "Hi!"}


@pytest.mark.parametrize(
    ("jinja", "last", "earlier"),
    [(SILENT, 3, 2), (LAST, 0, 1), ("{% for message in messages %}{{ message | tojson }}</s>{% endfor %}", 0, 0)],
)
def test_rows_that_lose_thoughts_are_counted(jinja: str, last: int, earlier: int, tiny_bpe: Any) -> None:
    chats = [[ASK, APART], [ASK, WITHIN], [ASK, APART, ASK, PLAIN], [ASK, WITHIN, ASK, BEGUN], [ASK, PLAIN], [ASK]]
    template = ChatTemplate("mine", jinja, ("</s>",)).bind(tiny_bpe)
    with tallying() as tally:
        encode_conversations([{"messages": chat} for chat in chats], tiny_bpe, template, Spans(whole=True))
    counts = {what.partition(",")[0]: share.count for what, share in tally.shares.items()}
    found = {"lose the thought of their last answer": last, "lose the thoughts of earlier answers": earlier}
    assert counts == {what: number for what, number in found.items() if number}


def test_a_row_switches_thoughts_for_itself(tiny_bpe: Any) -> None:
    """Hybrid data; the template hears it under its own name, and rows that no template asks are counted."""
    jinja = "{% for message in messages %}{{ message.content }}{% endfor %}{{ '!' if thinking is false else '' }}"
    rows = [{"messages": [ASK], "enable_thinking": value} for value in (True, False, None)] + [{"messages": [ASK]}]
    for thinking, ends, counted in ((Thinking(switch="thinking"), ["?", "!", "?", "?"], 0), (None, ["?"] * 4, 2)):
        template = ChatTemplate("hybrid", jinja, ("</s>",), thinking=thinking).bind(tiny_bpe)
        with tallying() as tally:
            encoded = encode_conversations(rows, tiny_bpe, template, Spans(whole=True))
        assert [tiny_bpe.decode(example["input_ids"])[-1] for example in encoded] == ends
        assert sum(share.count for share in tally.shares.values()) == counted


def test_rows_that_are_not_to_think_have_no_thoughts(tiny_bpe: Any) -> None:
    """They are written as a model that is told not to think is asked, and counted by what was said of them."""
    jinja = (
        "{% for message in messages %}[{{ message.role }}]"
        "{% if thinking and message.reasoning %}<think>{{ message.reasoning }}</think>{% endif %}{{ message.content }}"
        "{% endfor %}"
    )
    template = ChatTemplate("hybrid", jinja, ("</s>",), thinking=Thinking(switch="thinking")).bind(tiny_bpe)
    whole, bare = "[user]Hi?[assistant]<think>They greet.</think>Hi!", "[user]Hi?[assistant]Hi!"
    for said, text, what in (
        (True, whole, []),
        (None, bare, ["lose the thought of their last answer, which the template writes with enable_thinking=true"]),
        (False, bare, ["lose their thoughts, for enable_thinking=false says that the model does not think"]),
    ):
        answers = WITHIN, {**PLAIN, "reasoning": "They greet."}
        rows = [{"messages": [ASK, answer], "enable_thinking": said} for answer in answers]
        with tallying() as tally:
            encoded = encode_conversations(rows, tiny_bpe, template, Spans(whole=True))
        assert [tiny_bpe.decode(example["input_ids"]) for example in encoded] == [text] * 2
        assert {name: share.count for name, share in tally.shares.items()} == dict.fromkeys(what, 2)


@pytest.mark.parametrize(
    ("written", "prompt", "said", "number"),
    [
        ("", "{{ '' if thinking is false else '!' }}", None, 2),  # it thinks unless it is told not to
        ("", "{{ '' if thinking is false else '!' }}", False, 0),
        ("", "{{ '!' if thinking else '' }}", None, 0),  # it thinks if it is told to
        ("", "{{ '!' if thinking else '' }}", True, 2),
        ("<think></think>", "{{ '' if thinking is false else '!' }}", None, 0),  # the thought is empty, and not trained
    ],
)
def test_answers_at_once_of_a_model_that_is_asked_to_think(
    written: str, prompt: str, said: bool | None, number: int, tiny_bpe: Any
) -> None:
    """They teach a hybrid model not to think, and are counted."""
    jinja = (
        "{% for message in messages %}[{{ message.role }}]{% if message.role == 'assistant' %}{% generation %}"
        "{{ '<think>' ~ message.reasoning ~ '</think>' if message.reasoning else 'EMPTY' }}{{ message.content }}"
        "{% endgeneration %}{% else %}{{ message.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}PROMPT{% endif %}"
    ).replace("PROMPT", prompt)
    template = ChatTemplate("hybrid", jinja.replace("EMPTY", written), ("</s>",), thinking=Thinking(switch="thinking"))
    template = replace(template, train_empty_thought=False).bind(tiny_bpe)
    chats = [ASK, PLAIN], [ASK, APART], [ASK, APART, ASK, PLAIN]
    rows = [{"messages": chat, "enable_thinking": said} for chat in chats]
    with tallying() as tally:
        encode_conversations(rows, tiny_bpe, template, Spans())
    counts = [share.count for what, share in tally.shares.items() if what.startswith("answer without a thought")]
    assert counts == [number] * bool(number)


@pytest.mark.parametrize(("opened", "number"), [("<think>", 2), ("", 0)])
def test_answers_that_lack_the_thought_that_every_prompt_begins_are_counted(
    opened: str, number: int, tiny_bpe: Any
) -> None:
    """Those that call a tool too: no template writes a thought before them by itself."""
    jinja = LAST.replace("</s>", "{{ message.tool_calls | default('') }}</s>")
    jinja += "{% if add_generation_prompt %}[assistant]OPENED{% endif %}".replace("OPENED", opened)
    template = ChatTemplate("always", jinja, ("</s>",), thinking=Thinking()).bind(tiny_bpe)
    calls = {**PLAIN, "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {}}}]}
    with tallying() as tally:
        rows = [{"messages": chat} for chat in ([ASK, PLAIN], [ASK, APART], [ASK, calls])]
        encode_conversations(rows, tiny_bpe, template, Spans())
    counts = [share.count for what, share in tally.shares.items() if "the thought that the prompt begins" in what]
    assert counts == [number] * bool(number)


def test_a_lost_thought_between_the_marks_of_the_template_is_counted(tiny_bpe: Any) -> None:
    jinja = "{% for message in messages %}{{ message.content.split('[/THINK]')[-1] }}</s>{% endfor %}"
    template = ChatTemplate("other", jinja, ("</s>",), thinking=Thinking("[THINK]", "[/THINK]")).bind(tiny_bpe)
    answers = ({**PLAIN, "content": text} for text in ("[THINK]They.[/THINK]Hi!", "<think>They.</think>Hi!", "Hi!"))
    with tallying() as tally:
        encode_conversations([{"messages": [ASK, answer]} for answer in answers], tiny_bpe, template, Spans())
    assert [share.count for share in tally.shares.values()] == [2]


def test_without_a_tally_it_is_said_once(tiny_bpe: Any, caplog: Any) -> None:
    template = ChatTemplate("once", SILENT, ("</s>",)).bind(tiny_bpe)
    for _ in range(2):
        encode_conversations([{"messages": [ASK, APART]}], tiny_bpe, template, Spans())
    assert caplog.text.count("template once: some rows lose the thought of their last answer") == 1


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ({**PLAIN, "content": "Well. <think>They greet.</think> Hi!"}, "Hi!"),
        ({**WITHIN, "reasoning": "Be kind."}, "Hi!"),
        ({**PLAIN, "content": "<think>They greet.</think>Well.<think>So.</think>Hi!"}, "Hi!"),
        ({**PLAIN, "content": "<think>Hi!</think>Hi! <think>So.</think>Hi!"}, "Hi!"),
        ({**PLAIN, "content": [{"type": "text", "text": "Well. <think>They.</think>Hi!"}]}, "Hi!"),
    ],
)
def test_text_of_an_answer_that_is_cut_as_thoughts_are_is_counted(
    answer: dict[str, Any], kept: str, tiny_bpe: Any
) -> None:
    """One template leaves out all before the last mark, be it the thought or not; the other cuts nothing."""
    whole = "{% for message in messages %}{{ message.reasoning }}{{ message.content }}</s>{% endfor %}"
    for jinja, lost in ((SILENT, 1), (whole, 0)):
        template = ChatTemplate("mine", jinja, ("</s>",)).bind(tiny_bpe)
        with tallying() as tally:
            (encoded,) = encode_conversations([{"messages": [ASK, answer]}], tiny_bpe, template, Spans(whole=True))
        counts = [share.count for what, share in tally.shares.items() if what.startswith("lose text of an answer")]
        assert counts == [1] * lost
        assert tiny_bpe.decode(encoded["input_ids"]).count(kept) == (1 if lost else str(answer).count(kept))


def test_text_of_others_that_is_cut_as_thoughts_are_is_counted(tiny_bpe: Any) -> None:
    """They may write of the marks as of anything; an answer with a thought before it is whole, or counted as such."""
    spelled = {**ASK, "content": "Is <think>this</think> XML?"}
    chats = [[spelled, PLAIN], [{**spelled, "role": "system"}, ASK, PLAIN], [ASK, PLAIN], [ASK, WITHIN]]
    whole = "{% for message in messages %}{{ message.content }}</s>{% endfor %}"
    for jinja, lost in ((SILENT, [2]), (whole, [])):
        template = ChatTemplate("mine", jinja, ("</s>",)).bind(tiny_bpe)
        with tallying() as tally:
            encode_conversations([{"messages": chat} for chat in chats], tiny_bpe, template, Spans(whole=True))
        counts = {what: share.count for what, share in tally.shares.items()}
        assert [number for what, number in counts.items() if what.startswith("lose text that users")] == lost
        assert not [what for what in counts if what.startswith("lose text of an answer")]
