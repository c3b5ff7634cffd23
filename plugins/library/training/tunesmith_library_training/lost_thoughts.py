"""Thoughts of rows that the text which is trained lacks, text that is cut with them, and answers without one where one
is asked for, counted."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

from tunesmith import DataError
from tunesmith.messages import logger
from tunesmith.types import Message, Row
from tunesmith_library_chat import ChatTemplate, Rendered, Thinking
from tunesmith_library_formats import count

from tunesmith_library_training.cut_text import cuts, marks_of
from tunesmith_library_training.rows import variables_of

_LAST_THOUGHT = "lose the thought of their last answer, for which the template has no place; another writes it"
_NOT_ASKED = "lose the thought of their last answer, which the template writes with enable_thinking=true"
_EARLIER_THOUGHT = (
    "lose the thoughts of earlier answers, which the template leaves out as it does when the model is asked"
)
_UNTHOUGHT = (
    "answer without a thought where the model is asked to think, which teaches it not to; "
    "enable_thinking=false, of the run or in a column, asks it not to"
)
_NOT_BEHIND = (
    "answer without the thought that the prompt begins, so that they are not trained in the form in which the model is "
    "asked; give their answers thoughts, or choose a template that writes an empty one"
)
_SWITCHED_OFF = "lose their thoughts, for enable_thinking=false says that the model does not think"
_CUT = (
    "lose text of an answer, which the template cuts as it cuts thoughts, for one is not at the beginning, or is in "
    "the text beside another apart; answers with one thought, before their text, are whole"
)
_SPELLED = "lose text that users or the system write around <think> or </think>, which the template cuts like a thought"
_NO_SWITCH = "say with enable_thinking whether to think, which the template has no switch for"

MESSAGES = (_CUT, _SPELLED, _NO_SWITCH)
"""What rows lose, for catalogues of other languages."""


def count_lost_thoughts(rows: Sequence[Row], rendered: Sequence[Rendered], template: ChatTemplate) -> None:
    """Count the rows with a thought that the template does not write, of the last answer and of those before it, and
    those that say whether to think to a template that is not asked."""
    switched = 0 if template.switches_thinking else sum(bool(variables_of(row)) for row in rows)
    losses = {_LAST_THOUGHT: 0, _NOT_ASKED: 0, _EARLIER_THOUGHT: 0, _SWITCHED_OFF: 0, _NO_SWITCH: switched}
    always = template.thinking is None or template.thinking.switch is None
    losses[_NOT_BEHIND if always else _UNTHOUGHT] = _answers_at_once(rows, rendered, template)
    marks = marks_of(template.thinking)
    losses.update({_CUT: 0, _SPELLED: 0})
    for row, item in zip(rows, rendered, strict=True):
        answers = [message["role"] == "assistant" for message in row["messages"]]
        before = [
            _thought_of(message, template.thinking) if answer else ""
            for message, answer in zip(row["messages"], answers, strict=True)
        ]
        for what, cut in zip((_CUT, _SPELLED), cuts(row["messages"], before, item.text, marks), strict=True):
            losses[what] += cut
        thoughts = list(itertools.compress(before, answers))
        lost = [thought != "" and thought not in item.text for thought in thoughts]
        asked = _asked_to_think(template, row)
        if asked is False:
            losses[_SWITCHED_OFF] += any(lost)
            continue
        losses[_NOT_ASKED if asked is None else _LAST_THOUGHT] += any(lost[-1:])
        losses[_EARLIER_THOUGHT] += any(lost[:-1])
    for what, number in losses.items():
        if number and not count(what, number):
            _warn_of_thoughts(template.name, what)


def _answers_at_once(rows: Sequence[Row], rendered: Sequence[Rendered], template: ChatTemplate) -> int:
    """The rows whose answer begins where a thought was asked for, without an empty one before it."""
    if template.thinking is None:
        return 0
    if template.thinking.switch is None and not template.thinking.begun(_prompt(template) or ""):
        return 0
    thinks_unasked = functools.cache(lambda: _thinks_unasked(template))  # three renderings, which few batches need
    close, number = template.thinking.close.strip(), 0
    for row, item in zip(rows, rendered, strict=True):
        asked = _asked_to_think(template, row)
        if asked is False or not item.spans or _thought_of(row["messages"][-1], template.thinking):
            continue
        if asked or thinks_unasked():
            last = item.spans[-1]
            begins = item.text[: last.start].rstrip().endswith(close) or close in item.text[last.start : last.end]
            number += not begins and last.message == len(row["messages"]) - 1
    return number


def _thinks_unasked(template: ChatTemplate) -> bool:
    """Whether a model thinks to which nothing is said of it: the prompt is that of one which is told to."""
    plain, told, not_to = (_prompt(template, value) for value in (None, True, False))
    return plain is not None and plain == told != not_to


def _prompt(template: ChatTemplate, thinks: bool | None = None) -> str | None:
    """What precedes the answer to a question; None where the template refuses it."""
    asked: list[Message] = [{"role": "user", "content": "Why?"}]
    try:
        return template.render(asked, add_generation_prompt=True, enable_thinking=thinks).text
    except DataError:
        return None


def _asked_to_think(template: ChatTemplate, row: Row) -> bool | None:
    """Whether a row, or the run, says that the model is to think; True for a template that is not asked, None where
    nothing is said."""
    if template.thinking is None or template.thinking.switch is None:
        return True
    said = {**template.variables, **template.switched(variables_of(row))}.get(template.thinking.switch)
    return said if said is None else bool(said)


@functools.cache
def _warn_of_thoughts(name: str, what: str) -> None:
    logger.warning("template %s: some rows %s", name, what)


def _thought_of(message: Message, thinking: Thinking | None) -> str:
    """The thought before an answer, in a field of its own or in its text; "" without one."""
    apart = next((message[key] for key in ("reasoning", "reasoning_content", "thinking") if message.get(key)), None)
    if isinstance(apart, str):
        return apart.strip()
    content = message.get("content")
    if isinstance(content, list):
        content = content[0].get("text") if content else None
    if not isinstance(content, str):
        return ""
    begins, closed, _ = content.partition("</think>")
    if closed:
        early, opened, thought = begins.partition("<think>")
        return "" if opened and early.strip() else (thought if opened else early).strip()
    before, opened, rest = content.partition(thinking.open.strip()) if thinking else (content, "", "")
    thought, closed, _ = rest.partition(thinking.close.strip()) if thinking and opened else ("", "", "")
    return thought.strip() if closed and not before.strip() else ""
