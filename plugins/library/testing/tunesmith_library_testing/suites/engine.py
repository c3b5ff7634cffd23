"""What every engine keeps to."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Conversation, Delta, Engine, ModelHandle, Piece, Request, Sampling
from tunesmith_library_engine.chatting import Chat

from tunesmith_library_testing.estimated import check_estimate
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_testing.suites.engine_model import CONVERSATIONS, EngineModelSuite, greedy_tokens, requests_of
from tunesmith_library_testing.tiny import save_tiny_model


class EngineSuite(EngineModelSuite):
    """The tests of an `engine` plugin, with a tiny Llama of random weights and greedy sampling."""

    kind = "engine"

    def pieces(self, handle: ModelHandle, conversations: tuple[Conversation, ...], **asked: Any) -> list[Piece]:
        """All pieces of the answers, greedy if nothing else is asked; `asked` are arguments of `Chat.answer`."""
        with Chat(handle, self.manager().hook.open_engine) as chat:
            return list(chat.answer(conversations, **{"sampling": self.greedy, **asked}))

    # ---- what an answer says

    def test_estimates_nothing_impossible(self) -> None:
        """What it says that it costs, if it does, are sizes, numbers of operations, and changes that can be typed."""
        check_estimate(self, "chat")

    def test_equals_transformers(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The greedy answer is the one that transformers' own generate gives, token by token."""
        model = load_plain(tiny_llama)
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            for request in requests_of(tiny_bpe, self.greedy):
                expected = greedy_tokens(model, request, {*engine.end_token_ids, *request.sampling.stop_token_ids})
                assert list(engine.submit(request).result().token_ids) == expected

    def test_deltas(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """An answer comes in deltas, as many tokens as allowed; the last one, and no other, says why it ended."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            for request in requests_of(tiny_bpe, self.greedy):
                told = list(engine.submit(request))
                assert len(told) > 1, "the answer comes as a whole: nothing streams"
                assert told[-1].finish_reason in ("stop", "length")
                assert not any(delta.finish_reason for delta in told[:-1])
                count = sum(len(delta.token_ids) for delta in told)
                limit = self.greedy.max_new_tokens or 0
                assert count == limit if told[-1].finish_reason == "length" else 1 <= count <= limit

    def test_pieces(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Conversations that are answered together get, as text, the answers that each gets alone."""
        handle = self.handle(tiny_llama, tiny_bpe)
        told = self.pieces(handle, CONVERSATIONS)
        assert len(told) > len(CONVERSATIONS) and {piece.index for piece in told} == {0, 1, 2}
        alone = {
            index: answers(self.pieces(handle, (conversation,)))[0] for index, conversation in enumerate(CONVERSATIONS)
        }
        assert answers(told) == alone

    def test_stop_strings(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A stop string ends the answer, and is not part of it."""
        handle = self.handle(tiny_llama, tiny_bpe)
        full = answers(self.pieces(handle, CONVERSATIONS[:1]))[0]
        stop = full[len(full) // 2 :][:2]
        told = self.pieces(handle, CONVERSATIONS[:1], stop=(stop,))
        assert answers(told)[0] == full[: full.index(stop)]
        assert told[-1].finish_reason == "stop"

    def test_stop_tokens(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A token of `stop_token_ids` ends the answer, and is its last."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            (request, *_) = requests_of(tiny_bpe, self.greedy)
            full = engine.submit(request).result().token_ids
            stop = next(token for token in full if token != full[0])
            sampling = Sampling(max_new_tokens=12, temperature=0.0, stop_token_ids=(stop,))
            ended = engine.submit(Request(request.prompt, sampling)).result()
            assert (ended.token_ids, ended.finish_reason) == (full[: full.index(stop) + 1], "stop")

    def test_seed(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The same seed draws the same answer, whatever is answered beside it; another seed another one."""
        prompt = requests_of(tiny_bpe, self.greedy)[0].prompt
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:

            def begun(seed: int) -> Any:
                sampling = Sampling(max_new_tokens=12, temperature=1.0, top_p=1.0, top_k=0, seed=seed)
                return engine.submit(Request(prompt, sampling))

            alone = {seed: begun(seed).result().token_ids for seed in (-1, 1, 2, 3)}
            together = {seed: begun(seed) for seed in (3, 2, 1, -1)}
            assert {seed: answer.result().token_ids for seed, answer in together.items()} == alone
            assert len(set(alone.values())) == 4

    def test_the_context_ends_an_answer(self, tmp_path: Path, tiny_bpe: Any) -> None:
        """An answer has no tokens beyond the model's context, and a prompt that fills it is refused."""
        folder = save_tiny_model(tmp_path / "short", max_position_embeddings=20, eos_token_id=None)
        with self.opened(self.handle(folder, tiny_bpe)) as engine:
            assert engine.context_length == 20
            answer = engine.submit(Request([5, 6, 7], Sampling(max_new_tokens=50, temperature=0.0))).result()
            assert answer.finish_reason == "stop" or (len(answer.token_ids), answer.finish_reason) == (17, "length")
            with pytest.raises(TunesmithError, match="20 tokens; the model's context ends at 20"):
                engine.submit(Request([5] * 20))

    @pytest.mark.parametrize("request_", [Request([]), Request([5], adapter="nobody's"), Request([5], log_probs=-1)])
    def test_impossible_requests(self, tiny_llama: Path, tiny_bpe: Any, request_: Request) -> None:
        """What cannot be answered is refused when it is submitted."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine, pytest.raises(TunesmithError):
            engine.submit(request_)

    # ---- many answers

    def test_many_at_once(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Requests of twenty threads, of different lengths, each get the answer that they get alone."""
        prompts = [request.prompt for request in requests_of(tiny_bpe, self.greedy)]
        asked = [
            Request(prompts[number % 3], Sampling(max_new_tokens=1 + number, temperature=0.0, seed=number))
            for number in range(20)
        ]
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine, ThreadPoolExecutor(20) as threads:
            alone = [engine.submit(request).result() for request in asked]
            together = list(threads.map(lambda request: engine.submit(request).result(), asked))
        assert together == alone
        assert all(len(answer.token_ids) <= 1 + number for number, answer in enumerate(alone))

    def test_in_an_event_loop(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Answers are awaited, and iterated, without a thread for each."""

        async def ask(engine: Engine) -> tuple[list[Delta], list[Delta]]:
            begun = [engine.submit(request) for request in requests_of(tiny_bpe, self.greedy)]
            return list(await asyncio.gather(*map(_whole, begun))), [delta async for delta in begun[0]]

        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            awaited, deltas = asyncio.run(ask(engine))
            assert awaited == [engine.submit(request).result() for request in requests_of(tiny_bpe, self.greedy)]
            assert tuple(token for delta in deltas for token in delta.token_ids) == awaited[0].token_ids

    def test_cancel(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A cancelled answer ends at once, and the others go on."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            first, second, _ = requests_of(tiny_bpe, self.greedy)
            expected = engine.submit(second).result()
            cancelled = engine.submit(Request(first.prompt, Sampling(max_new_tokens=1000, temperature=0.0)))
            going = engine.submit(second)
            next(iter(cancelled))
            cancelled.cancel()
            assert cancelled.result().finish_reason == "cancelled" or list(cancelled)[-1].finish_reason == "stop"
            assert going.result() == expected

    def test_close(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Closing ends answers that run or wait, and every thread; then nothing more is answered."""
        before = threading.active_count()
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            sampling = Sampling(max_new_tokens=1500, temperature=0.0)
            running = [engine.submit(Request(request.prompt, sampling)) for request in requests_of(tiny_bpe, sampling)]
            next(iter(running[0]))
            engine.close()
            assert {answer.result().finish_reason for answer in running} <= {"cancelled", "stop"}
            with pytest.raises(TunesmithError, match="closed"):
                engine.submit(Request([5]))
        deadline = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert threading.active_count() <= before

    def test_reader_may_leave(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Closing the iterator over the pieces ends the answers."""
        with Chat(self.handle(tiny_llama, tiny_bpe), self.manager().hook.open_engine) as chat:
            pieces = chat.answer(CONVERSATIONS, Sampling(max_new_tokens=1000, temperature=0.0))
            next(pieces)
            pieces.close()
            stats = chat.engine.stats()
            assert (stats.answered, stats.waiting) == (3, 0)

    def test_stats(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The engine counts answers and tokens."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            asked = requests_of(tiny_bpe, self.greedy)
            told = [answer.result() for answer in [engine.submit(request) for request in asked]]
            stats = engine.stats()
            assert (stats.waiting, stats.answered, stats.asleep) == (0, 3, False)
            assert stats.prompt_tokens == sum(len(request.prompt) for request in asked)
            assert stats.new_tokens == sum(len(answer.token_ids) for answer in told)


def answers(pieces: list[Piece]) -> dict[int, str]:
    """The pieces, joined by conversation."""
    return {
        index: "".join(piece.text for piece in pieces if piece.index == index)
        for index in sorted({piece.index for piece in pieces})
    }


async def _whole(answer: Any) -> Delta:
    whole: Delta = await answer
    return whole
