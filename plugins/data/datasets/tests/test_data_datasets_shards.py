"""Encoding in shards: the same examples as in one piece, begun again where it was interrupted, and streamed."""

import csv
import gzip
import itertools
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from tunesmith import DataError
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.entries import Entry
from tunesmith_library_caching import read_about
from tunesmith_library_caching.listing import listed
from tunesmith_library_caching.pruning import Choice, prune
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing.parts import text_rows


class Pairs:
    """Joins every two rows of a batch, so that it matters where batches begin; leaves `drop` out."""

    def __init__(self):
        self.rows = 0

    def __call__(self, rows, processor, template):
        self.rows += len(rows)
        texts = [row["text"] for row in rows if row["text"] != "drop"]
        joined = ["".join(texts[at : at + 2]) for at in range(0, len(texts), 2)]
        return {"input_ids": [list(text.encode()) for text in joined]}


def hooks(stage=None, **parts):
    encoder = Encoder(stage or Pairs(), None, ChatTemplate("none", "", ()), "1", {"encoding": "1", **parts})
    return {"fetch": lambda address, revision=None: Path(address), "to_rows": text_rows, "encode": encoder}


def plugin(folder, *files, **options):
    return Datasets(
        train=[Entry(path=str(file), format="text") for file in files],
        cache_dir=str(folder),
        num_proc=1,
        **{"batch_size": 3, **options},
    )


def here(sharding, most=None):
    """Encodes shards in this process, in an order of its own; as many as are asked for."""

    def spread(tasks):
        for done, task in enumerate(reversed(tasks)):
            if done == most:
                raise KeyboardInterrupt
            yield sharding.encode_shard(json.loads(json.dumps(task)))

    return spread


def encoded(data, given, **options):
    sharding = data.sharding(**given)
    return sharding.encode(here(sharding, **options))


def texts_of(count):
    return ["drop" if number % 7 == 5 else f"text {number} é\u2028." for number in range(count)]


def write(folder, kind, texts):
    file = folder / f"data.{kind}"
    records = [{"text": text} for text in texts]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" + "\n" * (n % 3) for n, record in enumerate(records))
    if kind == "jsonl":
        file.write_text("\ufeff" + lines, encoding="utf-8")
    elif kind == "jsonl.gz":
        file.write_bytes(gzip.compress(lines.encode()))
    elif kind == "json":
        file.write_text(json.dumps(records, indent=1), encoding="utf-8")
    elif kind == "txt":
        file.write_text("".join(text.replace("\u2028", "") + "\n" for text in texts), encoding="utf-8")
    elif kind == "csv":
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([["text"], *([text] for text in texts)])
    else:
        pyarrow.parquet.write_table(pyarrow.table({"text": texts}), file, row_group_size=4)
    return file


def rows_of(examples):
    return [bytes(list(example["input_ids"])).decode() for example in examples]


@pytest.mark.parametrize(
    ("kind", "count", "most"),
    [
        ("jsonl", 58, None),
        ("jsonl.gz", 58, None),
        ("json", 58, None),
        ("txt", 56, None),
        ("csv", 58, None),
        ("parquet", 58, None),
        ("jsonl", 2, None),
        ("jsonl", 5, None),
        ("jsonl", 50, 13),
        ("parquet", 50, 13),
    ],
)
def test_shards_are_the_whole_set(kind, count, most, tmp_path):
    """Of every kind of file, also where a batch goes on in another one, or a last record is by itself."""
    files = [write(tmp_path, kind, texts_of(count)), write(tmp_path, "txt" if kind != "txt" else "csv", ["one", "two"])]
    ordinary = plugin(tmp_path / "ordinary", *files, max_samples=most).build_dataset(**hooks()).train
    data = plugin(tmp_path / "shards", *files, max_samples=most)
    folders = encoded(data, hooks())
    stage = Pairs()
    found = plugin(tmp_path / "shards", *files, max_samples=most).build_dataset(**hooks(stage)).train
    assert rows_of(found) == rows_of(ordinary)
    assert stage.rows <= 32, "the first rows alone, for the key of each"
    abouts = [read_about(folder) for folder in folders]
    assert sum(about["examples"] for about in abouts) == len(found)
    assert sum(about["records"] for about in abouts) == min(count, most or count) + 2
    if count == 58:
        assert len(abouts[0]["shards"]) == 19


def test_what_was_interrupted_goes_on(tmp_path, caplog):
    """Finished shards stay; a damaged one, and one of another place, are made again. What waits is listed."""
    file = write(tmp_path, "jsonl", texts_of(60))
    with pytest.raises(KeyboardInterrupt):
        encoded(plugin(tmp_path / "c", file), hooks(), most=6)
    (draft,) = (tmp_path / "c").glob("*.part")
    done = sorted(path.name for path in draft.iterdir())
    assert done == [f"{number:05}" for number in range(14, 20)]
    assert [kept.kind for kept in listed(tmp_path / "c")] == ["leftover"]
    data = (draft / done[0] / "data.arrow").read_bytes()
    (draft / done[0] / "data.arrow").write_bytes(data[:-20] + b"x" * 20)
    stage = Pairs()
    with caplog.at_level("INFO"):
        (folder,) = encoded(plugin(tmp_path / "c", file), hooks(stage))
    assert "data data: 5 of 20 shards (encoded before, and whole)" in caplog.messages
    assert stage.rows == 16 + 15 * 3, "the first rows, and those of the missing shards"
    assert not draft.exists()
    ordinary = plugin(tmp_path / "ordinary", file).build_dataset(**hooks()).train
    assert rows_of(plugin(tmp_path / "c", file).build_dataset(**hooks()).train) == rows_of(ordinary)
    (folder / "00003" / "data.arrow").write_bytes(b"")
    (kept,) = listed(tmp_path / "c")
    assert kept.damage == "00003/data.arrow is not as long as it was written"


