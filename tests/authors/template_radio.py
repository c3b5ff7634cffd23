"""Conversations as radio traffic: `template=radio.py:Radio template.call_sign=BRAVO`."""

from tunesmith import hookimpl, plugin
from tunesmith_library_chat import ChatTemplate

JINJA = """\
{% for message in messages %}{% if message.role == 'assistant' -%}
BASE: {% generation %}{{ message.content }} OVER{% endgeneration %}

{% else -%}
{{ call_sign }}: {{ message.content }} OVER
{% endif %}{% endfor %}{% if add_generation_prompt %}BASE: {% endif %}"""


@plugin
class Radio:
    """Conversations as radio traffic."""

    call_sign: str = "ALPHA"  # what the user is called

    @hookimpl
    def chat_template(self):
        return ChatTemplate(name="radio", jinja=JINJA, stop=(" OVER",), variables={"call_sign": self.call_sign})
