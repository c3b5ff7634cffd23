"""The YandexGPT template against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_yandex import YandexGPT5


class TestYandexGPT5(TemplateSuite):
    plugin = YandexGPT5
    expected_differences = dict.fromkeys(
        ("call", "call_prompt", "call_beside", "call_again", "parallel", "parallel_prompt"),
        "the official template reads a call under `function_call` alone",
    )
