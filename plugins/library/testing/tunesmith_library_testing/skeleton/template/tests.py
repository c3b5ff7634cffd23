from tunesmith_library_testing import TemplateSuite
from tunesmith_template_placeholder import Placeholder


class TestPlaceholder(TemplateSuite):
    plugin = Placeholder

    def test_text(self):
        chat = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello yourself."}]
        assert self.template().render(chat).text == "user: Hello.\nassistant: Hello yourself.</s>\n"
