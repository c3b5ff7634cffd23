"""A GGUF file that llama.cpp has loaded: weights, vocabulary, what it says of itself, and LoRA adapters for it."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from tunesmith import TunesmithError

from tunesmith_library_llamacpp.files import head, refuse_other_kinds
from tunesmith_library_llamacpp.program import cause, heard, native

EVERY_LAYER = -1
"""`gpu_layers` for all layers, as far as there is a GPU that llama.cpp was built for."""


class Model:
    """A model in llama.cpp. Contexts are closed before it.

    Args:
        file: of the model; of several parts the first.
        gpu_layers: how many layers a GPU holds.
        only_vocabulary: read no weights.
        checked: look whether every number of the weights is one.

    Raises: TunesmithError for a file that is not there, is no GGUF, or that llama.cpp does not load.
    """

    def __init__(
        self, file: Path, *, gpu_layers: int = EVERY_LAYER, only_vocabulary: bool = False, checked: bool = False
    ) -> None:
        if not file.is_file():
            raise TunesmithError(f"there is no file {file}")
        said = head(file)
        refuse_other_kinds(file, said)
        self.file, self.native = file, native()
        parameters = self.native.llama_model_default_params()
        parameters.n_gpu_layers = gpu_layers
        parameters.vocab_only, parameters.check_tensors = only_vocabulary, checked
        with heard():
            pointer = self.native.llama_model_load_from_file(str(file).encode(), parameters)
            if not pointer:
                architecture = said.get("general.architecture", "of no architecture")
                raise TunesmithError(f"llama.cpp cannot load {file} ({architecture}): {cause()}")
        self.pointer = pointer
        self.vocabulary = self.native.llama_model_get_vocab(pointer)
        self.close = weakref.finalize(self, self.native.llama_model_free, pointer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # ---- what the file says

    @functools.cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata but lists, as text."""
        count = self.native.llama_model_meta_count(self.pointer)
        keys = [self._said(self.native.llama_model_meta_key_by_index, at) for at in range(count)]
        return {key: self._said(self.native.llama_model_meta_val_str_by_index, at) for at, key in enumerate(keys)}

    @property
    def name(self) -> str:
        return self.metadata.get("general.name") or self.file.stem

    @property
    def context_length(self) -> int:
        """Tokens that it was trained to see at once."""
        return int(self.native.llama_model_n_ctx_train(self.pointer))

    @property
    def vocabulary_size(self) -> int:
        return int(self.native.llama_vocab_n_tokens(self.vocabulary))

    @property
    def writes(self) -> bool:
        """Whether it goes on from tokens, instead of giving vectors or scores."""
        has_decoder = bool(self.native.llama_model_has_decoder(self.pointer))
        encodes = bool(self.native.llama_model_has_encoder(self.pointer))
        pools = any(key.endswith(".pooling_type") and value != "0" for key, value in self.metadata.items())
        return has_decoder and not encodes and not pools

    def template(self, name: str | None = None) -> str | None:
        """The chat template in Jinja; None where the file has none of this name."""
        found = self.native.llama_model_chat_template(self.pointer, None if name is None else name.encode())
        return None if found is None else found.decode()

    @functools.cached_property
    def end_tokens(self) -> frozenset[int]:
        """The tokens that end an answer, as llama.cpp knows them."""
        is_end = self.native.llama_vocab_is_eog
        return frozenset(token for token in range(self.vocabulary_size) if is_end(self.vocabulary, token))

    # ---- text and tokens

    def tokens(self, text: str, *, add_special: bool = False, special: bool = True) -> list[int]:
        """The tokens of a text.

        Args:
            add_special: begin and end as the file says.
            special: whether what is written like a control token is that token.
        """
        written = text.encode("utf-8", errors="replace")
        room = len(written) + 8
        while True:
            found = (ctypes.c_int32 * room)()
            count = self.native.llama_tokenize(
                self.vocabulary, written, len(written), found, room, add_special, special
            )
            if count >= 0:
                return found[:count]
            if -count <= room:
                raise TunesmithError(f"llama.cpp cannot make tokens of a text of {len(written)} bytes")
            room = -count

    def text(self, tokens: Sequence[int], *, special: bool = True) -> str:
        """The text of tokens; bytes that are no whole character are `�`.

        Args:
            special: whether control tokens are written.
        """
        self._refuse_unknown(tokens)
        given = (ctypes.c_int32 * len(tokens))(*tokens)
        room = 16 * len(tokens) + 32
        while True:
            found = ctypes.create_string_buffer(room)
            count = self.native.llama_detokenize(self.vocabulary, given, len(tokens), found, room, False, special)
            if count >= 0:
                return found.raw[:count].decode("utf-8", errors="replace")
            room = -count

    def spelling(self, token: int) -> str:
        """A token as the file writes it."""
        self._refuse_unknown([token])
        return str(self.native.llama_vocab_get_text(self.vocabulary, token).decode(errors="replace"))

    def piece(self, token: int) -> bytes:
        """A token as text, which may be a part of a character; a control token as it is written."""
        self._refuse_unknown([token])
        room = 64
        while True:
            found = ctypes.create_string_buffer(room)
            count = self.native.llama_token_to_piece(self.vocabulary, token, found, room, 0, True)
            if count >= 0:
                return found.raw[:count]
            room = -count

    # ---- adapters

    def adapter(self, file: Path) -> Any:
        """A LoRA adapter for this model, which goes when the model does.

        Raises: TunesmithError for a file that is none, or one for another model.
        """
        if not file.is_file():
            raise TunesmithError(f"there is no file {file}")
        kind = head(file).get("general.type")
        if kind != "adapter":
            raise TunesmithError(f"{file} is no adapter: its general.type is {kind!r}, and that of adapters 'adapter'")
        with heard():
            found = self.native.llama_adapter_lora_init(self.pointer, str(file).encode())
            if not found:
                raise TunesmithError(f"llama.cpp cannot put {file} over {self.file}: {cause()}")
        return found

    def _refuse_unknown(self, tokens: Sequence[int]) -> None:
        """Raises: TunesmithError for a token that the file does not have; C++ would end the process."""
        unknown = next((token for token in tokens if not 0 <= token < self.vocabulary_size), None)
        if unknown is not None:
            raise TunesmithError(f"{self.file.name} has no token {unknown}: it has {self.vocabulary_size}, from 0 on")

    def _said(self, ask: Callable[..., int], index: int) -> str:
        room = 256
        while True:
            found = ctypes.create_string_buffer(room)
            length = ask(self.pointer, index, found, room)
            if length < room:
                return found.value.decode(errors="replace")
            room = length + 1
