"""The plainest engine there is, for tests of what uses one: greedy answers, one at a time, by transformers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tunesmith.types import Delta, EngineStats, LogProb, ModelHandle, Request
from tunesmith_library_engine import StreamedAnswer
from tunesmith_library_engine.chatting import Chat
from tunesmith_library_engine.checks import check_request


class GreedyEngine:
    """Takes the likeliest token, up to `max_new_tokens`, 16 by default; it reads no other setting of a request."""

    context_length: int | None = None
    adapters: tuple[str, ...] = ()

    def __init__(self, handle: ModelHandle) -> None:
        self.model = handle.load().eval()
        self.end_token_ids = frozenset({handle.processor.eos_token_id})
        self.answered = self.prompt_tokens = self.new_tokens = 0

    def submit(self, request: Request) -> StreamedAnswer:
        """Begin an answer, which is whole when this returns."""
        check_request(self, request)
        prompt, made, reason = list(request.prompt), list[int](), "length"
        ends = self.end_token_ids | set(request.sampling.stop_token_ids)
        while reason == "length" and len(made) < (request.sampling.max_new_tokens or 16):
            made.append(int(self._logits([*prompt, *made])[-1].argmax()))
            reason = "stop" if made[-1] in ends else "length"
        self.answered, self.new_tokens = self.answered + 1, self.new_tokens + len(made)
        self.prompt_tokens += len(prompt)
        answer = StreamedAnswer()
        answer.put(Delta(tuple(made), finish_reason=reason))  # type: ignore[arg-type]
        return answer

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        """How likely the tokens of sequences are, each alone in its batch."""
        scored = []
        for sequence in sequences:
            log_probs = self._logits(sequence)[:-1].log_softmax(-1)
            scored.append(tuple(LogProb(row[token].item()) for row, token in zip(log_probs, sequence[1:], strict=True)))
        return scored

    def _logits(self, sequence: Sequence[int]) -> Any:
        """(T, V), float32."""
        import torch

        ids = torch.tensor([list(sequence)], device=self.model.device)
        with torch.no_grad():
            return self.model(input_ids=ids, use_cache=False).logits[0].float()

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        raise NotImplementedError

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        self.model.load_state_dict(dict(weights), strict=False)

    def sleep(self) -> None:
        """Nothing to give back."""

    def wake(self) -> None:
        """Nothing to get back."""

    def stats(self) -> EngineStats:
        return EngineStats(0, 0, self.answered, self.prompt_tokens, self.new_tokens, False)

    def close(self) -> None:
        """Nothing runs."""


def chat_of(handle: ModelHandle) -> Chat:
    """What lets a handle's model answer, greedily."""
    return Chat(handle, lambda handle: GreedyEngine(handle))


class ScriptedEngine(GreedyEngine):
    """Says what a script says to the text of a prompt, up to `max_new_tokens`, and finds all tokens equally likely.

    No model is loaded.
    """

    def __init__(self, handle: ModelHandle, script: Callable[[str], str]) -> None:
        self.tokenizer, self.script = handle.processor, script
        self.end_token_ids = frozenset({handle.processor.eos_token_id})
        self.answered = self.prompt_tokens = self.new_tokens = 0

    def submit(self, request: Request) -> StreamedAnswer:
        """Begin an answer, which is whole when this returns."""
        check_request(self, request)
        self.answered += 1
        said = self.script(self.tokenizer.decode(list(request.prompt)))
        tokens = [*self.tokenizer.encode(said, add_special_tokens=False), self.tokenizer.eos_token_id]
        limit = request.sampling.max_new_tokens
        cut = limit is not None and len(tokens) > limit
        answer = StreamedAnswer()
        answer.put(Delta(tuple(tokens[:limit]), finish_reason="length" if cut else "stop"))
        return answer

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        return [(LogProb(-1.0),) * (len(sequence) - 1) for sequence in sequences]


def scripted_chat(handle: ModelHandle, script: Callable[[str], str]) -> Chat:
    """What answers a handle's conversations by a script: the text of a prompt in, that of its answer out."""
    return Chat(handle, lambda handle: ScriptedEngine(handle, script))
