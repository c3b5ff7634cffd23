"""The template of Muse Glimmer against its official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_muse import MuseGlimmer


class TestMuseGlimmer(TemplateSuite):
    plugin = MuseGlimmer
