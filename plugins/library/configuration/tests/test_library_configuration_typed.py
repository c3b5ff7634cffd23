"""What was typed counts: texts stay texts, one item is a list, and every value has its range."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pytest
from omegaconf import OmegaConf
from tunesmith_library_configuration.keys import Key, Origin
from tunesmith_library_configuration.layers import Layers
from tunesmith_library_configuration.options import configurable
from tunesmith_library_configuration.overrides import read_overrides
from tunesmith_library_configuration.ranges import above, at_least
from tunesmith_library_configuration.texts import filled, path_like
from tunesmith_library_configuration.validate import in_range, resolve, structured


@dataclass(kw_only=True)
class Entry:
    SHORTHAND: ClassVar[str] = "path"
    path: Annotated[str, path_like]
    weight: Annotated[float, above(0)] = 1.0


@configurable
class Thing:
    text: str = "default"
    maybe: str | None = None
    texts: list[str] = ["first"]
    named: dict[str, str] = {}
    either: list[str] | str = "all"
    number_or_text: int | str = 0
    version: Literal["1.0", "2.0", 3] = "1.0"
    whole: Annotated[int, at_least(1)] = 8
    real: Annotated[float, above(0)] = 0.5
    reals: list[float] = []
    sizes: Annotated[dict[str, int], at_least(1)] = {}
    anything: dict[str, Any] = {}
    entries: list[Entry] = []
    folder: Annotated[str | None, path_like] = None
    column: Annotated[str, filled] = "answer"


def checked(*words):
    """The options as a command line sets them, and the problems' messages."""
    made = Layers()
    made.override(read_overrides([f"thing.{word}" for word in words]))
    node, problems = structured(Thing, made.tree["thing"], Key("thing"), "thing", made.origins)
    return OmegaConf.to_container(node), problems


