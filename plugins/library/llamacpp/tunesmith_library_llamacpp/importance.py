"""How much each column of a weight matters: the mean square of what it is multiplied with, over some texts.

The rounding of few bits puts its errors where they matter least. The numbers and the file are those of llama.cpp's
llama-imatrix, computed by llama.cpp itself while it reads the texts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
from gguf import GGUFReader as FileReader
from gguf import GGUFWriter
from numpy.typing import NDArray
from tunesmith import TunesmithError

from tunesmith_library_llamacpp.context import Context
from tunesmith_library_llamacpp.model import EVERY_LAYER, Model
from tunesmith_library_llamacpp.program import default_threads
from tunesmith_library_llamacpp.tensors import Tensor, watching

_SQUARES, _COUNTS = ".in_sum2", ".counts"
_DATASETS, _CHUNKS, _CHUNK = "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"

Values = NDArray[numpy.float32]


@dataclass(frozen=True)
class Importance:
    """What an importance matrix was computed from, and what it has nothing for."""

    texts: int
    tokens: int
    tensors: int
    unseen: Mapping[str, str] = field(default_factory=dict)  # experts that no token chose: `3 of 8`, by tensor

    def described(self) -> str:
        """In words, for a line of the screen."""
        said = f"{self.tensors} tensors, over {self.tokens} tokens of {self.texts} texts"
        if self.unseen:
            name, count = next(iter(self.unseen.items()))
            said += f"; {len(self.unseen)} have experts that no token chose, {name} {count}"
        return said


@dataclass
class _Sum:
    squares: NDArray[numpy.float64]  # (matrices, columns)
    counts: NDArray[numpy.int64]  # (matrices,), or (1,) where all have the same


class _Collector:
    """Adds up the squares of what the blocks' weights are multiplied with."""

    def __init__(self) -> None:
        self.sums: dict[str, _Sum] = {}

    def wants(self, step: Tensor) -> bool:
        if step.operation not in ("MUL_MAT", "MUL_MAT_ID"):
            return False
        weight, given = step.source(0), step.source(1)
        return weight is not None and given is not None and weight.name.startswith("blk.") and given.is_float32

    def take(self, step: Tensor) -> None:
        weight, given, chosen = step.source(0), step.source(1), step.source(2)
        assert weight is not None and given is not None
        values = given.values().astype(numpy.float64)  # (n3, n2, n1, columns)
        if step.operation == "MUL_MAT_ID" and chosen is not None:
            self._take_experts(weight, values[0], chosen.values()[0, 0])
        else:
            self._take_all(weight, values)

    def _take_all(self, weight: Tensor, values: NDArray[numpy.float64]) -> None:
        deep, matrices = weight.shape[0], weight.shape[1]
        held = self._sum(weight.name, deep * matrices, values.shape[-1], counts=1)
        for third in range(values.shape[0]):
            for second in range(values.shape[1]):
                place = (third % deep) * matrices + second % matrices
                held.squares[place] += numpy.square(values[third, second]).sum(0)
        held.counts += values[..., 0].size // (deep * matrices)

    def _take_experts(self, weight: Tensor, values: NDArray[numpy.float64], chosen: Any) -> None:
        """
        Args:
            values: (tokens, experts of a token or 1, columns).
            chosen: int32 (tokens, experts of a token).
        """
        experts = weight.shape[1]
        held = self._sum(weight.name, experts, values.shape[-1], counts=experts)
        for expert in numpy.unique(chosen):
            tokens, places = numpy.nonzero(chosen == expert)
            held.squares[expert] += numpy.square(values[tokens, places % values.shape[1]]).sum(0)
            held.counts[expert] += len(tokens)

    def _sum(self, name: str, matrices: int, columns: int, counts: int) -> _Sum:
        if name not in self.sums:
            self.sums[name] = _Sum(numpy.zeros((matrices, columns)), numpy.zeros(counts, numpy.int64))
        return self.sums[name]


