"""Answers taken apart: thoughts, calls, what is cut; and budgets of thought, by an engine that says what it is told."""

from dataclasses import replace

import pytest
from tunesmith.errors import TunesmithError
from tunesmith_library_chat.calls import HERMES
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_evaluating.answering import answered, cut_short, explained
from tunesmith_library_evaluating.asking import Asking
from tunesmith_library_evaluating.prompts import prompts_of_rows
from tunesmith_library_testing.engine import chat_of, scripted_chat
from tunesmith_library_testing.parts import CHATML, handle_of

THINKING = replace(CHATML, thinking=Thinking(), calls=HERMES)
TOOL = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def ask(tiny_llama, tiny_bpe):
    """Answers to questions by a script; options are those of asking."""

    def asked(script, *questions, tools=None, stop=(), template=THINKING, **options):
        handle = handle_of(tiny_llama, tiny_bpe, template=template, load=lambda: pytest.fail("loaded"))
        rows = [{"messages": [{"role": "user", "content": text}], "tools": tools} for text in questions or ("Why?",)]
        asking = Asking(**options)
        with scripted_chat(handle, script) as chat:
            prompts = prompts_of_rows({"set": rows})["set"]
            return answered(chat, prompts, asking.sampling(), asking=asking, stop=stop)

    return asked


def test_thoughts_and_calls_are_told_from_text(ask):
    said = '<think>\nTides.\n</think>\n\nLook:<tool_call>\n{"name": "tide", "arguments": {"day": 1}}\n</tool_call>'
    (found,) = ask(lambda prompt: said, tools=[TOOL])
    assert (found.thought, found.text) == ("Tides.", "Look:")
    assert found.calls == ({"name": "tide", "arguments": {"day": 1}},)
    assert (found.finish_reason, found.unfinished, found.truncated) == ("stop", False, False)


def test_answers_come_in_the_order_of_the_prompts(ask):
    questions = [f"Question {at}." for at in range(5)]
    found = ask(lambda prompt: prompt.partition("Question ")[2][0] * 3, *questions)
    assert [it.text for it in found] == ["000", "111", "222", "333", "444"]


@pytest.mark.parametrize("ends", [True, False])
def test_a_thought_that_never_ends_is_no_answer(ask, ends):
    """Whether the limit cut it or the model stopped within; what is thought is not what is said."""
    (found,) = ask(lambda prompt: "<think>\nThe answer is 42." + ("" if ends else " Or is it?" * 400))
    assert (found.text, found.unfinished, found.truncated) == ("", True, not ends)
    assert found.thought.startswith("The answer is 42.")
    shares = cut_short([found, replace(found, unfinished=False)])
    assert (shares["unfinished"].value, shares["unfinished"].greater_is_better) == (0.5, False)


def test_empty_answers_are_no_thoughts(ask):
    for said in ("", "<think>\nHm.\n</think>\n\n"):
        (found,) = ask(lambda prompt, said=said: said)
        assert (found.text, found.unfinished) == ("", False)


def test_the_prompt_may_begin_the_thought(ask):
    begun = replace(THINKING, jinja=THINKING.jinja + "{% if add_generation_prompt %}<think>\n{% endif %}")
    (found,) = ask(lambda prompt: "Hm." * 300, template=begun)
    assert found.unfinished and found.thought.startswith("Hm.")
    (found,) = ask(lambda prompt: "Hm.\n</think>\n\nYes.", template=begun)
    assert (found.thought, found.text, found.unfinished) == ("Hm.", "Yes.", False)


def test_a_budget_closes_the_thought_and_the_answer_goes_on(ask, tiny_bpe):
    """The model sees its thought, cut at so many tokens, behind it the template's own end, and answers."""
    seen = []

    def script(prompt):
        seen.append(prompt)
        return "Yes." if prompt.endswith("</think>\n\n") else "<think>\n" + "Hm, so it is. " * 50

    (found,) = ask(script, thinking_budget=20, max_new_tokens=10)
    assert (found.text, found.unfinished, found.finish_reason) == ("Yes.", False, "stop")
    begun = tiny_bpe.encode("<think>\n" + "Hm, so it is. " * 50, add_special_tokens=False)[:20]
    assert seen[1] == seen[0] + tiny_bpe.decode(begun) + "\n</think>\n\n"
    assert "<think>\n" + found.thought == tiny_bpe.decode(begun).rstrip()


