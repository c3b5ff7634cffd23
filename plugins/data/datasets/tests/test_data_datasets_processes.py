"""Several processes of a run want the same data: one of a machine encodes them, and the others read what it made."""

import json
import multiprocessing
import time
from pathlib import Path

import datasets  # noqa: F401 (imported once, and not by each process)
import pytest
from tunesmith import DataError
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.entries import Entry
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing.parts import ByteStage

pytestmark = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")

PROBED = 16  # rows that each process encodes to find the others' data


class Slow(ByteStage):
    """Takes its time for what is more than a probe, and refuses a row."""

    def __call__(self, rows, processor, template):
        if len(rows) > PROBED:
            time.sleep(0.5)
        if any(row["text"] == "bad" for row in rows):
            raise DataError("a row is bad")
        return super().__call__(rows, processor, template)


def fetch(address, revision=None):
    return Path(address)


def to_rows(name, records, columns):
    return ({"text": record["text"]} for record in records)


def encode(file, cache, barrier, results):
    """One process of a run: what it encoded itself, where its examples are, or what was wrong."""
    stage = Slow()
    plugin = Datasets(train=[Entry(path=str(file), format="text")], cache_dir=str(cache), num_proc=1)
    barrier.wait(timeout=60)
    try:
        encoder = Encoder(stage, None, ChatTemplate("none", "", ()), "1")
        train = plugin.build_dataset(fetch=fetch, to_rows=to_rows, encode=encoder).train
        results.put((stage.rows - PROBED, len(train), [each["filename"] for each in train.cache_files]))
    except DataError as error:
        results.put(str(error))


def together(file, *caches):
    """What each of several processes gives, which begin at the same time."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(len(caches)), context.Queue()
    started = [context.Process(target=encode, args=(file, cache, barrier, results)) for cache in caches]
    for process in started:
        process.start()
    found = [results.get(timeout=60) for _ in started]
    for process in started:
        process.join(timeout=60)
    return sorted(found)


def rows(folder, *more):
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in [*(f"text {n}" for n in range(100)), *more]))
    return file


def test_one_encodes_and_the_others_map_its_file(tmp_path):
    none, every = together(rows(tmp_path), tmp_path / "cache", tmp_path / "cache")
    assert (none[:2], every[:2]) == ((0, 100), (100, 100))
    assert none[2] == every[2] and len(none[2]) == 1, "the same file, which is mapped, and so in memory once"


def test_machines_without_a_common_folder_each_encode(tmp_path):
    found = together(rows(tmp_path), tmp_path / "cache", tmp_path / "other")
    assert [each[:2] for each in found] == [(100, 100), (100, 100)]
    assert found[0][2] != found[1][2]


def test_what_is_wrong_is_said_by_all(tmp_path):
    found = together(rows(tmp_path, "bad"), tmp_path / "cache", tmp_path / "cache")
    assert len(set(found)) == 1 and "a row is bad" in found[0]
    assert not list((tmp_path / "cache").glob(".*")), "nothing half made is left"
