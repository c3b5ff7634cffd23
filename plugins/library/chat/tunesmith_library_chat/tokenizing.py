"""Rendered conversations to tokens, with special tokens where the template wrote them and nowhere else."""

from __future__ import annotations

import itertools
import json
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from tunesmith.errors import DataError

from tunesmith_library_chat.rendering import Rendered
from tunesmith_library_chat.spelling import Control, Ranges, find_tokens
from tunesmith_library_chat.words import words_of

_PRIVATE = range(0xF0000, 0x10FFFE)  # characters for private use, of which some stand for the first one of a token
_COPIES = 4  # of a tokenizer, each with other characters
_MANY = 32  # texts, for which it is worth while to look at the tokenizer


class Encoding(Protocol):
    """The tokens of a text, as `tokenizers.Encoding` has them."""

    @property
    def ids(self) -> list[int]: ...
    def __len__(self) -> int: ...
    def char_to_token(self, character: int) -> int | None: ...
    def token_to_chars(self, token: int) -> Any: ...


def special_tokens(tokenizer: Any) -> frozenset[str]:
    """The strings that a tokenizer takes for control tokens."""
    return frozenset(token.content for token in _added(tokenizer) if token.special)


def added_tokens(tokenizer: Any) -> frozenset[str]:
    """All strings that a tokenizer takes for one token each, whether they are special or not."""
    return frozenset(token.content for token in _added(tokenizer))


