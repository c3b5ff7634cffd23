"""Byte-level BPE with a memory for words: the tokens of a word do not depend on what is around it.

The tokenizer cuts texts at added tokens, the rest of them into words by a regular expression, and words into tokens.
Here the first two are done as it does them, and the tokens of a word are asked of it once. That it is so is not
believed: a tokenizer is taken only if it is made of these steps alone, each character only once its place in words was
compared with the tokenizer's own, and some texts are tokenised both ways. All else is left to the tokenizer.
"""

from __future__ import annotations

import itertools
import json
import re
import weakref
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from tunesmith_library_chat.word_cutting import Cutter
from tunesmith_library_chat.word_encoding import ID, Cut, WordEncoding

_MOST_WORDS = 200_000
_LONGEST_WORD = 64  # characters of a word that is remembered
_LONGEST_PART = 24  # characters of a text between added tokens that is remembered whole
_SAMPLED, _FEW_WORDS, _MOST_NEW = 64, 1000, 0.5  # texts, words, and the share of characters in new ones
_TRIED = (
    "Hello world's  end,\n\n it's 12345 + 67.\tx\r\n",
    "  I'LL see… \u2019 naïve 中文，テスト 한국어 \U0001f600\U0001f468\u200d\U0001f469 a\u0301 é ﬁ ½ ²",
    "def f(x):\n    return x ** 2  # !!!\n\n\n",
    " ",
    "a",
)


class Words:
    """A tokenizer whose words are remembered.

    Args:
        tokenizer: of transformers, on a `tokenizers.Tokenizer`.

    Raises: ValueError for a tokenizer of other steps, or one that tokenises texts otherwise.
    """

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers import Tokenizer, pre_tokenizers

        backend = tokenizer.backend_tokenizer
        _refuse_other_steps(backend)
        self._cutter = Cutter(backend)
        self._cut = self._cutter.cut
        self._words: dict[str, bytes] = {}
        self._parts: dict[str, bytes] = {}
        self._offsets: dict[str, list[tuple[int, int]]] = {}
        added = backend.get_added_tokens_decoder()
        self._added = {token.content: array("i", [number]).tobytes() for number, token in added.items()}
        odd = {token.content for token in added.values() if _is_odd(token)}
        self._has_odd = re.compile(_any_of(odd)).search if odd else lambda text: None
        self._split = re.compile(f"({_any_of(self._added)})").split
        self._model = Tokenizer(backend.model)
        self._model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self._prefix, self._suffix = _around(backend)
        self._compare(tokenizer, [token for token in self._added if token not in odd][:8])

    def encode(self, texts: Sequence[str], add_special_tokens: bool) -> list[WordEncoding | None]:
        """The tokens of texts; None for those that are left to the tokenizer."""
        found = [self._encoding(text, add_special_tokens) for text in texts]
        waiting = [index for index, encoding in enumerate(found) if encoding is None and self._takes(texts[index])]
        if not waiting or not self._repeats([texts[index] for index in waiting[:_SAMPLED]]):
            return found
        words = set(itertools.chain.from_iterable(self._cut_out(texts[index]) for index in waiting))
        missing = words - self._words.keys()
        self._learn(missing)
        for index in waiting:
            found[index] = self._encoding(texts[index], add_special_tokens)
        for word in missing:
            if len(word) > _LONGEST_WORD:
                self._words.pop(word, None)
        if max(len(self._words), len(self._parts), len(self._offsets)) > _MOST_WORDS:
            self._words.clear()
            self._parts.clear()
            self._offsets.clear()
        return found

    def _cut_out(self, text: str) -> Iterator[str]:
        return itertools.chain.from_iterable(map(self._cut, self._split(text)[::2]))

    def _repeats(self, texts: Iterable[str]) -> bool:
        """Whether words of texts come again, as those of languages that write spaces do."""
        words = list(itertools.chain.from_iterable(map(self._cut_out, texts)))
        new = set(words) - self._words.keys()
        return len(words) < _FEW_WORDS or sum(map(len, new)) < _MOST_NEW * sum(map(len, words))

    def _takes(self, text: str) -> bool:
        """Whether the tokenizer does nothing with a text but what is done here."""
        if self._has_odd(text):
            return False
        return self._cutter.leaves(text)

    def _encoding(self, text: str, special: bool) -> WordEncoding | None:
        """The tokens of a text all of whose words are known."""
        if not self._takes(text):
            return None
        parts = self._split(text)
        try:
            pieces = [self._added[part] if number % 2 else self._piece(part) for number, part in enumerate(parts)]
        except KeyError:
            return None
        return WordEncoding(self._words_of, parts, pieces, *((self._prefix, self._suffix) if special else (b"", b"")))

    def _piece(self, part: str) -> bytes:
        """Raises: KeyError for a text with unknown words."""
        known = self._parts.get(part)
        if known is not None:
            return known
        words = self._cut(part)
        if sum(map(len, words)) != len(part):
            raise KeyError(part)
        piece = b"".join(map(self._words.__getitem__, words))
        if len(part) <= _LONGEST_PART:
            self._parts[part] = piece
        return piece

    def _learn(self, words: Collection[str]) -> None:
        """Ask the tokenizer for words, of those that it cuts out as they are cut out here."""
        wanted = list(self._cutter.proven(words))
        for word, encoding in zip(wanted, self._model.encode_batch_fast(wanted), strict=True):
            self._words[word] = array("i", encoding.ids).tobytes()

    def _compare(self, tokenizer: Any, marks: Sequence[str]) -> None:
        """Tokenise some texts both ways. Raises: ValueError."""
        tried = [*_TRIED, "".join(_TRIED), *(f"{mark}\n\nHello {mark} {mark}{mark}a" for mark in marks)]
        for special in (False, True):
            theirs = tokenizer(tried, add_special_tokens=special, return_attention_mask=False)["input_ids"]
            for text, ids, ours in zip(tried, theirs, self.encode(tried, special), strict=True):
                if ours is not None and ours.ids != list(ids):
                    raise ValueError(f"the tokenizer gives other tokens of {text!r}")

    def _words_of(self, part: str) -> Cut:
        token = 0
        for match in self._cutter.matches(part):
            offsets = self._offsets_of(match[0])
            yield match.start(), token, offsets
            token += len(offsets)

    def _offsets_of(self, word: str) -> list[tuple[int, int]]:
        if len(self._words.get(word, b"")) == ID:
            return [(0, len(word))]
        known = self._offsets.get(word)
        if known is None:
            known = self._offsets[word] = self._model.encode(word).offsets
        return known


