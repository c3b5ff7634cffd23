"""What the tokens of a vocabulary are in bytes, which grammars are matched with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import TunesmithError


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model."""

    tokens: Sequence[bytes]  # what each is as text; nothing for one that no text has
    special: frozenset[int]  # those that are no text, whatever they are written like
    encode: Callable[[str], list[int]]


def vocabulary_of(tokenizer: Any, size: int) -> Vocabulary:
    """The vocabulary of a tokenizer of transformers.

    Args:
        size: how many tokens the model has scores for.

    Raises: TunesmithError for a tokenizer that does not say what its tokens are in bytes.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})
    spelt = _spelling(tokenizer)
    names: list[str | None] = tokenizer.convert_ids_to_tokens(list(range(min(len(tokenizer), size))))
    tokens = [b"" if name is None else spelt(index, name) for index, name in enumerate(names)]
    for index, token in added.items():
        if index < len(tokens):
            tokens[index] = token.content.encode()

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    tokens += [b""] * (size - len(tokens))
    special = frozenset(index for index, token in added.items() if token.special and index < size)
    return Vocabulary(tokens, special, encode)


def _spelling(tokenizer: Any) -> Callable[[int, str], bytes]:
    """What makes bytes of a token's id and name."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return _by_decoding(tokenizer)
    steps = _steps(json.loads(backend.decoder.__getstate__()) if backend.decoder is not None else None)
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds:
        characters = _byte_level()
        return lambda index, name: b"".join(characters.get(character) or character.encode() for character in name)
    spaces = {step["pattern"]["String"]: step["content"] for step in steps if step["type"] == "Replace"}
    spaces.update({step["replacement"]: " " for step in steps if step["type"] == "Metaspace"})
    if not spaces:
        named = ", ".join(sorted(kinds)) or "none"
        raise TunesmithError(
            f"answers of this model cannot follow a grammar: its tokenizer's decoder ({named}) does not say which "
            "bytes a token is.\n  possible: ByteLevel, ByteFallback, Metaspace, Replace"
        )
    return lambda index, name: _with_spaces(name, spaces, "ByteFallback" in kinds)


def _steps(decoder: Any) -> list[dict[str, Any]]:
    """The steps of a decoder, as the tokenizers library describes it."""
    if decoder is None:
        return []
    if decoder["type"] == "Sequence":
        return [step for part in decoder["decoders"] for step in _steps(part)]
    return [decoder]


def _with_spaces(name: str, spaces: dict[str, str], bytewise: bool) -> bytes:
    if bytewise and len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return bytes.fromhex(name[3:5])
    for written, meant in spaces.items():
        name = name.replace(written, meant)
    return name.encode()


def _byte_level() -> dict[str, bytes]:
    """GPT-2's characters for bytes: printable ones stand for themselves, the others are counted from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    pairs = [*((byte, byte) for byte in printable), *((256 + number, byte) for number, byte in enumerate(others))]
    return {chr(character): bytes([byte]) for character, byte in pairs}


def _by_decoding(tokenizer: Any) -> Callable[[int, str], bytes]:
    """For tokenizers that are no Rust objects: what a token adds to a text; nothing for a part of a character."""
    anchor = tokenizer.encode("a", add_special_tokens=False)
    before = tokenizer.decode(anchor)

    def spelt(index: int, name: str) -> bytes:
        text: str = tokenizer.decode([*anchor, index])[len(before) :]
        return b"" if "\ufffd" in text else text.encode()

    return spelt
