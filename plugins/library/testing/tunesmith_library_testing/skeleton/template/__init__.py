"""A chat template: `role: content`, a turn to a line."""

from typing import Any

from tunesmith import hookimpl, plugin
from tunesmith_library_chat import ChatTemplate, tokenizer_of

_JINJA = """\
{%- if tools -%}{{ raise_exception('this template has no form for tools') }}{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{ 'assistant: ' }}{%- generation -%}{{ message['content'] + eos_token }}{%- endgeneration -%}{{ '\\n' }}
{%- else -%}
{{ message['role'] + ': ' + message['content'] + '\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'assistant: ' }}{%- endif -%}
"""


@plugin
class Placeholder:
    """Plain words before each turn, and the tokenizer's end-of-sequence token after the assistant's."""

    @hookimpl
    def chat_template(self, processor: Any) -> ChatTemplate:
        tokenizer = tokenizer_of(processor)
        return ChatTemplate(name="placeholder", jinja=_JINJA, stop=(tokenizer.eos_token,))
