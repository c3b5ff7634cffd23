"""What llama.cpp computes with: its memory of keys and values, and batches of tokens of several sequences."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy
from numpy.typing import NDArray
from tunesmith import TunesmithError

from tunesmith_library_llamacpp.model import Model
from tunesmith_library_llamacpp.program import cause, default_threads, heard

Cache = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]
"""The numbers that keys and values are held in."""

_FLASH = {"f32": 0, "q8_0": 1, "q4_0": 1}  # attention in one piece: off where it would round, on where it must be
_AS_IT_GOES = -1
_OUTPUTS = 64  # tokens of a batch behind which logits are wanted; llama.cpp holds memory for the logits of all of them


class Entry(NamedTuple):
    """A token of a batch."""

    token: int
    position: int  # in its sequence
    sequence: int
    wanted: bool  # whether the logits behind it are


class Context:
    """A model's memory, and the computation over it.

    Args:
        tokens: that it remembers, of all sequences together.
        sequences: that there can be, numbered from 0.
        batch: tokens that are computed at a time, at most.
        shared: whether a sequence may have what the others leave, else each has its share; attention looks at all of
            the tokens that share a memory, and passes over those of others.
        cache: numbers of keys and values; f32 computes what the weights say, and rounds nowhere else.
        on_tensor: is asked of each step of the computation, as ggml's `cb_eval` is.

    Raises: TunesmithError when there is not enough memory, or the model has no such memory.
    """

    def __init__(
        self,
        model: Model,
        *,
        tokens: int,
        sequences: int = 1,
        batch: int = 512,
        threads: int | None = None,
        cache: Cache = "f16",
        shared: bool = True,
        on_tensor: Any = None,
    ) -> None:
        self.model, self._native, self.batch = model, model.native, batch
        self._outputs = max(min(_OUTPUTS, batch), sequences)
        parameters = self._native.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = tokens, sequences
        parameters.n_batch = parameters.n_ubatch = batch
        parameters.n_outputs_max = parameters.n_outputs_max_per_seq = self._outputs
        parameters.n_threads = parameters.n_threads_batch = threads or default_threads()
        parameters.kv_unified = shared
        parameters.type_k = parameters.type_v = getattr(self._native, f"GGML_TYPE_{cache.upper()}")
        parameters.flash_attn_type = _FLASH.get(cache, _AS_IT_GOES)
        parameters.no_perf = True
        if on_tensor is not None:
            parameters.cb_eval = on_tensor
            self._on_tensor = on_tensor  # held, for C does not hold it
        with heard():
            pointer = self._native.llama_init_from_model(model.pointer, parameters)
            if not pointer:
                raise TunesmithError(
                    f"llama.cpp has no room for {tokens} tokens of {model.file.name}: {cause()}\n"
                    "  a shorter context needs less memory, and so does cache=q8_0"
                )
        self.pointer = pointer
        self.close = weakref.finalize(self, self._native.llama_free, pointer)
        self._memory = self._native.llama_get_memory(pointer)
        self._make_batch(batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _make_batch(self, size: int) -> None:
        """The arrays that llama.cpp reads a batch from, made once."""
        self._tokens, self._positions, self._sequences = (numpy.zeros(size, numpy.int32) for _ in range(3))
        self._counts, self._wanted = numpy.ones(size, numpy.int32), numpy.zeros(size, numpy.int8)
        places = self._sequences.ctypes.data + self._sequences.itemsize * numpy.arange(size, dtype=numpy.uintp)
        self._places = places.astype(numpy.uintp)
        integers = ctypes.POINTER(ctypes.c_int32)
        self._arrays = self._native.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(integers),
            embd=None,
            pos=self._positions.ctypes.data_as(integers),
            n_seq_id=self._counts.ctypes.data_as(integers),
            seq_id=self._places.ctypes.data_as(ctypes.POINTER(integers)),
            logits=self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def decode(self, entries: Sequence[Entry]) -> None:
        """Compute a batch, at most `batch` entries; its logits are there until the next.

        Raises: TunesmithError when it cannot be computed.
        """
        count = len(entries)
        if count > self.batch or sum(entry.wanted for entry in entries) > self._outputs:
            raise ValueError(f"a batch of {count} tokens: more than there is room for")  # C++ would end the process
        arrays: tuple[NDArray[Any], ...] = (self._tokens, self._positions, self._sequences, self._wanted)
        for array, values in zip(arrays, zip(*entries, strict=True), strict=True):
            array[:count] = values
        self._arrays.n_tokens = count
        with heard():
            code = self._native.llama_decode(self.pointer, self._arrays)
            if code:
                why = "its memory is full" if code == 1 else cause()
                raise TunesmithError(f"llama.cpp cannot compute {count} tokens (code {code}): {why}")

    def logits(self, entry: int) -> NDArray[numpy.float32]:
        """What is said behind an entry of the last batch that wanted it: fp32 (V,), until the next batch.

        Raises: TunesmithError for numbers that are none.
        """
        pointer = self._native.llama_get_logits_ith(self.pointer, entry)
        found: NDArray[numpy.float32] = numpy.ctypeslib.as_array(pointer, shape=(self.model.vocabulary_size,))
        if not numpy.isfinite(found.max()):
            raise TunesmithError("the model's scores are not finite: its weights are broken, or its file is")
        return found

    def read(self, ids: Sequence[int], sequence: int = 0) -> Iterator[range]:
        """Compute a text anew, with what is said behind each token; their places, a batch at a time."""
        self.forget(sequence)
        for start in range(0, len(ids), self._outputs):
            places = range(start, min(start + self._outputs, len(ids)))
            self.decode([Entry(ids[place], place, sequence, True) for place in places])
            yield places

    def all_logits(self, ids: Sequence[int], sequence: int = 0) -> NDArray[numpy.float32]:
        """What is said behind each token of a text: fp32 (T, V)."""
        found = numpy.empty((len(ids), self.model.vocabulary_size), numpy.float32)
        for places in self.read(ids, sequence):
            for entry, place in enumerate(places):
                found[place] = self.logits(entry)
        return found

    def embeddings(self, ids: Sequence[int], sequence: int = 0) -> NDArray[numpy.float32]:
        """The last hidden states of a text: fp32 (T, H)."""
        width = int(self._native.llama_model_n_embd_out(self.model.pointer))
        found = numpy.empty((len(ids), width), numpy.float32)
        self._native.llama_set_embeddings(self.pointer, True)
        try:
            for places in self.read(ids, sequence):
                for entry, place in enumerate(places):
                    pointer = self._native.llama_get_embeddings_ith(self.pointer, entry)
                    found[place] = numpy.ctypeslib.as_array(pointer, shape=(width,))
        finally:
            self._native.llama_set_embeddings(self.pointer, False)
        return found

    # ---- memory

    def forget(self, sequence: int, start: int = 0) -> bool:
        """Forget what a sequence has from a position on; False where this memory can only forget all of it."""
        return bool(self._native.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def adapt(self, adapter: Any) -> None:
        """Let an adapter of the model act on what is computed from now on; None: the model alone."""
        array = (self._native.llama_adapter_lora_p_ctypes * 1)(adapter) if adapter else None
        scales = (ctypes.c_float * 1)(1.0) if adapter else None
        if self._native.llama_set_adapters_lora(self.pointer, array, 1 if adapter else 0, scales):
            raise TunesmithError(f"llama.cpp cannot put the adapter over {self.model.file.name}: {cause()}")
