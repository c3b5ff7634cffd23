"""What data formats share: finding columns, messages and tools in canonical form, and telling formats apart."""

from tunesmith_library_formats.detection import Match, first_message, matches, reads_of
from tunesmith_library_formats.json_text import JsonDecoder, JsonError
from tunesmith_library_formats.messages import (
    REPEATED_KEY,
    parse_answer,
    parse_json,
    parse_message,
    parse_messages,
    parse_tool_calls,
    parse_tools,
)
from tunesmith_library_formats.records import Columns, Lacking, Record, convert
from tunesmith_library_formats.rows import MEDIA, finish, label_of, labelled
from tunesmith_library_formats.shapes import (
    ANYTHING,
    BESIDE,
    CONVERSATION,
    MAPPING,
    NUMBER,
    TEXT,
    Fields,
    JsonText,
    ListOf,
    Shape,
    one_of,
    shorten,
)
from tunesmith_library_formats.tally import Share, Sizes, Tally, count, match, measure, tallying

__all__ = [
    "ANYTHING",
    "BESIDE",
    "CONVERSATION",
    "MAPPING",
    "MEDIA",
    "NUMBER",
    "REPEATED_KEY",
    "TEXT",
    "Columns",
    "Fields",
    "JsonDecoder",
    "JsonError",
    "JsonText",
    "Lacking",
    "ListOf",
    "Match",
    "Record",
    "Shape",
    "Share",
    "Sizes",
    "Tally",
    "convert",
    "count",
    "finish",
    "first_message",
    "label_of",
    "labelled",
    "match",
    "matches",
    "measure",
    "one_of",
    "parse_answer",
    "parse_json",
    "parse_message",
    "parse_messages",
    "parse_tool_calls",
    "parse_tools",
    "reads_of",
    "shorten",
    "tallying",
]
