"""What data formats share: finding columns, messages and tools in canonical form, and telling formats apart."""

from tunesmith_library_formats.detection import Match, first_message, matches, reads_of
from tunesmith_library_formats.messages import (
    parse_answer,
    parse_json,
    parse_message,
    parse_messages,
    parse_tool_calls,
    parse_tools,
    shorten,
)
from tunesmith_library_formats.records import Columns, Record, convert
from tunesmith_library_formats.rows import MEDIA, finish, label_of, labelled

__all__ = [
    "MEDIA",
    "Columns",
    "Match",
    "Record",
    "convert",
    "finish",
    "first_message",
    "label_of",
    "labelled",
    "matches",
    "parse_answer",
    "parse_json",
    "parse_message",
    "parse_messages",
    "parse_tool_calls",
    "parse_tools",
    "reads_of",
    "shorten",
]
