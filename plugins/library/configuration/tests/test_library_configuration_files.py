"""Finished files are never half written."""

import subprocess
import sys

import pytest
from tunesmith_library_configuration.files import filling, numbered, replacing
from tunesmith_library_configuration.owners import this_process


def test_a_file_is_replaced_at_once(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with replacing(target) as draft:
        draft.write_text("old")
    with replacing(target) as draft:
        draft.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"], "nothing is left over"


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "model"
    for name in ("old", "new"):
        with replacing(target) as draft:
            draft.mkdir()
            (draft / name).touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("folder", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path, folder):
    target = tmp_path / "thing"
    if folder:
        target.mkdir()
        (target / "old").touch()
    else:
        target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as draft:
        draft.write_text("half")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == [target]
    assert (target / "old").exists() if folder else target.read_text() == "old"


@pytest.mark.parametrize("folder", [False, True])
def test_a_block_that_writes_nothing_leaves_what_was_there(tmp_path, folder):
    target = tmp_path / "thing"
    target.mkdir() if folder else target.write_text("old")
    with pytest.raises(FileNotFoundError), replacing(target):
        pass
    assert list(tmp_path.iterdir()) == [target]


def test_several_files_move_together_over_files_and_folders(tmp_path):
    folder = tmp_path / "run"
    (folder / "templates").mkdir(parents=True)
    (folder / "templates" / "old.jinja").touch()
    (folder / "metrics.jsonl").touch()
    with filling(folder, last=("config.json",)) as draft:
        (draft / "config.json").write_text("{}")
        (draft / "templates").mkdir()
        (draft / "templates" / "new.jinja").touch()
        assert not (folder / "config.json").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "metrics.jsonl", "templates"]
    assert [path.name for path in (folder / "templates").iterdir()] == ["new.jinja"]


def test_the_last_file_moves_last(tmp_path, monkeypatch):
    import os

    moved = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (moved.append(target.name), replace(source, target)))
    with filling(tmp_path, last=("a.json",)) as draft:
        for name in ("a.json", "b.bin", "c.bin"):
            (draft / name).touch()
    assert moved == ["b.bin", "c.bin", "a.json"]


def test_a_failed_filling_moves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), filling(tmp_path) as draft:
        (draft / "a").touch()
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError), replacing(tmp_path / "file" / "below"):
        pass


def test_folders_are_numbered(tmp_path):
    names = numbered(tmp_path / "run")
    assert [next(names).name for _ in range(3)] == ["run", "run-2", "run-3"]


def test_what_killed_processes_left_is_removed(tmp_path, caplog):
    """Folders of living processes, of other machines, and what only looks alike stay."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    place, number, started = this_process().mark.split(".")
    left = f".model-abcd_123.{place}.{ended.pid}.{started}"
    earlier = f".filling-abcdefgh.{place}.{number}.{int(started) + 1}"  # the number was another process's then
    others = [
        f".model-abcdefgh.{place}.{number}.{started}",
        f".model-abcdefgh.{int(place, 16) ^ 1:08x}.{ended.pid}.1",
        f".model.{place}.{ended.pid}.1",
    ]
    for name in (left, earlier, *others):
        (tmp_path / name / "deep").mkdir(parents=True)
    with replacing(tmp_path / "a.txt") as draft:
        draft.write_text("a")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.txt", *others])
    assert sorted(record.args[0].name for record in caplog.records) == sorted([left, earlier])


def test_a_killed_writer_leaves_what_the_next_one_removes(tmp_path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from tunesmith_library_configuration.files import filling, replacing\n"
        "with replacing(Path(sys.argv[1], 'model')) as draft, filling(Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    with filling(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
