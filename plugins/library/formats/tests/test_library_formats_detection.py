"""Which format a record is of: who says yes, and who of several wins, whoever wrote them."""

import pytest
from tunesmith import plugin
from tunesmith_library_formats import first_message, matches, reads_of
from tunesmith_library_formats.detection import known_formats, shapes_of


@plugin
class Text:
    """Plain text."""

    reads = "text"

    @staticmethod
    def looks_like(record):
        return "text" in record


@plugin
class Pairs:
    """Questions and answers.

    Of one turn.
    """

    @staticmethod
    def looks_like(record):
        return "question" in record and "answer" in record


@plugin
class Talks:
    """Turns in `talk`, each with who says it."""

    reads = "talk"

    @staticmethod
    def looks_like(record):
        return "talk" in record and "who" in (first_message(record["talk"]) or {})


@plugin
class Silent:
    """Says nothing of what it reads."""


@plugin
class Broken:
    """Stumbles over everything."""

    @classmethod
    def looks_like(cls, record):
        return record["absent"] == 1


FORMATS = {"text": Text, "pairs": Pairs, "talks": Talks, "silent": Silent, "broken": Broken}
TALK = [{"who": "she", "says": "Hi"}, {"who": "he", "says": "Hello"}]


def found(record, columns=None, formats=FORMATS):
    return [(match.format, match.needs) for match in matches(record, columns or {}, formats)]


def test_who_says_yes_and_by_what():
    assert found({"url": "x", "text": "a"}) == [("text", (("text",),))]
    assert found({"question": "a", "answer": "b", "n": 3}) == [("pairs", (("question",), ("answer",)))]
    assert found({"talk": TALK}) == [("talks", (("talk",), ("talk", "who")))]
    assert found({"colour": "green"}) == found({}) == []


def test_who_needs_the_most_wins():
    """Columns and the keys inside them count alike, whatever the order of the columns."""
    both = {"text": "a", "question": "b", "answer": "c"}
    for record in (both, dict(reversed(both.items()))):
        assert [name for name, _ in found(record)] == ["pairs", "text"]
    assert [name for name, _ in found({"talk": TALK, "text": "a"})] == ["talks", "text"]
    assert [name for name, _ in found({"talk": {"who": "she"}, "text": "a"})] == ["talks", "text"]


def test_a_declared_shape_decides_whole():
    """The `says` beside a `talk` is part of a declared shape, though the talk would do; undeclared columns are not."""

    @plugin
    class Both(Talks):
        reads = "talk; talk, says"

    record = {"talk": TALK, "says": "x", "n": 1}
    assert found(record, formats={"both": Both}) == [("both", (("talk",), ("talk", "who"), ("says",)))]
    assert matches(record, {}, {"both": Both})[0].columns == ["talk", "says"]


def test_who_needs_equally_much_goes_by_name():
    record = {"talk": TALK, "question": "a", "answer": "b"}
    assert [name for name, _ in found(record)] == ["pairs", "talks"]
    twins = {"mine": Pairs, "another": Pairs}
    assert [name for name, _ in found(record, formats=twins)] == ["another", "mine"]


def test_mapped_columns_are_fields_of_the_format():
    columns = {"question": "q", "answer": "a"}
    assert found({"q": "x", "a": "y"}, columns) == [("pairs", (("question",), ("answer",)))]
    assert matches({"q": "x", "a": "y"}, columns, FORMATS)[0].columns == ["question", "answer"]


def test_the_record_stays_as_it_is():
    record = {"talk": [dict(turn) for turn in TALK], "text": "a"}
    found(record)
    assert record == {"talk": TALK, "text": "a"}


def test_formats_of_the_project_that_are_not_installed():
    """They are told by their columns, and taken only where they need more than one that is there."""
    assert "alpaca" in known_formats() and "pairs" not in known_formats()
    record = {"instruction": "a", "output": "b", "text": "c"}
    best, other = matches(record, {}, {"text": Text})
    assert (best.format, best.installed, best.columns) == ("alpaca", False, ["instruction", "output"])
    assert (other.format, other.installed) == ("text", True)
    assert [match.format for match in matches({"text": "a"}, {}, {"mine": Text})] == ["mine", "text"]


@pytest.mark.parametrize(
    ("reads", "shapes"),
    [("text", [["text"]]), ("a, b; c ", [["a", "b"], ["c"]]), ("", []), ("a;", [["a"]])],
)
def test_shapes(reads, shapes):
    assert shapes_of(reads) == shapes


def test_what_a_format_says_of_itself():
    assert (reads_of(Text), reads_of(Pairs)) == ("text", "Questions and answers.")
