"""The templates of Falcon against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_falcon import Falcon, Falcon2, Falcon3, FalconH1


class TestFalcon(TemplateSuite):
    plugin = Falcon


class TestFalcon2(TemplateSuite):
    plugin = Falcon2
    expected_differences = {
        "single_answer": "ours ends an answer, which the official text does not, so that it is learnt",
        "multi": "ours ends an answer, which the official text does not, so that it is learnt",
        "multi_prompt": "ours ends an answer, which the official text does not, so that it is learnt",
        "system_multi": "ours ends an answer, which the official text does not, so that it is learnt",
        "white": "ours ends an answer, which the official text does not, so that it is learnt",
        "thought_off_answer": "ours ends an answer, which the official text does not, so that it is learnt",
    }


class TestFalcon3(TemplateSuite):
    plugin = Falcon3


class TestFalconH1(TemplateSuite):
    plugin = FalconH1
