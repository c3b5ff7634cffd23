"""The templates of Command and Aya against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_cohere import Cohere, CommandA, CommandR7B, North, TinyAya


class TestCohere(TemplateSuite):
    plugin = Cohere


class TestCommandA(TemplateSuite):
    plugin = CommandA


class TestCommandR7B(TemplateSuite):
    plugin = CommandR7B


class TestNorth(TemplateSuite):
    plugin = North


class TestTinyAya(TemplateSuite):
    plugin = TinyAya