def _refuse_other_steps(backend: Any) -> None:
    """Raises: ValueError for a tokenizer that does more than it is taken for."""
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    if not isinstance(backend.model, BPE) or backend.model.dropout:
        raise ValueError("no BPE, or a random one")
    if any(backend.model.token_to_id(byte) is None for byte in ByteLevel.alphabet()):
        raise ValueError("not every byte has a token")
    if backend.encode_special_tokens:
        raise ValueError("added tokens are text")
    if backend.normalizer is not None and json.loads(backend.normalizer.__getstate__()) != {"type": "NFC"}:
        raise ValueError("texts are changed")
    if backend.post_processor is not None and b'"trim_offsets":true' in backend.post_processor.__getstate__():
        raise ValueError("tokens are without the spaces that they begin with")


def _any_of(texts: Iterable[str]) -> str:
    """A regular expression of texts, of which the longest is found; of none, one that nothing matches."""
    return "|".join(sorted(map(re.escape, texts), key=len, reverse=True)) or r"(?!)"


def _is_odd(token: Any) -> bool:
    """Whether an added token is found otherwise than as it stands."""
    return bool(token.lstrip or token.rstrip or token.single_word or token.normalized)


def _around(backend: Any) -> tuple[bytes, bytes]:
    """The ids of what a tokenizer puts before and behind a text. Raises: ValueError."""
    bare, whole = (backend.encode("a", add_special_tokens=special).ids for special in (False, True))
    start = next((n for n in range(len(whole)) if whole[n : n + len(bare)] == bare), None)
    if start is None:
        raise ValueError("what is put around texts does not stand around them")
    return array("i", whole[:start]).tobytes(), array("i", whole[start + len(bare) :]).tobytes()


_known: weakref.WeakKeyDictionary[Any, tuple[Any, Words | None]] = weakref.WeakKeyDictionary()


def words_of(tokenizer: Any) -> Words | None:
    """What remembers a tokenizer's words; None for one that it is not proven for.

    A tokenizer that was changed since, for example by new tokens, is proven again.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    steps = (backend.normalizer, backend.pre_tokenizer, backend.post_processor)
    added = backend.get_added_tokens_decoder().items()
    state = (
        [None if step is None else step.__getstate__() for step in steps],
        [(number, token.content, token.special, _is_odd(token)) for number, token in added],
        (backend.get_vocab_size(with_added_tokens=False), backend.encode_special_tokens),
    )
    known = _known.get(tokenizer)
    if known is None or known[0] != state:
        try:
            words = Words(tokenizer)
        except Exception:  # whatever it is, it tokenises its texts itself
            words = None
        known = _known[tokenizer] = state, words
    return known[1]
