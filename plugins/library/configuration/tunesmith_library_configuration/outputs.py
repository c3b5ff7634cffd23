"""Files that plugins write into a run's folder: no two of them the same, and nothing else in their place."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.keys import Key
from tunesmith_library_configuration.options import options
from tunesmith_library_configuration.problems import Problem

Named = Mapping[Key, str]
"""Names of files by the keys that they stand under; those of folders end in `/`."""


def files_of(things: Mapping[Key, Any], said: Mapping[Key, str | None]) -> dict[Key, str]:
    """The files that things write into a run's folder, by their options that are declared `file_in_run` or
    `folder_in_run`.

    Args:
        things: instances of dataclasses, by the keys of their options; None where there is none.
        said: what they say of a file otherwise, which counts where no option of theirs names it.
    """
    found = {key: name for place, thing in things.items() if thing for key, name in _of_options(place, thing)}
    for place, name in said.items():
        own = [_plain(other) for key, other in found.items() if key.within(place)]
        found |= {place: name} if name and _plain(name) not in own else {}
    return found


def _of_options(place: Key, thing: Any) -> Iterator[tuple[Key, str]]:
    for option in options(type(thing)):
        if option.text is not None and option.text.in_run:
            found = _texts(place / option.name, getattr(thing, option.name, option.default))
            yield from ((key, f"{name}/" if option.text.folder else name) for key, name in found)


def _texts(key: Key, value: Any) -> Iterator[tuple[Key, str]]:
    if isinstance(value, str):
        yield key, value
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _texts(key / name, item)


def shared_problems(files: Named, given: Mapping[Key, object]) -> list[Problem]:
    """A problem for each file that two would write, one over what the other has written.

    Args:
        given: the keys that the user has set; the problem is at one of them, if it can.
    """
    by_name: defaultdict[str, list[Key]] = defaultdict(list)
    for key, name in files.items():
        by_name[_plain(name)].append(key)
    problems = []
    for keys in (keys for keys in by_name.values() if len(keys) > 1):
        first, *rest = sorted(keys, key=lambda key: key not in given)
        listed = " and ".join(map(str, [first, *rest]))
        path, taken = Path(files[first]), {_plain(name) for name in files.values()}
        message = f"{listed} name one file, {path.name}: each would write over the other."
        others = (f"{path.stem}-{number}{path.suffix}" for number in itertools.count(2))
        other = next(name for name in others if _plain(name) not in taken)
        problems.append(Problem(first, message, f"give one of them another name: {first}={other}"))
    return problems


def misplaced_problems(folder: Path, files: Named) -> list[Problem]:
    """What stands in the folder of a run that goes on where the run has something else: a file for a folder, or a
    folder for a file."""
    places = [entry for entry in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", entry.name)]
    written = [folder / name for name in files.values() if not name.endswith("/")]
    filled = [folder / name for name in files.values() if name.endswith("/")]
    wrong = [f"{entry} is a file, where the run keeps a checkpoint." for entry in places if not entry.is_dir()]
    wrong += [f"{entry} is a folder, where the run writes a file." for entry in written if entry.is_dir()]
    wrong += [f"{entry} is a file, where the run writes a folder." for entry in filled if entry.is_file()]
    return [Problem("output_dir", message, "move it away") for message in wrong]


def _plain(name: str) -> str:
    """A name as file systems that know no case have it, of a file or a folder."""
    return unicodedata.normalize("NFKC", name.removesuffix("/")).casefold()
