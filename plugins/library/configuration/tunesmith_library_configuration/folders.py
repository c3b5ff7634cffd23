"""The folder of a run: held by one process while it is written to, and never cleared of what is no run."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from tunesmith_library_configuration.errors import ConfigError, TunesmithError
from tunesmith_library_configuration.files import numbered, remove_leftovers, replacing
from tunesmith_library_configuration.leftovers import not_resumable
from tunesmith_library_configuration.locks import IN_FOLDER, beside, locked, refuse_inside, refuse_locked
from tunesmith_library_configuration.ownership import remember
from tunesmith_library_configuration.problems import Problem
from tunesmith_library_configuration.records import changes, newest_record
from tunesmith_library_configuration.space import remedy, shortage, unwritable

RECORD, REQUIREMENTS = "run.yaml", "plugins.lock"
_WRITTEN = ("output_dir", "tracker", "exporter")  # what of a configuration is written, not read
_LEFT_BY_A_START = (RECORD, REQUIREMENTS, IN_FOLDER)  # a run that failed before it trained leaves nothing else


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run."""
    return (folder / RECORD).is_file()


def chosen_folder(config_file: Path | None, stage: str, resume: bool) -> Path:
    """Where a run goes that was told no folder.

    `runs/NAME`, NAME being the configuration's file name, or the run's own name for its `run.yaml`; a new run takes the
    next free number, a resumed one the newest folder that is there.
    """
    if resume and config_file and config_file.name == RECORD:
        return config_file.parent
    base = _base(config_file, stage)
    taken = list(itertools.takewhile(Path.exists, numbered(base)))
    former = [folder for folder in taken if is_run(folder)]
    return former[-1] if resume and former else next(itertools.islice(numbered(base), len(taken), None))


def _base(config_file: Path | None, stage: str) -> Path:
    """The folder that is counted up from."""
    if config_file is None:
        return Path("runs") / stage
    if config_file.name != RECORD:
        return Path("runs") / config_file.stem
    own = config_file.parent if config_file.parent.name else config_file.resolve().parent
    first = own.with_name(re.sub(r"-\d+$", "", own.name))
    return first if is_run(first) else own


@contextlib.contextmanager
def opened(folder: Path, files: Mapping[str, str], *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Hold a run's folder, which is made, with its first files in it; let go of it at the end, whatever that is.

    Args:
        files: their names and texts, `RECORD` among them.

    Raises: ConfigError when there is nothing to resume, another process writes there, or what is there would be lost;
        TunesmithError when it cannot be written.
    """
    if resume and not is_run(folder):
        raise ConfigError(f"resume=true: there is no run in {folder}.\nstart it without resume, or name its output_dir")
    refuse_locked(beside(folder), folder)
    refuse_inside(folder)
    with locked(folder / IN_FOLDER, folder, "training"):
        try:
            remove_leftovers(folder)
            for lock in folder.glob(".*.lock"):  # of those who add something to what a run left
                refuse_locked(lock, folder)
                lock.unlink(missing_ok=True)
            if not resume:
                _clear(folder, overwrite)
            for name, text in files.items():
                with replacing(folder / name) as draft:
                    draft.write_text(text, encoding="utf-8")
            remember(folder / RECORD)
        except OSError as error:
            raise TunesmithError(
                f"output_dir={folder} cannot be written: {shortage(error, folder)}.\n"
                f"{remedy(error, 'choose another: output_dir=FOLDER')}"
            ) from error
        yield


def _clear(folder: Path, overwrite: bool) -> None:
    """Make sure that nothing is in a new run's folder."""
    if all(entry.name in _LEFT_BY_A_START for entry in folder.iterdir()):
        return
    if not overwrite:
        kind = "a run is" if is_run(folder) else "files are"
        raise ConfigError(
            f"output_dir={folder}: {kind} already there.\n"
            "resume=true continues the run, overwrite=true deletes it, or choose another output_dir"
        )
    if not is_run(folder):
        raise ConfigError(f"overwrite=true: {folder} is not a run, so it is not deleted.\nchoose another output_dir")
    for entry in folder.iterdir():
        if entry.name != IN_FOLDER:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def place_problems(folder: Path, config: Mapping[str, object], *, resume: bool, overwrite: bool) -> list[Problem]:
    """What would keep a run from having its folder, or from what its configuration names once that is cleared."""
    problems = []
    if overwrite and is_run(folder):
        for key, path in _named_within(folder.resolve(), {**config, **dict.fromkeys(_WRITTEN)}):
            message = f"{key}={path} lies in output_dir={folder}, which overwrite=true deletes first."
            problems.append(Problem("overwrite", message, "choose another output_dir, and leave out overwrite"))
    if resume and not is_run(folder) and (foreign := not_resumable(folder)):
        problems.append(foreign)
    if resume and overwrite:
        problems.append(Problem("overwrite", "resume=true and overwrite=true exclude each other.", "choose one"))
    if reason := unwritable(folder):
        message = f"output_dir={folder} cannot be made: {reason}."
        problems.append(Problem("output_dir", message, "choose another: output_dir=FOLDER"))
    try:
        refuse_inside(folder)
    except ConfigError as error:
        message, _, advice = str(error).partition("\n")
        problems.append(Problem("output_dir", f"output_dir={folder} lies in a folder of another: {message}", advice))
    return problems


def _named_within(folder: Path, value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """The texts of a configuration that are the paths of something in a folder, or of itself, with their keys."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _named_within(folder, item, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _named_within(folder, item, f"{key}[{index}]")
    elif isinstance(value, str) and value:
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # of texts that no path can be
            place = Path(value).expanduser()
            if place.exists() and place.resolve().is_relative_to(folder):
                yield key, value


def changed_problems(
    folder: Path, now: Mapping[str, object], is_free: Callable[[tuple[str, ...]], bool], unsure: Collection[object] = ()
) -> list[Problem]:
    """What a run that goes on has otherwise than its newest checkpoint; of what takes effect, warnings.

    Args:
        now: its configuration as it would be recorded.
        is_free: whether an option, by the parts of its key, may change.
        unsure: keys of the top level of which something is wrong, so that `now` does not have what was given; where one
            of them is a plain value, no plain value is known.
    """
    checkpoint, former = newest_record(folder) or (folder, now)
    plain = {name for name, value in now.items() if not isinstance(value, Mapping)}
    skipped = {*unsure, *(plain if plain & {*unsure} else ())}
    problems = []
    for key, was, value in (change for change in changes(former, now) if change[0][0] not in skipped):
        message = f"{'.'.join(key)} was {_shown(was)} when {checkpoint} was written, and is {_shown(value)} now."
        if is_free(key):
            problems.append(Problem(".".join(key), message, "from here on it is the new one", "warning"))
        else:
            advice = f"a run that goes on keeps it: {_shown(was)}; or start a new run: output_dir=FOLDER"
            problems.append(Problem(".".join(key), message, advice))
    return problems


def _shown(value: object) -> str:
    """A value as an override has it, of a plugin with options its name."""
    if isinstance(value, Mapping) and "name" in value:
        return str(value["name"])
    return "null" if value is None else str(value)
