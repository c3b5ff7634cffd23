"""What can be said about data sets before anything heavy is imported: files, formats, columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.errors import choices, nearest
from tunesmith.types import Problem

from .entries import Source
from .reading import is_data_file, names, read_records

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import Datasets

_STREAMED = ("sft", "pretrain")  # stages
_PEEKED = 20  # records
_METADATA = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"}  # beside saved data sets


def first_file(source: Source) -> Path | None:
    """A file of a local data set to look into, of the wanted split where names tell; None when there is none."""
    base = Path(source.base).expanduser()
    if base.is_file():
        return base
    if not base.is_dir():
        return None
    split = source.entry.split or "train"
    for pattern in [source.pattern] if source.pattern else ["*", "**/*"]:
        found = [path for path in base.glob(pattern) if is_data_file(path) and path.name not in _METADATA]
        if found:
            return min(found, key=lambda path: (split not in str(path.relative_to(base)), path))
    return None


def first_records(source: Source) -> list[dict[str, Any]]:
    """The first records of a local data set, [] when it has none. Raises: DataError."""
    file = first_file(source)
    return list(itertools.islice(read_records(file, source.entry.sample_by), _PEEKED)) if file else []


def detect_format(record: Mapping[str, Any], columns: Mapping[str, str]) -> str | None:
    """The format that a record looks like, None when it looks like none.

    Args:
        record: as it stands in the file.
        columns: the user's mapping; the fields it names count as present.
    """
    fields = {*record, *columns}
    turns = record.get("messages")
    first = turns[0] if isinstance(turns, list) and turns else {}
    if "conversations" in fields or (isinstance(first, Mapping) and "from" in first):
        return "sharegpt"
    if "messages" in fields or "preferred_output" in fields:
        return "openai"
    if "instruction" in fields or {"prompt", "response"} <= fields:
        return "alpaca"
    if {"chosen", "rejected"} <= fields or {"prompt", "completion"} <= fields:
        return "openai"
    return "text" if "text" in fields else None


def format_of(source: Source) -> str | None:
    """The format of an entry; where it is `auto`, by its first record, None when that does not tell.

    Raises: DataError when that cannot be read.
    """
    if source.entry.format != "auto":
        return source.entry.format
    records = first_records(source)
    return detect_format(records[0], source.entry.columns) if records else None


def problems_of(source: Source, plan: Plan, default_hub: str) -> Iterator[Problem]:
    """Everything that is wrong with one data set."""
    entry, key = source.entry, source.key
    if entry.max_samples is not None and entry.max_samples < 1:
        yield Problem(f"{key}.max_samples", f"{key}.max_samples={entry.max_samples} leaves no records.", "at least 1")
    if entry.weight <= 0:
        yield Problem(f"{key}.weight", f"{key}.weight={entry.weight:g} must be above 0.", "leave the data set out")
    if source.hub(default_hub) == "local":
        yield from _problems_of_files(source, plan)
    elif Path(entry.path.split("/")[0]).is_dir():
        yield _missing(source, f"for a data set on a hub write {default_hub}://{entry.path}")
    elif entry.format == "auto":
        advice = f"write {key}={{path: {entry.path}, format: NAME}}; installed: alpaca, openai, sharegpt, text, …"
        message = f"{key}: the format of {entry.path} is not known before it is fetched."
        yield Problem(f"{key}.format", message, advice)


def stream_problems(options: Datasets, plan: Plan) -> list[Problem]:
    """What does not go with `streaming`: whatever must know all examples beforehand."""
    found = []
    if plan.command == "train" and plan.get("trainer.max_steps", -1) <= 0:
        message = "data.streaming=true: nobody knows how many examples there are, so the run needs a length."
        found.append(Problem("trainer.max_steps", message, "write trainer.max_steps=1000"))
    if options.val_size:
        message = "data.streaming=true holds nothing out, for that needs all examples."
        found.append(Problem("data.val_size", message, "write data.eval=[held_out.jsonl]"))
    if plan.name("stage") not in (None, *_STREAMED):
        message = f"data.streaming=true streams texts and conversations; stage={plan.name('stage')} needs all examples."
        found.append(Problem("data.streaming", message, "data.streaming=false"))
    if getattr(plan.traits("quantizer"), "calibrates", False):
        message = f"quantizer={plan.name('quantizer')} looks at training data, which a stream does not give twice."
        found.append(Problem("data.streaming", message, "data.streaming=false, or another quantizer"))
    if options.eval and plan.get("trainer.eval_strategy") in ("auto", "epoch"):
        message = "data.streaming=true has no epochs: the evaluation comes at the end only."
        found.append(Problem("trainer.eval_strategy", message, "trainer.eval_strategy=steps", "warning"))
    return found


def _problems_of_files(source: Source, plan: Plan) -> Iterator[Problem]:
    key = source.key
    if first_file(source) is None:
        yield _missing(source)
        return
    try:
        records = first_records(source)
        name = format_of(source)
    except DataError as error:
        message, _, advice = str(error).partition("\n")
        yield Problem(key, f"{key}: {message}", advice.strip())
        return
    if not records:
        yield Problem(key, f"{key}: {first_file(source)} has no records.", "leave it out")
    elif name is None:
        found = ", ".join(records[0])
        advice = f"write {key}.format=NAME and say with {key}.columns where its fields are; {_FORMATS}"
        yield Problem(f"{key}.format", f"{key}: {source.entry.path} is of no known format; found: {found}.", advice)
    else:
        yield from _problems_of_records(source, plan.plugin("format", name), records)


_FORMATS = "alpaca: instruction, output; sharegpt: conversations; openai: messages; text: text"


def _problems_of_records(source: Source, format: Any, records: list[dict[str, Any]]) -> Iterator[Problem]:
    """Try the format on the first records, and look for mapped columns that none of them has."""
    entry, key = source.entry, source.key
    found = list(dict.fromkeys(name for record in records for name in record))
    for field, column in entry.columns.items():
        if column not in found:
            message = f"{key}.columns.{field}={column}: {first_file(source)} has no such column."
            yield Problem(f"{key}.columns.{field}", message, choices(column, found), "warning")
    if format is None:  # not installed, which the kernel says
        return
    try:
        for _ in format.to_rows(records=records, columns={**entry.columns, **entry.tags}):
            pass
    except DataError as error:
        message, _, advice = str(error).partition("\n")
        message = message.replace("with columns=", f"with {key}.columns=")
        looks = detect_format(records[0], entry.columns)
        if looks and looks != entry.format != "auto":
            advice += f"\nits records look like {looks}: {key}.format={looks}"
        yield Problem(f"{key}.columns", f"{key}: {first_file(source)}: {message}", advice.strip())


def _missing(source: Source, more: str = "") -> Problem:
    """There is no such file: what there is in its folder."""
    path = Path(source.base).expanduser()
    folder = path if source.pattern else path.parent
    lines = [more] if more else []
    if not folder.is_dir():
        lines.append(f"there is no folder {folder} (looked from {Path.cwd()})")
    else:
        there = sorted(item.name for item in folder.iterdir() if item.is_dir() or is_data_file(item))
        near = nearest(path.name, there)
        listed = ", ".join(there[:10]) + (", …" if len(there) > 10 else "")
        lines.append(f"in {folder}: {listed or 'nothing to read'}" + (f"   did you mean {near}?" if near else ""))
        if path.is_dir():
            lines.append(f"files that can be read: {names()}")
    return Problem(f"{source.key}.path", f"{source.key}: no data at {source.entry.path}.", "\n".join(lines))
