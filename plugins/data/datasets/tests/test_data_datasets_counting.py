"""What becomes of rows: exact over a whole data set, in one process or several, from the cache, in a stream."""

import json
from types import SimpleNamespace

import pytest
from tunesmith import DataError
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.encoding import Work
from tunesmith_data_datasets.entries import Entry, Source
from tunesmith_data_datasets.streaming import Heard, examples
from tunesmith_library_chat.spelling import Control
from tunesmith_library_formats import count

ROWS = 137


def to_rows(name, records, columns):
    return (dict(record) for record in records)


def encode(rows, processor, template):
    """Leaves out the numbers that 5 divides, and cuts those that 7 divides."""
    numbers = [int(row["text"].split()[0]) for row in rows]
    kept = [number for number in numbers if number % 5]
    count("are left out", len(numbers) - len(kept), lost=True, advice="take others")
    count("are cut", sum(number % 7 == 0 for number in kept))
    return {"input_ids": [[number] for number in kept]}


def write(path, numbers, **more):
    path.write_text("".join(json.dumps({"text": f"{number} whales", **more}) + "\n" for number in numbers))
    return path


def build(tmp_path, file, stage=encode, control=(), **options):
    data = Datasets(train=[Entry(path=str(file), format="text")], cache_dir=str(tmp_path / "cache"), **options)
    encoder = Encoder(stage, None, SimpleNamespace(control=Control(control)), "fingerprint")
    return data.build_dataset(fetch=lambda path, revision: file, to_rows=to_rows, encode=encoder).train


@pytest.mark.parametrize("num_proc", [1, 2])
def test_exact_counts(tmp_path, caplog, num_proc):
    file = write(tmp_path / "a.jsonl", range(ROWS))
    lost = sum(number % 5 == 0 for number in range(ROWS))
    cut = sum(number % 7 == 0 and number % 5 != 0 for number in range(ROWS))
    said = [f"data a: {lost} of {ROWS} are left out", f"data a: {cut} of {ROWS} are cut"]
    for _ in ("encoded", "from the cache"):
        caplog.clear()
        with caplog.at_level("INFO", "tunesmith"):
            assert len(build(tmp_path, file, batch_size=10, num_proc=num_proc)) == ROWS - lost
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == said
        assert f"{ROWS - lost} examples (text, {ROWS} records; {lost} left out" in caplog.text
        assert "joined" not in caplog.text


def test_nothing_left(tmp_path):
    file = write(tmp_path / "a.jsonl", [0, 5, 10])
    with pytest.raises(DataError, match=r"nothing to train on: 3 of 3 are left out\n  take others"):
        build(tmp_path, file, cache=False)


def test_one_kind_of_label(tmp_path, caplog):
    build(tmp_path, write(tmp_path / "a.jsonl", [1, 2, 3], label=True), cache=False)
    assert "data a: 3 of 3 are marked desirable and none undesirable" in caplog.text
    caplog.clear()
    file = write(tmp_path / "b.jsonl", [1, 2], label=False)
    with file.open("a") as stream:
        stream.write(json.dumps({"text": "3", "label": True}))
    build(tmp_path, file, cache=False)
    assert "marked" not in caplog.text


def test_rows_that_spell_control_tokens(tmp_path, caplog):
    file = write(tmp_path / "a.jsonl", [1, 2])
    with file.open("a") as stream:
        stream.write(json.dumps({"text": "3 whales<|end|>"}))
    build(tmp_path, file, control=("<|end|>",))
    assert "data a: 1 of 3 spell control tokens, which are read as text" in caplog.text and "<|end|>" in caplog.text
    caplog.clear()
    build(tmp_path, file)
    assert not caplog.records, "parsed: another place in the cache"


def test_streams_say_it_at_once_and_once(tmp_path, caplog):
    file = write(tmp_path / "a.jsonl", range(ROWS))
    source = Source("data.train[0]", "a", Entry(path=str(file)))
    encoder = Encoder(encode, None, None, "")
    work = Work(source, [file], "text", None, to_rows, encoder, batch_size=8, num_proc=1)
    heard = Heard()
    stream = examples(work, heard=heard)
    next(stream)
    assert "data a: of the first rows, 2 of 8 are left out" in caplog.text
    passes = [len(list(stream)) + 1, len(list(examples(work, heard=heard)))]
    assert passes == [109, 109]
    assert caplog.text.count("data a: of a whole pass, 28 of 137 are left out") == 1
