"""The templates of LFM2 against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_lfm import Lfm2, Lfm2Vl, Lfm25


class TestLfm2(TemplateSuite):
    plugin = Lfm2


class TestLfm25(TemplateSuite):
    plugin = Lfm25
    expected_differences = {
        "call": "quotes in strings are escaped, as LFM2 and LFM2.5-VL do, for calls to be read back",
        "call_last": "quotes in strings are escaped, as LFM2 and LFM2.5-VL do, for calls to be read back",
        "call_prompt": "quotes in strings are escaped, as LFM2 and LFM2.5-VL do, for calls to be read back",
        "call_beside": "quotes in strings are escaped, as LFM2 and LFM2.5-VL do, for calls to be read back",
        "parallel": "quotes in strings are escaped, as LFM2 and LFM2.5-VL do, for calls to be read back",
        "parallel_prompt": "quotes in strings are escaped, as LFM2 and LFM2.5-VL do, for calls to be read back",
        "call_again": "quotes in strings are escaped, as LFM2 and LFM2.5-VL do, for calls to be read back",
        "thought_call": "quotes in strings are escaped, as LFM2 and LFM2.5-VL do, for calls to be read back",
    }


class TestLfm2Vl(TemplateSuite):
    plugin = Lfm2Vl
