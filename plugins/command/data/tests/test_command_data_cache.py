"""`tunesmith data cache`: what is listed, what is chosen, and that only what was chosen and asked for goes."""

import json
import os

import pytest
from click.testing import CliRunner
from tunesmith import TunesmithError
from tunesmith_command_data import Data
from tunesmith_command_data.keeping import size_in_bytes
from tunesmith_library_caching import ABOUT, DATA, Hold, write_about
from tunesmith_library_configuration.fingerprints import versions

KEYS = ["a" * 32, "b" * 32]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for key, name, size in zip(KEYS, ("talks", "news"), (1000, 50_000), strict=True):
        folder = tmp_path / "tunesmith" / "datasets" / key
        folder.mkdir(parents=True)
        (folder / DATA).write_bytes(b"x" * size)
        about = {"name": name, "examples": 7, "tally": {"sizes": {"tokens": 1234}}, "size": size}
        about |= {"made_with": {"stage": "sft", "template": "chatml"}, "parts": versions(), "files": []}
        write_about(folder, about)
    os.utime(folder / ABOUT, (1, 1))
    return folder.parent


def cache(*words):
    done = CliRunner().invoke(Data().command(), ["cache", *map(str, words)], standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.output


def test_it_lists_what_is_kept(root):
    told = cache()
    assert "talks" in told and "1,234" in told and "stage sft, template chatml" in told
    assert "2 things" in told
    sizes = {kept["name"]: kept["size"] for kept in json.loads(cache("--json"))}
    assert sizes == {
        name: sum(path.stat().st_size for path in (root / key).iterdir())
        for key, name in zip(KEYS, ("talks", "news"), strict=True)
    }


def test_what_is_chosen_is_shown_first_and_deleted_when_asked_for(root):
    assert "news" in cache("--older", 100) and "talks" not in cache("--older", 100)
    assert "--prune deletes them" in cache("--larger", "2K") and len(list(root.iterdir())) == 2
    assert "deleted: 1 of 2" in cache("--larger", "2K", "--prune")
    assert [path.name for path in root.iterdir()] == [KEYS[0]]


def test_nothing_is_deleted_that_nobody_chose(root):
    with pytest.raises(TunesmithError, match="--prune deletes what is chosen"):
        cache("--prune")
    with pytest.raises(TunesmithError, match="there is no folder"):
        cache(root / "none")
    assert len(list(root.iterdir())) == 2


def test_damage_is_found_by_reading_and_what_is_in_use_stays(root):
    (root / KEYS[0] / DATA).write_bytes(b"y" * 1000)
    assert "damaged: data.arrow is not as it was written" in cache("--damaged")
    hold = Hold(root / KEYS[0])
    told = cache("--damaged", "--prune")
    assert f"stays, for it is in use: {root / KEYS[0]}" in told and "deleted: 0 of 2" in told
    hold.release()
    assert "deleted: 1 of 2" in cache("--damaged", "--prune", root)
    assert [path.name for path in root.iterdir()] == [KEYS[1]]


@pytest.mark.parametrize("text, size", [("500", 500), ("2K", 2048), ("1.5 GiB", 1_610_612_736), ("3mb", 3 * 2**20)])
def test_sizes(text, size):
    assert size_in_bytes(text) == size


def test_what_is_no_size():
    with pytest.raises(TunesmithError, match="much is no size"):
        size_in_bytes("much")
