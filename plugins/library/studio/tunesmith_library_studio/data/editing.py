"""What is done with a data set in one step: a note, a version, a new set, a file that was brought in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError, TunesmithError

from .agreement import agreement, by_author
from .formats import Reading, guess
from .lines import Lines
from .opening import Opened, open_file, small_list, suffix_of
from .saving import writing
from .shaping import merge, refuse_existing, sample, split
from .versions import copied

if TYPE_CHECKING:
    from .sets import Data

_TRIED = 5  # rows of an entry that is being written
_FOLDER = "data"  # of the workspace, for files that are brought in
_COPIES = ("duplicate", "near_duplicate")


def noted(
    layer: Data,
    data: str,
    row: int,
    author: str,
    action: Any,
    value: Any = None,
    content: Mapping[str, Any] | None = None,
    revision: int | None = None,
) -> dict[str, Any]:
    """Note something about a row. Returns: the row as it is now.

    Raises: DataError where there is no such row; Conflict where another changed it meanwhile.
    """
    opened = layer.opened(data)
    found = opened.at([row])
    if not found:
        raise DataError(f"{data} has no row {row:,}; there are {opened.count:,}")
    reading = layer.reading(data, opened)
    if action == "edit" and content is not None:
        former = layer.journal(data).marks().get(row)
        record = former.record if former and former.record is not None else found[0].record
        value = reading.record(content, record or {})
    if action == "edit" and value == found[0].record:
        value = None
    layer.journal(data).note(row, author, action, value, revision)
    return layer.told(data, found, reading)[0]


def progress(layer: Data, data: str) -> dict[str, Any]:
    """How many rows are judged, by whom, how far people agree, and which tags there are."""
    marks = layer.journal(data).marks()
    tags = Counter(tag for row in marks.values() for one in row.opinions.values() for tag in one.tags)
    return {
        "rows": layer.opened(data).count,
        "judged": sum(any(one.is_judged for one in row.opinions.values()) for row in marks.values()),
        "edited": sum(row.record is not None for row in marks.values()),
        "deleted": sum(row.deleted for row in marks.values()),
        "by_author": by_author(marks),
        "agreement": agreement(marks.values()),
        "tags": dict(tags.most_common()),
    }


def saved(layer: Data, data: str, author: str, what: str, note: str = "", only_judged: bool = False) -> dict[str, Any]:
    """Save a version of what was changed and judged, or of what the linter leaves.

    Raises: DataError for one without rows.
    """
    if what in ("fixed", "deduplicated"):
        return _linted(layer, data, author, what, note)
    opened = layer.opened(data)
    if what == "restored":
        return layer.save(data, author, what, note, copied(opened))
    reading = layer.reading(data, opened)
    write = writing(opened, layer.journal(data).marks(), reading, what, only_judged)  # type: ignore[arg-type]

    def wanted(draft: Path) -> tuple[int, dict[str, int]]:
        rows, changes = write(draft)
        if not rows:
            raise DataError(f"no row is left of it, so nothing is saved\n  {what}: {dict(changes)}")
        return rows, changes

    return layer.save(data, author, what, note, wanted)


def _linted(layer: Data, data: str, author: str, what: str, note: str) -> dict[str, Any]:
    path = layer.file(data)
    before = sum(not found.is_blank for found in layer.opened(data).all())
    only = _COPIES if what == "deduplicated" else ()

    def write(draft: Path) -> tuple[int, dict[str, int]]:
        words = [str(path), *layer.named(data).words[1:]]
        layer.worker.ask("check", words=words, only=only, fix=str(draft))
        with draft.open("rb") as stream:
            rows = sum(1 for _ in stream)
        return rows, {"removed": before - rows}

    return layer.save(data, author, what, note, write)


def made(
    layer: Data,
    how: str,
    data: Sequence[str],
    out: str,
    format: str = "",
    count: float = 0,
    rest: str = "",
    seed: int = 0,
) -> dict[str, Any]:
    """Write a new set. Returns: `path`, `rows`, and what was `left_out`."""
    target = layer.workspace.path(out)
    told: dict[str, Any] = {"path": layer.workspace.shown(target), "left_out": 0}
    if how == "merge":
        opened = [layer.opened(one) for one in data]
        pairs = [(one, layer.reading(name, one)) for name, one in zip(data, opened, strict=True)]
        told["rows"], told["left_out"] = merge(pairs, target)
        return told
    if len(data) > 1:
        raise DataError(f"{how} takes one set, and {len(data)} are named")
    if how == "convert":
        answer = layer.worker.ask("convert", words=layer.named(data[0]).words, out=str(target), format=format)
        return {**told, "rows": layer.opened(out).count, "left_out": answer["result"]["left_out"]}
    if how == "fetch":
        refuse_existing(target)
        options = {key: value for key, value in layer.named(data[0]).options.items() if key not in ("path", "columns")}
        where = str(layer.named(data[0]).options.get("path") or data[0])
        most = round(count) or None
        return {
            **told,
            "rows": layer.worker.ask("rows", data=where, out=str(target), options=options, most=most)["result"]["rows"],
        }
    if how == "split":
        second = layer.workspace.path(rest)
        told["rows"], held = split(layer.opened(data[0]), target, second, count, seed)
        return {**told, "rest": layer.workspace.shown(second), "held_out": held}
    return {**told, "rows": sample(layer.opened(data[0]), target, round(count), seed)}


def finished(layer: Data, upload: str) -> dict[str, Any]:
    """Keep an uploaded file if records can be read of it.

    Raises: TunesmithError with what is wrong; the file is deleted then.
    """
    state = layer.workspace.state / "data"
    state.mkdir(exist_ok=True)

    def look(path: Path) -> dict[str, Any]:
        if suffix_of(path) == ".jsonl" and path.suffix == ".jsonl":
            found = next(
                (one for one in open_file(path, path.name, state, _never).page(1, 200) if not one.is_blank), None
            )
            if found is None or found.record is None:
                raise DataError(f"no record can be read of it: {found.fault if found else 'the file is empty'}")
            return {"format": guess(found.record) or None}
        first = next(iter(small_list(path) or ()), None) or _first_by_worker(layer, path)
        if first is None:
            raise DataError("no record can be read of it")
        return {"format": guess(first) or None}

    path, found = layer.uploads.finish(upload, layer.workspace.root / _FOLDER, look)
    shown = layer.workspace.shown(path)
    return {"path": shown, **found, "rows": layer.opened(shown).count}


def _first_by_worker(layer: Data, path: Path) -> Any:
    copy = path.with_name(path.name + ".look")
    try:
        layer.worker.ask("rows", data=str(path), out=str(copy), most=100)
        return next((one.record for one in Opened(Lines(copy)).all() if one.record is not None), None)
    finally:
        copy.unlink(missing_ok=True)


def tried(layer: Data, options: Mapping[str, Any]) -> dict[str, Any]:
    """The first rows of an entry that is being written: its columns, and each record with its row or what is wrong."""
    data = str(options.get("path") or "")
    if not data:
        raise DataError("an entry needs a path: a file, a folder or a hub address")
    opened = layer.opened(data)
    records = [found.record for found in opened.page(1, 50) if found.record is not None][:_TRIED]
    columns = {**(options.get("columns") or {}), **(options.get("tags") or {})}
    columns = {field: column for field, column in columns.items() if column}
    format = str(options.get("format") or "auto")
    reading = Reading(guess(records[0], columns) if format == "auto" and records else format, columns)
    rows = [(record, *reading.row(record)) for record in records]
    return {
        "format": reading.format,
        "columns": list(dict.fromkeys(name for record in records for name in record)),
        "items": [{"record": record, "content": row, "fault": fault} for record, row, fault in rows],
    }


def _never(data: str, out: Path) -> None:
    raise TunesmithError(f"{data} needs no copy")
