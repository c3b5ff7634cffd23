"""The part of a model that reads pictures, as a GGUF file of its own (mmproj): llama.cpp's converter writes it, and
every tensor of it is looked for here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith_library_configuration.space import in_words
from tunesmith_library_proving.gate import REPORT
from tunesmith_library_publishing.inventory import Reader, read_json, tensors_of

from tunesmith_library_gguf.converting import FETCH, convert
from tunesmith_library_gguf.tensors import Array
from tunesmith_library_gguf.towers import WITHOUT, has_tower

KIND = "f16"
"""The numbers of a projector's file, which programs expect there."""

UNPROVEN = (
    "llama.cpp has not run the projector: llama-cpp-python cannot give it pictures here; its tensors are compared"
)

_LANGUAGE = re.compile(
    r"(^|\.)(language_model|text_model)\.|^(model\.)?(layers|embed_tokens|norm)\.|(^|\.)lm_head\.|^mtp\."
)
_COMPUTED = re.compile(r"position_ids$|inv_freq$|(^|\.)head\.")
"""What a program computes for itself, and the towers' own output heads, which no language model reads."""

_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Placed:
    """Where the tensors of a tower have gone."""

    tower: int  # tensors of the model that are not the language model's
    named: int  # of these, how many the file has under the name that llama.cpp gives them
    found: int  # how many it has under others, or in pieces, with the same values
    left: tuple[str, ...]  # of parts that the file does not have, or that are computed
    lost: tuple[str, ...]  # of parts that it has otherwise
    wrong: tuple[str, ...]  # that have other values
    further: tuple[str, ...]  # of the file, that are of no tensor of the tower

    def problems(self) -> Iterator[str]:
        """What makes it another model."""
        if not self.named + self.found:
            yield f"none of the {self.tower} tensors beside the language model's is in it"
        elif self.lost:
            yield f"{len(self.lost)} tensors are missing in it: {_listed(self.lost)}"
        if self.wrong:
            yield f"{len(self.wrong)} tensors have other values in it: {_listed(self.wrong)}"


def refuse_projector(folder: Path, converter: Path | None) -> None:
    """Look whether a projector can be written, before anything is loaded.

    Args:
        folder: the base.
        converter: folder of llama.cpp.

    Raises: TunesmithError when the base reads no pictures, or the converter is missing or does not know the base.
    """
    said = read_json(folder / "config.json")
    if not has_tower(said):
        raise TunesmithError(f"exporter.gguf.mmproj: {WITHOUT.format(kind=said.get('model_type'))}")
    if converter is None:
        raise TunesmithError(
            "exporter.gguf.mmproj is written by llama.cpp's converter, and exporter.gguf.converter names none.\n"
            + FETCH.format(key="exporter.gguf")
        )
    if "quantization_config" not in said:  # what is stored in few bits is converted when it is merged
        convert(converter, folder, folder / "nowhere.gguf", KIND, ("--mmproj", "--dry-run"))


