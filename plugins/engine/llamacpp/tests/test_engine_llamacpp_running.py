"""The engine with tiny models in llama.cpp."""

import math
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.types import Request, Sampling
from tunesmith_engine_llamacpp import LlamaCpp
from tunesmith_library_testing import EngineSuite
from tunesmith_library_testing.gguf import save_tiny_gguf, save_tiny_lora
from tunesmith_library_testing.parts import handle_of, load_plain
from tunesmith_library_testing.suites.engine_model import requests_of
from tunesmith_library_testing.tiny import save_tiny_model

pytestmark = pytest.mark.slow
pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: make programs")


def gguf_of(folder: Path) -> Path:
    """The same model as a GGUF file, beside its folder; written once."""
    target = folder.with_suffix(".gguf")
    return target if target.is_file() else save_tiny_gguf(folder, target)


def gguf_handle(folder, tokenizer, **options):
    handle = handle_of(folder, tokenizer, **options)
    return replace(handle, source=replace(handle.source, path=gguf_of(folder)))


class TestLlamaCpp(EngineSuite):
    plugin = LlamaCpp
    options = {"cache": "f32", "threads": 1}
    deviations = {
        "test_load_weights": "llama.cpp's weights are those of its file, and are not exchanged",
        "test_loads_once": "the model of torch is not loaded at all",
    }

    def handle(self, folder, tokenizer, **options):
        return gguf_handle(folder, tokenizer, **options)

    def test_load_weights(self, tiny_llama, tiny_bpe):
        """They are refused, with what to do instead; the engine goes on."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            with pytest.raises(TunesmithError, match="exporter=gguf"):
                engine.load_weights([])
            assert engine.submit(requests_of(tiny_bpe, self.greedy)[0]).result().token_ids

    def test_loads_once(self, tiny_llama, tiny_bpe):
        """Nothing of torch is loaded."""

        def load():
            raise AssertionError("loaded")

        with self.opened(self.handle(tiny_llama, tiny_bpe, load=load)) as engine:
            assert engine.submit(requests_of(tiny_bpe, self.greedy)[0]).result().token_ids

    # ---- beyond the suite

    def test_penalties_and_bias(self, tiny_llama, tiny_bpe):
        """Off the scores of transformers' model, written out, before the likeliest is taken."""
        prompt, model = requests_of(tiny_bpe, self.greedy)[0].prompt, load_plain(tiny_llama)
        bias = {7: 0.05, 300: -3.0}
        asked = Sampling(
            max_new_tokens=16,
            temperature=0.0,
            repetition_penalty=1.2,
            frequency_penalty=0.04,
            presence_penalty=0.02,
            logit_bias=bias,
        )
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            told = engine.submit(Request(prompt, asked)).result().token_ids
            ends = engine.end_token_ids
        made: list[int] = []
        while len(made) < 16 and not set(made) & ends:
            with torch.no_grad():
                scores = model(torch.tensor([[*prompt, *made]]), use_cache=False).logits[0, -1].tolist()
            for token, value in bias.items():
                scores[token] += value
            for token in {*prompt, *made}:
                scores[token] = scores[token] * 1.2 if scores[token] <= 0 else scores[token] / 1.2
            for token in set(made):
                scores[token] -= 0.04 * made.count(token) + 0.02
            made.append(max(range(len(scores)), key=scores.__getitem__))
        assert list(told) == made

    def test_draws(self, tiny_llama, tiny_bpe):
        """The first tokens of many seeds are spread as the probabilities of what top_k, top_p and min_p leave."""
        prompt, model = requests_of(tiny_bpe, self.greedy)[0].prompt, load_plain(tiny_llama)
        with torch.no_grad():
            scores = model(torch.tensor([prompt]), use_cache=False).logits[0, -1].double()
        temperature = 0.05
        kept = (scores / temperature).softmax(-1).topk(6)
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:

            def drawn(count, **asked):
                sampling = Sampling(max_new_tokens=1, temperature=temperature, **asked)
                answers = [engine.submit(Request(prompt, replace(sampling, seed=seed))) for seed in range(count)]
                return [answer.result().token_ids[0] for answer in answers]

            told = drawn(400, top_k=6)
            expected = kept.values / kept.values.sum()
            for token, share in zip(kept.indices.tolist(), expected.tolist(), strict=True):
                assert abs(told.count(token) / 400 - share) < 4 * math.sqrt(share * (1 - share) / 400)
            assert set(told) <= set(kept.indices.tolist())
            whole = (scores / temperature).softmax(-1).sort(descending=True)
            inside = int((whole.values.cumsum(0) < 0.3).sum()) + 1
            assert set(drawn(60, top_p=0.3)) <= set(whole.indices[:inside].tolist())
            likely = whole.indices[whole.values >= 0.7 * whole.values[0]].tolist()
            assert set(drawn(60, min_p=0.7)) <= set(likely)
            assert drawn(3, top_k=6) == told[:3]

    def test_adapters(self, tiny_llama, tiny_bpe, tmp_path):
        """A request names its adapter; each answers as a model with those weights, also in turns with others."""
        names = {"one": 1, "two": 2}
        answers = {"base": load_plain(tiny_llama)}
        for name, seed in names.items():
            added = save_tiny_lora(tiny_llama, tmp_path / f"{name}.gguf", seed=seed)
            answers[name] = load_plain(tiny_llama)
            for key, weight in answers[name].named_parameters():
                if key in added:
                    weight.data += torch.from_numpy(added[key])
        prompt = list(requests_of(tiny_bpe, self.greedy)[0].prompt)
        expected = {}
        for name, model in answers.items():
            with torch.no_grad():
                expected[name] = model(torch.tensor([prompt]), use_cache=False).logits[0].log_softmax(-1)
        files = [str(tmp_path / f"{name}.gguf") for name in names]
        with self.opened(self.handle(tiny_llama, tiny_bpe), adapters=files) as engine:
            assert engine.adapters == ("base", "one", "two")
            for name in ("two", "base", "one", None, "base"):
                (told,) = engine.score([prompt], adapter=name)
                own = expected[name or "one"]
                wanted = [float(of[token]) for of, token in zip(own, prompt[1:], strict=False)]
                assert [one.value for one in told] == pytest.approx(wanted, abs=2e-2)
            asked = [Request(prompt, self.greedy, adapter=name) for name in ("one", "two", "base", "one", "two")]
            alone = [engine.submit(request).result() for request in asked]
            with ThreadPoolExecutor(5) as threads:
                together = list(threads.map(lambda request: engine.submit(request).result(), asked))
            assert together == alone
            assert len({answer.token_ids for answer in alone}) == 3
            with pytest.raises(TunesmithError, match="did you mean one"):
                engine.submit(Request(prompt, adapter="oen"))
        (tmp_path / "two.gguf").unlink()
        handle = replace(self.handle(tiny_llama, tiny_bpe), adapter=tmp_path)  # the one that the folder holds
        with self.opened(handle) as engine:
            assert engine.adapters == ("base", "one")
            assert engine.submit(Request(prompt, self.greedy)).result().token_ids == alone[0].token_ids

    def test_vectors(self, tiny_llama, tiny_bpe):
        """The mean over the tokens of transformers' last hidden states, of a text that is longer than a batch too."""
        model = load_plain(tiny_llama)
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            for ids in ([5, 9, 200], [5 + at % 300 for at in range(150)]):
                with torch.no_grad():
                    states = model(torch.tensor([ids]), output_hidden_states=True, use_cache=False).hidden_states
                assert engine.embed([ids])[0] == pytest.approx(states[-1][0].mean(0).tolist(), abs=1e-4)
            assert engine.submit(Request([5], self.greedy)).result().token_ids, "it answers behind it"

    def test_a_conversation_that_goes_on(self, tiny_llama, tiny_bpe):
        """What is remembered changes no answer; several answers that have no room together take turns."""
        prompt = [*requests_of(tiny_bpe, self.greedy)[2].prompt]
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            first = engine.submit(Request(prompt, self.greedy)).result().token_ids
            longer = [*prompt, *first, 5, 6, 7]
            told = engine.submit(Request(longer, self.greedy, log_probs=2)).result()
        with self.opened(self.handle(tiny_llama, tiny_bpe), context_length=len(longer) + 12) as engine:
            assert engine.context_length == len(longer) + 12
            asked = [engine.submit(Request(longer, self.greedy, log_probs=2)) for _ in range(4)]
            for answer in asked:
                assert answer.result().token_ids == told.token_ids
                for one, other in zip(answer.result().log_probs, told.log_probs, strict=True):
                    assert one.value == pytest.approx(other.value, abs=1e-4)

    def test_memory_apart(self, tiny_llama, tiny_bpe):
        """Each answer has as much memory as one alone, and they are computed together."""
        asked = [Request([5 + number] * 50, Sampling(max_new_tokens=14, temperature=0.0)) for number in range(6)]
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            alone = [engine.submit(request).result().token_ids for request in asked]
        options = {"context_length": 64, "batch_size": 3, "memory": "apart"}
        with self.opened(self.handle(tiny_llama, tiny_bpe), **options) as engine:
            assert engine.context_length == 64
            begun = [engine.submit(request) for request in asked]
            told = [answer.result().token_ids for answer in begun]
        assert told == alone

    def test_noise(self, tiny_llama, tiny_bpe):
        """Whoever cancels, asks for scores or waits for room beside it, an answer is the one that comes alone."""
        chance = random.Random(0)
        asked = [
            Request(
                [chance.randrange(5, 370) for _ in range(chance.choice((3, 40, 200)))],
                Sampling(max_new_tokens=chance.choice((1, 20)), temperature=chance.choice((0.0, 0.8)), seed=number),
            )
            for number in range(24)
        ]
        with self.opened(self.handle(tiny_llama, tiny_bpe), context_length=400, batch_size=5) as engine:
            alone = [engine.submit(request).result() for request in asked]

            def ask(number):
                answer = engine.submit(asked[number])
                if number % 3 == 0:
                    next(iter(answer))
                    answer.cancel()
                if number % 5 == 0:
                    engine.score([asked[number].prompt])
                return answer.result()

            with ThreadPoolExecutor(12) as threads:
                told = list(threads.map(ask, range(24)))
            for number, (one, other) in enumerate(zip(told, alone, strict=True)):
                cut = len(one.token_ids) if number % 3 == 0 else None
                assert one.token_ids == other.token_ids[:cut]
            assert engine.stats().waiting == engine.stats().running == 0

    def test_what_is_refused(self, tiny_llama, tiny_bpe, tmp_path):
        """Tokens that the model does not have, pictures, and a handle without such a file; the engine goes on."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            for request, told in (
                (Request([5, 100_000]), "the token 100000"),
                (Request([5], Sampling(logit_bias={-1: 2.0})), "logit_bias has the token -1"),
                (Request([5], Sampling(logit_bias=dict.fromkeys(range(len(tiny_bpe)), -math.inf))), "forbids all"),
                (Request([5], inputs={"pixel_values": 1}), "pixel_values"),
            ):
                with pytest.raises(TunesmithError, match=told):
                    engine.submit(request)
            with pytest.raises(TunesmithError, match="sequence 1 has the token 100000"):
                engine.score([[5], [100_000]])
            assert engine.submit(Request([5], self.greedy)).result().token_ids
        with pytest.raises(TunesmithError, match="exporter=gguf"):
            self.manager().hook.open_engine(handle=handle_of(tiny_llama, tiny_bpe))

    def test_half_numbers(self, tmp_path, tiny_bpe):
        """With the options as they are, keys and values in 16 bits: about the same probabilities."""
        folder = save_tiny_model(tmp_path / "model", seed=5)
        model, ids = load_plain(folder), [5, 9, 200, 31, 8]
        with torch.no_grad():
            expected = model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
        with self.opened(self.handle(folder, tiny_bpe), cache="f16") as engine:
            (told,) = engine.score([ids])
        wanted = [float(of[token]) for of, token in zip(expected, ids[1:], strict=False)]
        assert [one.value for one in told] == pytest.approx(wanted, abs=1e-2)
