"""The templates of Mistral against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_mistral import (
    Devstral,
    Ministral,
    Ministral3,
    Ministral3Reasoning,
    Mistral,
    MistralFirst,
    MistralLarge2411,
    MistralSmall,
    MistralSmall3,
    MistralV1,
    Pixtral,
)


class TestMistral(TemplateSuite):
    plugin = Mistral


class TestMistralV1(TemplateSuite):
    plugin = MistralV1


class TestMistralFirst(TemplateSuite):
    plugin = MistralFirst


class TestMinistral(TemplateSuite):
    plugin = Ministral


class TestPixtral(TemplateSuite):
    plugin = Pixtral


class TestMistralSmall(TemplateSuite):
    plugin = MistralSmall


class TestMistralLarge2411(TemplateSuite):
    plugin = MistralLarge2411


class TestMistralSmall3(TemplateSuite):
    plugin = MistralSmall3


class TestDevstral(TemplateSuite):
    plugin = Devstral


class TestMinistral3(TemplateSuite):
    plugin = Ministral3


class TestMinistral3Reasoning(TemplateSuite):
    plugin = Ministral3Reasoning
