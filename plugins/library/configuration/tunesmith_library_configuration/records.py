"""What a checkpoint was made with: the configuration of its run, and fingerprints of what that names.

A run that goes on is compared with it before anything is loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.files import digest
from tunesmith_library_configuration.manifests import is_intact, is_listed, told
from tunesmith_library_configuration.reading import read_yaml

MARKER = "complete.json"
"""The list of a checkpoint's files."""

PRECISION = "precision"
"""What that list calls the numbers that the run computes in."""

CONFIGURATION = "configuration.yaml"
"""The run's configuration when a checkpoint was written."""

_STATES = (("trainer_state.json", "global_step"), ("state.json", "step"))  # of the loops that write checkpoints
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_PIECES, _PIECE = 64, 2**16  # of a large file that are looked at, and bytes of each

Change = tuple[tuple[str, ...], Any, Any]
"""A key's parts, its value when the checkpoint was written, and its value now; None where it has none."""


def checkpoints_of(output_dir: Path) -> list[Path]:
    """The folders of a run's checkpoints, whole or not, in the order of the steps that they have behind them."""
    folders = [folder for folder in output_dir.glob("checkpoint-*") if folder.is_dir()]
    named = [folder for folder in folders if re.fullmatch(r"checkpoint-\d+", folder.name)]
    return sorted(named, key=lambda folder: (steps_of(folder), _named(folder) == steps_of(folder), _named(folder)))


def steps_of(checkpoint: Path) -> int:
    """The steps that a checkpoint has behind it, as its own state says; its name, where that cannot be read."""
    for name, key in _STATES:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            if (checkpoint / name).is_file():
                return int(json.loads((checkpoint / name).read_text(encoding="utf-8"))[key])
    return _named(checkpoint)


def _named(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def newest_record(output_dir: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest finished checkpoint of a run and its configuration; None when there is none that can be read.

    A checkpoint of an earlier version has no configuration; that of its run stands for it.
    """
    for folder in reversed(checkpoints_of(output_dir)):
        if not (folder / MARKER).is_file():
            continue
        own = folder / CONFIGURATION
        if is_listed(folder, MARKER) and own.is_file() and not is_intact(folder, MARKER, CONFIGURATION):
            continue
        file = own if own.is_file() else output_dir / "run.yaml"
        try:
            return folder, read_yaml(file)[0]
        except (ConfigError, OSError, ValueError):
            continue
    return None


def newest_checkpoint(resume: bool, output_dir: Path) -> Path | None:
    """The checkpoint that a run goes on from, as far as can be told at once; None for a run that begins anew."""
    record = newest_record(output_dir) if resume else None
    return record[0] if record else None


def changes(former: Mapping[str, Any], now: Mapping[str, Any], key: tuple[str, ...] = ()) -> Iterator[Change]:
    """What differs between two configurations, lists as a whole.

    A mapping with `name` is that of a plugin's options: of another plugin only the name counts, and an option that one
    of two versions does not have is no difference.
    """
    named = "name" in former and "name" in now
    if named and former["name"] != now["name"]:
        yield (*key, "name"), former["name"], now["name"]
        return
    for name in dict.fromkeys((*former, *now)):
        if named and not (name in former and name in now):
            continue
        was, value = former.get(name), now.get(name)
        if isinstance(was, Mapping) and isinstance(value, Mapping):
            yield from changes(was, value, (*key, str(name)))
        elif _plain(was) != _plain(value):
            yield (*key, str(name)), was, value


def _plain(value: Any) -> Any:
    """A value as a file would give it back; what holds nothing is no value."""
    return json.loads(json.dumps(value, default=str)) or None if isinstance(value, list | tuple | Mapping) else value


def fingerprint(folder: Path) -> str:
    """What is in a model's folder: small files whole, of large ones their size and pieces from all over them."""
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        if path.suffix in _WEIGHTS:
            found.update(f"{path.name} {path.stat().st_size} {_sampled(path)}\n".encode())
        elif path.suffix in (".json", ".jinja", ".model", ".txt", ".py", ".tiktoken"):
            found.update(f"{path.name} {digest(path)}\n".encode())
    return found.hexdigest()


def _sampled(path: Path) -> str:
    size = path.stat().st_size
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        for number in range(_PIECES):
            file.seek(max(0, size - _PIECE) * number // (_PIECES - 1))
            found.update(file.read(_PIECE))
    return found.hexdigest()


def refuse_other(output_dir: Path, made_of: Mapping[str, str]) -> None:
    """Raise ConfigError when a run that goes on is made of other things than its newest checkpoint.

    Args:
        made_of: fingerprints by name (`model`, `data`); one that either side does not know is not compared.
    """
    record = newest_record(output_dir)
    former = told(record[0], MARKER).get("made_of", {}) if record else {}
    other = [name for name, value in made_of.items() if value and former.get(name) not in (None, "", value)]
    if record and other:
        raise ConfigError(
            f"resume=true: {' and '.join(other)} {'is' if len(other) == 1 else 'are'} not what {record[0]} was made "
            f"with: the contents have changed.\nbring back what it was made with, or start a new run: output_dir=FOLDER"
        )
