"""Compressed files and archives: what is in them is read, what is wrong with them is said."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow
import pytest
from tunesmith import DataError
from tunesmith_data_datasets.archives import unpacked
from tunesmith_data_datasets.checking import problems_of
from tunesmith_data_datasets.detecting import first_file
from tunesmith_data_datasets.entries import Entry, Source
from tunesmith_data_datasets.locating import find_files
from tunesmith_data_datasets.reading import is_data_file, read_records

CONTENT = "".join(json.dumps({"text": f"{number} 海"}) + "\n" for number in range(2000)).encode()


def zstandard(content):
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


COMPRESSIONS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard}


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_compressed(tmp_path, suffix):
    path = tmp_path / f"a.jsonl.{suffix}"
    made = COMPRESSIONS[suffix](CONTENT)
    path.write_bytes(made)
    assert is_data_file(path)
    assert [record["text"] for record in read_records(path)] == [f"{number} 海" for number in range(2000)]
    path.write_bytes(made[: len(made) * 2 // 3])
    with pytest.raises(DataError, match=rf"a\.jsonl\.{suffix} cannot be read"):
        list(read_records(path))
    path.write_bytes(made[: len(made) // 2] + b"\x55" * 40 + made[len(made) // 2 + 40 :])
    with pytest.raises(DataError, match=rf"a\.jsonl\.{suffix}"):
        list(read_records(path))
    path.write_bytes(b'{"text": "a"}\n')
    with pytest.raises(DataError, match=rf"a\.jsonl\.{suffix} cannot be read"):
        list(read_records(path))
    (tmp_path / "b.jsonl").write_bytes(made)
    with pytest.raises(DataError, match=rf"b\.jsonl is no text but .*\.{suffix}; name it so"):
        list(read_records(tmp_path / "b.jsonl"))


def write_archive(path, files):
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    compress = {".tgz": gzip.compress, **{f".{name}": make for name, make in COMPRESSIONS.items()}}
    path.write_bytes(compress.get(path.suffix, bytes)(buffer.getvalue()))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "cache" / "tunesmith" / "archives"


def source_of(path, **options):
    return Source("data.train[0]", "x", Entry(path=str(path), **options))


def texts(path, **options):
    source = source_of(path, **options)
    files = find_files(source, lambda address, revision=None: Path(address), "huggingface")
    assert first_file(source) in files
    return [record["text"] for file in files for record in read_records(file)]


@pytest.mark.parametrize("suffix", ["zip", "tar", "tgz", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
def test_archives(tmp_path, suffix, cache):
    path = tmp_path / f"set.{suffix}"
    files = {"set/train.jsonl": b'{"text": "a"}\n', "set/test.jsonl": b'{"text": "b"}', "set/.DS_Store": b"\0"}
    write_archive(path, files)
    assert texts(path) == ["a"]
    assert texts(path, split="test") == ["b"]
    assert texts(path / "set" / "test.jsonl") == ["b"]
    assert texts(f"{path}/set/*.jsonl") == ["b", "a"]
    assert texts(tmp_path / f"*.{suffix}") == ["b", "a"]
    assert len([entry for entry in cache.iterdir() if entry.is_dir()]) == 1
    write_archive(path, {"train.csv": b"text\nchanged\n"})
    assert texts(path) == ["changed"]


def test_an_archive_that_two_want_is_unpacked_once(tmp_path, cache):
    """Who comes second waits, and what the first one reads stays where it is."""
    path = tmp_path / "set.zip"
    write_archive(path, {"train.jsonl": b'{"text": "a"}\n'})
    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(unpacked, [path] * 4))
    assert len(set(places)) == 1
    numbers = {(places[0] / "train.jsonl").stat().st_ino, (unpacked(path) / "train.jsonl").stat().st_ino}
    assert len(numbers) == 1 and texts(path) == ["a"]


def test_archives_that_cannot_be_unpacked(tmp_path, cache):
    outside = tmp_path / "out.zip"
    write_archive(outside, {"../../stolen.jsonl": b"{}"})
    with pytest.raises(DataError, match=r"out\.zip holds a file that would stand outside of it: \.\./\.\./stolen"):
        unpacked(outside)
    broken = tmp_path / "a.tar.gz"
    write_archive(broken, {"a.jsonl": CONTENT})
    broken.write_bytes(broken.read_bytes()[:500])
    for path, content in ((broken, None), (tmp_path / "b.zip", b"PK nothing"), (tmp_path / "c.tar", b"nothing" * 200)):
        if content:
            path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{path.name} cannot be unpacked"):
            unpacked(path)
    assert not [entry for entry in cache.iterdir() if entry.is_dir()], "nothing half unpacked is left"


def test_links_in_archives_are_left_aside(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("secret.jsonl")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert list(unpacked(path).iterdir()) == []


def test_damage_that_looks_like_another_encoding(tmp_path):
    """What a damaged byte decompresses to may be no UTF-8, before the checksum at the end tells of the damage."""
    path = tmp_path / "a.jsonl.gz"
    made = bytearray(gzip.compress(b'{"text": "abc"}\n', compresslevel=0, mtime=0))
    made[made.index(b"abc")] = 0xFF
    path.write_bytes(made)
    with pytest.raises(DataError, match=r"a\.jsonl\.gz cannot be read: CRC check failed"):
        list(read_records(path))


def test_a_folder_of_archives(tmp_path):
    for split in ("test", "train"):
        write_archive(tmp_path / "set" / f"{split}.zip", {"a.jsonl": json.dumps({"text": split}).encode()})
    assert texts(tmp_path / "set") == ["train"]
    assert texts(tmp_path / "set", split="test") == ["test"]


def test_an_archive_without_data(tmp_path):
    write_archive(tmp_path / "a.zip", {"notes.docx": b"x"})
    (problem,) = problems_of(source_of(tmp_path / "a.zip"), None, "local")
    assert "a.zip is an archive without data" in problem.advice and f"in {tmp_path}: a.zip" in problem.advice
