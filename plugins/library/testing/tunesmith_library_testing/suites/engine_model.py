"""What every engine keeps to that has a model at hand: what it says of tokens, and its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import TunesmithError
from tunesmith.traits import traits_of
from tunesmith.types import Conversation, Engine, ModelHandle, Request, Sampling

from tunesmith_library_testing.parts import CHAT, CHATML, handle_of, load_plain
from tunesmith_library_testing.suites.plugin import PluginSuite
from tunesmith_library_testing.tiny import save_tiny_model

CONVERSATIONS = (
    Conversation(CHAT[:1]),
    Conversation(CHAT[:3]),
    Conversation(({"role": "user", "content": "Sing, 鲸鱼! And count the waves twice while the tide turns."},)),
)


class EngineModelSuite(PluginSuite):
    """The part of `EngineSuite` about scores and weights."""

    kind = "engine"
    greedy: ClassVar[Sampling] = Sampling(max_new_tokens=12, temperature=0.0)

    def handle(self, folder: Path, tokenizer: Any, **options: Any) -> ModelHandle:
        """The model to answer with; a test class may give another."""
        return handle_of(folder, tokenizer, **options)

    @contextmanager
    def opened(self, handle: ModelHandle, **options: Any) -> Iterator[Engine]:
        """An engine, closed behind the test; options are of the plugin."""
        engine = self.manager(**options).hook.open_engine(handle=handle)
        try:
            yield engine
        finally:
            engine.close()

    # ---- what the model says of tokens

    def test_log_probs(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Every token comes with its log-probability and the likeliest alternatives, as the model alone has them."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            request = requests_of(tiny_bpe, self.greedy)[0]
            told = engine.submit(Request(request.prompt, request.sampling, log_probs=3)).result()
            plain = engine.submit(request).result()
        assert plain.token_ids == told.token_ids and plain.log_probs == ()
        reference = _log_probs(tiny_llama, [*request.prompt, *told.token_ids])[len(request.prompt) - 1 : -1]
        for of, token, log_prob in zip(reference, told.token_ids, told.log_probs, strict=True):
            assert log_prob.value == pytest.approx(float(of[token]), abs=1e-4)
            best = of.topk(3)
            assert list(log_prob.alternatives) == best.indices.tolist()
            assert list(log_prob.alternatives.values()) == pytest.approx(best.values.tolist(), abs=1e-4)

    def test_score(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The log-probabilities of sequences of any length are those of the model in float64."""
        texts = ("Whales sing, the tide turns.", "你好", "Nobody counts the waves twice, and yet somebody does.")
        sequences = [[3], *(tiny_bpe.encode(text, add_special_tokens=False) for text in texts)]
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            scores, best = engine.score(sequences), engine.score(sequences, alternatives=2)
            assert engine.score([]) == []
            with pytest.raises(TunesmithError, match="alternatives=-1"):
                engine.score(sequences, alternatives=-1)
        for sequence, plain, told in zip(sequences, scores, best, strict=True):
            reference = _log_probs(tiny_llama, sequence)
            expected = [float(of[token]) for of, token in zip(reference, sequence[1:], strict=False)]
            assert [log_prob.value for log_prob in plain] == pytest.approx(expected, abs=1e-4)
            assert [log_prob.value for log_prob in told] == pytest.approx(expected, abs=1e-4)
            assert [list(log_prob.alternatives) for log_prob in told] == reference[:-1].topk(2).indices.tolist()

    def test_embed(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A vector for each sequence that does not depend on the others, or the reason why there is none."""
        sequences = [[5, 6, 7, 8], [5], [9, 8, 7, 6, 5, 4, 3]]
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            try:
                vectors = engine.embed(sequences)
            except TunesmithError as error:
                assert str(error), "say why there are no vectors"
                return
            assert len(vectors) == 3 and len({len(vector) for vector in vectors}) == 1
            for sequence, vector in zip(sequences, vectors, strict=True):
                assert engine.embed([sequence])[0] == pytest.approx(vector, abs=1e-5)

    # ---- weights

    def test_load_weights(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """With the weights of another model it answers as that one; unknown names and other shapes are refused."""
        other = load_plain(save_tiny_model(tmp_path / "other", seed=7))
        (request, *_) = requests_of(tiny_bpe, self.greedy)
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            before = list(engine.submit(request).result().token_ids)
            engine.load_weights(other.state_dict().items())
            ends = {*engine.end_token_ids, *request.sampling.stop_token_ids}
            assert list(engine.submit(request).result().token_ids) == greedy_tokens(other, request, ends) != before
            name, weight = next(iter(other.state_dict().items()))
            with pytest.raises(TunesmithError, match="nobody"):
                engine.load_weights([("nobody.weight", weight)])
            with pytest.raises(TunesmithError, match=name):
                engine.load_weights([(name, weight[:1])])

    def test_a_model_that_is_trained(self, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
        """An engine that runs modules answers with the weights of the moment, and the module learns on."""
        if not traits_of("engine", self.plugin).runs_modules:
            pytest.skip("this engine has weights of its own")
        model, other = load_plain(tiny_llama), load_plain(save_tiny_model(tmp_path / "other", seed=7))
        (request, *_) = requests_of(tiny_bpe, self.greedy)
        with self.opened(handle_of(tiny_llama, tiny_bpe, load=lambda: model)) as engine:
            ends = {*engine.end_token_ids, *request.sampling.stop_token_ids}
            before = list(engine.submit(request).result().token_ids)
            engine.load_weights(())
            model.load_state_dict(other.state_dict())
            engine.load_weights(())
            assert list(engine.submit(request).result().token_ids) == greedy_tokens(other, request, ends) != before
            engine.load_weights(())
        model(torch_ids(request.prompt)).logits.sum().backward()
        assert not [name for name, weight in model.named_parameters() if weight.grad is None]

    def test_sleep(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Asleep it answers nothing; awake again, it answers as before."""
        (request, *_) = requests_of(tiny_bpe, self.greedy)
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            running = engine.submit(request)
            engine.sleep()
            assert running.result().finish_reason in ("stop", "length"), "what was asked before is answered before"
            assert engine.stats().asleep
            with pytest.raises(TunesmithError, match="sleeps"):
                engine.submit(request)
            with pytest.raises(TunesmithError, match="sleeps"):
                engine.score([request.prompt])
            engine.wake()
            assert not engine.stats().asleep
            assert engine.submit(request).result() == running.result()

    def test_loads_once(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The model is loaded when the engine is opened, once."""
        loads: list[Path] = []

        def load() -> Any:
            loads.append(tiny_llama)
            return load_plain(tiny_llama)

        with self.opened(handle_of(tiny_llama, tiny_bpe, load=load)) as engine:
            for request in requests_of(tiny_bpe, self.greedy):
                engine.submit(request).result()
        assert len(loads) <= 1, f"loaded {len(loads)} times"


def requests_of(tokenizer: Any, sampling: Sampling) -> list[Request]:
    """What an engine is asked for `CONVERSATIONS`."""
    return [CHATML.request(tokenizer, conversation, sampling) for conversation in CONVERSATIONS]


def torch_ids(tokens: Sequence[int]) -> Any:
    """Token ids as a batch of one, int64 (1, T)."""
    import torch

    return torch.tensor([list(tokens)])


def greedy_tokens(model: Any, request: Request, ends: set[int]) -> list[int]:
    """The likeliest tokens, one after the other, up to one that ends the answer."""
    ids = torch_ids(request.prompt)
    made: list[int] = model.generate(
        ids,
        attention_mask=ids.new_ones(ids.shape),
        max_new_tokens=request.sampling.max_new_tokens,
        do_sample=False,
        eos_token_id=sorted(ends),
    )[0, ids.shape[1] :].tolist()
    return made


def _log_probs(folder: Path, sequence: Any) -> Any:
    """The log-probabilities of every next token (T, V), computed in float64."""
    import torch

    model = load_plain(folder, "float64")
    with torch.no_grad():
        return model(torch.tensor([sequence]), use_cache=False).logits[0].log_softmax(-1)
