"""Answers that follow a grammar: which tokens may come next, by llguidance (github.com/guidance-ai/llguidance, MIT).

A grammar is compiled when a request is submitted, in the thread that does it; a mask is computed before each token.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any

import llguidance
import numpy
from numpy.typing import NDArray
from tunesmith.errors import TunesmithError

from tunesmith_library_engine.grammars import described, refuse_long
from tunesmith_library_engine.vocabularies import Vocabulary

_BEFORE = "\x02"  # a byte of its own in every vocabulary of bytes
_KEPT = 64  # compiled grammars of an engine
# Work is limited in units of llguidance's own, so that a limit is the same on any machine: about 0.1 s to begin, and
# 0.05 s a token, on one core of 2020.
_FUEL_TO_BEGIN, _FUEL_OF_A_TOKEN, _MOST_SYMBOLS = 2_000_000, 500_000, 500_000


class Constraint:
    """The grammar of one answer, and how far the answer has followed it.

    Args:
        ends: the tokens that end the answer; they may come where the grammar is complete.
    """

    def __init__(self, matcher: Any, size: int, ends: Collection[int]) -> None:
        self._matcher, self._size = matcher, size
        self._ends = numpy.array(sorted(end for end in ends if end < size))

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        return bool(self._matcher.is_accepting())

    def allowed(self) -> NDArray[numpy.bool_]:
        """Which tokens may come next: bool (V,), with at least one.

        Raises: TunesmithError where none may, or finding it out is too much work.
        """
        words = numpy.frombuffer(self._matcher.compute_bitmask(), dtype=numpy.uint8)
        allowed = numpy.unpackbits(words, count=self._size, bitorder="little").view(numpy.bool_)
        if self._matcher.is_error():
            raise TunesmithError(f"the answer cannot go on by its grammar: {_cause(self._matcher)}")
        if self.complete:
            allowed[self._ends] = True
        if not allowed.any():
            raise TunesmithError("the answer cannot go on by its grammar: the model has no token for what comes next")
        return allowed

    def push(self, token: int) -> None:
        """Take the next token of the answer; one that ends it is not told.

        Raises: TunesmithError for a token that may not come here.
        """
        if not self._matcher.consume_token(token):
            raise TunesmithError(f"the token {token} does not follow the answer's grammar")


def _cause(matcher: Any) -> str:
    return str(matcher.get_error()).removesuffix("<non-verbose/>").strip()


class Constraints:
    """Makes the constraints of a model's answers. Compiled grammars are kept, the latest of them.

    Args:
        vocabulary: gives the model's tokens; it is called for the first grammar, and takes a second.
        ends: the tokens that end every answer.
    """

    def __init__(self, vocabulary: Callable[[], Vocabulary], ends: Collection[int]) -> None:
        self._vocabulary, self._ends = vocabulary, frozenset(ends)
        self._lock = threading.Lock()
        self._tokenizer: Any = None
        self._size = 0
        self._compiled: OrderedDict[str, Any] = OrderedDict()

    def constraint(self, grammar: str | None, ends: Collection[int]) -> Constraint | None:
        """The constraint of an answer; None without a grammar.

        Args:
            ends: the tokens that end this answer.

        Raises: TunesmithError for a grammar that is none, that is too large, or that no answer could end by.
        """
        if grammar is None:
            return None
        refuse_long(grammar)
        if not ends:
            raise TunesmithError("an answer by a grammar ends with a token for it, and this model has none")
        with self._lock:
            matcher = self._compiled.get(grammar)
            if matcher is None:
                self._compiled[grammar] = matcher = self._compile(grammar)
            self._compiled.move_to_end(grammar)
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
            return Constraint(matcher.deep_copy(), self._size, ends)

    def _compile(self, grammar: str) -> Any:
        if self._tokenizer is None:
            vocabulary = self._vocabulary()
            self._size = len(vocabulary.tokens)
            wrapped = _Wrapped(vocabulary, self._ends)
            self._tokenizer = llguidance.LLTokenizer(wrapped, eos_token=wrapped.eos_token_id)
            wrapped.greedy = self._tokenizer.greedy_tokenize
        limits = llguidance.LLParserLimits(
            initial_lexer_fuel=_FUEL_TO_BEGIN,
            step_lexer_fuel=_FUEL_OF_A_TOKEN,
            max_grammar_size=_MOST_SYMBOLS,
            verbose_errors=False,
        )
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0, limits=limits)
        if not matcher.is_error():
            matcher.compute_bitmask()  # the first tokens show whether there is anything to begin with
        if matcher.is_error():
            raise TunesmithError(described(matcher.get_error()))
        return matcher


class _Wrapped(llguidance.TokenizerWrapper):
    """A vocabulary as llguidance takes it: what a grammar leaves no choice of, comes in the tokens of the tokenizer."""

    def __init__(self, vocabulary: Vocabulary, ends: Collection[int]) -> None:
        # Which tokens end an answer is the request's: for llguidance it is one that there is not.
        self.tokens = [*vocabulary.tokens, b"\xff<end of the answer>"]
        self.eos_token_id, self.bos_token_id = len(vocabulary.tokens), None
        self.special_token_ids = sorted({*vocabulary.special, *(end for end in ends if end < self.eos_token_id)})
        self.is_tokenizer_wrapper = True
        self._encode = vocabulary.encode
        self.greedy: Callable[[str], list[int]]  # makes tokens of what the tokenizer writes otherwise

    def __call__(self, text: str | bytes) -> list[int]:
        text = text.decode() if isinstance(text, bytes) else text
        for before in ("", _BEFORE):  # some tokenizers write a space before a text
            ids = self._encode(before + text)
            start, length = 0, 0
            while start < len(ids) and length < len(before):
                length += len(self.tokens[ids[start]])
                start += 1
            spelt = b"".join(self.tokens[token] for token in ids[start:])
            if length == len(before) and spelt == text.encode():
                return ids[start:]
        return self.greedy(text)
