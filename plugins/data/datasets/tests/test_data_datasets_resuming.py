"""Streams that are gone on with: the same examples as without an end between, and little that is read again."""

import bz2
import csv
import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from tunesmith import DataError
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.entries import Entry
from tunesmith_data_datasets.reading import read_records
from tunesmith_data_datasets.seeking import cursor
from tunesmith_data_datasets.shuffling import Draws
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing.parts import ByteStage, text_rows


def stream(*train, stage=None, **options):
    entries = [
        Entry(**{"format": "text", **(item if isinstance(item, dict) else {"path": str(item)})}) for item in train
    ]
    plugin = Datasets(train=entries, streaming=True, cache=False, **options)
    encoder = Encoder(stage or ByteStage(), None, ChatTemplate("none", "", ()), "1")
    return plugin.build_dataset(
        fetch=lambda address, revision=None: Path(address), to_rows=text_rows, encode=encoder
    ).train


def texts(name, count, drop=7):
    return [f"{'drop' if number % drop == 0 else name} {number} {'x' * (number % 50)}" for number in range(count)]


def jsonl(path, values):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in values))
    return path


def next_texts(share, count):
    return [bytes(example["input_ids"].tolist()).decode() for example in itertools.islice(share, count)]


@pytest.mark.parametrize(
    ("weights", "buffer", "batch", "share"),
    [
        pytest.param(None, 1, 4, (0, 1), marks=pytest.mark.slow),
        (None, 9, 4, (1, 2)),
        pytest.param((3.0, 1.0), 40, 1, (0, 1), marks=pytest.mark.slow),
        pytest.param((3.0, 1.0), 16, 1000, (1, 2), marks=pytest.mark.slow),
        ((0.1, 1.0), 9, 3, (2, 3)),
    ],
)
def test_going_on(tmp_path, weights, buffer, batch, share):
    """From any place, also within a pass that is not the first, with shuffling, weights, and rows that are left out."""
    paths = [jsonl(tmp_path / "a.jsonl", texts("a", 61)), jsonl(tmp_path / "b.jsonl", texts("b", 23))]
    entries = [{"path": str(path), "weight": weight} for path, weight in zip(paths, weights or (1.0, 1.0), strict=True)]
    options = {"shuffle_buffer": buffer, "batch_size": batch, "mix": "interleave_under" if weights else "concat"}
    made = stream(*entries, **options)
    whole = next_texts(made.share(*share), 360)
    assert len(set(whole)) > 20
    for stop in (0, 1, 39, 260):
        first = made.share(*share)
        assert next_texts(first, stop) == whole[:stop]
        state = json.loads(json.dumps(first.state))
        for more in (0, 57):  # also a share that went on before
            rest = made.share(*share, state)
            assert next_texts(rest, more) == whole[stop : stop + more]
            state = json.loads(json.dumps(rest.state))
        last = stream(*entries, **options).share(*share, state)
        assert next_texts(last, 43) == whole[stop + 57 : stop + 100], stop


def test_little_is_read_again(tmp_path):
    """Deep in a set, as many rows are encoded again as belong to what is held back; and not a line before is parsed."""
    file = jsonl(tmp_path / "a.jsonl", (f"text {number}" for number in range(6_000)))
    first = stream(file, shuffle_buffer=50, batch_size=20).share(0, 1)
    next_texts(first, 5_000)
    state = first.state
    assert len(json.dumps(state)) < 4000
    stage = ByteStage()
    rest = next_texts(stream(file, stage=stage, shuffle_buffer=50, batch_size=20).share(0, 1, state), 100)
    assert rest == next_texts(first, 100)
    assert stage.rows < 50 * 15 + 100
    damaged = bytearray(file.read_bytes())
    damaged[: len(damaged) // 2] = b"x" * (len(damaged) // 2)
    file.write_bytes(damaged)
    assert next_texts(stream(file, shuffle_buffer=50, batch_size=20).share(0, 1, state), 100) == rest


def write_parquet(path, values):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"text": values}), path, row_group_size=7)


def write_arrow(path, values, new):
    import pyarrow

    table = pyarrow.table({"text": values})
    with getattr(pyarrow.ipc, new)(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def write_csv(path, values):
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["text", "n"], *([f"{value}\nand", 1] for value in values)])


