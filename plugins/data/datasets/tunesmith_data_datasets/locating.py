"""From a data set's address to its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from tunesmith import DataError
from tunesmith.errors import choices
from tunesmith.messages import logger
from tunesmith.types import Fetch
from tunesmith_library_configuration.files import digest

from .archives import is_archive, unpacked
from .detecting import METADATA
from .entries import Source
from .reading import is_data_file, names


def find_files(source: Source, fetch: Fetch, default_hub: str) -> list[Path]:
    """Fetch a data set and list its files, in a stable order.

    A folder is read as on the Hugging Face hub: the configurations in its README, else splits by file names, else
    everything in it is `train`.

    Raises: DataError when there is nothing to read.
    """
    address, hub = source.base, source.hub(default_hub)
    if hub != "local" and "://" not in address:
        address = f"{hub}://datasets/{address}"  # hubs keep models and data sets apart under the same names
    place = _fetched(address, source, fetch)
    if source.pattern is not None:
        files = sorted(path for path in place.glob(source.pattern) if path.is_file())
    elif place.is_file():
        files = [place]
    else:
        files = _files_of_folder(place, source)
    files = [file for path in files for file in (_files_of_archive(path) if is_archive(path) else [path])]
    unreadable = next((path for path in files if not is_data_file(path)), None)
    if unreadable is not None or not files:
        what = f"cannot read {unreadable}" if unreadable else f"no files at {source.entry.path}"
        raise DataError(f"{source.key}: {what}\n  possible: {names()}")
    empty = [str(path) for path in files if not path.stat().st_size]
    if empty:
        logger.warning("%s: empty files: %s", source.key, ", ".join(empty))
    return files


def _fetched(address: str, source: Source, fetch: Fetch) -> Path:
    """What is at an address; where it leads into an archive, what is in that."""
    inside = Path()
    if "://" not in address:
        path = Path(address).expanduser()
        archive = next((place for place in path.parents if is_archive(place) and place.is_file()), None)
        if archive is not None:
            address, inside = str(archive), path.relative_to(archive)
    place = unpacked(fetch(address, revision=source.entry.revision)) / inside
    if not place.exists():
        raise DataError(f"{source.key}: there is no {inside} in {address}")
    return place


def _files_of_archive(archive: Path) -> list[Path]:
    return sorted(path for path in unpacked(archive).rglob("*") if is_data_file(path))


def _files_of_folder(folder: Path, source: Source) -> list[Path]:
    saved = _saved_folder(folder, source)
    if saved is not None:
        state = json.loads((saved / "state.json").read_text(encoding="utf-8"))
        return [saved / item["filename"] for item in state["_data_files"]]
    import datasets

    entry = source.entry
    try:
        builder = datasets.load_dataset_builder(str(folder), name=entry.subset)
    except (ValueError, OSError, RuntimeError) as error:
        files = _data_files(folder)
        if files and entry.subset is None and entry.split in (None, "train"):  # named in capitals, say
            return files
        raise DataError(f"{source.key}: {folder} cannot be read as a data set: {error}") from error
    splits = {str(split): list(files) for split, files in (builder.config.data_files or {}).items()}
    if builder.config.name == "default" and "data_files:" not in _card(folder):
        _say_left_out(source, folder, [file for files in splits.values() for file in files])
    return [Path(file) for file in splits[_split(source, list(splits))]]


def _data_files(folder: Path) -> list[Path]:
    """The data files in a folder, at any depth, without hidden ones."""
    found = (path for path in folder.rglob("*") if is_data_file(path) and path.name not in METADATA)
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _card(folder: Path) -> str:
    """The README of a data set, which may say what belongs to it."""
    card = folder / "README.md"
    return card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""


def _say_left_out(source: Source, folder: Path, taken: list[str]) -> None:
    """Warn of data files that are in no split: a folder is read as files of one kind, the one that most of them are."""
    known = {Path(file).resolve() for file in taken}
    others = [str(path.relative_to(folder)) for path in _data_files(folder) if path.resolve() not in known]
    if others:
        named = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
        advice = f"name them by a path or pattern of their own, such as {folder}/*{Path(others[0]).suffix}"
        logger.warning("%s: %d files in %s are left out: %s; %s", source.key, len(others), folder, named, advice)


def _saved_folder(folder: Path, source: Source) -> Path | None:
    """The folder that `Dataset.save_to_disk` wrote, that of the split where it wrote several; None for another."""
    if (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        return folder / _split(source, splits)
    return folder if (folder / "state.json").is_file() else None


def _split(source: Source, splits: list[str]) -> str:
    wanted = source.entry.split or ("train" if "train" in splits or len(splits) != 1 else splits[0])
    if wanted not in splits:
        raise DataError(f"{source.key}: {source.entry.path} has no split {wanted}\n  {choices(wanted, splits)}")
    return wanted


def contents_of(sets: Sequence[Sequence[Path]], whole: bool) -> str:
    """What data sets are made of, as a fingerprint of their files' contents, wherever the files stand.

    Args:
        whole: read the files; False takes their sizes and times for it, where reading takes as long as a pass.
    """
    parts = [
        [(path.name, digest(path) if whole else [path.stat().st_size, path.stat().st_mtime_ns]) for path in files]
        for files in sets
    ]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
