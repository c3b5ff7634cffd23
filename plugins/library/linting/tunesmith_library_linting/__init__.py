"""What is wrong with training data: checks over canonical rows, and reading that goes on past what is wrong."""

from tunesmith_library_linting.contamination import Contamination, Example, Overlap
from tunesmith_library_linting.copies import Leaks
from tunesmith_library_linting.findings import SEVERITIES, Check, Finding, Item, RowCheck, Severity
from tunesmith_library_linting.lengths import Lengths, Measure, TooLong, characters
from tunesmith_library_linting.linter import Linter, Summary, where
from tunesmith_library_linting.mending import Mended, mended
from tunesmith_library_linting.sets import Take, read_set

__all__ = [
    "SEVERITIES",
    "Check",
    "Contamination",
    "Example",
    "Finding",
    "Item",
    "Leaks",
    "Lengths",
    "Linter",
    "Measure",
    "Mended",
    "Overlap",
    "RowCheck",
    "Severity",
    "Summary",
    "Take",
    "TooLong",
    "characters",
    "mended",
    "read_set",
    "where",
]
