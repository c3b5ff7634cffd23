"""Keys: a type of their own, read and shown in one place."""

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin, everywhere, nearest_origin


@pytest.mark.parametrize("text", ["seed", "adapter.rank", "data.train[0].path", "a[1][2].b"])
def test_read_and_shown(text: str) -> None:
    assert str(Key.parse(text)) == text == str(Key.of(text)) == str(Key.of(Key.parse(text)))


@pytest.mark.parametrize("text", ["", ".a", "a.", "a..b", "a[x]", "[0]", "a[0"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a key"):
        Key.parse(text)
    assert str(Key.of(text)) == text, "a problem may belong to whatever stands in a file"


def test_parts() -> None:
    key = Key("data") / "train" / 0
    assert key == ("data", "train", 0) == Key("data", "train", 0) and hash(key) == hash(("data", "train", 0))
    assert key.parent == Key("data", "train") and isinstance(key.parent, Key)
    assert key.within(Key("data")) and key.within(key) and not key.within(Key("data", "eval"))


def test_origins() -> None:
    file = Origin("c.yaml", 3)
    origins = everywhere(Key("data"), {"train": [{"path": "a"}]}, file)
    assert {str(key) for key in origins} == {"data", "data.train", "data.train[0]", "data.train[0].path"}
    assert nearest_origin(Key.parse("data.train[0].format"), origins) == file
    assert nearest_origin(Key("seed"), origins) is None
    assert (str(file), str(Origin("command line"))) == ("c.yaml:3", "command line")
