"""YAML with lines, and the grammar of keys and values."""

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin
from tunesmith_library_configuration.reading import parse_value, read_yaml, to_yaml


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "c.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_every_value_knows_its_line(file):
    path = file("# first\nadapter:\n  rank: 8\ndata:\n  train:\n    - a.json\n    - path: b.json\n      weight: 2\n")
    data, origins = read_yaml(path)
    assert data == {"adapter": {"rank": 8}, "data": {"train": ["a.json", {"path": "b.json", "weight": 2}]}}
    lines = {str(key): origin.line for key, origin in origins.items()}
    assert lines == {
        "adapter": 2,
        "adapter.rank": 3,
        "data": 4,
        "data.train": 5,
        "data.train[0]": 6,
        "data.train[1]": 7,
        "data.train[1].path": 7,
        "data.train[1].weight": 8,
    }
    assert str(origins["adapter", "rank"]) == f"{path}:3"
    assert str(Origin("command line")) == "command line"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("1e-4", 1e-4), ("2E5", 2e5), ("-.5e3", -500.0), ("1_000", 1000), ("true", True), ("null", None)),
        *(
            ("2026-01-31", "2026-01-31"),
            ("4e", "4e"),
            ("no", "no"),
            ("on", "on"),
            ("False", False),
            ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B"),
            ("[a, 1]", ["a", 1]),
        ),
    ],
)
def test_values_are_what_people_mean(file, written, value):
    assert parse_value(written, f"key={written}") == value
    assert read_yaml(file(f"key: {written}"))[0] == {"key": value}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_an_empty_mapping(file, text):
    assert read_yaml(file(text))[0] == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1,\n", r"c\.yaml:3: this is not YAML"),
        ("a: 1\n\tb: 2\n", r"c\.yaml:2: this is not YAML: .*\n  b: 2"),
        ("a: 1\nb: \x07\n", r"c\.yaml:2: this is not YAML: special characters are not allowed"),
        ("a: 1\nb: 2\na: 3\n", r"c\.yaml:3: a is written twice, first in line 1\."),
        ("x:\n- k: 1\n  k: 2\n", r"c\.yaml:3: x\[0\]\.k is written twice, first in line 2\."),
        ("- a\n- b\n", r"c\.yaml:1: a configuration is key: value pairs, this is a list\."),
        ("a: &x [*x]\n", r"an alias \(\*name\) stands inside its own anchor"),
        ("a: *nowhere\n", r"c\.yaml:1: this is not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", r"c\.yaml:2: this is not YAML: but found another document"),
    ],
)
def test_mistakes_are_named_with_their_line(file, text, message):
    with pytest.raises(ConfigError, match=message):
        read_yaml(file(text))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: .*No such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match=r"bytes\.yaml cannot be read"):
        read_yaml(tmp_path / "bytes.yaml")


def test_merge_keys_override_and_are_no_duplicates(file):
    text = "base: &base {rank: 8, alpha: 1}\nmore: &more\n  <<: *base\n  rank: 16\nsame: *more\n"
    data, _ = read_yaml(file(text))
    assert data["more"] == data["same"] == {"rank": 16, "alpha": 1}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("adapter", ("adapter",)),
        ("adapter.rank", ("adapter", "rank")),
        ("data.train[0].path", ("data", "train", 0, "path")),
        ("a[1][20]", ("a", 1, 20)),
        ("tracker.my-own.x_y", ("tracker", "my-own", "x_y")),
        ("a.0.b", ("a", "0", "b")),
    ],
)
def test_keys_are_read_and_shown(text, key):
    assert Key.parse(text) == key
    assert str(Key(*key)) == text


@pytest.mark.parametrize("text", ["", ".a", "a.", "a..b", "a[", "a[x]", "[0]", "a[0]b", "a]"])
def test_what_is_no_key(text):
    with pytest.raises(ConfigError, match=r"is not a key of a configuration\.\nwrite it like adapter\.rank"):
        Key.parse(text)


def test_a_value_that_is_no_yaml_says_how_to_quote_it():
    with pytest.raises(ConfigError) as caught:
        parse_value("*bold*", "stage.system=*bold*")
    assert "'stage.system=*bold*': the value is not YAML" in str(caught.value)
    assert """'stage.system="*bold*"'""" in str(caught.value)


@pytest.mark.parametrize(
    "value", ["1e-4", "2026-01-31", "no", "true", "null", "a: b", "ü", 1e-5, 0.1, None, True, [], {}]
)
def test_what_is_written_is_read_as_the_same(file, value):
    assert read_yaml(file(to_yaml({"key": value, "many": [value]})))[0] == {"key": value, "many": [value]}
