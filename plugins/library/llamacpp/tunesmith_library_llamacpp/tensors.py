"""llama.cpp's tensors while it computes with them, as its `cb_eval` shows them."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
from tunesmith import TunesmithError

_DIMENSIONS, _SOURCES, _NAME, _PARAMETERS = 4, 10, 64, 16
_OBJECT = 32  # bytes that ggml puts before a tensor
_DTYPES = {0: numpy.float32, 26: numpy.int32}


class _Structure(ctypes.Structure):
    """ggml_tensor, as it is in ggml.h."""


_Pointer = ctypes.POINTER(_Structure)
_Structure._fields_ = [
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * _DIMENSIONS),
    ("nb", ctypes.c_size_t * _DIMENSIONS),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * _PARAMETERS),
    ("flags", ctypes.c_int32),
    ("src", _Pointer * _SOURCES),
    ("view_src", _Pointer),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * _NAME),
    ("extra", ctypes.c_void_p),
    ("padding", ctypes.c_char * 8),
]


class Tensor:
    """A tensor of the computation."""

    def __init__(self, library: Any, pointer: Any) -> None:
        self._library, self._held = library, pointer.contents
        self._pointer = pointer

    @property
    def name(self) -> str:
        """Without what llama.cpp adds to the name of a copy: `CUDA0#blk.0.attn_q.weight#0`."""
        name = str(self._held.name.decode(errors="replace"))
        return name.split("#")[1] if name.count("#") > 1 else name

    @property
    def operation(self) -> str:
        """`MUL_MAT`, …"""
        return str(self._library.ggml_op_name(self._held.op).decode())

    @property
    def is_float32(self) -> bool:
        return bool(self._held.type == 0)

    @property
    def shape(self) -> tuple[int, ...]:
        """As numpy has it: the longest stride first, always four."""
        return tuple(reversed(self._held.ne))

    def source(self, number: int) -> Tensor | None:
        """What it is computed from."""
        pointer = self._held.src[number]
        return Tensor(self._library, pointer) if pointer else None

    def values(self) -> Any:
        """A copy of its numbers, with four axes.

        Raises: TunesmithError for numbers of another kind than float32 and int32.
        """
        dtype = _DTYPES.get(self._held.type)
        if dtype is None:
            raise TunesmithError(f"{self.name} holds numbers of ggml's type {self._held.type}, which are not read here")
        size = self._library.ggml_nbytes(self._pointer)
        raw = numpy.empty(size, numpy.uint8)
        self._library.ggml_backend_tensor_get(self._pointer, raw.ctypes.data, 0, size)
        strides = tuple(reversed(self._held.nb))
        flat = raw[: size - size % numpy.dtype(dtype).itemsize].view(dtype)
        return numpy.lib.stride_tricks.as_strided(flat, self.shape, strides).copy()


class Watch:
    """The callback of a context. What goes wrong in it is kept, for it must not pass through C."""

    def __init__(
        self, native: Any, library: Any, wants: Callable[[Tensor], bool], take: Callable[[Tensor], None]
    ) -> None:
        self._library, self._wants, self._take = library, wants, take
        self._failure: BaseException | None = None
        self.callback = native.ggml_backend_sched_eval_callback(self._hear)

    def raise_failure(self) -> None:
        """Raises: what went wrong, if something did."""
        if self._failure is not None:
            raise self._failure

    def _hear(self, address: int, asks: bool, _: Any) -> bool:
        if self._failure is not None:
            return False  # asked before, nothing more is wanted; asked behind, the computation ends
        try:
            step = Tensor(self._library, ctypes.cast(address, _Pointer))
            if asks:
                return self._wants(step)
            self._take(step)
        except BaseException as error:
            self._failure = error
            return False
        return True


@contextlib.contextmanager
def watching(native: Any, wants: Callable[[Tensor], bool], take: Callable[[Tensor], None]) -> Iterator[Watch]:
    """Look at the steps of a computation.

    Args:
        wants: whether a step is looked at; it is not computed yet.
        take: looks at one that is.

    Raises: TunesmithError where llama.cpp's tensors are made otherwise than they are read here.
    """
    yield Watch(native, _library(native), wants, take)


def _library(native: Any) -> Any:
    """The functions of ggml that look at tensors."""
    load = importlib.import_module("llama_cpp._ctypes_extensions").load_shared_library
    library = load("ggml-base", Path(native.__file__).parent / "lib")
    library.ggml_tensor_overhead.restype = ctypes.c_size_t
    library.ggml_op_name.restype, library.ggml_op_name.argtypes = ctypes.c_char_p, [ctypes.c_int]
    library.ggml_nbytes.restype, library.ggml_nbytes.argtypes = ctypes.c_size_t, [_Pointer]
    library.ggml_backend_tensor_get.argtypes = [_Pointer, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    library.ggml_backend_tensor_get.restype = None
    if library.ggml_tensor_overhead() - _OBJECT != ctypes.sizeof(_Structure):
        raise TunesmithError(
            "this version of llama-cpp-python makes tensors of another size: importance cannot be read"
        )
    return library
