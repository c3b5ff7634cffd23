"""The dots templates against the official format."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_dots import Dots1, DotsOCR


class TestDotsOCR(TemplateSuite):
    plugin = DotsOCR
    expected_differences = dict.fromkeys(
        ("single_answer", "multi", "system_multi", "thought_off_answer"),
        "the official template writes no end behind the last answer; ours ends it, to train where to stop",
    )


class TestDots1(TemplateSuite):
    plugin = Dots1
