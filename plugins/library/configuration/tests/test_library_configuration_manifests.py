"""A folder's list finds whatever is done to the folder, or to the list."""

import hashlib
import json

import pytest
from tunesmith_library_configuration.manifests import damages, is_listed, seal, told

NAME = "complete.json"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "weights").write_bytes(bytes(range(256)))
    (tmp_path / "deep" / "state.json").write_text('{"step": 3}')
    (tmp_path / "empty").touch()
    seal(tmp_path, NAME, {"seed": 1})
    return tmp_path


def test_a_whole_one(folder):
    assert list(damages(folder, NAME)) == [] and told(folder, NAME) == {"seed": 1} and is_listed(folder, NAME)
    files = json.loads((folder / NAME).read_text())["files"]
    assert files["weights"] == [256, hashlib.blake2b(bytes(range(256)), digest_size=16).hexdigest()]
    assert sorted(files) == ["deep/state.json", "empty", "weights"]


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda folder: (folder / "weights").unlink(), "weights is missing"),
        (lambda folder: (folder / "weights").write_bytes(bytes(range(255))), "weights has 255 bytes of 256"),
        (lambda folder: (folder / "weights").write_bytes(b""), "weights has 0 bytes of 256"),
        (lambda folder: flip(folder / "weights", 100), "weights holds other bytes"),
        (
            lambda folder: (folder / "deep" / "state.json").write_text('{"step": 4}'),
            "deep/state.json holds other bytes",
        ),
        (lambda folder: (folder / "empty").write_text("x"), "empty has 1 bytes of 0"),
        (lambda folder: (folder / "optimizer.pt").touch(), "optimizer.pt was added"),
        (lambda folder: (folder / NAME).write_text(""), f"{NAME} cannot be read"),
        (lambda folder: (folder / NAME).write_text("[" * 100_000), f"{NAME} cannot be read"),
        (lambda folder: (folder / NAME).write_bytes(b"\xff"), f"{NAME} cannot be read"),
        (lambda folder: (folder / NAME).unlink(), f"{NAME} cannot be read"),
        (lambda folder: (folder / NAME).write_text("{}"), f"{NAME} cannot be read"),
    ],
)
def test_damage_is_named(folder, harm, found):
    harm(folder)
    assert list(damages(folder, NAME)) == [found]


def test_every_flipped_bit_of_the_list_is_seen(folder):
    original = (folder / NAME).read_bytes()
    for place in range(len(original)):
        for bit in (1, 4, 32):
            changed = bytearray(original)
            changed[place] ^= bit
            (folder / NAME).write_bytes(changed)
            same = changed.isspace() or _reads_the_same(bytes(changed), original)
            assert same or list(damages(folder, NAME)), (place, bit)


def _reads_the_same(changed, original):
    """A line break that became a tab means nothing to JSON."""
    try:
        return json.loads(changed) == json.loads(original)
    except ValueError:
        return False


def test_notes_and_hidden_files_are_no_damage(folder):
    for name in (".DS_Store", ".nfs0001", "notes.txt", "loss.png"):
        (folder / name).touch()
    assert list(damages(folder, NAME)) == []


def test_an_earlier_versions_list_has_no_files(tmp_path):
    (tmp_path / NAME).write_text('{"seed": 1}')
    assert list(damages(tmp_path, NAME)) == [] and told(tmp_path, NAME) == {"seed": 1}
    assert not is_listed(tmp_path, NAME)
