"""Templates whose prompts open a thought, and which cut thoughts out of the answers that they are given.

Such are DeepSeek-R1's and those after it: their prompt ends with `<think>`, and an answer is written without its
thought, for a conversation that goes on needs none. Trained so, the model would never see what it is asked with. The
template is extended: an answer at the end stands behind the very prompt that asks for it, its thought first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tunesmith import DataError
from tunesmith.types import Message
from tunesmith_library_chat import ChatTemplate

_OPEN = re.compile(r"(<[^<>\s]*(?:think|thought|reason)[^<>\s]*>|\[(?:THINK|THOUGHT)\])\s*$", re.IGNORECASE)
_QUESTION: Message = {"role": "user", "content": "question"}
_THOUGHT, _ANSWER = "a thought\ufdde", "an answer\ufddf"

_EXTENDED = """\
{{%- macro published(messages, add_generation_prompt) %}}{start}{own}{{% endmacro %}}
{{%- set last = messages[-1] if messages else none %}}
{{%- if training and not add_generation_prompt and last and last.role == 'assistant' and not last.tool_calls %}}
{{%- set thought = last.reasoning or last.reasoning_content or '' %}}
{{%- set said = last.content or '' %}}
{{%- if '{close}' in said %}}
{{%- set parts = said.split('{close}', 1) %}}
{{%- set thought, said = (parts | first).split('{open}') | last, parts | last %}}
{{%- endif %}}
{{{{- published(messages[:-1], true) }}}}{{% {begin} %}}
{{{{- thought.strip('\\n') ~ '\\n{close}\\n\\n' ~ said.lstrip('\\n') ~ {stop} }}}}{{% {end} %}}
{{{{- {tail} }}}}
{{%- else %}}
{{{{- published(messages, add_generation_prompt) }}}}
{{%- endif %}}"""


@dataclass(frozen=True)
class OpenThought:
    """The marks of a thought that a template's prompt opens, and its answers lack."""

    open: str
    close: str
    ending: str  # what the template writes behind an answer


def open_thought(template: ChatTemplate) -> OpenThought | None:
    """How a template opens thoughts in its prompts that it cuts out of answers; None when it does not.

    Args:
        template: bound to its tokenizer.
    """
    forms: tuple[Message, ...] = (
        {"role": "assistant", "content": _ANSWER, "reasoning": _THOUGHT},
        {"role": "assistant", "content": "{open}\n" + _THOUGHT + "\n{close}\n\n" + _ANSWER},
    )
    try:
        prompt = template.render([_QUESTION], add_generation_prompt=True).text
        found = _OPEN.search(prompt)
        if found is None:
            return None
        begins = found[1]
        ends = f"{begins[0]}/{begins[1:]}"
        marks = {"open": begins, "close": ends}
        answers = [{**form, "content": form["content"].format(**marks)} for form in forms]
        texts = [template.render([_QUESTION, answer], training=True).text for answer in answers]
    except DataError:
        return None
    if any(text.startswith(prompt) and _THOUGHT in text for text in texts):
        return None
    return OpenThought(begins, ends, texts[0].rpartition(_ANSWER)[2])


def with_open_thought(template: ChatTemplate, thought: OpenThought) -> str:
    """The Jinja of a template that, for training, writes an answer at the end behind the prompt that asks for it.

    Its thought comes from the message's `reasoning`, or out of its content; without one it is an empty thought.
    """
    own = template.jinja.removesuffix("\n")
    said = thought.ending.rstrip() if thought.ending.strip() else ""
    return _EXTENDED.format(
        own=own,
        start="{{ '' }}" if own.startswith("\n") else "",  # Jinja trims a line break behind a statement
        open=thought.open,
        close=thought.close,
        begin="generation" if template.marked else "if true",
        end="endgeneration" if template.marked else "endif",
        stop=_literal(said),
        tail=_literal(thought.ending[len(said) :]),
    )


def _literal(text: str) -> str:
    """Text as Jinja writes it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
