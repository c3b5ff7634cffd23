"""YAML with lines, and the grammar of keys and values."""

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.keys import Key, Origin
from tunesmith_library_configuration.reading import read_value, read_yaml, to_yaml


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
            ("0123", 123),
            ("0x10", 16),
            ("0o17", 15),
            ("0b11", 3),
            ("-0x1", -1),
            ("+7", 7),
            ("1_0.5", 10.5),
            ("5.", 5.0),
        ),
        *(("1:30", "1:30"), ("1:30.5", "1:30.5"), ("0x", "0x"), (".", "."), ("_1", "_1"), ("9" * 5000, "9" * 5000)),
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
    assert read_value(written, "command line")[0] == value
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
        ("a: 1\nb: {num_cycles:1}\n", r"c\.yaml:2: num_cycles:1 is one key .* no blank.*\.\nwrite num_cycles: 1"),
    ],
)
def test_mistakes_are_named_with_their_line(file, text, message):
    with pytest.raises(ConfigError, match=message):
        read_yaml(file(text))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: .*No such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(ConfigError, match=r"bytes\.yaml is UTF-16\.\nconvert it: iconv -f UTF-16 -t UTF-8 bytes\.yaml"):
        read_yaml(tmp_path / "bytes.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: 1\nb:\n  c: é\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml:3: this is not UTF-8 \(byte 0xe9\)"):
        read_yaml(tmp_path / "latin.yaml")


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


@pytest.mark.parametrize("text", ["*bold*", "a: b: c", "@x", "%x", "`x`", "[a", "a\tb: c: d", "!important", "\udcff"])
def test_an_override_that_is_no_yaml_is_the_text_that_was_typed(text):
    value, origins = read_value(text, "command line")
    assert value == text and origins[Key()].text == text and origins[Key()].fault


def test_a_colon_without_a_blank():
    """It is told where it is meant; a key in quotes, an address and a key with a value are taken as they are."""
    value, origins = read_value("{a: 1, b:2}", "command line")
    assert value == "{a: 1, b:2}" and origins[Key()].fault.endswith("write b: 2")
    for text in ('{"a:1"}', "{http://x}", "{a:1: 2}", "{C:/x}", "{a: }", "{a}"):
        assert isinstance(read_value(text, "command line")[0], dict), text


@pytest.mark.parametrize("text", ["a # b", "# a", "8 # eight", "[a] # b", '"a" # b', "---", "a\n..."])
def test_a_command_line_has_no_comments_and_no_documents(text):
    assert read_value(text, "command line")[0] == text


def test_an_override_knows_what_was_typed():
    _, origins = read_value("{a: [0123, 1_000, '5'], b: true}", "command line")
    typed = {str(key): origin.text for key, origin in origins.items() if key}
    assert typed == {"a": "[0123, 1_000, '5']", "a[0]": "0123", "a[1]": "1_000", "a[2]": None, "b": "true"}
    assert all(origin.line is None and not origin.fault for origin in origins.values())


def test_a_line_of_a_file_that_needs_quotes_says_which(file):
    with pytest.raises(ConfigError) as caught:
        read_yaml(file('a: 1\nsystem: say: "yes"\n'))
    assert "c.yaml:2: this is not YAML: mapping values are not allowed here." in str(caught.value)
    assert "put it in quotes: system: 'say: \"yes\"'" in str(caught.value)


def laughs(levels, width=9):
    """Aliases that multiply: width ** levels values of a few lines."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels))]
    return "\n".join(lines)


def merges(levels, width=9):
    lines = [
        "a0: &a0 {x: 1}",
        *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * width)}]}}" for n in range(1, levels)),
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("text", [laughs(30), merges(30), "{a: &a [1], b: [*a, &b [*b]]}"])
def test_aliases_that_multiply_are_refused_at_once(file, text):
    with pytest.raises(ConfigError, match=r"c\.yaml:\d+: (this stands for more than 100,000 values|an alias )"):
        read_yaml(file(text))


def test_aliases_that_people_write_are_read(file):
    data, _ = read_yaml(file(laughs(5)))
    assert data["a1"] == [["x"]] * 9 and len(data["a4"]) == 9


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "{b: " * 5_000, "a: " + "[" * 101 + "]" * 101])
def test_deep_nesting_is_called_what_it_is(file, text):
    with pytest.raises(ConfigError, match=r"c\.yaml:1: this is not YAML: it is nested more than 100 levels deep"):
        read_yaml(file(text))


def test_a_file_that_is_no_configuration_by_its_size(file):
    with pytest.raises(ConfigError, match=r"c\.yaml is 11 MB large; a configuration has at most 10.\nis it data\?"):
        read_yaml(file("#" * 11_000_000))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: !!int abc\n", r"c\.yaml:2: b is no int: 'abc'"),
        ("a: !!timestamp x\n", r"c\.yaml:1: a is a timestamp, not plain data"),
        ("a: !!binary aGk=\n", r"a is a binary, not plain data"),
        ("a: !!set {b}\n", r"a is a set, not plain data"),
        ("a: !!python/name:os.system\n", r"a is a python/name:os\.system, not plain data"),
        ("? [a, b]\n: 1\n", r"c\.yaml:1: a key is a text"),
        ('a: "\\UFFFFFFFF"\n', r"is no character"),
    ],
)
def test_what_yaml_has_and_a_configuration_does_not(file, text, message):
    with pytest.raises(ConfigError, match=message):
        read_yaml(file(text))


def test_keys_are_texts_as_they_are_written(file):
    assert list(read_yaml(file("0123: a\nnull: b\ntrue: c\n1e3: d\n"))[0]) == ["0123", "null", "true", "1e3"]


@pytest.mark.parametrize(
    "value",
    [
        *(
            "1e-4",
            "2026-01-31",
            "no",
            "true",
            "null",
            "a: b",
            "ü",
            1e-5,
            0.1,
            None,
            True,
            [],
            {},
            "0o17",
            "0123",
            "1_0",
        ),
        *("a # b", "[a", "", " x ", "1:30", "*x*", float("inf"), -float("inf")),
    ],
)
def test_what_is_written_is_read_as_the_same(file, value):
    assert read_yaml(file(to_yaml({"key": value, "many": [value]})))[0] == {"key": value, "many": [value]}
