"""What every reader of data sets keeps to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Encoder, Row
from tunesmith_library_chat import ChatTemplate

from tunesmith_library_testing.parts import CHATML
from tunesmith_library_testing.suites.plugin import PluginSuite

_DROPPED = "this one encodes to nothing"


def _encode(rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
    kept = [list(row["text"].encode()) for row in rows if row["text"] != _DROPPED]
    return {"input_ids": kept, "labels": kept}


def _fetch(address: str, revision: str | None = None) -> Path:
    path = Path(address.removeprefix("local://"))
    if not path.exists():
        raise TunesmithError(f"{path} does not exist")
    return path


def _to_rows(name: str, records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Row]:
    assert name == "text", f"asked for format {name}; the records are of format text"
    return ({"text": record["text"]} for record in records)


class DataSuite(PluginSuite):
    """The tests of a `data` plugin. The test class implements `options_for`."""

    kind = "data"

    def options_for(self, train: Path, folder: Path) -> dict[str, Any]:
        """The options that train on one JSON Lines file with a column `text` and hold nothing out.

        Args:
            train: the file.
            folder: where caches belong.
        """
        raise NotImplementedError("implement options_for(train, folder) in the test class")

    def build(self, texts: list[str], folder: Path) -> Any:
        """Write texts to a file and build the data set of it."""
        file = folder / "train.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        return self.build_from(file, folder)

    def build_from(self, file: Path, folder: Path) -> Any:
        """Build the data set of a file."""
        encoder = Encoder(encode=_encode, processor=None, template=CHATML, fingerprint="bytes-1")
        hook = self.manager(**self.options_for(file, folder)).hook
        return hook.build_dataset(fetch=_fetch, to_rows=_to_rows, encode=encoder)

    def test_every_record_arrives_once(self, tmp_path: Path) -> None:
        """Reading, converting and encoding neither lose nor repeat a record; columns keep their values."""
        texts = [f"Wave {number} of many. 海" for number in range(57)]
        splits = self.build(texts, tmp_path)
        arrived = [splits.train[index] for index in range(len(splits.train))]
        assert Counter(bytes(list(row["input_ids"])).decode() for row in arrived) == Counter(texts)
        assert all(list(row["labels"]) == list(row["input_ids"]) for row in arrived)
        assert not splits.eval

    def test_same_order_again(self, tmp_path: Path) -> None:
        """Built twice, the data set is the same, row by row."""
        texts = [f"Wave {number}." for number in range(31)]
        first, second = self.build(texts, tmp_path).train, self.build(texts, tmp_path).train
        assert [list(first[index]["input_ids"]) for index in range(len(first))] == [
            list(second[index]["input_ids"]) for index in range(len(second))
        ]

    def test_changed_file_is_read_again(self, tmp_path: Path) -> None:
        """A cache never answers for a file that has changed."""
        self.build(["old wave"], tmp_path)
        assert bytes(list(self.build(["new wave"], tmp_path).train[0]["input_ids"])) == b"new wave"

    def test_rows_that_encode_to_nothing(self, tmp_path: Path) -> None:
        """`encode` may return fewer rows than it was given."""
        assert len(self.build(["a wave", _DROPPED, "a tide"], tmp_path).train) == 2

    def test_missing_file(self, tmp_path: Path) -> None:
        """A file that is not there is an error that names it."""
        with pytest.raises(TunesmithError) as raised:
            self.build_from(tmp_path / "nowhere.jsonl", tmp_path)
        assert "nowhere.jsonl" in str(raised.value)

    def test_malformed_file(self, tmp_path: Path) -> None:
        """A file that is not JSON is an error that names it."""
        file = tmp_path / "broken.jsonl"
        file.write_text('{"text": "a wave"}\n{"text": \n', encoding="utf-8")
        with pytest.raises(TunesmithError) as raised:
            self.build_from(file, tmp_path)
        assert "broken.jsonl" in str(raised.value)