def in_file(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text("thing:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    made = Layers()
    made.add_file(path)
    node, problems = structured(Thing, made.tree["thing"], Key("thing"), "thing", made.origins)
    return OmegaConf.to_container(node), problems


TYPED = [
    "12345e7",
    "0123456",
    "0123",
    "1_000",
    "0x10",
    "0o17",
    "1:30",
    "true",
    "False",
    "1.50",
    ".inf",
    "2026-01-31",
    "~x",
]


@pytest.mark.parametrize("text", TYPED)
@pytest.mark.parametrize("name", ["text", "maybe"])
def test_a_text_is_what_was_typed(tmp_path, name, text):
    assert checked(f"{name}={text}")[0][name] == text
    assert in_file(tmp_path, f"{name}: {text}")[0][name] == text
    assert in_file(tmp_path, f"{name}: '{text}'")[0][name] == text


def test_texts_inside_lists_and_mappings_too(tmp_path):
    listed = ", ".join(TYPED)
    assert checked(f"texts=[{listed}]")[0]["texts"] == TYPED
    assert in_file(tmp_path, f"texts: [{listed}]")[0]["texts"] == TYPED
    assert in_file(tmp_path, "texts:\n- 0123\n- 'x'")[0]["texts"] == ["0123", "x"]
    assert checked("named={0123: 1e3, true: null}")[0]["named"] == {"0123": "1e3", "true": "null"}
    assert checked("either=[0123]")[0]["either"] == ["0123"] and checked("either=0123")[0]["either"] == "0123"
    assert checked("entries=[0123, {path: 1e3}]")[0]["entries"][1]["path"] == "1e3"
    assert checked("entries=[0123]")[0]["entries"][0]["path"] == "0123"


@pytest.mark.parametrize(
    "text", ["a # b", "[a-e]", "a: b", "{x}", "*bold*", "say: 'yes': no", "- a", "@x", "", " x ", "# a", "---"]
)
def test_a_text_on_the_command_line_needs_no_quotes(text):
    assert checked(f"text={text}")[0]["text"] == text
    assert checked(f"maybe={text}")[0]["maybe"] == text


def test_quotes_and_null_mean_what_yaml_says():
    assert checked("text='a # b'", 'maybe="null"')[0]["text"] == "a # b"
    assert checked('maybe="null"')[0]["maybe"] == "null"
    assert checked("maybe=null")[0]["maybe"] is None
    assert checked("text=null")[0]["text"] == "null", "it cannot be null, so it is a text"
    assert checked("text=${thing.whole}")[0]["text"] == "${thing.whole}"


def test_a_list_in_a_file_where_a_text_belongs_says_how_to_quote_it(tmp_path):
    _, (problem,) = in_file(tmp_path, "text: [a-e]")
    assert problem.message == "thing.text cannot be ['a-e']."
    assert problem.advice.endswith('put it in quotes: text: "[a-e]"')


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        *(("whole=16", "whole", 16), ("whole=1_000", "whole", 1000), ("whole=0x10", "whole", 16)),
        *(("whole=0123", "whole", 123), ("whole='16'", "whole", 16), ("whole=1e3", "whole", 1000)),
        *(("real=1e-4", "real", 1e-4), ("real=3", "real", 3.0), ("real='1e-4'", "real", 1e-4)),
        *(("reals=1", "reals", [1.0]), ("reals=[1, '2', 3e0]", "reals", [1.0, 2.0, 3.0])),
        *(("number_or_text=0123", "number_or_text", 123), ("number_or_text=auto", "number_or_text", "auto")),
        *(("version=2.0", "version", "2.0"), ("version=3", "version", 3)),
        *(("texts=a", "texts", ["a"]), ("texts=0123", "texts", ["0123"]), ("texts+=[b]", "texts", ["first", "b"])),
        ("anything={a: 0x10, b: [1e3], c: 'x'}", "anything", {"a": 16, "b": [1000.0], "c": "x"}),
    ],
)
def test_numbers_and_lists_are_understood(word, name, value):
    found, problems = checked(word)
    assert problems == [] and found[name] == value and type(found[name]) is type(value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        *(("whole=0", "cannot be 0."), ("whole='-3'", "cannot be -3."), ("whole=1.5", "cannot be 1.5.")),
        *(("whole=1:30", "cannot be '1:30'."), ("whole=8 # eight", "cannot be '8 # eight'."), ("whole=", "be None.")),
        *(("real=nan", "cannot be nan."), ("real='-inf'", "cannot be -inf."), ("real=.inf", "cannot be inf.")),
        *(
            (f"whole={10**30}", "cannot be 1000"),
            (f"real={10**400}", "cannot be 1000"),
            ("real=1e999", "cannot be inf"),
        ),
        *(("reals=[1, .nan]", "reals[1] cannot be nan."), ("sizes={a: 0}", "sizes.a cannot be 0.")),
        *(("anything={a: .nan}", "anything.a cannot be nan."), ('anything={a: ["\\0"]}', "anything.a[0] holds a char")),
        *(("texts=a,b", "is a list, 'a,b' is one text."), ("version=4.0", "cannot be 4.0.")),
        *(
            ("folder=", "folder cannot be empty."),
            ("folder= ", "folder cannot be empty."),
            ("column=''", "cannot be empty"),
        ),
        *((f"folder={'x' * 300}", "too long for a path: 300"), (f"folder={'x/' * 2500}", "too long for a path: 5,000")),
        *(
            ("entries=''", "entries[0].path cannot be empty."),
            ("entries=[{path: a, weight: 0}]", "weight cannot be 0."),
        ),
        *(("text=\udcff", "thing.text holds a character"), ("text=???", "thing needs text.")),
        *(("texts=[a", "thing.texts cannot be '[a'."), ("reals=a", "reals cannot be ['a']")),
    ],
)
def test_what_cannot_be_is_named_and_the_default_stays(word, message):
    found, problems = checked(word)
    assert len(problems) == 1 and message in problems[0].message, problems
    name = word.partition("=")[0]
    assert found[name] in (OmegaConf.to_container(OmegaConf.structured(Thing()))[name], "???")


def test_a_comma_says_the_line_to_write():
    assert checked("entries=a.json,b.json")[1][0].advice == "write thing.entries=[a.json,b.json]"
    assert "not YAML" in checked("texts=[a")[1][0].advice


def test_interpolations_have_ranges_too():
    node, problems = structured(
        Thing,
        {"real": "${.whole}", "whole": "${.number_or_text}", "number_or_text": -1, "entries": [{"path": "${.weight}"}]},
        (),
        "x",
    )
    assert problems == []
    data, unresolved = resolve(node, Key())
    assert unresolved == []
    found = {str(problem.key): problem.message for problem in in_range(Thing, data, Key())}
    assert found == {"whole": "whole cannot be -1.", "real": "real cannot be -1.0."}


def test_what_a_program_gives_is_no_text_unless_it_is_one():
    for given in (1e9, True, ["a"]):
        assert structured(Thing, {"text": given}, (), "x")[1][0].message.startswith("text cannot be")
    assert structured(Thing, {"text": 5}, (), "x")[0].text == "5"


def test_words_of_another_program_are_not_what_was_typed():
    origins = {Key("version"): Origin("c.yaml", 1, "true"), Key("text"): Origin("c.yaml", 2, "17")}
    node, problems = structured(Thing, {"version": "2.0", "text": "seventeen"}, (), "x", origins)
    assert problems == [] and (node.version, node.text) == ("2.0", "seventeen")
