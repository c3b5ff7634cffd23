"""What every engine keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tunesmith.types import Conversation, Delta, ModelHandle, Sampling

from tunesmith_library_testing.parts import CHAT, CHATML, handle_of, load_plain
from tunesmith_library_testing.suites.plugin import PluginSuite

CONVERSATIONS = (
    Conversation(CHAT[:1]),
    Conversation(CHAT[:3]),
    Conversation(({"role": "user", "content": "Sing, 鲸鱼! And count the waves twice while the tide turns."},)),
)


class EngineSuite(PluginSuite):
    """The tests of an `engine` plugin, with a tiny Llama of random weights and greedy sampling."""

    kind = "engine"
    greedy: ClassVar[Sampling] = Sampling(max_new_tokens=12, temperature=0.0)

    def handle(self, folder: Path, tokenizer: Any) -> ModelHandle:
        """The model to answer with; a test class may give another."""
        return handle_of(folder, tokenizer)

    def pieces(self, handle: ModelHandle, conversations: tuple[Conversation, ...], sampling: Sampling) -> list[Delta]:
        """All pieces of the answers."""
        return list(self.manager().hook.generate(handle=handle, conversations=conversations, sampling=sampling))

    def test_pieces(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Answers come in pieces; each answer's last piece, and no other, says why it ended."""
        told = self.pieces(self.handle(tiny_llama, tiny_bpe), CONVERSATIONS, self.greedy)
        assert len(told) > len(CONVERSATIONS), "each answer comes as a whole: nothing streams"
        assert all(isinstance(piece, Delta) for piece in told)
        assert {piece.index for piece in told} == {0, 1, 2}
        for index in range(3):
            reasons = [piece.finish_reason for piece in told if piece.index == index]
            assert reasons[-1] in ("stop", "length") and not any(reasons[:-1])

    def test_batch_equals_single(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Conversations that are answered together get the answers that each gets alone."""
        handle = self.handle(tiny_llama, tiny_bpe)
        together = answers(self.pieces(handle, CONVERSATIONS, self.greedy))
        alone = {
            index: answers(self.pieces(handle, (conversation,), self.greedy))[0]
            for index, conversation in enumerate(CONVERSATIONS)
        }
        assert together == alone

    def test_equals_transformers(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The greedy answer is the one that transformers' own generate gives, as far as that is text."""
        told = self.pieces(self.handle(tiny_llama, tiny_bpe), CONVERSATIONS[:1], self.greedy)
        expected = _greedy(load_plain(tiny_llama), tiny_bpe, CONVERSATIONS[0], self.greedy.max_new_tokens or 0)
        assert answers(told)[0].rstrip("\ufffd") == expected.rstrip("\ufffd")

    def test_counts_tokens(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The pieces count the generated tokens: as many as allowed when an answer ends by length."""
        told = self.pieces(self.handle(tiny_llama, tiny_bpe), CONVERSATIONS, self.greedy)
        for index in range(3):
            mine = [piece for piece in told if piece.index == index]
            count = sum(piece.num_tokens for piece in mine)
            assert count == self.greedy.max_new_tokens if mine[-1].finish_reason == "length" else count >= 1

    def test_stop_strings(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A stop string ends the answer, and is not part of it."""
        handle = self.handle(tiny_llama, tiny_bpe)
        full = answers(self.pieces(handle, CONVERSATIONS[:1], self.greedy))[0]
        stop = full[len(full) // 2 :][:2]
        sampling = Sampling(max_new_tokens=12, temperature=0.0, stop=(stop,))
        told = self.pieces(handle, CONVERSATIONS[:1], sampling)
        assert answers(told)[0] == full[: full.index(stop)]
        assert told[-1].finish_reason == "stop"

    def test_seed(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The same seed samples the same answer; another seed another one."""
        handle = self.handle(tiny_llama, tiny_bpe)

        def sampled(seed: int) -> str:
            sampling = Sampling(max_new_tokens=12, temperature=1.0, top_p=1.0, top_k=0, seed=seed)
            return answers(self.pieces(handle, CONVERSATIONS[:1], sampling))[0]

        assert sampled(1) == sampled(1) != sampled(2)

    def test_loads_once(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The model is loaded at the first call and kept for the next."""
        loads: list[Path] = []

        def load() -> Any:
            loads.append(tiny_llama)
            return load_plain(tiny_llama)

        hook, handle = self.manager().hook, handle_of(tiny_llama, tiny_bpe, load=load)
        for _ in range(2):
            list(hook.generate(handle=handle, conversations=CONVERSATIONS[:1], sampling=self.greedy))
        assert len(loads) <= 1, f"loaded {len(loads)} times"

    def test_consumer_may_leave(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Closing the iterator ends the generation: no thread goes on behind it."""
        import threading
        import time

        before = threading.active_count()
        stream = self.manager().hook.generate(
            handle=self.handle(tiny_llama, tiny_bpe),
            conversations=CONVERSATIONS,
            sampling=Sampling(max_new_tokens=400, temperature=0.0),
        )
        next(iter(stream))
        close = getattr(stream, "close", None)
        assert close, "the hook gives an iterator that cannot be closed; make it a generator"
        close()
        deadline = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert threading.active_count() <= before


def answers(pieces: list[Delta]) -> dict[int, str]:
    """The pieces, joined by conversation."""
    return {
        index: "".join(piece.text for piece in pieces if piece.index == index)
        for index in sorted({piece.index for piece in pieces})
    }


def _greedy(model: Any, tokenizer: Any, conversation: Conversation, length: int) -> str:
    """The text of the likeliest tokens, one after the other, up to the end of the turn."""
    import torch

    prompt = CHATML.render(conversation.messages, add_generation_prompt=True).text
    ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False)])
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")]
    made = model.generate(ids, max_new_tokens=length, do_sample=False, eos_token_id=ends)[0, ids.shape[1] :].tolist()
    if made[-1] in ends:
        made.pop()
    return tokenizer.decode(made)
