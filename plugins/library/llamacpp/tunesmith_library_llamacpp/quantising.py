"""A GGUF file in fewer bits, by llama.cpp's own quantiser: which tensor got which type, and which could not."""

from __future__ import annotations

import ctypes
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gguf import GGUFReader as FileReader
from tunesmith import TunesmithError
from tunesmith.errors import choices

from tunesmith_library_llamacpp.importance import read_importance
from tunesmith_library_llamacpp.program import cause, default_threads, heard, native

_PREFIX = "LLAMA_FTYPE_MOSTLY_"
_ALIASES = {"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m"}
_FELL_BACK = re.compile(
    r"(\S+)\s+- ncols\s+\d+ not divisible by\s+\d+ \(required for type\s+(\S+)\)[^\n]*->\s*falling back to\s+(\S+)"
)
_UNWEIGHTED = re.compile(r"did not find weights for (\S+)")


@dataclass(frozen=True)
class Counted:
    """What a quantised file holds, as it was read back."""

    kind: str
    tensors: Mapping[str, str]  # type by name
    fallbacks: Mapping[str, tuple[str, str]] = field(
        default_factory=dict
    )  # the type that was wanted, and the one it got
    unweighted: Sequence[str] = ()  # tensors that were rounded without importance, for the matrix has none for them

    @property
    def types(self) -> dict[str, int]:
        """How many tensors have which type, the most frequent first."""
        return dict(Counter(self.tensors.values()).most_common())

    def described(self) -> str:
        """In words, for a line of the screen."""
        said = ", ".join(f"{count} {kind}" for kind, count in self.types.items())
        if self.fallbacks:
            name, (wanted, got) = next(iter(self.fallbacks.items()))
            said += f"; {len(self.fallbacks)} could not be {wanted}, for their rows have other lengths: {name} is {got}"
        if self.unweighted:
            said += f"; {len(self.unweighted)} rounded without importance, such as {self.unweighted[0]}"
        return said


def kinds() -> dict[str, int]:
    """What a file can be quantised to, by the name that llama.cpp's programs have for it, in small letters."""
    constants = vars(native())
    found = {name[len(_PREFIX) :].lower(): number for name, number in constants.items() if name.startswith(_PREFIX)}
    return {"f32": constants["LLAMA_FTYPE_ALL_F32"], **found}


def quantize(
    source: Path, target: Path, kind: str, imatrix: Path | None = None, *, threads: int | None = None
) -> Counted:
    """Write a file in fewer bits.

    Args:
        source: with weights in f32, f16 or bf16.
        target: is written; a file that is there is replaced.
        kind: `q4_k_m`, `q8_0` …, one of `kinds()`.
        imatrix: the importance of each column of the weights, as `importance` or llama.cpp's llama-imatrix writes it.

    Raises: TunesmithError for a kind that llama.cpp does not have, and when it does not finish; nothing is left then.
    """
    functions, known = native(), kinds()
    name = _ALIASES.get(kind.lower(), kind.lower())
    if name not in known:
        raise TunesmithError(f"llama.cpp has no type {kind!r}.\n  {choices(name, known, 'types')}")
    parameters = functions.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = known[name], threads or default_threads()
    weights = None if imatrix is None else read_importance(imatrix)
    array = None if weights is None else _array(functions, weights)
    if array is not None:
        parameters.imatrix = array
    with heard() as said:
        code = functions.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
        why = cause() if code else ""
    try:
        if code:
            raise TunesmithError(
                f"llama.cpp cannot write {source.name} as {name}: {why}{_room(target, 'iostream' in why)}"
            )
        return _counted(target, name, "".join(said))
    except TunesmithError:
        target.unlink(missing_ok=True)
        raise


def counted(file: Path) -> dict[str, str]:
    """The type of each tensor of a file, by name.

    Raises: TunesmithError for a file that is cut off.
    """
    try:
        return {tensor.name: tensor.tensor_type.name.lower() for tensor in FileReader(file).tensors}
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise TunesmithError(f"{file} is cut off or broken: {error}{_room(file)}") from error


def _counted(file: Path, kind: str, said: str) -> Counted:
    tensors = counted(file)
    fell = {name: (wanted.lower(), got.lower()) for name, wanted, got in _FELL_BACK.findall(said)}
    fallbacks = {name: types for name, types in fell.items() if name in tensors}
    # what llama.cpp rounds by importance where it has it; it has none for what is looked up
    unweighted = [name for name in dict.fromkeys(_UNWEIGHTED.findall(said)) if not name.startswith("token_embd")]
    return Counted(kind, tensors, fallbacks, tuple(unweighted))


def _array(functions: Any, weights: Mapping[str, Any]) -> Any:
    """Importance as llama.cpp takes it; an entry without name ends it."""
    pointer = ctypes.POINTER(ctypes.c_float)
    entries = [
        functions.llama_model_imatrix_data(name.encode(), values.ctypes.data_as(pointer), values.size)
        for name, values in weights.items()
    ]
    return (functions.llama_model_imatrix_data * (len(entries) + 1))(*entries)


def _room(file: Path, unwritten: bool = False) -> str:
    """What is left of the disk, where that may be the reason; `unwritten`: it could not be written on."""
    if not file.parent.is_dir():
        return f"\n  there is no folder {file.parent}"
    free = shutil.disk_usage(file.parent).free
    return f"\n  {free / 2**20:.0f} MiB are left on the disk of {file.parent}" if free < 2**30 or unwritten else ""