def importance_matrix(
    model_path: Path,
    token_lists: Iterable[Sequence[int]],
    target: Path,
    *,
    origin: str = "",
    threads: int | None = None,
    gpu_layers: int = EVERY_LAYER,
) -> Importance:
    """Compute the importance of each column of a model's weights, and write it as llama.cpp's programs do.

    Args:
        model_path: the file whose weights will be rounded, in more bits.
        token_lists: the texts, in the model's tokens; of each as many as the model was trained to see at once.
        target: a GGUF file, which is written.
        origin: whose the texts are, for the file.

    Raises: TunesmithError when there is no text, llama.cpp refuses the file, or what is computed is no number.
    """
    with Model(model_path, gpu_layers=gpu_layers) as model:
        texts = [list(ids)[: model.context_length] for ids in token_lists]
        texts = [ids for ids in texts if ids]
        if not texts:
            raise TunesmithError("importance is computed over texts, and there are none")
        longest, collector = max(map(len, texts)), _Collector()
        with (
            watching(model.native, collector.wants, collector.take) as watch,
            Context(
                model, tokens=longest, threads=threads or default_threads(), cache="f32", on_tensor=watch.callback
            ) as context,
        ):
            for ids in texts:
                for _ in context.read(ids):
                    watch.raise_failure()
    _refuse_broken(collector.sums, model_path)
    _write(target, collector.sums, origin, len(texts), longest)
    unseen = {
        name: f"{int((held.counts == 0).sum())} of {len(held.counts)}"
        for name, held in collector.sums.items()
        if (held.counts == 0).any()
    }
    return Importance(len(texts), sum(map(len, texts)), len(collector.sums), unseen)


def read_importance(file: Path) -> dict[str, Values]:
    """The mean squares by the weight's name: fp32, (columns,) or of experts one after the other.

    Both forms are read, GGUF and the older one. Experts that no token chose count as one, as llama.cpp has it.

    Raises: TunesmithError for another file.
    """
    try:
        return dict(_read_gguf(file) if file.read_bytes()[:4] == b"GGUF" else _read_older(file.read_bytes()))
    except (OSError, ValueError, IndexError, KeyError, struct.error) as error:
        raise TunesmithError(f"{file} is no importance matrix that can be read: {error}") from error


def _read_gguf(file: Path) -> Iterator[tuple[str, Values]]:
    held = {tensor.name: tensor.data for tensor in FileReader(file).tensors}
    squares = {name.removesuffix(_SQUARES): data for name, data in held.items() if name.endswith(_SQUARES)}
    if not squares:
        raise ValueError("it has no sums of squares")
    for name, data in squares.items():
        counts = held[name + _COUNTS].reshape(-1, 1)
        sums = data.reshape(len(counts), -1)
        yield name, numpy.where(counts > 0, sums / numpy.maximum(counts, 1), 1.0).astype(numpy.float32).reshape(-1)


def _read_older(data: bytes) -> Iterator[tuple[str, Values]]:
    place = 4
    for _ in range(struct.unpack_from("<i", data)[0]):
        (length,) = struct.unpack_from("<i", data, place)
        name = data[place + 4 : place + 4 + length].decode()
        place += 4 + length
        calls, count = struct.unpack_from("<ii", data, place)
        values = numpy.frombuffer(data, numpy.float32, count, place + 8)
        place += 8 + values.nbytes
        yield name, (values / calls if calls > 0 else values).astype(numpy.float32)


def _refuse_broken(sums: Mapping[str, _Sum], file: Path) -> None:
    for name, held in sums.items():
        if not numpy.isfinite(held.squares).all():
            raise TunesmithError(f"what {name} of {file} is multiplied with is not finite: its weights are broken")
    if not sums:
        raise TunesmithError(f"{file} multiplies with no weight whose name begins with blk., so nothing is important")


def _write(target: Path, sums: Mapping[str, _Sum], origin: str, texts: int, longest: int) -> None:
    writer = GGUFWriter(target, arch="")
    writer.kv_data[0].clear()  # no architecture
    writer.add_string("general.type", "imatrix")
    writer.add_array(_DATASETS, [origin or "not said"])
    writer.add_uint32(_CHUNKS, texts)
    writer.add_uint32(_CHUNK, longest)
    for name in sorted(sums):
        held = sums[name]
        writer.add_tensor(name + _SQUARES, held.squares.reshape(len(held.counts), -1).astype(numpy.float32))
        writer.add_tensor(name + _COUNTS, held.counts.reshape(-1, 1).astype(numpy.float32))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except OSError as error:
        raise TunesmithError(f"{target} cannot be written: {error}") from error
    finally:
        writer.close()
