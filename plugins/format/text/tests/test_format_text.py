"""The text format."""

import json
from pathlib import Path

import pytest
from tunesmith import DataError
from tunesmith_format_text import Text
from tunesmith_library_testing import FormatSuite


class TestText(FormatSuite):
    plugin = Text
    records = [{"text": "A wave.\n海", "url": "x"}, {"text": ""}]
    rows = [{"text": "A wave.\n海"}, {"text": ""}]
    renamed = {"text": "content"}


def test_wrong_type():
    with pytest.raises(DataError, match="record 1: `text` must be text, found 7"):
        list(Text().to_rows([{"text": "a"}, {"text": 7}], {}))


def test_name_of_other_tools():
    assert list(Text().to_rows([{"content": "a"}], {"prompt": "content"})) == [{"text": "a"}]


def test_columns_that_are_kept():
    assert list(Text().to_rows([{"text": "a", "url": "x"}], {"+url": "url"})) == [{"text": "a", "url": "x"}]


@pytest.mark.real
def test_real(real_files: Path):
    lines = (real_files / "data" / "c4_demo.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [row["text"] for row in Text().to_rows(records, {})] == [record["text"] for record in records]
