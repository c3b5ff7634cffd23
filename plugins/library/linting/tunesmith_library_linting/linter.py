"""All checks over all data sets of a call, and what they found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith import DataError
from tunesmith.errors import choices

from .answers import CutOff
from .calls import ToolCalls
from .copies import Duplicates, Leaks, NearDuplicates
from .findings import SEVERITIES, Check, Finding, Item
from .languages import Language
from .lengths import TooLong
from .media import Media
from .privacy import Personal, Secrets
from .structure import Empty, Labels, Readable, RoleOrder, SameAnswers, Unanswered, UnreadableCalls


@dataclass(frozen=True)
class Summary:
    """The findings of one check and severity."""

    check: str
    severity: str
    findings: int
    rows: int  # that they are about
    says: str
    first: str  # where the first of them is

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass
class Linter:
    """Looks at records, and keeps what is wrong with them.

    Args:
        leaks: knows what is measured on.
        lengths: measures the rows.
        only: the names of the checks that count; () are all.
        ignore: the names of those that do not.

    Raises: DataError for the name of no check.
    """

    leaks: Leaks = field(default_factory=Leaks)
    lengths: TooLong = field(default_factory=TooLong)
    only: Collection[str] = ()
    ignore: Collection[str] = ()
    findings: list[Finding] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)  # by data set

    def __post_init__(self) -> None:
        self.language = Language()
        copies: list[Check] = [Duplicates(self.leaks.held_out), NearDuplicates(self.leaks.held_out), self.leaks]
        self._checks: list[Check] = [
            *(Readable(), UnreadableCalls(), Empty(), Unanswered(), RoleOrder(), ToolCalls(), Media(), SameAnswers()),
            *(CutOff(), *copies, self.language, Secrets(), Personal(), Labels(), self.lengths),
        ]
        known = {check.name for check in self._checks}
        for name in (*self.only, *self.ignore):
            if name not in known:
                raise DataError(f"there is no check {name}\n  {choices(name, known)}")

    @property
    def checks(self) -> dict[str, Check]:
        """The checks whose findings count, by name."""
        return {
            check.name: check
            for check in self._checks
            if check.name not in self.ignore and (not self.only or check.name in self.only)
        }

    def look(self, items: Sequence[Item]) -> None:
        """See some records; every record comes once, those of a set in order."""
        self.rows.update(item.data for item in items)
        counted = self.checks
        for check in self._checks:
            if check.name in counted or check in (self.language, self.lengths):
                self.findings += [finding for finding in check.look(items) if finding.check in counted]

    def failed(self, data: str, fault: str) -> None:
        """Note that a set could not be read, or not to its end: what was not seen is not vouched for."""
        seen = self.rows[data]
        unseen = f"the {seen:,} rows before it were checked, the rest was not" if seen else "no row of it was checked"
        self.findings.append(Finding("format", "error", f"{fault}; {unseen}", data))

    def finish(self) -> None:
        """Add what only all records together tell, and sort what was found by set and row."""
        order = list(self.rows)
        for check in self._checks:
            if check.name in self.checks:
                self.findings += check.finish()
        places = {data: index for index, data in enumerate(order)}
        ends = len(order)
        self.findings.sort(key=lambda found: (places.get(found.data, ends), found.row or 0))

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def summaries(self) -> list[Summary]:
        """The findings by check and severity, the worst first."""
        grouped: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            grouped.setdefault((finding.severity, finding.check), []).append(finding)
        made = [
            Summary(
                check,
                severity,
                len(found),
                len({(one.data, one.row) for one in found if one.row is not None}),
                self.checks[check].says if check in self.checks else Readable.says,
                where(found[0]),
            )
            for (severity, check), found in grouped.items()
        ]
        return sorted(made, key=lambda summary: (SEVERITIES.index(summary.severity), -summary.findings))

    def to_json(self) -> dict[str, Any]:
        """The whole report."""
        sets: Mapping[str, Any] = {
            data: {
                "rows": rows,
                "lengths": self.lengths.lengths(data).to_json(),
                "languages": dict(self.language.languages(data).most_common()),
            }
            for data, rows in self.rows.items()
        }
        return {
            "sets": sets,
            "errors": self.errors,
            "summary": [summary.to_json() for summary in self.summaries()],
            "findings": [finding.to_json() for finding in self.findings],
        }


def where(finding: Finding) -> str:
    """The place of a finding: `data.json, row 7 (line 12)`."""
    if finding.row is None:
        return finding.data
    return f"{finding.data}, row {finding.row}" + (f" ({finding.place})" if finding.place else "")
