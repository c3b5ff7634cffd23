"""The checks of a template, told to its author: what holds, what does not, and texts that differ side by side."""

from __future__ import annotations

import difflib
import itertools

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tunesmith_library_chat.conformance import CHECKS, Finding, Subject

_AROUND = 2  # lines that are alike, shown before and behind those that differ


def print_checks(subject: Subject, console: Console) -> bool:
    """Run all checks and print what they find.

    Returns: whether everything holds.
    """
    wrong = 0
    for check in CHECKS:
        findings = list(check(subject))
        wrong += len(findings)
        summary = (check.__doc__ or "").strip().splitlines()[0]
        console.print(Text(f"{'✗' if findings else '✓'} {check.__name__}: {summary}", style="red" if findings else ""))
        for finding in findings:
            _print_finding(finding, console)
    compared = (
        f"{len(subject.official)} conversations compared with the tokenizer's own template" if subject.official else ""
    )
    console.print(Text(", ".join(filter(None, (f"{wrong} findings" if wrong else "everything holds", compared)))))
    if not subject.official:
        console.print(Text("--tokenizer FOLDER compares with the template that a tokenizer brings along"))
    return not wrong


def _print_finding(finding: Finding, console: Console) -> None:
    console.print(Text(f"  {finding.case + ': ' if finding.case else ''}{finding.message}"))
    if finding.expected and finding.found:
        console.print(side_by_side(finding.expected, finding.found))
    elif finding.expected or finding.found:
        console.print(Text((finding.expected or finding.found) + "⏎"))


def side_by_side(expected: str, found: str) -> Table:
    """Two texts in two columns, where they differ and a little around; white space at the end of a line is shown."""
    table = Table("expected", "found", show_edge=False, pad_edge=False)
    ours, theirs = _lines(expected), _lines(found)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for group in matcher.get_grouped_opcodes(_AROUND):
        table.add_section()
        for kind, start, end, other_start, other_end in group:
            style = "" if kind == "equal" else "red"
            pairs = itertools.zip_longest(ours[start:end], theirs[other_start:other_end], fillvalue="")
            for left, right in pairs:
                table.add_row(Text(left, style=style), Text(right, style=style))
    return table


def _lines(text: str) -> list[str]:
    """Lines with a mark for the line break of each, and dots for the white space before it."""
    shown = []
    for line in f"{text}⏎".split("\n"):
        bare = line.removesuffix("⏎").rstrip()
        shown.append(bare + "·" * (len(line.removesuffix("⏎")) - len(bare)) + ("⏎" if line.endswith("⏎") else "↵"))
    return shown
