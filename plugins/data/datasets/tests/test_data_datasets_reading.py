"""Records of files of every kind, and folders as the hub lays them out."""

import gzip
import itertools
import json
from pathlib import Path

import pytest
from tunesmith import DataError
from tunesmith_data_datasets import json_values
from tunesmith_data_datasets.entries import Entry, Source, split_pattern
from tunesmith_data_datasets.locating import find_files
from tunesmith_data_datasets.reading import read_records
from tunesmith_library_formats import tallying

RECORDS = [{"a": 1, "b": {"x": None}}, {"a": "海\n", "c": [1, {"y": "]},{"}]}, {"d": 1.5e3}]


def records_of(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_records(path, **options))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_in_pieces(tmp_path, monkeypatch, chunk, indent):
    """However the stream is cut, the same values come out."""
    monkeypatch.setattr(json_values, "_CHUNK", chunk)
    as_list = json.dumps(RECORDS, indent=indent, ensure_ascii=False)
    assert records_of(tmp_path / "a.json", f" \n{as_list}\n ") == RECORDS
    assert records_of(tmp_path / "b.json", "\ufeff[]") == []
    values = "\n".join(json.dumps(record, indent=indent) for record in RECORDS)
    assert records_of(tmp_path / "c.json", values) == RECORDS
    lines = "\r\n\r\n".join(map(json.dumps, RECORDS))
    assert records_of(tmp_path / "d.jsonl", lines) == RECORDS
    assert records_of(tmp_path / "e.jsonl", as_list) == RECORDS, "a list under the name of JSON Lines"