def test_shards_that_wait_are_deleted_unless_they_are_made(tmp_path):
    file = write(tmp_path, "jsonl", texts_of(60))
    sharding = plugin(tmp_path / "c", file).sharding(**hooks())

    def looked_at(tasks):
        yield sharding.encode_shard(tasks[0])
        found = listed(tmp_path / "c")
        assert [freed for _, freed in prune(found)] == [None], "it is in use"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sharding.encode(looked_at)
    found = [kept for kept in listed(tmp_path / "c") if Choice(leftovers=True).why(kept)]
    assert all(freed for _, freed in prune(found)) and not list((tmp_path / "c").glob("*.part"))


def test_what_is_wrong_with_a_shard_is_told(tmp_path):
    """With the line of the whole file; a machine that would encode otherwise, or does not see the folder, refuses."""
    file = write(tmp_path, "jsonl", texts_of(60))
    lines = file.read_bytes().splitlines()
    place = next(number for number, line in enumerate(lines) if b"text 31" in line)
    file.write_bytes(b"\n".join([*lines[:place], b'{"text": ', *lines[place + 1 :]]))
    with pytest.raises(DataError, match=rf"data\.jsonl, line {place + 1}\b"):
        encoded(plugin(tmp_path / "c", file), hooks())
    good = write(tmp_path, "txt", texts_of(9))
    (work,) = plugin(tmp_path / "c", good).sharding(**hooks()).works
    task = {"key": "data.train[0]", "number": 0, "folder": str(tmp_path), "parts": {"encoding": "1", "torch": "1.0"}}
    other = plugin(tmp_path / "c", good).sharding(**hooks(torch="2.0"))
    with pytest.raises(
        DataError, match=r"would encode the data otherwise than the machine that asks: torch \(1.0, now 2.0\)"
    ):
        other.encode_shard(task)
    with pytest.raises(DataError, match="there is no folder"):
        other.encode_shard({**task, "parts": {"encoding": "1", "torch": "2.0"}, "folder": str(tmp_path / "nowhere")})
    assert work.source.name == "data"
    with pytest.raises(DataError, match=r"data\.split_by=user divides records by what they hold"):
        encoded(plugin(tmp_path / "c", good, split_by="user", val_size=0.1), hooks())
    with pytest.raises(DataError, match="has nothing to train on"):
        encoded(plugin(tmp_path / "c", write(tmp_path, "csv", ["drop"] * 9)), hooks())


def first(examples, count):
    return [bytes(example["input_ids"].tolist()).decode() for example in itertools.islice(examples, count)]


def test_a_stream_of_shards(tmp_path, caplog):
    """The same examples in the same order as a stream that encodes, which goes on at the example; readers of several
    have parts of their own. Data files are not read for it, and nothing is encoded beyond the first rows."""
    file = write(tmp_path, "jsonl", [f"text {number}." for number in range(240)])
    encoded(plugin(tmp_path / "c", file), hooks())
    options = {"streaming": True, "shuffle_buffer": 10}
    ordinary = plugin(tmp_path / "none", file, **options).build_dataset(**hooks()).train
    stage = Pairs()
    with caplog.at_level("INFO"):
        stream = plugin(tmp_path / "c", file, **options).build_dataset(**hooks(stage)).train
    assert f"data data: 160 examples (encoded before, from {tmp_path / 'c'})" in caplog.messages
    expected = first(ordinary, 500)
    assert first(stream, 500) == expected
    assert stage.rows == 16
    share = stream.share(0, 1)
    first(share, 203)
    state = json.loads(json.dumps(share.state))
    assert first(stream.share(0, 1, state), 100) == expected[203:303]
    parts = [plugin(tmp_path / "c", file, streaming=True, shuffle_buffer=1).build_dataset(**hooks()).train.share(n, 3)
             for n in range(3)]  # fmt: skip
    seen = [set(first(part, 60)) for part in parts]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 160


def test_a_stream_of_which_a_set_is_not_encoded(tmp_path, caplog):
    one, two = write(tmp_path, "jsonl", texts_of(9)), write(tmp_path, "csv", texts_of(9))
    encoded(plugin(tmp_path / "c", one), hooks())
    both = plugin(tmp_path / "c", one, two, streaming=True, shuffle_buffer=1)
    both.train[1].name = "other"
    assert first(both.build_dataset(**hooks()).train, 2)
    assert f"data other: not encoded in {tmp_path / 'c'}, so that all are encoded anew" in caplog.messages
