"""Templates whose prompts open a thought, and which write answers without one.

Such are DeepSeek-R1's and those after it: their prompt ends with `<think>`, and an answer is written without its
thought, for a conversation that goes on needs none. Others write the thoughts that they are given, and nothing before
an answer that has none. Trained so, the model would never see what it is asked with. The template is extended: an
answer at the end stands behind the very prompt that asks for it, its thought first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from tunesmith import DataError
from tunesmith.types import Message
from tunesmith_library_chat import ChatTemplate, Thinking
from tunesmith_library_chat.messages import content_form

_OPEN = re.compile(r"(<(?!/|\|END)[^<>\s]*(?:think|thought|reason)[^<>\s]*>|\[(?:THINK|THOUGHT)\])\s*$", re.IGNORECASE)
_QUESTION: Message = {"role": "user", "content": "question"}
_THOUGHT, _ANSWER = "a thought\ufdde", "an answer\ufddf"

_EXTENDED = """\
{{%- macro published(messages, add_generation_prompt) %}}{start}{own}{{% endmacro %}}
{{%- set last = messages[-1] if messages else none %}}
{{%- set learnt = training and not add_generation_prompt and last and last.role == 'assistant' %}}
{{%- set asked = published(messages[:-1], true) if learnt and not last.tool_calls else '' %}}
{{%- set said = {said} if asked else '' %}}
{{%- set apart = last.reasoning or last.reasoning_content or '' if asked else '' %}}
{{%- set thought_end = '{close}' %}}
{{%- set within = thought_end in said %}}
{{%- if asked.rstrip().endswith('{open}') and ({lost}) %}}
{{%- set thought = apart %}}
{{%- if within %}}
{{%- set parts = said.split(thought_end, 1) %}}
{{%- set thought, said = (parts | first).split('{open}') | last, parts | last %}}
{{%- endif %}}
{{{{- asked }}}}{{% {begin} %}}
{{{{- {before} ~ thought.strip('\\n') ~ {between} ~ said.lstrip('\\n') ~ {stop} }}}}{{% {end} %}}
{{{{- {tail} }}}}
{{%- else %}}
{{{{- published(messages, add_generation_prompt) }}}}
{{%- endif %}}"""

_SAID = {  # the text of the last answer, by the form in which a template reads content
    "text": "(last.content or '')",
    "parts": "(last.content | map(attribute='text') | join)",
    "either": "(last.content if last.content is string else last.content | map(attribute='text') | join)",
}


@dataclass(frozen=True)
class OpenThought:
    """The marks of a thought that a template's prompt opens, and which of its answers lack it."""

    open: str
    close: str
    before: str  # what the template writes before a thought, behind the prompt
    between: str  # what it writes between a thought and its answer
    ending: str  # what it writes behind an answer
    lost: tuple[str, ...]  # Jinja: which answers stand without the thought that the prompt opens


def open_thought(template: ChatTemplate) -> OpenThought | None:
    """How a template opens thoughts in its prompts that some of its answers lack; None where all have them.

    Args:
        template: bound to its tokenizer.
    """
    forms: dict[str, Message] = {
        "apart": {"role": "assistant", "content": _ANSWER, "reasoning": _THOUGHT},
        "within": {"role": "assistant", "content": "{open}\n" + _THOUGHT + "\n{close}\n\n" + _ANSWER},
        "within ": {"role": "assistant", "content": _THOUGHT + "\n{close}\n\n" + _ANSWER},
        "not apart and not within": {"role": "assistant", "content": _ANSWER},
    }
    try:
        prompt = template.render([_QUESTION], add_generation_prompt=True).text
        found = _OPEN.search(prompt)
        if found is None:
            return None
        begins = found[1]
        ends = begins.replace("START", "END") if "START" in begins else f"{begins[0]}/{begins[1:]}"
        texts = {}
        for form, answer in forms.items():
            content = answer["content"].format(open=begins, close=ends)
            texts[form] = template.render([_QUESTION, {**answer, "content": content}], training=True).text
    except DataError:
        return None
    lost = [
        form
        for form, text in texts.items()
        if not text.startswith(prompt) or ("not" not in form and not _goes_on(text[len(prompt) :], ends))
    ]
    if not lost:
        return None
    before, between = "", f"\n{ends}\n\n"
    none = texts["not apart and not within"]
    if none.startswith(prompt) and ends in (closed := none[len(prompt) :].partition(_ANSWER)[0]):
        between = closed  # as an empty thought is closed
    whole = next((text for form, text in texts.items() if form not in lost and _THOUGHT in text), None)
    if whole is not None:
        before, _, rest = whole[len(prompt) :].partition(_THOUGHT)
        between = rest.partition(_ANSWER)[0]
    kinds = tuple(dict.fromkeys(form.strip() for form in lost))
    return OpenThought(begins, ends, before, between, texts["apart"].rpartition(_ANSWER)[2], kinds)


def _goes_on(text: str, ends: str) -> bool:
    """Whether what stands behind a prompt goes on with the thought; some close it at once, and write another."""
    before, thought, _ = text.partition(_THOUGHT)
    return bool(thought) and ends not in before


def with_open_thought(template: ChatTemplate, thought: OpenThought) -> ChatTemplate:
    """The template which, for training, writes an answer at the end behind the prompt that asks for it.

    Its thought comes from the message's `reasoning`, or out of its content; without one it is an empty thought.
    """
    own = template.jinja.removesuffix("\n")
    said = thought.ending.rstrip() if thought.ending.strip() else ""
    jinja = _EXTENDED.format(
        own=own,
        start="{{ '' }}" if own.startswith("\n") else "",  # Jinja trims a line break behind a statement
        said=_SAID[content_form(template.jinja)],
        lost=" or ".join(thought.lost),
        open=thought.open,
        close=thought.close,
        before=_literal(thought.before),
        between=_literal(thought.between),
        begin="generation" if template.marked else "if true",
        end="endgeneration" if template.marked else "endif",
        stop=_literal(said),
        tail=_literal(thought.ending[len(said) :]),
    )
    known = template.thinking or Thinking()
    return replace(template, jinja=jinja, thinking=Thinking(thought.open, thought.close, known.switch))


def _literal(text: str) -> str:
    """Text as Jinja writes it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