@pytest.mark.real
def test_real_json_in_pieces(real_files: Path, monkeypatch):
    monkeypatch.setattr(json_values, "_CHUNK", 10_000)
    for name in ("alpaca_zh_demo.json", "glaive_toolcall_en_demo.json"):
        file = real_files / "data" / name
        assert list(read_records(file)) == json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '[\n{"a": 1},\n{"a": }\n]', "line 3 (record 2): a value must stand where } stands (column 7)"),
        ("a.json", '[\n{"a": 1}\n{"a": 2}]', "a.json, line 3 (record 1): the list goes on without a comma"),
        ("a.json", '[\n{"a": 1},\n', "a.json, line 3 (record 2): a value is missing at the end (column 1); the file"),
        ("a.json", '[{"a": 1}\n', "a.json, line 2 (record 1): the list has no end"),
        ("a.json", '[{"a": 1}]\n]', "a.json, line 2: something follows"),
        ("a.json", "[1]", "a.json, line 1 (record 1): a record must be a mapping, found 1"),
        (
            "a.jsonl",
            '{"a": 1}\n\n{"a": \n{"a": 3}\n',
            "line 3: a value is missing at the end (column 7); the line ends",
        ),
        ("a.csv", "a,b\n1,2\n1,2,3\n", "a.csv, line 3: more values than the 2 columns"),
        ("a.txt", b"fine\n\xff\xfe", "a.txt, line 2, byte 1 of it (0xff: invalid start byte): this is not UTF-8"),
        ("a.txt", b"gr\xc3\xbcn\r\nbl\xe4u\r\n", "line 2, byte 3 of it (0xe4: invalid continuation byte)"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n{"a": "\xff"}\n', mtime=0), "line 2, byte 8 of it (0xff"),
        ("a.jsonl", '{"a": 1}\n'.encode("utf-16"), "a.jsonl is UTF-16; convert it: iconv -f UTF-16"),
        ("a.json", gzip.compress(b"[]", mtime=0), "a.json is no text but gzip, whose name ends in .gz"),
        ("a.jsonl", '{"a": 1}\n{"a": [1, {"b": NaN}]}\n', "a.jsonl, line 2: NaN is not JSON; write null"),
        ("a.json", '[{"a": 1},\n\n {"a": -Infinity}]', "a.json, line 3 (record 2): -Infinity is not JSON"),
        (
            "a.jsonl",
            '{"a": 1}\n{"b": [{"c": "x\\ud83d"}]}\n',
            "line 2: half of a surrogate pair, which is no character",
        ),
        (
            "a.json",
            '[{"a": 1},\n{"b": [{"c": "\\uDE00"}]}]',
            "which is no character, in `b[0].c`",
        ),
        ("a.jsonl", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "a.jsonl, line 1: it is nested too deep"),
        ("a.json", '[\n{"a": ' + "9" * 5000 + "}]", "a.json, line 2 (record 1): a number has too many digits"),
        ("a.jsonl", '{"a": 1}\r{"a": 2}\r\n\n{"a":', "a.jsonl, line 4: a value is missing at the end (column 6)"),
        *(
            (name, f"{before}{written}", f"{place}: {message}")
            for name, before, place in (("a.jsonl", '{"a": 1}\n', "a.jsonl, line 2"), ("b.json", "\n\n ", "line 3"))
            for written, message in (
                ('{"a": "x', f"a text begins and has no end (column {7 + (name == 'b.json')}); the"),
                ('{"a": 1,}', "a comma stands before the closing bracket; take it away (column"),
                ('{"a": [1,]}', "a comma stands before the closing bracket; take it away (column"),
                ("{'a': 1}", "a key in double quotes must stand where ' stands (column"),
                ('{"a": None}', "a value must stand where None stands (column"),
                ('{"a" 1}', "a colon must stand where 1 stands (column"),
                ('{"a": 1 "b": 2}', 'a comma or the closing bracket must stand where " stands (column'),
                ('{"a": "\x00"}', "a text holds the control character U+0000; write \\u0000 (column"),
                ('{"a": "x\ty"}', "a text holds the control character U+0009; write \\t (column"),
                ('{"a": "\\d"}', "\\d is no escape of JSON; a backslash itself is written \\\\ (column"),
                ('{"a": "\\u12"}', "\\u12 is no escape of JSON; a backslash itself is written \\\\ (column"),
                ('{"a": tr', "a value must stand where tr stands (column"),
            )
        ),
        (
            "a.json",
            '[{"a": 1},\n]',
            "line 2 (record 1): a comma stands behind the last record; take it away (column",
        ),
        ("a.json", '[{"a": 1}, {"a": "b', "(record 2): a text begins and has no end (column 18); the file ends there"),
        ("a.jsonl", '{"a": 1}\n{"a": 2} {"a": 3}\n', "a.jsonl, line 2: something follows after the value (column 9)"),
        ("a.jsonl", "12\n", "a.jsonl, line 1: a record must be a mapping, found 12"),
        ("a.csv", "a,b,a\n1,2,3\n", "a.csv has 2 columns with the name 'a'"),
        ("a.csv", 'a,b\n1,"2\n3"\n4,"5\n', "a.csv, line 4: unexpected end of data"),
        ("a.csv", "a;b\n1,2;3,4\n", "its columns a, b are separated by ';', and not by ','; write commas instead:"),
        ("a.csv", "a\tb\n1\t2\n", "its columns a, b are separated by '\\t'\n  give the file a name that ends in .tsv"),
        ("a.tsv", "a,b\n1,2\n", "its columns a, b are separated by ','\n  give the file a name that ends in .csv"),
        ("a.csv", "a | b\n1 | 2\n", "its columns a, b are separated by '|'"),
        ("a.parquet", "nothing", "a.parquet cannot be read"),
        ("a.arrow", "nothing at all", "a.arrow cannot be read"),
        ("a.json.gz", "nothing", "a.json.gz cannot be read"),
        ("a.xml", "", "cannot read .xml"),
    ],
)
def test_malformed(tmp_path, name, content, message):
    with pytest.raises(DataError) as raised:
        records_of(tmp_path / name, content)
    assert message in str(raised.value)


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_line_of_an_error_far_in(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(json_values, "_CHUNK", chunk)
    good = ",\n".join(json.dumps({"a": i}) for i in range(50))
    for before, column in (("", 2), ("  ", 4), ('{"a": 0}, ', 12)):
        number = 52 if column > 9 else 51
        with pytest.raises(DataError, match=rf"line 52 \(record {number}\): a key .* \(column {column}\)"):
            records_of(tmp_path / "a.json", f"[\n{good},\n{before}{{'a': 1}}]")


def test_places(tmp_path):
    """Each record has the line in which it begins, however lines end and the file is laid out."""
    laid_out = json.dumps([{"a": 1}, {"a": 2}, {"a": 3}], indent=1)
    for name, content, places in (
        ("a.json", laid_out, [2, 5, 8]),
        ("a.json", laid_out.replace("\n", "\r\n"), [2, 5, 8]),
        ("a.json", json.dumps([{"a": 1}, {"a": 2}, {"a": 3}]), [1, 1, 1]),
        ("a.json", '{"a": 1}\n\n{"a": 2}{"a": 3}', [1, 3, 3]),
        ("a.jsonl", '\ufeff\n{"a": 1}\r\n\r{"a": 2}\n{"a": 3}', [2, 4, 5]),
        ("a.csv", 'a,b\n1,2\n\n3,"4\n5"\n6,7\n', [2, 4, 6]),
        ("a.txt", "one\n\ntwo\r\nthree", [1, 3, 4]),
    ):
        (tmp_path / name).write_bytes(content.encode())
        records = read_records(tmp_path / name)
        found = [
            f"line {line} (record {n})" if name == "a.json" else f"line {line}" for n, line in enumerate(places, 1)
        ]
        assert [records.place for _ in records] == found, content


def test_what_is_read_otherwise_is_counted(tmp_path):
    with tallying() as tally:
        found = records_of(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 1, "b": {"c": 1, "c": 2}}\n{"a": 1, "a": 2}\n')
        found += records_of(tmp_path / "a.csv", "a,b\n1,2\n3\n")
    assert found[1:] == [{"a": 1, "b": {"c": 2}}, {"a": 2}, {"a": "1", "b": "2"}, {"a": "3", "b": None}]
    assert [share.of(5) for share in tally.shares.values()] == [
        "2 of 5 give a key twice, of which the last value counts; the first is `c` in line 2",
        "1 of 5 have fewer values than there are columns, which are null then; the first is line 3",
    ]


def test_reading_is_lazy(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[" + ",".join([json.dumps({"a": "x" * 1000})] * 3000) + ", broken")
    assert len(list(itertools.islice(read_records(path), 100))) == 100


def test_text(tmp_path):
    assert records_of(tmp_path / "a.txt", "one\r\n\n  \ntwo") == [{"text": "one"}, {"text": "two"}]
    assert records_of(tmp_path / "a.txt", "one\n\ntwo", sample_by="document") == [{"text": "one\n\ntwo"}]


def test_csv(tmp_path):
    long = "x" * 200_000
    assert records_of(tmp_path / "a.csv", f'q,a\n"one, ""two""\n","{long}"\n') == [{"q": 'one, "two"\n', "a": long}]
    assert records_of(tmp_path / "a.tsv", "q\ta\n1\tnull\n") == [{"q": "1", "a": "null"}], "values stay text"


def test_gzip(tmp_path):
    assert records_of(tmp_path / "a.jsonl.gz", gzip.compress(b'{"a": 1}\n', mtime=0)) == [{"a": 1}]


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_arrow(tmp_path, kind):
    """The nulls that Arrow put into nested records are taken out; those of columns stay."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist([{"call": {"x": 1}, "n": None}, {"call": {"y": [{"z": 2}]}, "n": 3}])
    path = tmp_path / ("a.parquet" if kind == "parquet" else "a.arrow")
    if kind == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        make = pyarrow.ipc.new_stream if kind == "stream" else pyarrow.ipc.new_file
        with make(str(path), table.schema) as writer:
            writer.write_table(table)
    assert list(read_records(path)) == [{"call": {"x": 1}, "n": None}, {"call": {"y": [{"z": 2}]}, "n": 3}]


def files_of(path, **options):
    source = Source("data.train[0]", "x", Entry(path=str(path), **options))
    return [file.name for file in find_files(source, lambda address, revision=None: Path(address), "huggingface")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    made = tmp_path / "set"
    made.mkdir()
    return made


def test_folder_without_splits(folder):
    for name in ("b.jsonl", "a.jsonl"):
        (folder / name).write_text('{"text": "x"}\n')
    (folder / "README.md").write_text("# A set\n")
    assert files_of(folder) == ["a.jsonl", "b.jsonl"]
    assert files_of(folder / "b*.jsonl") == ["b.jsonl"]


def test_folder_with_splits(folder):
    for name in ("train.jsonl", "test.jsonl"):
        (folder / name).write_text('{"text": "x"}\n')
    assert files_of(folder) == ["train.jsonl"]
    assert files_of(folder, split="test") == ["test.jsonl"]
    with pytest.raises(DataError, match=r"no split tset\n.*did you mean test"):
        files_of(folder, split="tset")


def test_folder_with_subsets(folder):
    for name in ("en.json", "zh.json"):
        (folder / name).write_text("[]")
    configs = "\n".join(f"- config_name: {name}\n  data_files: {name}.json" for name in ("en", "zh"))
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}\n---\n")
    assert files_of(folder, subset="zh") == ["zh.json"]
    with pytest.raises(DataError, match=r"data.train\[0\]"):
        files_of(folder, subset="de")


def test_folder_of_save_to_disk(folder):
    import datasets

    made = datasets.Dataset.from_dict({"text": ["x", "y"]})
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(str(folder / "saved"))
    (name,) = files_of(folder / "saved", split="test")
    assert list(read_records(folder / "saved" / "test" / name)) == [{"text": "x"}, {"text": "y"}]


def test_nothing_to_read(folder):
    (folder / "a.docx").write_text("")
    with pytest.raises(DataError, match=r"possible: \.json"):
        files_of(folder / "*.docx")
    with pytest.raises(DataError, match="no files at"):
        files_of(folder / "*.json")


def test_patterns():
    assert split_pattern("data/a.json") == ("data/a.json", None)
    assert split_pattern("data/*/a.json") == ("data", "*/a.json")
    assert split_pattern("*.json") == (".", "*.json")
    assert split_pattern("/*.json") == ("/", "*.json")
    assert split_pattern("huggingface://datasets/o/n/en/*.parquet") == ("huggingface://datasets/o/n/en", "*.parquet")


def test_arrow_that_cannot_be_read(tmp_path):
    import pyarrow
    import pyarrow.parquet

    offsets = pyarrow.py_buffer(pyarrow.array([0, 1, 2, 4], pyarrow.int32()).buffers()[1])
    broken = pyarrow.StringArray.from_buffers(3, offsets, pyarrow.py_buffer(b"ab\xff\xfe"))
    pyarrow.parquet.write_table(pyarrow.table({"text": broken}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 3 cannot be read: .*0xff"):
        list(read_records(tmp_path / "a.parquet"))
    twice = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 2, names=["text", "text"])
    pyarrow.parquet.write_table(twice, tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet has 2 columns with the name 'text'"):
        list(read_records(tmp_path / "b.parquet"))


def test_empty_files_among_others_are_named(tmp_path, caplog):
    (tmp_path / "a.jsonl").write_text('{"a": 1}')
    (tmp_path / "b.jsonl").write_text("")
    source = Source("data.train[0]", "d", Entry(path=f"{tmp_path}/*.jsonl"))
    assert len(find_files(source, lambda path, revision: Path(path), "local")) == 2
    assert f"data.train[0]: empty files: {tmp_path / 'b.jsonl'}" in caplog.text


def test_a_hub_set_of_twelve_splits(folder):
    """As hubs lay them out: Parquet in parts, named by split, with splits that the README declares by pattern."""
    import pyarrow
    import pyarrow.parquet

    splits = [f"{which}_{kind}" for which in ("train", "test", "validation") for kind in ("sft", "gen", "prefs", "kto")]
    (folder / "data").mkdir()
    for number, split in enumerate(splits):
        for part in range(2):
            table = pyarrow.table({"text": [f"{split} {part}"], "n": [None if part else number]})
            pyarrow.parquet.write_table(table, folder / "data" / f"{split}-0000{part}-of-00002.parquet")
    files = "".join(f"  - split: {split}\n    path: data/{split}-*\n" for split in splits)
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n")
    for split in splits:
        names = files_of(folder, split=split)
        assert names == [f"{split}-0000{part}-of-00002.parquet" for part in range(2)]
        assert [record["text"] for name in names for record in read_records(folder / "data" / name)] == [
            f"{split} 0",
            f"{split} 1",
        ]
    with pytest.raises(DataError, match=r"no split train\n.*train_sft"):
        files_of(folder)
    with pytest.raises(DataError, match=r"no split test_stf\n.*did you mean test_sft"):
        files_of(folder, split="test_stf")


def test_files_of_a_folder_that_are_left_out_are_named(folder, caplog):
    """A folder is read as files of one kind; the others are said. A README leaves out on purpose."""
    for name in ("a.jsonl", "b.jsonl", "c.csv", ".d.csv", "dataset_info.json"):
        (folder / name).write_text("{}")
    assert files_of(folder) == ["a.jsonl", "b.jsonl"]
    assert f"data.train[0]: 1 files in {folder} are left out: c.csv; name them by a path" in caplog.text
    caplog.clear()
    (folder / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files: a.jsonl\n---\n")
    assert files_of(folder) == ["a.jsonl"] and "left out" not in caplog.text


def test_a_folder_of_names_in_capitals(folder):
    (folder / "A.JSONL").write_text('{"text": "x"}')
    assert files_of(folder) == ["A.JSONL"]
    with pytest.raises(DataError, match="cannot be read as a data set"):
        files_of(folder, split="test")