CARRIAGE = "\r\n"
LINES = "\ufeff" + "".join(
    json.dumps({"text": f"é{n}"}, ensure_ascii=False) + ("\n", "\r\n", "\n \n", "\r", "\r\n\u00a0\n")[n % 5]
    for n in range(40)
)
FILES = {
    "a.jsonl": lambda path, values: jsonl(path, values),
    "a.ndjson": lambda path, values: path.write_bytes(LINES.encode()),
    "a.jsonl.gz": lambda path, values: path.write_bytes(gzip.compress(LINES.encode())),
    "a.jsonl.bz2": lambda path, values: path.write_bytes(bz2.compress(LINES.encode())),
    "list.jsonl": lambda path, values: path.write_text(json.dumps([{"text": text} for text in values])),
    "a.json": lambda path, values: path.write_text(json.dumps([{"text": text} for text in values], indent=1)),
    "a.txt": lambda path, values: path.write_bytes(
        ("\ufeff\n" + "\r\n".join(values) + "\r one\n\u3000\nlast").encode()
    ),
    "a.csv": write_csv,
    "a.parquet": write_parquet,
    "a.arrow": lambda path, values: write_arrow(path, values, "new_file"),
    "b.arrow": lambda path, values: write_arrow(path, values, "new_stream"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file(name, tmp_path):
    """From every record of a file: the same records, with the same places; and as they are read without marks."""
    path = tmp_path / name
    FILES[name](path, [f"text {number}" for number in range(30)])
    records = read_records(path)
    wanted = [(record, records.place) for record in records]
    assert len(wanted) >= 30
    reader = cursor(path, "line")
    marks = []
    for found in wanted:
        assert (next(reader), reader.place) == found
        marks.append(reader.mark())
    assert next(reader, None) is None
    for number in (0, 1, 6, 7, 8, 28):
        reader = cursor(path, "line", marks[number])
        assert (next(reader), reader.place) == wanted[number]
        assert reader.mark() == marks[number] and reader.skip()
        assert [(record, reader.place) for record in reader] == wanted[number + 2 :]


def test_a_file_whose_lines_moved(tmp_path, caplog):
    """A mended file is counted through; the records are the same."""
    path = jsonl(tmp_path / "a.jsonl", [f"text {number}" for number in range(30)])
    reader = cursor(path, "line")
    marks = [reader.mark() for _ in reader]
    path.write_text("\n\n" + path.read_text())
    assert next(cursor(path, "line", marks[17])) == {"text": "text 17"}
    assert "has changed" in caplog.text
    path.write_text("")
    assert next(cursor(path, "line", marks[17]), None) is None


def test_other_data(tmp_path):
    file = jsonl(tmp_path / "a.jsonl", [f"text {number}" for number in range(90)])
    first = stream(file, shuffle_buffer=20, batch_size=5).share(0, 1)
    next_texts(first, 50)
    jsonl(file, [f"drop {number}" for number in range(90)])
    with pytest.raises(DataError, match=r"a\.jsonl has other examples"):
        next(stream(file, shuffle_buffer=20, batch_size=5).share(0, 1, first.state))


@pytest.mark.parametrize("weights", [[1.0], [1.0, 5.0, 0.2]])
def test_what_is_held_back(weights, monkeypatch):
    """Against holding it: whatever is given, and however many draws are made together."""
    for size, chunk in ((1, 8), (5, 8), (30, 64)):
        monkeypatch.setattr("tunesmith_data_datasets.shuffling._CHUNK", chunk)
        draws = Draws((3,), size, weights)
        taken, buffer = np.zeros(len(weights), int), []
        for number in range(200):
            lane = draws.lane(number)
            item = (lane, int(taken[lane]))
            taken[lane] += 1
            if number < size:
                buffer.append(item)
                continue
            buffer[draws.slot(number - size)] = item
            lanes, numbers = Draws((3,), size, weights).held(number - size + 1, taken)
            assert list(zip(lanes.tolist(), numbers.tolist(), strict=True)) == buffer
    shares = np.bincount([draws.lane(number) for number in range(4000)], minlength=len(weights)) / 4000
    assert shares == pytest.approx(np.array(weights) / sum(weights), abs=0.03)


def test_a_share_of_no_record(tmp_path):
    file = jsonl(tmp_path / "a.jsonl", ["one", "two"])
    with pytest.raises(DataError, match=r"every 3th record, from record 3 on\n.*fewer"):
        next(stream(file).share(2, 3))
