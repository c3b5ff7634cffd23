"""What is kept on disk: found whole or told to be damaged, listed with exact sizes, deleted unless it is in use."""

import os
import subprocess
import sys
import time

import pytest
from filelock import FileLock
from tunesmith_library_caching import (
    ABOUT,
    DATA,
    UNFINISHED,
    Hold,
    damage_of_sizes,
    data_files,
    differences,
    entries_of,
    mark_used,
    opened,
    write_about,
    write_manifest,
)
from tunesmith_library_caching.listing import listed
from tunesmith_library_caching.pruning import Choice, prune
from tunesmith_library_configuration.files import replacing
from tunesmith_library_configuration.fingerprints import versions

KEYS = ["a" * 32, "b" * 32, "c" * 32]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tunesmith"


def encoded(folder, size=1000, **about):
    folder.mkdir(parents=True)
    (folder / DATA).write_bytes(b"x" * size)
    write_about(folder, {"name": "chat", "examples": 7, "size": size, "parts": versions(), "files": [], **about})
    return folder


def disk_usage(folder):
    """By `du`, which knows nothing of this library."""
    return int(subprocess.run(["du", "-sb", folder], capture_output=True, check=True).stdout.split()[0])


def bytes_of(folder):
    folders = sum(path.lstat().st_size for path in [folder, *folder.rglob("*")] if path.is_dir())
    return disk_usage(folder) - folders


def test_a_data_set_is_whole_or_said_to_be_damaged(tmp_path):
    folder = encoded(tmp_path / KEYS[0])
    about, damage = opened(folder)
    assert about["name"] == "chat" and damage is None
    assert opened(tmp_path / KEYS[1]) == (None, None), "nothing is there"
    (folder / DATA).write_bytes(b"x" * 999 + b"y")
    assert opened(folder) == (None, "data.arrow is not as it was written")
    (folder / ABOUT).write_text((folder / ABOUT).read_text().replace("chat", "char"))
    assert opened(folder) == (None, "about.json is not as it was written")


