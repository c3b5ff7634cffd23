from tunesmith.types import Requirement
from tunesmith_data_placeholder import Placeholder
from tunesmith_library_testing import DataSuite


class TestPlaceholder(DataSuite):
    plugin = Placeholder
    options = {"train": "train.jsonl"}

    def options_for(self, train, folder):
        return {"train": str(train)}


def test_requires_its_format():
    required = Placeholder(train="train.jsonl", format="alpaca").requires()
    assert Requirement("format", "alpaca", "data.format") in required
