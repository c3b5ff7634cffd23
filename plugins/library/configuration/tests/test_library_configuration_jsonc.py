"""JSON with comments: what is read, and what stays when something is added."""

from __future__ import annotations

import json
import re

import pytest
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.jsonc import loads, with_value

SETTINGS = """\ufeff// of mine
{
    "editor.rulers": [120], // as wide as the page
    /* "python.x": 1, */
    "yaml.schemas": {
        "https://json.schemastore.org/mkdocs.json": "mkdocs.yml", // the site
    },
    "url": "http://x//y", // "not a comment": in a text
}
"""


def test_comments_and_trailing_commas_are_read() -> None:
    assert loads(SETTINGS) == {
        "editor.rulers": [120],
        "yaml.schemas": {"https://json.schemastore.org/mkdocs.json": "mkdocs.yml"},
        "url": "http://x//y",
    }
    assert loads(" // nothing\n") == loads("") == {}


@pytest.mark.parametrize(
    "value", [{"a": [1, -2.5e3, {"b": None}], "c": '\u00e9\\"\n'}, [], {}, [[], [{}]], True, "x//y /* z */"]
)
def test_plain_json_is_read_as_the_standard_library_does(value: object) -> None:
    for indent in (None, 2):
        assert loads(json.dumps(value, indent=indent)) == value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("yaml.schemas", "./mine.json"), ["conf/*.yaml"]),
        (("python.testing.pytestEnabled",), True),
        (("editor.rulers",), [120, 80]),
        (("url",), {"now": "a mapping"}),
        (("new", "deep", "er"), 3),
    ],
)
def test_a_change_keeps_everything_else(path: tuple[str, ...], value: object) -> None:
    """Every line of before is still there, unless it held what was changed; and doing it twice is doing it once."""
    changed = with_value(SETTINGS, path, value)
    wanted = loads(SETTINGS)
    inner = wanted
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    assert loads(changed) == wanted
    assert with_value(changed, path, value) == changed
    for comment in re.findall(r"(?<!:)// .*|/\*.*?\*/", SETTINGS):
        assert comment in changed


def test_items_come_behind_a_last_one_with_a_comment_and_without_a_comma() -> None:
    text = '[\n    "a" // first\n    // the end\n]'
    assert with_value('{"list": ' + text + "}", ("list",), ["a", "b"]).count("//") == 2
    assert loads(with_value('{"list": ' + text + "}", ("list",), ["a", "b"])) == {"list": ["a", "b"]}
    assert loads(with_value("{ /* none yet */ }", ("x",), 1)) == {"x": 1}
    assert with_value("", ("x",), 1) == '{\n    "x": 1\n}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{\n  'a': 1}", "line 2: a key in double quotes was expected, found 'a': 1}"),
        ('{"a": 1\n"b": 2}', 'line 2: a comma or } was expected, found "b": 2}'),
        ('{"a" 1}', "a colon was expected"),
        ('{"a": tru}', "a value was expected"),
        ('{"a": 01}', "a value was expected"),
        ("[1, 2", "a comma or ] was expected, found the end of the file"),
        ("{} {}", "the end of the file was expected"),
        ("[" * 5000, "nested"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        loads(text)


def test_a_mapping_is_needed_on_the_way() -> None:
    with pytest.raises(ConfigError, match=r"yaml\.schemas is \[1\], no mapping"):
        with_value('{"yaml.schemas": [1]}', ("yaml.schemas", "x"), 1)
