"""Files: finished ones are never half written (write beside, then rename); Python ones are imported by their path."""

import contextlib
import hashlib
import importlib.util
import itertools
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from tunesmith_library_configuration.owners import left_behind, this_process

_MARKED = re.compile(r"\..+-[a-z0-9_]{8}\.([0-9a-f]{8}\.\d+\.\d+)")  # a workshop's name, with the mark of its process
_logger = logging.getLogger("tunesmith")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path beside `target` to write a file or folder to; it takes `target`'s place when the block succeeds.

    When the block fails, or writes nothing, what was at `target` stays.

    Args:
        target: file or folder; its parent is made. A folder that is already there is replaced.

    Raises: OSError when the folder cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    workshop = _workshop(target.name, target.parent)
    try:
        draft = workshop / target.name
        yield draft
        _move(draft, target, workshop)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


@contextlib.contextmanager
def filling(folder: Path, last: tuple[str, ...] = ()) -> Iterator[Path]:
    """Give an empty folder to write several files to; they move into `folder` when the block succeeds.

    Args:
        folder: where other files may stand already; those of the same name are replaced, folders as a whole.
        last: names that move after all others, such as the one whose presence says that the rest is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workshop = _workshop("filling", folder)
    try:
        yield workshop
        for entry in sorted(workshop.iterdir(), key=lambda entry: (entry.name in last, entry.name)):
            _move(entry, folder / entry.name, workshop)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _workshop(name: str, folder: Path) -> Path:
    """A new folder to write in, which carries the mark of this process; those of killed processes are removed."""
    remove_leftovers(folder)
    return Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=f".{this_process().mark}", dir=folder))


def remove_leftovers(folder: Path) -> None:
    """Remove what `replacing` and `filling` of processes that were killed left in a folder, and say so."""
    for entry in folder.glob(".*-*.*.*.*"):
        marked = _MARKED.fullmatch(entry.name)
        if marked and left_behind(marked[1]) and entry.is_dir():
            _logger.warning("removed %s, which a process that was killed left half written", entry)
            shutil.rmtree(entry, ignore_errors=True)


def _move(source: Path, target: Path, workshop: Path) -> None:
    """Put `source` in the place of `target`; a folder cannot be renamed over another, so the former steps aside."""
    if not (target.is_dir() and source.exists()):
        os.replace(source, target)
        return
    aside = Path(tempfile.mkdtemp(prefix=".former-", dir=workshop)) / target.name
    os.replace(target, aside)
    try:
        os.replace(source, target)
    except OSError:
        os.replace(aside, target)
        raise


def digest(file: Path) -> str:
    """What is in a file, as 32 hexadecimal digits of BLAKE2b, at about 1 GB/s; another content has another digest."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def numbered(base: Path) -> Iterator[Path]:
    """Names for one folder after the other: `sft`, `sft-2`, `sft-3`, without end."""
    yield base
    yield from (base.with_name(f"{base.name}-{number}") for number in itertools.count(2))


def imported(file: Path, name: str) -> ModuleType:
    """The module of a Python file under a name of its own; one that is imported already is not run again.

    Raises: what the file raises, and then it is not imported.
    """
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None, "a file that ends in .py has a loader"
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # where a dataclass looks for the types of its fields
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
