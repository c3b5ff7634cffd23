"""Tokens and their log-probabilities as OpenAI's API writes them: each token with its text and its bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tunesmith.types import LogProb

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Words:
    """What each token of a tokenizer is in bytes, also where it is a part of a character."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        described = json.loads(backend.to_str()).get("decoder") if backend is not None else None
        self._kinds = _kinds(described)
        self._added = {index: str(token) for index, token in getattr(tokenizer, "added_tokens_decoder", {}).items()}

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token writes within a text."""
        if token in self._added:
            return self._added[token].encode("utf-8", "replace")
        written = self._tokenizer.convert_ids_to_tokens(token)
        if not isinstance(written, str):
            return b""  # the model has more places than the tokenizer has tokens
        if "ByteLevel" in self._kinds:
            return _byte_level(written)
        if "ByteFallback" in self._kinds and (match := _BYTE.fullmatch(written)):
            return bytes([int(match[1], 16)])
        if self._kinds & {"Metaspace", "Replace", "ByteFallback"}:
            return written.replace("\u2581", " ").encode("utf-8", "replace")
        return str(self._tokenizer.decode([token])).encode("utf-8", "replace")

    def text_of(self, token: int) -> str:
        """The text of a token; a part of a character is U+FFFD."""
        return self.bytes_of(token).decode("utf-8", "replace")

    def name_of(self, token: int) -> str:
        """The text of a token; that of a part of a character are its bytes, as in `bytes:\\xe6\\x95`."""
        said = self.bytes_of(token)
        try:
            return said.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in said)


def _kinds(decoder: Any) -> set[str]:
    """The names of the steps of a decoder."""
    if not isinstance(decoder, dict):
        return set()
    inner = [kind for each in decoder.get("decoders", ()) for kind in _kinds(each)]
    return {str(decoder.get("type")), *inner}


def _alphabet() -> dict[str, int]:
    """The character that byte-level tokenizers write for each byte, backwards (GPT-2's `bytes_to_unicode`)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{chr(byte): byte for byte in plain}, **{chr(256 + at): byte for at, byte in enumerate(others)}}


_ALPHABET = _alphabet()


def _byte_level(written: str) -> bytes:
    if all(character in _ALPHABET for character in written):
        return bytes(_ALPHABET[character] for character in written)
    return written.encode("utf-8", "replace")


def chat_log_probs(words: Words, tokens: Sequence[int], log_probs: Sequence[LogProb]) -> dict[str, Any]:
    """The `logprobs` of a choice of a chat completion."""
    content = []
    for token, found in zip(tokens, log_probs, strict=False):
        alternatives = [_said(words, other, value) for other, value in found.alternatives.items()]
        content.append({**_said(words, token, found.value), "top_logprobs": alternatives})
    return {"content": content, "refusal": None}


def _said(words: Words, token: int, value: float) -> dict[str, Any]:
    said = words.bytes_of(token)
    return {"token": said.decode("utf-8", "replace"), "logprob": finite(value), "bytes": list(said)}


def finite(value: float) -> float:
    """A log-probability as JSON can say it; -9999 is what OpenAI's API says of what cannot be, or is no number."""
    return value if value > -9999.0 else -9999.0
