from template_radio import Radio
from tunesmith_library_testing import TemplateSuite


class TestRadio(TemplateSuite):
    plugin = Radio
    one_file = True
