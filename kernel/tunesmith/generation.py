"""What crosses between whoever wants an answer and an engine: requests, answers, and the engine itself.

There are two levels. An engine knows tokens only: a `Request` goes in, `Delta`s come out. What a conversation is in
tokens, and what tokens are in text, is known to the chat template, which gives `Piece`s. `tunesmith.types` has all of
these names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from tunesmith.errors import TunesmithError
from tunesmith.ranges import above, at_least, between
from tunesmith_library_configuration.ranges import outside

FinishReason = Literal["stop", "length", "cancelled"]
"""Why an answer ended: at a token or string that ends answers, at its limit or the context's, or by somebody's wish."""


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token; None leaves it to the engine's own options.

    Raises: TunesmithError for a value out of its range.
    """

    max_new_tokens: Annotated[int, at_least(1)] | None = None
    temperature: Annotated[float, at_least(0)] | None = None  # 0 is greedy
    top_p: Annotated[float, between(0, 1)] | None = None  # draw from the likeliest that have this probability together
    top_k: Annotated[int, at_least(0)] | None = None  # draw from this many likeliest; 0 is all
    min_p: Annotated[float, between(0, 1)] | None = None  # draw from those this likely beside the likeliest
    repetition_penalty: Annotated[float, above(0)] | None = None  # of tokens in the prompt or the answer; 1 is none
    frequency_penalty: Annotated[float, between(-2, 2)] = 0.0  # off a token's score, each time the answer has it
    presence_penalty: Annotated[float, between(-2, 2)] = 0.0  # off a token's score, if the answer has it
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # onto the scores of these tokens
    stop_token_ids: tuple[int, ...] = ()  # they end the answer, beside the engine's own end tokens
    # what the answer's text must follow: a grammar in llguidance's Lark, of which `start: %json {…}` is a JSON Schema
    grammar: str | None = None
    seed: int | None = None  # the same request with the same seed gets the same answer; None: another each time

    def __post_init__(self) -> None:
        for name, (value, allowed) in outside(self).items():
            raise TunesmithError(f"{name}={value} is out of range: {allowed}")


@dataclass(frozen=True)
class Conversation:
    """What an answer is wanted to."""

    messages: Sequence[dict[str, Any]]  # of `role`, `content`, …
    tools: Sequence[Mapping[str, Any]] | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)  # for the template, e.g. enable_thinking


# ---- tokens: what an engine takes and gives --------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """A prompt in tokens, and how to go on from it."""

    prompt: Sequence[int]  # token ids, at least one
    sampling: Sampling = field(default_factory=Sampling)
    adapter: str | None = None  # one of the engine's `adapters`; None is the model as it was opened
    log_probs: int | None = None  # for each token its log-probability, and so many alternatives; None: none
    inputs: Mapping[str, Any] = field(default_factory=dict)  # the model's own further tensors, such as pixel_values


@dataclass(frozen=True)
class LogProb:
    """How likely a token was by the model alone: natural logarithm, before temperature, penalties and the like."""

    value: float
    alternatives: Mapping[int, float] = field(default_factory=dict)  # the likeliest tokens, best first


@dataclass(frozen=True)
class Delta:
    """New tokens of one answer."""

    token_ids: tuple[int, ...]  # with `stop` the last one is what ended the answer, and none of what it says
    log_probs: tuple[LogProb, ...] = ()  # one for each token, if they were asked for
    finish_reason: FinishReason | None = None  # set on an answer's last delta, and on no other


class Answer(Protocol):
    """An answer while it is given. Any number of readers, in any thread, each see all of it."""

    def __iter__(self) -> Iterator[Delta]:
        """The deltas as they come, each waited for.

        Raises: what went wrong in the engine.
        """

    def __aiter__(self) -> AsyncIterator[Delta]:
        """The same in an event loop."""

    def __await__(self) -> Generator[Any, None, Delta]:
        """The whole answer as one delta, in an event loop."""

    def result(self) -> Delta:
        """The whole answer as one delta, waited for."""

    def listen(self, listener: Callable[[Delta | BaseException], None]) -> None:
        """Call `listener` with each delta, also with those that came before, or with the exception that ended it.

        It is called from any thread, one call at a time, and must return quickly.
        """

    def cancel(self) -> None:
        """End the answer now, with `cancelled`; one that has ended stays as it is."""


@dataclass(frozen=True)
class EngineStats:
    """What an engine does, and has done since it was opened."""

    running: int  # answers that are computed now
    waiting: int  # requests that are not yet begun
    answered: int  # answers that have ended, for any reason
    prompt_tokens: int  # of the requests that were begun
    new_tokens: int
    asleep: bool
    cached_tokens: int = 0  # of prompts, that need not be computed: they were those of former requests


class Engine(Protocol):
    """A model that goes on from token ids. Every method may be called from any thread.

    It knows nothing of templates and text. `tunesmith_library_engine` has an `Answer` for it to give.
    """

    @property
    def context_length(self) -> int | None:
        """Tokens that a prompt and its answer may have together; None where there is no limit."""

    @property
    def end_token_ids(self) -> frozenset[int]:
        """The tokens that end every answer."""

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names that a request may choose its adapter by."""

    def submit(self, request: Request) -> Answer:
        """Begin an answer, or put it into the queue; returns at once.

        Raises: TunesmithError for a request that cannot be honoured: an empty prompt or one that leaves no room for an
            answer, an unknown adapter, inputs or settings that this engine does not have; and when it sleeps or is
            closed.
        """

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        """How likely the tokens of sequences are, each given those before it: of n tokens the last n - 1.

        Raises: TunesmithError, as `submit` does.
        """

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        """A vector for each sequence.

        Raises: TunesmithError, as `submit` does, and with the reason where this engine has no vectors.
        """

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Put tensors in the place of the model's weights of these names, once the answers before have ended.

        Raises: TunesmithError for a name or a shape that the model does not have; what came before it is loaded.
        """

    def sleep(self) -> None:
        """Give the accelerator's memory back, once the answers before have ended. Until `wake` it answers nothing."""

    def wake(self) -> None:
        """Be as before `sleep`."""

    def stats(self) -> EngineStats: ...

    def close(self) -> None:
        """End all answers with `cancelled`, stop what runs, and let the model go. Twice does no harm."""


# ---- text: what a chat template makes of tokens ----------------------------------------------------------------------


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool, or more of one: the arguments of all pieces with the same index, joined, are its JSON."""

    index: int  # which of the answer's calls
    name: str = ""  # with the first piece of a call
    arguments: str = ""  # a part of the JSON text
    id: str = ""  # with the first piece, where the model gives one


@dataclass(frozen=True)
class Piece:
    """New text of one answer."""

    index: int  # which of the answers
    text: str
    token_ids: tuple[int, ...] = ()  # what it was read from, with the tokens that give no text
    log_probs: tuple[LogProb, ...] = ()
    finish_reason: FinishReason | None = None  # set on an answer's last piece, and on no other
    thought: str = ""  # these two are told from the text where the reader of the answer asked for it
    calls: tuple[ToolCall, ...] = ()

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)
