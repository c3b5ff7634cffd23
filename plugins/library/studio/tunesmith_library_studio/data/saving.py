"""Rows as people changed and judged them: a set with their edits, labelled answers, or preferences."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from tunesmith import DataError
from tunesmith_library_formats.writing import to_openai

from .formats import Reading
from .journal import Marks
from .opening import Found, Opened

What = Literal["edits", "labels", "preferences"]
Row = dict[str, Any]
_GOOD, _BAD = 4, 2  # ratings from and up to which an answer counts as good, or bad


def writing(
    opened: Opened, marks: Mapping[int, Marks], reading: Reading, what: What, only_judged: bool = False
) -> Callable[[Path], tuple[int, dict[str, int]]]:
    """What writes a version.

    Args:
        what: `edits` are the records with all changes, lines that nobody changed byte for byte; `labels` are answers
            that were rated, for KTO; `preferences` are pairs, for DPO: those that were judged, and corrected answers
            beside what they correct.
        only_judged: leave out pairs that nobody judged.
    """
    make = {"edits": _edited, "labels": _labelled, "preferences": _preferred}[what]

    def write(draft: Path) -> tuple[int, dict[str, int]]:
        counts: Counter[str] = Counter()
        rows = 0
        with draft.open("w", encoding="utf-8", newline="\n") as stream:
            for found in opened.all():
                if found.is_blank:
                    continue
                of_row = marks.get(found.row, Marks())
                if of_row.deleted:
                    counts["removed"] += 1
                    continue
                if only_judged and not any(one.is_judged for one in of_row.opinions.values()):
                    counts["not_judged"] += 1
                    continue
                for line in make(found, of_row, reading, counts):
                    stream.write(line + "\n")
                    rows += 1
        return rows, dict(counts)

    return write


def _edited(found: Found, marks: Marks, reading: Reading, counts: Counter[str]) -> Iterator[str]:
    record = found.record if marks.record is None else marks.record
    counts["edited"] += marks.record is not None
    corrected, better = _last(marks, "correct"), majority(marks, "choose")
    if record is not None and (corrected is not None or better == "rejected"):
        try:
            row = _row_of(record, reading)
            row = _with_answer(row, corrected) if corrected is not None else row
            if better == "rejected":
                row = {**row, "chosen": row["rejected"], "rejected": row["chosen"]}
            record = reading.record(row, record)
            counts["corrected"] += corrected is not None
            counts["swapped"] += better == "rejected"
        except (DataError, KeyError):
            counts["could_not_be_written"] += 1
    yield found.text if record is found.record else _line(record)


def _labelled(found: Found, marks: Marks, reading: Reading, counts: Counter[str]) -> Iterator[str]:
    label = majority(marks, "label")
    if label is None:
        counts["without_label"] += 1
        return
    try:
        row = _row_of(found.record if marks.record is None else marks.record, reading)
        messages = row.get("messages") or [*row["prompt"], *row["completion"]]
        kept = {name: value for name, value in row.items() if name not in ("messages", "prompt", "completion")}
        if messages[-1]["role"] != "assistant":
            raise DataError("the row does not end with an answer")
        made = {"prompt": messages[:-1], "completion": messages[-1:], "label": label, **kept}
    except (DataError, KeyError):
        counts["without_answer"] += 1
        return
    counts["good" if label else "bad"] += 1
    yield _line(to_openai({**made, "label": label}))


def _preferred(found: Found, marks: Marks, reading: Reading, counts: Counter[str]) -> Iterator[str]:
    try:
        row = _row_of(found.record if marks.record is None else marks.record, reading)
    except DataError:
        counts["could_not_be_read"] += 1
        return
    corrected, better = _last(marks, "correct"), majority(marks, "choose")
    if corrected is not None:
        counts["corrected"] += 1
        yield _line(to_openai(_corrected_pair(row, corrected)))
    elif "chosen" not in row:
        counts["without_pair"] += 1
    elif better == "tie":
        counts["ties"] += 1
    else:
        swapped = {"chosen": row["rejected"], "rejected": row["chosen"]} if better == "rejected" else {}
        counts["swapped"] += bool(swapped)
        yield _line(to_openai({**row, **swapped}))


def majority(marks: Marks, kind: str) -> Any:
    """What most said of a row; None where nobody did, or as many said another thing. A rating is a label, too."""
    values = [_verdict(one, kind) for one in marks.opinions.values()]
    ranked = Counter(value for value in values if value is not None).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return "tie" if ranked and kind == "choose" else None
    return ranked[0][0]


def _verdict(opinion: Any, kind: str) -> Any:
    value = getattr(opinion, kind)
    if kind == "label" and value is None and opinion.rate is not None:
        return True if opinion.rate >= _GOOD else False if opinion.rate <= _BAD else None
    return value


def _last(marks: Marks, kind: str) -> Any:
    return next((value for one in marks.opinions.values() if (value := getattr(one, kind)) is not None), None)


def _row_of(record: Any, reading: Reading) -> Row:
    row, fault = reading.row(record) if record is not None else (None, "it is no record")
    if row is None:
        raise DataError(fault)
    return row


def _with_answer(row: Row, text: str) -> Row:
    """A row whose last answer is another. Raises: DataError where it ends with none."""
    name = next((name for name in ("chosen", "completion", "messages") if row.get(name)), "")
    if not name or row[name][-1]["role"] != "assistant":
        raise DataError("the row does not end with an answer")
    return {**row, name: [*row[name][:-1], {**row[name][-1], "content": text}]}


def _corrected_pair(row: Row, text: str) -> Row:
    """The corrected answer beside the one that it corrects."""
    fixed = _with_answer(row, text)
    kept = {name: value for name, value in row.items() if name not in ("messages", "completion", "label")}
    if "messages" in row:
        answer = {"prompt": row["messages"][:-1], "chosen": fixed["messages"][-1:], "rejected": row["messages"][-1:]}
    elif "chosen" in row:
        answer = {"chosen": fixed["chosen"], "rejected": row["chosen"]}
    else:
        answer = {"chosen": fixed["completion"], "rejected": row["completion"]}
    return {**kept, **answer}


def _line(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False)
