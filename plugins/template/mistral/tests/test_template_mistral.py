"""The templates of Mistral against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_mistral import (
    Devstral,
    Ministral,
    Ministral3,
    Ministral3Reasoning,
    Mistral,
    MistralFirst,
    MistralSmall,
    MistralSmall3,
    MistralV1,
    Pixtral,
)


class TestMistral(TemplateSuite):
    plugin = Mistral
    expected_differences = {
        "system_multi": "the system message stays, officially it is dropped unless a question is last",
        "call_prompt": "the system message stays, officially it is dropped unless a question is last",
        "call_beside": "the text beside a call stays, which the official template drops",
    }


class TestMistralV1(TemplateSuite):
    plugin = MistralV1


class TestMistralFirst(TemplateSuite):
    plugin = MistralFirst


class TestMinistral(TemplateSuite):
    plugin = Ministral
    expected_differences = {
        "system_multi": "the system message stays, officially it is dropped unless a question is last",
        "call_prompt": "the system message stays, officially it is dropped unless a question is last",
        "call_beside": "the text beside a call stays, which the official template drops",
    }


class TestPixtral(TemplateSuite):
    plugin = Pixtral
    expected_differences = {
        "system_multi": "the system message stays, officially it is dropped unless a question is last",
    }


class TestMistralSmall(TemplateSuite):
    plugin = MistralSmall
    expected_differences = {
        "call_beside": "the text beside a call stays, which the official template drops",
    }


class TestMistralSmall3(TemplateSuite):
    plugin = MistralSmall3


class TestDevstral(TemplateSuite):
    plugin = Devstral


class TestMinistral3(TemplateSuite):
    plugin = Ministral3


class TestMinistral3Reasoning(TemplateSuite):
    plugin = Ministral3Reasoning
