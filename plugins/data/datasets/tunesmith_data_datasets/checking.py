"""What can be said about data sets before anything heavy is imported: files, formats, columns."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.errors import choices, nearest
from tunesmith.traits import traits_of
from tunesmith.types import Problem
from tunesmith_library_configuration.space import unwritable
from tunesmith_library_formats import ALONE, OWN
from tunesmith_library_formats.dataset_info import beside, by_default, unread
from tunesmith_library_formats.detection import shapes_of

from .archives import is_archive
from .detecting import Told, first_file, first_records, format_of, in_words, listed, look_at, peek
from .entries import Source, names_in
from .layouts import layout_of
from .reading import is_data_file, names
from .suiting import unsuited

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import Datasets


def problems_of(source: Source, plan: Plan, default_hub: str) -> Iterator[Problem]:
    """Everything that is wrong with one data set."""
    if source.hub(default_hub) == "local":
        yield from _problems_of_files(source, plan)
    elif Path(source.entry.path.split("/")[0]).is_dir():
        yield _missing(source, f"for a data set on a hub write {default_hub}://{source.entry.path}")


def option_problems(options: Datasets, sources: list[Source]) -> list[Problem]:
    """What is wrong with options by themselves."""
    found = []
    if options.cache and (reason := unwritable(options.cache_folder())):
        message = f"data.cache_dir={options.cache_folder()} cannot be written: {reason}."
        advice = "what it does not hold is encoded anew in every run"
        advice += "; choose another: data.cache_dir=FOLDER, or none: data.cache=false"
        found.append(Problem("data.cache_dir", message, advice, "warning"))
    if options.val_size > 1 and options.val_size % 1:
        advice = "below 1 it is a share, from 1 on a whole number of examples"
        found.append(Problem("data.val_size", f"data.val_size cannot be {options.val_size:g}.", advice))
    found += _split_problems(options)
    names = [source.name for source in sources if source.key.startswith("data.eval")]
    names += ["validation"] if options.val_size else []
    for name in sorted({name for name in names if names.count(name) > 1}):
        message = f"Two evaluation sets are named {name}."
        found.append(Problem("data.eval", message, "give each a name: {path: …, name: …}"))
    return found


def _split_problems(options: Datasets) -> Iterator[Problem]:
    """What is wrong with holding out by a column."""
    if options.split_by and not options.val_size:
        message = f"data.split_by={options.split_by} holds nothing out without data.val_size."
        yield Problem("data.split_by", message, "data.val_size=0.05 holds out that share of the column's values")
    elif options.split_by and options.val_size >= 1:
        message = f"data.split_by={options.split_by} holds out a share of values, not {options.val_size:g} rows."
        yield Problem("data.val_size", message, "a number below 1: data.val_size=0.05")


def mix_problems(options: Datasets, sources: list[Source], plan: Plan) -> list[Problem]:
    """Shares of sets that have no meaning as they are mixed, or for the stage."""
    train = [source for source in sources if source.key.startswith("data.train")]
    found = [_weight_problem(source) for source in train if source.entry.weight != 1 and options.mix == "concat"][:1]
    for source in sources:
        if source.entry.weight != 1 and source not in train:
            message = f"{source.key}.weight has no effect: evaluation sets are not mixed."
            found.append(Problem(f"{source.key}.weight", message, "leave it out", "warning"))
    sampled = [source for source in train if source.entry.samples is not None]
    if options.streaming and plan.command != "eval" and sampled:
        found += _stream_sample_problems(options, train, sampled)
    if options.deduplicate and plan.get("stage.packing"):
        message = "data.deduplicate compares examples, and stage.packing makes one of several records."
        found.append(
            Problem("data.deduplicate", message, "stage.packing=false; or tunesmith data check FILE --fix OUT")
        )
    if options.streaming and options.mix == "interleave_once":
        message = "data.mix=interleave_once ends when all sets are used up; a stream has no end."
        found.append(Problem("data.mix", message, "data.mix=interleave_under"))
    return found + _resample_problems(options, train, sampled, plan)


def _stream_sample_problems(options: Datasets, train: list[Source], sampled: list[Source]) -> list[Problem]:
    """A stream has no epochs: samples are shares there, where sets are drawn."""
    key = f"{sampled[0].key}.samples"
    if options.mix == "concat":
        message = f"{key} has no meaning with data.streaming=true and data.mix=concat: a stream has no epochs."
        advice = "data.mix=interleave_under takes samples for shares; max_samples takes the first records"
        return [Problem(key, message, advice)]
    other = next((source for source in train if source.entry.samples is None or source.entry.weight != 1), None)
    if other is None:
        return []
    message = f"With data.streaming=true samples are shares, and {other.key} has no samples, or a weight beside them."
    return [Problem(other.key, message, "give samples to every set, or a weight to every set")]


def _weight_problem(source: Source) -> Problem:
    key = f"{source.key}.weight"
    advice = (
        "write data.mix=interleave_under, interleave_over or interleave_once, or say how many of the set with samples"
    )
    return Problem(key, f"{key} has no meaning with data.mix=concat.", advice)


def _resample_problems(options: Datasets, train: list[Source], sampled: list[Source], plan: Plan) -> list[Problem]:
    if not options.resample or plan.command != "train":
        return []
    stage, key = plan.traits("stage"), "data.resample"
    if options.streaming:
        message = "data.resample has no meaning with data.streaming=true: a stream has no epochs."
        return [Problem(key, message, "leave it out")]
    if plan.get("stage.precompute_reference"):
        message = "data.resample gives each epoch other examples; stage.precompute_reference computes those of one."
        return [Problem(key, message, "stage.precompute_reference=false, or data.resample=false")]
    if stage is not None and stage.generates:
        message = f"data.resample has no effect: stage={plan.name('stage')} reads its prompts once."
        return [Problem(key, message, "leave it out; samples draws some of a set once")]
    mixes = len(train) > 1 and options.mix not in ("concat", "interleave_once")
    if not sampled and not mixes:
        message = "data.resample has no effect: an epoch has all examples of every set."
        return [Problem(key, message, "say with samples how many of a set an epoch has", "warning")]
    return []


def stream_problems(options: Datasets, plan: Plan) -> list[Problem]:
    """What does not go with `streaming`: whatever must know all examples beforehand."""
    found = []
    if plan.command == "encode" and options.train:
        message = "data.streaming=true encodes training data while it is trained on, and keeps nothing of it."
        found.append(Problem("data.streaming", message, "data.streaming=false, here and in the run"))
    if plan.command == "train" and plan.get("trainer.max_steps", -1) <= 0:
        message = "data.streaming=true: nobody knows how many examples there are, so the run needs a length."
        found.append(Problem("trainer.max_steps", message, "write trainer.max_steps=1000"))
    if options.val_size:
        message = "data.streaming=true holds nothing out, for that needs all examples."
        found.append(Problem("data.val_size", message, "write data.eval=[held_out.jsonl]"))
    if options.deduplicate:
        message = "data.streaming=true remembers no example, and data.deduplicate compares each with all before."
        found.append(Problem("data.deduplicate", message, "tunesmith data check FILE --fix OUT, before the run"))
    stage, quantizer = plan.traits("stage"), plan.traits("quantizer")
    if stage is not None and not stage.streams:
        message = f"data.streaming=true gives rows one by one; stage={plan.name('stage')} needs all of them beforehand."
        others = [name for name, cls in plan.installed("stage").items() if traits_of("stage", cls).streams]
        also = f", or a stage that streams: {', '.join(others)}" if others else ""
        found.append(Problem("data.streaming", message, f"data.streaming=false{also}"))
    if quantizer is not None and quantizer.calibrates:
        message = f"quantizer={plan.name('quantizer')} looks at training data, which a stream does not give twice."
        found.append(Problem("data.streaming", message, "data.streaming=false, or another quantizer"))
    if options.eval and plan.get("trainer.eval_strategy") in ("auto", "epoch"):
        message = "data.streaming=true has no epochs: the evaluation comes at the end only."
        found.append(Problem("trainer.eval_strategy", message, "trainer.eval_strategy=steps", "warning"))
    return found


def _problems_of_files(source: Source, plan: Plan) -> Iterator[Problem]:
    key = source.key
    try:
        if first_file(source) is None:
            yield _missing(source)
            return
        records = first_records(source)
        told = format_of(source, lambda: plan.installed("format"))
    except DataError as error:
        message, _, advice = str(error).partition("\n")
        yield Problem(key, f"{key}: {message}", advice.strip())
        return
    if not records:
        yield Problem(key, f"{key}: {first_file(source)} has no records.", "leave it out")
    elif told.name is None:
        found = ", ".join(name if name.strip() else repr(name) for name in records[0]) or "nothing"
        message = f"{key}: {source.entry.path} is of no known format; found: {found}."
        laid_out = layout_of(records, first_file(source))
        if laid_out:
            yield Problem(key, f"{message}\n{laid_out.said}", laid_out.advice)
            return
        advice = (
            f"write {key}.format=NAME and say with {key}.columns where its fields are{_such_as(source, records, plan)}"
        )
        advice += f"\n{listed(plan.installed('format'))}"
        yield Problem(f"{key}.format", "\n".join([message, *_nearly(source, plan, records)]), advice)
    else:
        yield from _tied(source, told)
        yield from _problems_of_records(source, told.name, plan, records)


def _such_as(source: Source, records: list[dict[str, Any]], plan: Plan) -> str:
    """The words for the most usual case: one column asks, the next one answers."""
    texts = [name for name in records[0] if all(isinstance(record.get(name), str) for record in records)]
    if len(texts) < 2 or "alpaca" not in plan.installed("format"):
        return ""
    columns = f"{{instruction: {texts[0]}, output: {texts[1]}}}"
    return f", such as\n'{source.key}={{path: {source.entry.path}, format: alpaca, columns: {columns}}}'"


def _nearly(source: Source, plan: Plan, records: list[dict[str, Any]]) -> Iterator[str]:
    """Why a file whose columns a format reads is not of it, as that format says."""
    entry, file = source.entry, first_file(source)
    fields = {*records[0], *entry.columns}
    for name, format in plan.installed("format").items():
        if file and any(set(shape) <= fields for shape in shapes_of(getattr(format, "reads", ""))):
            try:
                for _ in format().to_rows(records=peek(file, source), columns=entry.names):
                    pass
            except DataError as error:
                yield f"it has the columns of {name}, but {error}".partition("\n")[0]


def _tied(source: Source, told: Told) -> Iterator[Problem]:
    """Formats that the first record looks like equally much, of which the first by name was taken."""
    if told.tied:
        key = f"{source.key}.format"
        alike = " and ".join(f"{match.format} ({in_words(match, source.entry)})" for match in told.tied)
        message = f"{source.key}: {source.entry.path} looks as much like {alike}; {told.name} is taken."
        advice = f"write {' or '.join(f'{key}={match.format}' for match in told.tied)}"
        yield Problem(key, message, advice, "warning")


def _problems_of_records(source: Source, name: str, plan: Plan, records: list[dict[str, Any]]) -> Iterator[Problem]:
    """Try the format on the first records, and look for mapped columns that none of them has."""
    entry, key, format, file = source.entry, source.key, plan.plugin("format", name), first_file(source)
    found = list(dict.fromkeys(column for record in records for column in record))
    for field, column in entry.columns.items():
        if field != ALONE and column not in found:
            message = f"{key}.columns.{field}={column}: {first_file(source)} has no such column."
            yield Problem(f"{key}.columns.{field}", message, choices(column, found), "warning")
    for name in (name for name in entry.keep if name not in found):
        message = f"{key}.keep: {first_file(source)} has no column {name}."
        yield Problem(f"{key}.keep", message, choices(name, found), "warning")
    for name in (name for name in entry.keep if name in OWN):
        message = f"{key}.keep: {name} is what a row is made of, and its format reads it."
        yield Problem(f"{key}.keep", message, f"leave it out, or say with {key}.columns where it is")
    for role, column in by_default(entry.columns, found).items():
        message = f"{key}: {file}: {column} is read as {role}, a default, for its dataset_info.json names no {role}."
        yield Problem(f"{key}.columns", message, f'without it: "{role}": "" under columns', "warning")
    unnamed = unread(entry.columns, found)
    if unnamed:
        message = f"{key}: {file} has {', '.join(unnamed)}, which dataset_info.json does not name: not read."
        advice = f"name it there to have it read, such as {unnamed[0]} under columns"
        yield Problem(f"{key}.columns", message, advice, "warning")
    split_by = plan.get("data.split_by") if key.startswith("data.train") else None
    if split_by is not None and split_by not in found:
        message = f"data.split_by={split_by}: {file} has no such column."
        yield Problem("data.split_by", message, choices(split_by, found))
    if format is None or file is None:  # not installed, which the kernel says
        return
    try:
        rows = list(format.to_rows(records=peek(file, source), columns=entry.names))
        yield from unsuited(source, rows, file, plan)
    except DataError as error:
        message, _, advice = str(error).partition("\n")
        message = message.replace("with columns=", f"with {key}.columns=")
        looks = look_at(records[0], source, lambda: plan.installed("format")).name
        if looks and looks != name:
            advice += f"\nits records look like {looks}: {key}.format={looks}"
        laid_out = layout_of(records, file)
        if laid_out and (
            laid_out.inner is None or look_at(laid_out.inner, source, lambda: plan.installed("format")).name
        ):
            message, advice = f"{message.partition('; map them')[0]}\n{laid_out.said}", laid_out.advice
        yield Problem(f"{key}.columns", f"{key}: {first_file(source)}: {message}", advice.strip())


def _missing(source: Source, more: str = "") -> Problem:
    """There is no such file: what there is in its folder."""
    path = Path(source.base).expanduser()
    folder = path if source.pattern or path.is_dir() else path.parent
    lines = [more] if more else []
    if path.is_symlink() and not path.exists():
        lines.append(f"{path} is a link to {os.readlink(path)}, where nothing is")
    if not folder.is_dir():
        lines.append(f"there is no folder {folder} (looked from {Path.cwd()})")
    else:
        readable = (item for item in folder.iterdir() if item.is_dir() or is_data_file(item) or is_archive(item))
        there = sorted(item.name for item in readable)
        near = None if path.is_dir() else nearest(path.name, [name for name in there if name != path.name])
        listed = ", ".join(there[:10]) + (", …" if len(there) > 10 else "")
        lines.append(f"in {folder}: {listed or 'nothing to read'}" + (f"   did you mean {near}?" if near else ""))
        if is_archive(path) and path.is_file():
            lines.append(f"{path} is an archive without data; files that can be read: {names()}")
        if path.is_dir():
            what = f"no file in {path} fits {source.pattern}" if source.pattern else f"{path} is a folder without data"
            lines.append(f"{what}; files that can be read: {names()}")
    info = beside(source.entry.path)
    if info is not None:
        lines.append(f"{info} names others: {choices(path.name, names_in(info))}")
    return Problem(f"{source.key}.path", f"{source.key}: no data at {source.entry.path}.", "\n".join(lines))