def special_ids(tokenizer: Any) -> dict[str, int]:
    """The ids of the control tokens, by what they are written like."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {token.content: index for index, token in added.items() if token.special}


def turn_marks(template: Any, tokenizer: Any) -> list[str]:
    """Tokens of a tokenizer that a template writes around turns, though they are not special there.

    The conversation ends with a question, so that nothing of an answer's own marks, such as `<think>`, is among them.
    """
    others = added_tokens(tokenizer) - special_tokens(tokenizer)
    if not others:
        return []
    said = [{"role": role, "content": "a"} for role in ("user", "assistant", "user")]
    try:
        text = template.render(said).text
    except DataError:
        return []
    return [token for token in others if token in text]


def _added(tokenizer: Any) -> Iterable[Any]:
    found: Iterable[Any] = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return found


def tokenize(
    tokenizer: Any, rendered: Sequence[Rendered], *, control: Control, add_special_tokens: bool = False
) -> list[Encoding]:
    """Tokenise texts at once; where one spells control tokens (`Rendered.literal`), those become tokens of text.

    Args:
        tokenizer: a fast one of transformers.
        control: what is spelt, `ChatTemplate.control`.
        add_special_tokens: begin and end each text as the tokenizer does.
    """
    plain = iter(_plain(tokenizer, [item.text for item in rendered if not item.literal], add_special_tokens))
    return [
        _tokens_of(tokenizer, item.text, item.literal, control, add_special_tokens) if item.literal else next(plain)
        for item in rendered
    ]


def _plain(tokenizer: Any, texts: list[str], add_special_tokens: bool) -> list[Encoding]:
    """The tokens of texts; of many those that `words` proves itself for are put together from remembered ones."""
    words = words_of(tokenizer) if len(texts) >= _MANY else None
    found: Sequence[Encoding | None] = words.encode(texts, add_special_tokens) if words else [None] * len(texts)
    left = [text for text, encoding in zip(texts, found, strict=True) if encoding is None]
    batch = tokenizer(left, add_special_tokens=add_special_tokens, return_attention_mask=False) if left else None
    rest = iter(batch.encodings if batch is not None else ())
    return [next(rest) if encoding is None else encoding for encoding in found]


def _tokens_of(tokenizer: Any, text: str, literal: Ranges, control: Control, add_special_tokens: bool) -> Encoding:
    """The tokens of a text that spells control tokens.

    A copy of the tokenizer does not know them, but stand-ins of the same length, which take the places of those that
    the template wrote. So all else is as ever: what is split where, and in which pass. A tokenizer that is no Rust
    object makes tokens of the parts itself (`encode_parts`).
    """
    if hasattr(tokenizer, "encode_parts"):
        parted: Encoding = tokenizer.encode_parts(_parts_of(text, literal, control), add_special_tokens)
        return parted
    copy = _copy_for(tokenizer, control, text)
    pieces, end = [], 0
    for token in find_tokens(text, control, literal):
        pieces += [text[end : token.start()], copy.stand_ins[token[0]]]
        end = token.end()
    return copy.encode("".join([*pieces, text[end:]]), add_special_tokens)


def _parts_of(text: str, literal: Ranges, control: Control) -> list[tuple[str, bool]]:
    """A text in parts, each with whether it is a control token that the template wrote."""
    parts, end = [], 0
    for token in find_tokens(text, control, literal):
        parts += [(text[end : token.start()], False), (token[0], True)]
        end = token.end()
    return [*parts, (text[end:], False)]


class _Copy:
    """A tokenizer to which control tokens are text, unless they are written by their stand-ins.

    Args:
        characters: that no text holds; they replace the first character of tokens.
    """

    def __init__(self, tokenizer: Any, control: Control, characters: Sequence[str]) -> None:
        from tokenizers import AddedToken, Tokenizer

        described = json.loads(tokenizer.backend_tokenizer.to_str())
        for token in described["added_tokens"]:
            token["special"] = token["content"] in control.tokens
        self.characters = frozenset(characters)
        self._tokenizer = Tokenizer.from_str(json.dumps(described))
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.stand_ins = _stand_ins(control, characters)
        flags = {token["content"]: token for token in described["added_tokens"]}
        names = ("single_word", "lstrip", "rstrip", "normalized")
        self._tokenizer.add_tokens(
            [AddedToken(new, **{name: flags[old][name] for name in names}) for old, new in self.stand_ins.items()]
        )
        self._ids = {self._tokenizer.token_to_id(new): flags[old]["id"] for old, new in self.stand_ins.items()}

    def encode(self, text: str, add_special_tokens: bool) -> Encoding:
        encoding = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return _Restored(encoding, [self._ids.get(token, token) for token in encoding.ids])


class _Restored:
    """An encoding under other ids."""

    def __init__(self, encoding: Any, ids: list[int]) -> None:
        self.ids = ids
        self.char_to_token, self.token_to_chars = encoding.char_to_token, encoding.token_to_chars

    def __len__(self) -> int:
        return len(self.ids)


_copies: weakref.WeakKeyDictionary[Any, dict[Any, _Copy]] = weakref.WeakKeyDictionary()
_copying = threading.Lock()  # servers tokenise in several threads


def _copy_for(tokenizer: Any, control: Control, text: str) -> _Copy:
    """A copy whose characters the text does not hold; made once per tokenizer, for it takes a second."""
    held = set(text)
    with _copying:
        copies = _copies.setdefault(tokenizer, {})
        for (tokens, size), copy in copies.items():
            if tokens == control and size[0] == len(tokenizer) and not copy.characters & held:
                return copy
        needed = max(map(len, _by_ending(control).values()))
        characters = list(itertools.islice((char for char in map(chr, _PRIVATE) if char not in held), needed))
        if len(copies) >= _COPIES:
            copies.clear()
        copies[control, (len(tokenizer), characters[0])] = made = _Copy(tokenizer, control, characters)
    return made


def _stand_ins(control: Control, characters: Sequence[str]) -> dict[str, str]:
    """For each token a string of its length, with another first character; no two alike."""
    return {
        token: characters[number] + ending
        for ending, tokens in _by_ending(control).items()
        for number, token in enumerate(tokens)
    }


def _by_ending(control: Control) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for token in control.tokens:
        found.setdefault(token[1:], []).append(token)
    return found
