"""The shell of the page, in a real browser."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


def test_the_page_opens(browser_page, axe):
    assert browser_page.title() == "Train · Tunesmith"
    axe(browser_page)