def test_a_budget_leaves_short_thoughts_alone(ask):
    """One that ends before it is cut, and an answer that is under way when it is."""
    calls = []

    def script(prompt):
        calls.append(prompt)
        whole = "<think>\nHm.\n</think>\n\nIt is so, and it stays so, for ever and ever."
        return whole.removeprefix(prompt.partition("assistant\n")[2])

    for budget, times in ((500, 1), (30, 2), (20, 2)):
        calls.clear()
        (found,) = ask(script, thinking_budget=budget)
        assert (found.thought, found.text) == ("Hm.", "It is so, and it stays so, for ever and ever.")
        assert len(calls) == times


def test_stop_strings_hold_behind_a_budget(ask):
    def script(prompt):
        return "Yes. STOP No." if prompt.endswith("</think>\n\n") else "<think>\n" + "Hm, hm. " * 90

    (found,) = ask(script, thinking_budget=20, stop=("STOP",))
    assert (found.text.rstrip(), found.finish_reason) == ("Yes.", "stop")


def test_what_means_nothing_is_told(ask, caplog):
    ask(lambda prompt: "Yes.", template=CHATML, thinking_budget=5, enable_thinking=False)
    told = caplog.text
    assert "thinking_budget=5 means nothing" in told and "enable_thinking=false means nothing" in told


def test_a_thought_that_nobody_takes_out_is_told(ask, caplog):
    ask(lambda prompt: "<think>\nhm</think>\n\nbad" if "A" in prompt else "good", "A?", "B?", template=CHATML)
    assert "1 of 2 answers begin with <think>" in caplog.text
    caplog.clear()
    ask(lambda prompt: "<think>\nhm</think>\n\nbad")
    assert "begin with" not in caplog.text


def test_a_budget_takes_tokens(ask, monkeypatch):
    """An engine that brings its template is sent conversations."""
    monkeypatch.setattr("tunesmith_library_testing.engine.ScriptedEngine.template", THINKING, raising=False)
    with pytest.raises(TunesmithError, match=r"takes no tokens\.\n  model.path=MODEL"):
        ask(lambda prompt: "Yes.", thinking_budget=5)


def test_as_chat_answers(tiny_llama, tiny_bpe):
    """Through a model: the text is that of `Chat.answer`, as far as there are no thoughts."""
    with chat_of(handle_of(tiny_llama, tiny_bpe)) as chat:
        rows = [{"messages": [{"role": "user", "content": text}]} for text in ("Who?", "Whales sing, and then?")]
        asking = Asking(max_new_tokens=6)
        prompts = prompts_of_rows({"set": rows})["set"]
        found = answered(chat, prompts, asking.sampling(), asking=asking)
        plain = [""] * 2
        for piece in chat.answer([row["messages"] for row in rows], asking.sampling()):
            plain[piece.index] += piece.text
        assert [it.text for it in found] == plain
        told = explained(prompts[0], found[0])
        assert told["prompt"] == rows[0]["messages"] and told["prediction"] == plain[0] and told["truncated"] == 1.0
        assert asking.settings(chat)["template"] == "chatml"


def test_limits_are_told(caplog):
    caplog.set_level("INFO", logger="tunesmith")
    asking = Asking(limit=2)
    assert asking.limited({"a": [1, 2, 3], "b": [1], "empty": []}) == {"a": [1, 2], "b": [1]}
    assert "data set a: the first 2 of 3 examples" in caplog.text


def test_expected_messages_and_columns():
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "tide", "arguments": {}}}]}
    row = {"messages": [{"role": "user", "content": "?"}, call], "tools": [TOOL], "subject": "sea", "images": []}
    (prompt,) = prompts_of_rows({"set": [row]})["set"]
    assert prompt.expected == call and prompt.columns == {"subject": "sea"} and prompt.tools == [TOOL]
