"""The tokenizer of a GGUF file, with the interface of transformers' that chat templates and engines use.

llama.cpp itself makes the tokens, whatever kind of vocabulary the file has, so that a prompt is the one that any other
program of llama.cpp would make of it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_llamacpp.model import Model

_UNKNOWN, _CONTROL, _USER_DEFINED, _LSTRIP, _RSTRIP = 1, 8, 16, 128, 256  # llama.cpp's attributes of a token
_NONE = -1  # what llama.cpp says for a token that the file does not have
_ENDINGS = ("eos", "eot")


@dataclass(frozen=True)
class Special:
    """A token that is no part of a text's words."""

    content: str
    special: bool  # whether it controls, and is not shown


@dataclass(frozen=True)
class Encoding:
    """The tokens of a text, without their places in it."""

    ids: list[int]

    def __len__(self) -> int:
        return len(self.ids)

    def char_to_token(self, character: int) -> int | None:
        """Raises: TunesmithError, for llama.cpp does not say where in the text a token is."""
        raise TunesmithError(
            "llama.cpp does not say where in a text its tokens are, so nothing can be learnt or measured by token.\n"
            "  take the model that the GGUF file was written from"
        )

    def token_to_chars(self, token: int) -> Any:
        """Raises: as `char_to_token`."""
        return self.char_to_token(token)


class Encodings(dict[str, list[list[int]]]):
    """Tokens of several texts, as transformers gives them."""

    @property
    def encodings(self) -> list[Encoding]:
        return [Encoding(ids) for ids in self["input_ids"]]


class GGUFTokenizer:
    """Makes tokens of text and text of tokens, as llama.cpp does with this file.

    Args:
        file: of the model; its weights are not read.

    Raises: TunesmithError for a file that llama.cpp does not load.
    """

    is_fast = False  # it knows no places in the text
    padding_side = "left"

    def __init__(self, file: Path) -> None:
        self.file, self.name_or_path = file, str(file)
        self._model = Model(file, only_vocabulary=True)
        self._native = self._model.native
        if not self._native.llama_vocab_type(self._model.vocabulary):
            raise TunesmithError(f"{file} has no vocabulary: text cannot be made tokens of")
        plain, tools = self._model.template(), self._model.template("tool_use")
        self.chat_template: Any = {"default": plain, "tool_use": tools} if plain and tools else plain
        self.bos_token_id = self._known("bos")
        self.eos_token_id = next((found for name in _ENDINGS if (found := self._known(name)) is not None), None)
        pad = self._known("pad")
        self.pad_token_id = self.eos_token_id if pad is None else pad
        unknown = self._model.metadata.get("tokenizer.ggml.unknown_token_id")
        self.unk_token_id = None if unknown is None else int(unknown)
        for name in ("bos", "eos", "pad", "unk"):
            token = getattr(self, f"{name}_token_id")
            setattr(self, f"{name}_token", None if token is None else self._model.spelling(token))

    def __len__(self) -> int:
        return self._model.vocabulary_size

    @property
    def vocab_size(self) -> int:
        return len(self)

    # ---- special tokens

    @functools.cached_property
    def added_tokens_decoder(self) -> dict[int, Special]:
        """The tokens that are looked for before words are, by id."""
        found = {}
        for token in range(len(self)):
            attributes = self._native.llama_vocab_get_attr(self._model.vocabulary, token)
            if attributes & (_UNKNOWN | _CONTROL | _USER_DEFINED):
                found[token] = Special(self._model.spelling(token), bool(attributes & (_UNKNOWN | _CONTROL)))
        return found

    @property
    def all_special_ids(self) -> list[int]:
        return [token for token, added in self.added_tokens_decoder.items() if added.special]

    @property
    def all_special_tokens(self) -> list[str]:
        return [added.content for added in self.added_tokens_decoder.values() if added.special]

    def get_added_vocab(self) -> dict[str, int]:
        return {added.content: token for token, added in self.added_tokens_decoder.items()}

    @functools.cached_property
    def _attributes(self) -> dict[str, int]:
        """llama.cpp's attributes of the added tokens, by content."""
        ask = self._native.llama_vocab_get_attr
        return {added.content: ask(self._model.vocabulary, at) for at, added in self.added_tokens_decoder.items()}

    # ---- text and tokens

    def __call__(self, texts: str | Sequence[str], add_special_tokens: bool = True, **_: Any) -> Any:
        if isinstance(texts, str):
            return {"input_ids": self.encode(texts, add_special_tokens)}
        return Encodings(input_ids=[self.encode(text, add_special_tokens) for text in texts])

    def encode(self, text: str, add_special_tokens: bool = True, **_: Any) -> list[int]:
        return self._model.tokens(text, add_special=add_special_tokens)

    def encode_parts(self, parts: Iterable[tuple[str, bool]], add_special_tokens: bool) -> Encoding:
        """The tokens of a text in parts.

        Args:
            parts: each with whether it is a control token; what is written like one in other parts is text.
        """
        listed = [part for part in parts if part[0]]
        around = self._model.tokens("", add_special=True) if add_special_tokens else []
        begins = around[:1] == [self.bos_token_id]
        found, end = (around[:1], around[1:]) if begins else ([], around)
        for at, (text, is_token) in enumerate(listed):
            if is_token:
                found += self._model.tokens(text)
                continue
            before, behind = (listed[place][0] if 0 <= place < len(listed) else "" for place in (at - 1, at + 1))
            text = text.lstrip() if self._attributes.get(before, 0) & _RSTRIP else text
            text = text.rstrip() if self._attributes.get(behind, 0) & _LSTRIP else text
            found += self._model.tokens(text, special=False)
        return Encoding(found + end)

    def decode(self, ids: int | Sequence[int], skip_special_tokens: bool = False, **_: Any) -> str:
        tokens = [ids] if isinstance(ids, int) else list(map(int, ids))
        return self._model.text(tokens, special=not skip_special_tokens)

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> Any:
        if isinstance(ids, int):
            return self._model.spelling(ids)
        return [self._model.spelling(int(token)) for token in ids]

    def _known(self, name: str) -> int | None:
        token = getattr(self._native, f"llama_vocab_{name}")(self._model.vocabulary)
        return None if token == _NONE else int(token)
