"""The Seed templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_seed import SeedCoder, SeedOSS


class TestSeedCoder(TemplateSuite):
    plugin = SeedCoder


class TestSeedOSS(TemplateSuite):
    plugin = SeedOSS
