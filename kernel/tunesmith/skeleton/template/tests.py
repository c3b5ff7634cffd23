from tunesmith.testing import TemplateSuite
from tunesmith_template_placeholder import Placeholder


class TestPlaceholder(TemplateSuite):
    plugin = Placeholder
    has_tools = False


def test_text(tokenizer):
    template = Placeholder().chat_template(processor=tokenizer).bind(tokenizer)
    chat = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello yourself."}]
    assert template.render(chat).text == "user: Hello.\nassistant: Hello yourself.</s>\n"
