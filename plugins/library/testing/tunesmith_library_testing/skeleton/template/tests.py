from tunesmith_library_testing import TemplateSuite
from tunesmith_template_placeholder import Placeholder


class TestPlaceholder(TemplateSuite):
    plugin = Placeholder
    has_tools = False


def test_text(tiny_bpe):
    template = Placeholder().chat_template(processor=tiny_bpe).bind(tiny_bpe)
    chat = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello yourself."}]
    assert template.render(chat).text == "user: Hello.\nassistant: Hello yourself.</s>\n"