def write_projector(folder: Path, file: Path, converter: Path, verify: bool) -> None:
    """Write the file of a merged model's tower, compare it, and say in the report beside it what was found.

    Args:
        folder: of the merged model.
        verify: whether it is compared.

    Raises: TunesmithError when the converter gives up, or a tensor is missing or another.
    """
    convert(converter, folder, file, KIND, ("--mmproj",))
    size = in_words(file.stat().st_size)
    if not verify:
        announce("projector", f"{file.name}, {size}", "not compared: exporter.verify=false")
        return
    placed = compare(folder, file)
    if problems := list(placed.problems()):
        raise TunesmithError(
            f"{file.name}, which llama.cpp's converter wrote, is not the tower that was merged:\n"
            + "\n".join(f"  {line}" for line in problems)
            + "\n  exporter.gguf.mmproj=false writes the language model alone, exporter.verify=false keeps it as it is"
        )
    whole = f"{placed.named + placed.found} of the {placed.tower} tensors beside the language model's"
    announce("projector", f"{file.name}, {size}", f"{whole}, value by value; {UNPROVEN}")
    if placed.left:
        logger.warning("GGUF: %d tensors are not in the projector: %s", len(placed.left), _listed(placed.left))
    report = file.parent / REPORT
    told = {"file": file.name, **asdict(placed), "proven": False, "why": UNPROVEN}
    report.write_text(
        json.dumps(read_json(report) | {"projector": told}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def compare(folder: Path, file: Path) -> Placed:
    """Look for every tensor of a tower in a file: under llama.cpp's name for it, or, where it has another or is cut
    into pieces, by its values.
    """
    stored = {name: held for name, held in tensors_of(folder).items() if not _LANGUAGE.search(name)}
    there = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    names = _names(stored, there)
    parts: dict[str, set[str]] = {"named": set(), "found": set(), "missing": set(), "wrong": set()}
    free = {name: tensor for name, tensor in there.items() if name not in names.values()}
    with Reader(stored) as read:
        for original in sorted(stored, key=lambda name: name not in names):
            name, values = names.get(original), _values(read, original)
            if name and _holds(there[name], values, anew=True):
                parts["named"].add(original)
                continue
            free |= {name: there[name]} if name else {}
            taken = _by_values(free, values)
            parts["found" if taken else "wrong" if name else "missing"].add(original)
            for some in (*taken, *([name] if name else [])):
                free.pop(some, None)
    have = {_part(name) for name in (*parts["named"], *parts["found"])}
    lost = {name for name in parts["missing"] if _part(name) in have and not _COMPUTED.search(name)}
    return Placed(
        len(stored),
        len(parts["named"]),
        len(parts["found"]),
        *(tuple(sorted(some)) for some in (parts["missing"] - lost, lost, parts["wrong"], free)),
    )


def _part(name: str) -> str:
    """The part of a model that a weight is of, such as `visual`."""
    return name.removeprefix("model.").partition(".")[0]


def _names(stored: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, str]:
    """The tensors of a file by the weights that they are named after; no two weights have the same."""
    largest = max((int(number) for name in stored for number in re.findall(r"\.(\d+)\.", name)), default=0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MMPROJ, largest + 1)
    found: dict[str, str] = {}
    for original in stored:
        spelled = re.sub(r"_weight$", ".weight", original)
        for name in (spelled, spelled.removeprefix("model.")):
            place = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if place in there and place not in found.values():
                found[original] = str(place)
                break
    return found


def _values(read: Reader, name: str) -> Array:
    values: Array = read(name).float().numpy()
    return values


def _holds(tensor: Any, values: Array, anew: bool = False) -> bool:
    """Whether a tensor of a file is a weight in its numbers.

    Args:
        anew: whether it may be with the one that Gemma's norms add, or have its rows in another order, as rotary
            positions want them.
    """
    if int(np.prod(tensor.shape)) != values.size:
        return False
    held = gguf.quants.dequantize(tensor.data, tensor.tensor_type).ravel()
    rounded = _rounded(values, tensor.tensor_type)
    if not np.isfinite(held).all():  # beyond float16's 65504
        return False
    if np.array_equal(held, rounded) or not anew:
        return np.array_equal(held, rounded)
    if values.ndim == 1 and np.array_equal(held, _rounded(values + 1, tensor.tensor_type)):
        return True
    one, other = (sorted(row.tobytes() for row in some.reshape(values.shape[0], -1)) for some in (held, rounded))
    return one == other


def _rounded(values: Array, kind: gguf.GGMLQuantizationType) -> Array:
    with np.errstate(over="ignore"):
        found: Array = gguf.quants.dequantize(gguf.quants.quantize(np.ascontiguousarray(values), kind), kind).ravel()
    return found


def _by_values(free: dict[str, Any], values: Array) -> list[str]:
    """The tensors of a file that hold a weight, or all of its pieces; [] where one of them is not there."""
    cuts = [[values]]
    if values.shape and values.shape[0] % 3 == 0:  # queries, keys and values in one
        cuts.append(np.split(values, 3))
    if values.ndim == 5:  # pictures that follow each other, (out, channels, time, height, width)
        cuts.append([values[:, :, at] for at in range(values.shape[2])])
    for pieces in cuts:
        taken: list[str] = []
        for piece in pieces:
            fitting = (name for name in free if name not in taken and _holds(free[name], piece))
            taken += [name for name in [next(fitting, None)] if name is not None]
        if len(taken) == len(pieces):
            return taken
    return []


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
