"""The engine: a queue of one thread, in which everything is done that needs the model."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tunesmith import TunesmithError
from tunesmith.types import Answer, Delta, EngineStats, LogProb, ModelHandle, Request
from tunesmith_library_chat import tokenizer_of
from tunesmith_library_chat.endings import end_tokens
from tunesmith_library_engine import Ledger, StreamedAnswer, check_adapter, check_request, check_sampling

from .decoding import Choice, log_prob, scores, tokens


class PlaceholderEngine:
    """See `tunesmith.types.Engine`."""

    adapters: tuple[str, ...] = ()

    def __init__(self, handle: ModelHandle, choice: Choice) -> None:
        self._model, self._choice = handle.load().eval(), choice
        self.context_length = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self.end_token_ids = frozenset(end_tokens(None, tokenizer_of(handle.processor), self._model.generation_config))
        self._thread = ThreadPoolExecutor(1)
        self._ledger = Ledger()
        self._running, self._refuses = 0, ""  # why nothing is answered now

    def submit(self, request: Request) -> Answer:
        self._check()
        check_request(self, request)
        check_sampling(request.sampling, "top_k", "stop_token_ids")
        if request.inputs:
            raise TunesmithError("this engine answers text only")
        answer = StreamedAnswer()
        self._ledger.follow(request, answer)
        self._thread.submit(self._answer, request, answer)
        return answer

    def _answer(self, request: Request, answer: StreamedAnswer) -> None:
        choice = self._choice.over(request.sampling)
        ends = self.end_token_ids.union(request.sampling.stop_token_ids)
        room = (self.context_length or choice.max_new_tokens + len(request.prompt)) - len(request.prompt)
        self._running = 1
        try:
            for count, (token, log_probs) in enumerate(tokens(self._model, request.prompt, choice), start=1):
                wanted = request.log_probs
                told = () if wanted is None else (log_prob(log_probs, token, wanted),)
                last = "length" if count >= min(choice.max_new_tokens, room) else None
                answer.put(Delta((token,), told, "stop" if token in ends else last))
                if answer.ended:
                    return
        except BaseException as error:
            answer.fail(error)
        finally:
            self._running = 0

    def score(
        self, sequences: Sequence[Sequence[int]], *, alternatives: int = 0, adapter: str | None = None
    ) -> list[tuple[LogProb, ...]]:
        self._check()
        check_adapter(self, adapter)
        return self._in_turn(lambda: [scores(self._model, sequence, alternatives) for sequence in sequences])

    def embed(self, sequences: Sequence[Sequence[int]], *, adapter: str | None = None) -> list[list[float]]:
        raise TunesmithError("this engine has no vectors for texts")

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        def load() -> None:
            own = self._model.state_dict()
            for name, tensor in weights:
                if name not in own or own[name].shape != tensor.shape:
                    raise TunesmithError(f"the model has no {name} of the shape {list(tensor.shape)}")
                own[name].copy_(tensor)

        self._in_turn(load)

    def sleep(self) -> None:
        self._refuses = "sleeps; wake it first"
        self._in_turn(lambda: self._model.to("cpu"))  # and whatever else gives memory back

    def wake(self) -> None:
        self._refuses = ""

    def stats(self) -> EngineStats:
        return self._ledger.stats(self._running, self._refuses.startswith("sleeps"))

    def close(self) -> None:
        self._refuses = "is closed"
        self._ledger.cancel_all()
        self._thread.shutdown(cancel_futures=True)

    def _check(self) -> None:
        if self._refuses:
            raise TunesmithError(f"this engine {self._refuses}")

    def _in_turn(self, function: Callable[[], Any]) -> Any:
        """Do something when all that was asked before is done, and wait for it."""
        return self._thread.submit(function).result()
