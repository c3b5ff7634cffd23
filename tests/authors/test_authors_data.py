import json

from data_steady import Steady
from tunesmith_library_testing import DataSuite


class TestSteady(DataSuite):
    plugin = Steady
    one_file = True
    options = {"train": "train.jsonl"}

    def options_for(self, train, folder):
        return {"train": str(train), "format": "text"}

    def test_what_is_held_out_stays(self, tmp_path, monkeypatch):
        """A file that has grown holds out what it did, and some of what came."""
        monkeypatch.setattr(type(self), "options_for", lambda self, train, folder: self.held_out(train))
        texts = [f"Wave {number}." for number in range(200)]
        before, after = (self.build(some, tmp_path).eval["held_out"] for some in (texts[:100], texts))
        first = [json.dumps(example["input_ids"]) for example in before]
        second = [json.dumps(example["input_ids"]) for example in after]
        assert 0 < len(first) < 40 and len(first) < len(second) < 80 and second[: len(first)] == first

    def held_out(self, train):
        return {"train": str(train), "format": "text", "held_out": 0.2}
