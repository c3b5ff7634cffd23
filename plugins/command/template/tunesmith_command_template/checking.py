"""The checks of a template, told to its author: what holds, what does not, and texts that differ side by side."""

from __future__ import annotations

import difflib
import itertools

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tunesmith.errors import DataError
from tunesmith_library_chat.conformance import CHECKS, is_the_official_format
from tunesmith_library_chat.conversations import CASES
from tunesmith_library_chat.plain_tokenizer import PlainTokenizer, special_tokens_in
from tunesmith_library_chat.subjects import Finding, Subject

_AROUND = 2  # lines that are alike, shown before and behind those that differ


def print_checks(subject: Subject, console: Console) -> bool:
    """Run all checks and print what they find.

    Returns: whether everything holds.
    """
    wrong = 0
    for check in CHECKS:
        if check is is_the_official_format and not subject.official:
            console.print(Text(f"– {check.__name__}: {_why_not_compared(subject)}"))
            continue
        findings = list(check(subject))
        wrong += len(findings)
        summary = (check.__doc__ or "").strip().splitlines()[0]
        console.print(Text(f"{'✗' if findings else '✓'} {check.__name__}: {summary}", style="red" if findings else ""))
        for finding in findings:
            _print_finding(finding, console)
    unknown = _unknown_tokens(subject)
    if unknown:
        listed = ", ".join(unknown)
        console.print(Text(f"! this tokenizer has no token for, and reads as text: {listed}", style="yellow"))
    compared = (
        f"{len(subject.official)} conversations compared with the tokenizer's own template" if subject.official else ""
    )
    console.print(Text(", ".join(filter(None, (f"{wrong} findings" if wrong else "everything holds", compared)))))
    return not wrong


def _why_not_compared(subject: Subject) -> str:
    if isinstance(subject.tokenizer, PlainTokenizer):
        return "not compared; --tokenizer FOLDER compares with the template that a tokenizer brings along"
    return "not compared, for this tokenizer brings no chat template along"


def _unknown_tokens(subject: Subject) -> list[str]:
    """What the template writes that looks like a special token, and that the tokenizer cuts in pieces."""
    written = set(special_tokens_in(*subject.template.stop))
    for case in CASES.values():
        try:
            rendered = subject.template.render(case.messages, **case.arguments)
        except DataError:
            continue
        written.update(special_tokens_in(rendered.text))
    return sorted(token for token in written if len(subject.tokenizer.encode(token, add_special_tokens=False)) > 1)


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
