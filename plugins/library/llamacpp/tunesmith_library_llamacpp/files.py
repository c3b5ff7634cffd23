"""Which GGUF file is meant, and what its head says, read without llama.cpp."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tunesmith import TunesmithError
from tunesmith.errors import choices

MAGIC, SUFFIX = b"GGUF", ".gguf"
_SHARD = re.compile(r"-(\d{5})-of-\d{5}$")
_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_LONGEST = 1 << 24  # bytes of a text


def gguf_file(path: Path, name: str | None = None) -> Path:
    """The file of a model: the path itself, or the one that a folder holds; of several parts the first.

    Projectors of pictures, adapters and importance matrices, which lie beside models, are none.

    Args:
        name: of the file in the folder, where it holds several.

    Raises: TunesmithError when there is no such file, or it is not clear which one is meant.
    """
    if path.is_file() and name is None:
        return path
    if not path.is_dir():
        raise TunesmithError(f"there is no file or folder {path}")
    found = {file.name: file for file in sorted(path.glob(f"*{SUFFIX}")) if _is_first(file)}
    if name is not None:
        if not (path / name).is_file():
            raise TunesmithError(f"{path} has no file {name!r}.\n  {choices(name, found, 'there')}")
        return path / name
    models = {called: file for called, file in found.items() if _is_model(file)}
    if len(models) == 1:
        return next(iter(models.values()))
    if not models:
        there = f"; what there is: {', '.join(found)}, none of them a model" if found else ""
        raise TunesmithError(
            f"{path} holds no GGUF file{there}.\n  write one: tunesmith export RUN exporter=gguf; or give the file"
        )
    raise TunesmithError(f"{path} holds {len(models)} models: {', '.join(models)}.\n  give the file itself")


def adapter_file(path: Path) -> Path:
    """The file of a LoRA adapter: the path itself, or the only one that a folder holds.

    Raises: TunesmithError when there is none, or there are several.
    """
    if path.is_file():
        return path
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else []
    found = [file for file in files if head(file).get("general.type") == "adapter"]
    if len(found) == 1:
        return found[0]
    there = ", ".join(file.name for file in found) or "none"
    raise TunesmithError(
        f"llama.cpp puts one adapter in a GGUF file over a model; those in {path}: {there}.\n"
        "  write one: tunesmith export RUN exporter=gguf exporter.gguf.adapter=true"
    )


def head(file: Path) -> dict[str, Any]:
    """What the head of a GGUF file says of the whole, `general.architecture` and the like, up to its first long list.

    Raises: TunesmithError for another file, or one that is cut off.
    """
    try:
        with file.open("rb") as stream:
            if stream.read(4) != MAGIC:
                raise TunesmithError(f"{file} is not a GGUF file: it does not begin with the word {MAGIC.decode()}")
            version, _, count = struct.unpack("<IQQ", _read(stream, 20))
            if not 2 <= version <= 3:
                raise TunesmithError(f"{file} has version {version} of GGUF; 2 and 3 can be read")
            return dict(_pairs(stream, count))
    except (OSError, EOFError, struct.error, UnicodeDecodeError) as error:
        raise TunesmithError(f"{file} is cut off or broken: {error}") from error


def refuse_other_kinds(file: Path, said: Mapping[str, Any]) -> None:
    """Refuse a file that is put beside a model, and is none.

    Args:
        said: its head.

    Raises: TunesmithError with where it belongs.
    """
    kind = said.get("general.type", "model")
    if kind == "adapter":
        raise TunesmithError(
            f"{file} is a LoRA adapter, which llama.cpp puts over a model, and no model itself.\n"
            f"  give the base's file, and it as an adapter: tunesmith chat BASE.gguf engine.adapters=[{file}]"
        )
    if kind in ("mmproj", "imatrix") or said.get("general.architecture") == "clip":
        what = "an importance matrix" if kind == "imatrix" else "what reads pictures beside a model"
        raise TunesmithError(f"{file} is {what}, and no model itself.\n  give the model's own file")


def _pairs(stream: BinaryIO, count: int) -> Iterator[tuple[str, Any]]:
    for _ in range(count):
        name = _text(stream)
        (kind,) = struct.unpack("<I", _read(stream, 4))
        if kind == _ARRAY:
            return
        if kind == _STRING:
            yield name, _text(stream)
        elif kind in _NUMBERS:
            form = f"<{_NUMBERS[kind]}"
            yield name, struct.unpack(form, _read(stream, struct.calcsize(form)))[0]
        else:
            raise EOFError(f"{name} is of the unknown type {kind}")


def _text(stream: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _read(stream, 8))
    if length > _LONGEST:
        raise EOFError(f"a text of {length} bytes")
    return _read(stream, length).decode()


def _read(stream: BinaryIO, count: int) -> bytes:
    found = stream.read(count)
    if len(found) < count:
        raise EOFError("it ends in its head")
    return found


def _is_first(file: Path) -> bool:
    """Whether a file is whole, or the first of several parts."""
    shard = _SHARD.search(file.stem)
    return shard is None or int(shard[1]) == 1


def _is_model(file: Path) -> bool:
    said = head(file)
    return said.get("general.type", "model") == "model" and said.get("general.architecture") != "clip"