def test_a_set_in_shards_is_whole_or_said_to_be_damaged(tmp_path):
    folder = tmp_path / KEYS[0]
    for number, size in enumerate((1000, 0, 500)):
        encoded(folder / f"{number:05}", size, examples=size // 100, records=10)
    write_manifest(folder, {"name": "chat", "examples": 15}, ["00000", "00001", "00002"])
    about, damage = opened(folder)
    assert about["name"] == "chat" and damage is None and damage_of_sizes(folder, about) is None
    assert [file.parent.name for file in data_files(folder, about)] == ["00000", "00002"], "one has no example"
    (folder / "00002" / DATA).write_bytes(b"y" * 500)
    assert damage_of_sizes(folder, about) is None
    assert opened(folder) == (None, "00002/data.arrow is not as it was written")
    (folder / "00000" / DATA).unlink()
    assert damage_of_sizes(folder, about) == "00000/data.arrow is not as long as it was written"


def test_shards_that_wait_for_others_are_left_over(root):
    """Whoever makes the data set holds its lock, and they stay."""
    waiting = encoded(root / "datasets" / f"{KEYS[0]}{UNFINISHED}" / "00000").parent
    (found,) = listed()
    assert (found.kind, found.place, found.name) == ("leftover", waiting, KEYS[0])
    with FileLock(root / "datasets" / f"{KEYS[0]}.lock"):
        assert [freed for _, freed in prune([found])] == [None]
    assert [freed for _, freed in prune([found])] == [found.size] and not waiting.exists()


def test_differences_name_versions_with_their_numbers():
    former = {"tokenizer": "aa", "transformers": "5.0.1", "options of stage.sft": "1"}
    now = {"tokenizer": "bb", "transformers": "5.1.0", "options of stage.sft": "1"}
    assert differences(former, now) == ["tokenizer", "transformers (5.0.1, now 5.1.0)"]


def test_listing_tells_sizes_and_what_is_the_matter(root, tmp_path):
    data = tmp_path / "train.jsonl"
    data.write_text("{}")
    stamp = [str(data), 2, data.stat().st_mtime_ns, "not its digest"]
    good = encoded(root / "datasets" / KEYS[0], files=[stamp], made_with={"stage": "sft"}, path="train.jsonl")
    old = encoded(root / "datasets" / KEYS[1], size=5000, parts={**versions(), "tokenizers": "0.0.1"})
    cut = encoded(root / "datasets" / KEYS[2])
    os.truncate(cut / DATA, 10)
    os.utime(old / ABOUT, (1, 1))
    archive = root / "archives" / "talks-0123456789abcdef"
    archive.mkdir(parents=True)
    (archive / "a.json").write_text("[]")
    found = {kept.place: kept for kept in listed()}
    assert next(iter(found)) == old, "the longest unused first"
    assert {place: kept.size for place, kept in found.items()} == {place: bytes_of(place) for place in found}
    assert (found[good].rows, found[good].unused, found[good].damage) == (7, "", "")
    assert found[good].made_of == {"path": "train.jsonl", "format": None, "stage": "sft"}
    assert "tokenizers (0.0.1, now" in found[old].unused
    assert found[cut].damage == "data.arrow is not as long as it was written"
    assert found[archive].name == "talks"
    data.write_text("[]")  # as long as before
    assert next(kept for kept in listed() if kept.place == good).unused == f"{data} has changed"
    data.unlink()
    assert next(kept for kept in listed() if kept.place == good).unused == f"{data} is not here"


def test_a_thorough_look_reads_every_byte(tmp_path):
    folder = encoded(tmp_path / KEYS[0])
    (folder / DATA).write_bytes(b"x" * 999 + b"y")
    assert [kept.damage for kept in listed(tmp_path)] == [""]
    assert [kept.damage for kept in listed(tmp_path, thorough=True)] == ["data.arrow is not as it was written"]


@pytest.mark.parametrize(
    ("kind", "folder", "told"), [("precision", "precisions", "name"), ("planning", "planning", "device")]
)
def test_what_was_measured_is_listed(root, kind, folder, told):
    """By what it is of, and a damaged file without a name."""
    (root / folder).mkdir(parents=True)
    (root / folder / f"{KEYS[0]}.json").write_text(f'{{"{told}": "EPYC, 2 threads"}}')
    (root / folder / f"{KEYS[1]}.json").write_text("[")
    kept = {(each.kind, each.name, each.size) for each in listed()}
    assert kept == {(kind, "EPYC, 2 threads", len(told) + 23), (kind, "", 1)}


def test_what_is_chosen_goes_and_nothing_else(tmp_path):
    old, large, third = (encoded(tmp_path / key, size) for key, size in zip(KEYS, (10, 9000, 10), strict=True))
    month_ago = time.time() - 30 * 86_400
    os.utime(old / ABOUT, (month_ago, month_ago))
    chosen = {
        "older": Choice(older=20),
        "larger": Choice(larger=5000),
        "all": Choice(everything=True),
        "damaged": Choice(damaged=True),
        "unused": Choice(unused=True),
    }
    found = {name: {kept.place for kept in listed(tmp_path) if choice.why(kept)} for name, choice in chosen.items()}
    assert found == {"older": {old}, "larger": {large}, "all": {old, large, third}, "damaged": set(), "unused": set()}
    size = bytes_of(large)
    ((kept, freed),) = prune(kept for kept in listed(tmp_path) if chosen["larger"].why(kept))
    assert (kept.place, freed) == (large, size)
    assert sorted(tmp_path.iterdir()) == [old, third], "neither it nor its lock is left"
    mark_used(old)
    assert not [kept for kept in listed(tmp_path) if chosen["older"].why(kept)]


def test_what_is_read_or_made_stays(tmp_path):
    folder = encoded(tmp_path / KEYS[0])
    hold = Hold(folder)
    assert [freed for _, freed in prune(listed(tmp_path))] == [None] and opened(folder)[0]
    hold.release()
    with FileLock(f"{folder}.lock"):
        assert [freed for _, freed in prune(listed(tmp_path))] == [None] and opened(folder)[0]
    assert [freed for _, freed in prune(listed(tmp_path))] != [None] and not folder.exists()


def test_drafts_of_killed_processes_go_and_those_of_living_ones_are_not_told(tmp_path):
    program = (
        "import os, sys, pathlib; from tunesmith.files import replacing\n"
        f"with replacing(pathlib.Path({str(tmp_path / KEYS[1])!r})) as draft:\n"
        "    draft.mkdir(); (draft / 'data.arrow').write_bytes(b'x' * 123); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    (left,) = listed(tmp_path)
    assert (left.kind, left.size) == ("leftover", 123)
    with replacing(tmp_path / "other" / KEYS[0]) as draft:
        draft.mkdir()
        assert not listed(tmp_path / "other"), "it is written now"
    assert [freed for _, freed in prune([left])] == [123] and not list(tmp_path.glob(".*"))


def test_downloads_share_objects(root):
    """Two listings of a store with one object in common: each frees what is its own, the last one the object."""
    store = root / "stores"
    (store / "objects").mkdir(parents=True)
    for name, size in (("one", 100), ("two", 20)):
        (store / "objects" / name).write_bytes(b"x" * size)
    for listing, names in (("l1", ["one", "two"]), ("l2", ["one"])):
        folder = store / "folders" / listing / "set"
        folder.mkdir(parents=True)
        for name in names:
            os.link(store / "objects" / name, folder / f"{name}.json")
    assert {kept.place.name: kept.size for kept in listed()} == {"l1": 20, "l2": 0}
    first = next(kept for kept in listed() if kept.place.name == "l1")
    assert [freed for _, freed in prune([first])] == [20]
    assert [path.name for path in (store / "objects").iterdir()] == ["one"]
    assert [kept.size for kept in listed()] == [100]
    assert [freed for _, freed in prune(listed())] == [100] and not list((store / "objects").iterdir())


def test_files_in_archives_and_downloads_tell_their_entries(root):
    archive, listing = root / "archives" / "a-1", root / "stores" / "folders" / "l1"
    files = [archive / "x" / "a.json", archive / "b.json", listing / "set" / "c.json", root / "d.json"]
    assert entries_of(files) == [archive, listing]
