"""What differs between two configurations, and what tells two models or checkpoints apart."""

import logging
import shutil

import pytest
from tunesmith_library_configuration import space
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.folders import changed_problems
from tunesmith_library_configuration.manifests import seal
from tunesmith_library_configuration.records import (
    CONFIGURATION,
    MARKER,
    changes,
    fingerprint,
    newest_record,
    refuse_other,
)


@pytest.mark.parametrize(
    ("former", "now", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, [(("a", "b"), [1, {"c": 2}], [1, {"c": 3}])]),
        ({"a": (1, 2), "b": {}}, {"a": [1, 2]}, []),
        ({}, {"optimizer": {"name": "muon", "beta": 1}}, [(("optimizer",), None, {"name": "muon", "beta": 1})]),
        ({"k": {"name": "x", "old": 1, "same": 2}}, {"k": {"name": "x", "new": 3, "same": 2}}, []),
        ({"k": {"name": "x", "a": 1}}, {"k": {"name": "y", "a": 2}}, [(("k", "name"), "x", "y")]),
        ({"k": {"name": "x", "d": {}}}, {"k": {"name": "x", "d": {"e": 1}}}, [(("k", "d", "e"), None, 1)]),
        ({"patch": {"p": {"a": 1}}}, {"patch": {}}, [(("patch", "p"), {"a": 1}, None)]),
        ({"a": False}, {"a": None}, [(("a",), False, None)]),
    ],
)
def test_changes(former, now, expected):
    assert list(changes(former, now)) == expected


def checkpoint(run, step, text, made_of=None, sealed=True):
    folder = run / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / CONFIGURATION).write_text(text)
    if sealed:
        seal(folder, MARKER, {"made_of": made_of or {}})
    return folder


def test_the_newest_checkpoint_that_can_be_read_is_compared(tmp_path):
    assert newest_record(tmp_path) is None
    (tmp_path / "run.yaml").write_text("a: 0\n")
    second = checkpoint(tmp_path, 2, "a: 2\n")
    tenth = checkpoint(tmp_path, 10, "a: 10\n")
    checkpoint(tmp_path, 11, "a: 11\n", sealed=False)
    assert newest_record(tmp_path) == (tenth, {"a": 10})
    (tenth / CONFIGURATION).write_text("a: 12\n")
    assert newest_record(tmp_path) == (second, {"a": 2}), "a changed record says nothing"
    shutil.rmtree(second)
    (tenth / MARKER).write_text('{"seed": 1}')
    (tenth / CONFIGURATION).unlink()
    assert newest_record(tmp_path) == (tenth, {"a": 0}), "an earlier version's is that of its run"


def test_what_may_change_is_a_warning_and_the_rest_an_error(tmp_path):
    checkpoint(tmp_path, 3, "a: 1\nb: {name: x, c: null}\n")
    found = changed_problems(tmp_path, {"a": 2, "b": {"name": "y"}}, lambda key: key == ("a",))
    assert [(problem.key, problem.severity) for problem in found] == [("a", "warning"), ("b.name", "error")]
    assert found[1].message == f"b.name was x when {tmp_path / 'checkpoint-3'} was written, and is y now."
    assert changed_problems(tmp_path / "nothing", {"a": 2}, lambda key: False) == []


def test_what_is_not_known_for_something_is_wrong_with_it_is_no_change(tmp_path):
    """A plugin whose options are wrong has none; where a plain option is wrong, all of them have their defaults."""
    checkpoint(tmp_path, 3, "seed: 1\nprecision: fp32\nadapter: {name: lora, rank: 4}\nstage: {name: sft, a: 1}\n")
    now = {"seed": 42, "precision": "auto", "stage": {"name": "sft", "a": 2}}

    def told(*unsure):
        return [problem.key for problem in changed_problems(tmp_path, now, lambda key: False, unsure)]

    assert told() == ["seed", "precision", "adapter", "stage.a"]
    assert told("adapter") == ["seed", "precision", "stage.a"]
    assert told("seed", "adapter") == ["stage.a"]


def test_other_contents_are_refused(tmp_path):
    checkpoint(tmp_path, 1, "a: 1\n", {"model": "m", "data": ""})
    refuse_other(tmp_path, {"model": "m", "data": "d"})
    refuse_other(tmp_path, {"model": ""})
    refuse_other(tmp_path / "nothing", {"model": "n"})
    with pytest.raises(ConfigError, match=r"model is not what .*checkpoint-1 was made with"):
        refuse_other(tmp_path, {"model": "n", "data": "d"})


def test_a_models_fingerprint(tmp_path):
    """Any byte of small files and of the ends of large ones; neither times nor the folder's name nor hidden files."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"a": 1}')
    (model / "model.safetensors").write_bytes(bytes(1000) + bytes(3_000_000))
    first = fingerprint(model)
    copy = shutil.copytree(model, tmp_path / "copy", copy_function=shutil.copyfile)
    (copy / ".cache").touch()
    assert fingerprint(copy) == first
    for name, place in (("config.json", 6), ("model.safetensors", 0), ("model.safetensors", 3_000_999)):
        changed = shutil.copytree(model, tmp_path / f"{name}-{place}")
        content = bytearray((changed / name).read_bytes())
        content[place] ^= 1
        (changed / name).write_bytes(content)
        assert fingerprint(changed) != first


def test_room_in_words(tmp_path, monkeypatch, caplog):
    assert [space.in_words(count) for count in (7, 1536, 3 * 2**30, 5 * 2**50)] == [
        *("7 B", "1.5 KiB", "3.0 GiB", "5120.0 TiB"),
    ]
    free = {tmp_path: 1}  # the nearest folder that is there is asked
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, free[path]))
    assert space.free(tmp_path / "not" / "made" / "yet") == 1
    with caplog.at_level(logging.WARNING, logger="tunesmith"):
        space.warn_of_little(tmp_path, 1, "this takes")
        space.warn_of_little(tmp_path, 2, "this takes")
    assert caplog.messages == [f"this takes about 2 B, and 1 B are free in {tmp_path}"]
    space.refuse_little(tmp_path, 1, "this takes")
    with pytest.raises(ConfigError, match="this takes about 2 B, and 1 B are free"):
        space.refuse_little(tmp_path, 2, "this takes")
    of_library = "I/O error: No space left on device (os error 28)"
    assert space.is_of_disk(RuntimeError(of_library))
    assert not space.is_of_disk(ConfigError(f"out cannot be written: {of_library}")), "that has been said already"
