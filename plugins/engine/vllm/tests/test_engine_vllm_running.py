"""The engine with tiny models in vLLM, on a GPU, or on a CPU with a build of vLLM for CPUs (see the README)."""

import functools
import importlib.util
import json
import math

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Request, Sampling
from tunesmith_engine_vllm import VLLM
from tunesmith_library_testing import EngineSuite
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_testing.suites import engine as engine_suite
from tunesmith_library_testing.suites import engine_model
from tunesmith_library_testing.suites.engine_model import requests_of
from tunesmith_library_testing.tiny import save_tiny_model

pytestmark = pytest.mark.slow
if importlib.util.find_spec("vllm") is None:
    pytest.skip("vLLM is not installed", allow_module_level=True)

wide = functools.partial(save_tiny_model, head_dim=32)
"""vLLM's kernels for CPUs have no heads of 16."""

ALONE = ("test_close", "test_sleep", "test_load_weights", "test_the_context_ends_an_answer")
"""The tests that have an engine of their own; the others share one, since each takes a minute to open on a CPU."""


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory):
    return wide(tmp_path_factory.mktemp("wide") / "llama")


class Shared:
    """An engine that stays open."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def close(self):
        """Nothing: others go on."""


@pytest.fixture(scope="module")
def shared():
    """The engines that stay open, by the folder of their model."""
    engines = {}
    yield engines
    for engine in engines.values():
        engine.close()


class TestVLLM(EngineSuite):
    plugin = VLLM
    options = {
        "enforce_eager": True,
        "max_num_seqs": 8,
        "gpu_memory_utilization": 0.2,
        "options": {"max_num_batched_tokens": 2048},
    }

    @pytest.fixture(autouse=True)
    def _as_it_is(self, request, monkeypatch, shared):
        """Heads as wide as vLLM wants them, and engines that are shared."""
        for module in (engine_suite, engine_model):
            monkeypatch.setattr(module, "save_tiny_model", wide)
        if request.node.originalname in ALONE:
            return
        opened = VLLM.open_engine

        def open_engine(plugin, handle):
            key = (handle.source.path, handle.adapter, tuple(plugin.adapters))
            if key not in shared:
                for other in list(shared):
                    shared.pop(other).close()
                shared[key] = opened(plugin, handle)
            stats = shared[key].stats()
            shared[key]._ledger = type(shared[key]._ledger)()
            assert stats.running == 0
            return Shared(shared[key])

        functools.update_wrapper(open_engine, opened)
        monkeypatch.setattr(VLLM, "open_engine", open_engine)

    def test_what_is_drawn(self, tiny_llama, tiny_bpe):
        """Bias and penalties of transformers' model, written out, before the likeliest is taken; a forbidden token."""
        prompt, model = list(requests_of(tiny_bpe, self.greedy)[0].prompt), load_plain(tiny_llama)
        import torch

        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            plain = engine.submit(Request(prompt, self.greedy)).result().token_ids
            bias = {plain[0]: -math.inf, 300: 0.01}
            told = engine.submit(Request(prompt, Sampling(max_new_tokens=1, temperature=0.0, logit_bias=bias))).result()
            with torch.no_grad():
                scores = model(torch.tensor([prompt])).logits[0, -1]
            for token, value in bias.items():
                scores[token] += value
            assert told.token_ids == (int(scores.argmax()),)

    def test_grammars(self, tiny_llama, tiny_bpe):
        """An untrained model writes what fits a grammar."""
        schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
        grammars = {
            f"start: %json {json.dumps({**schema, 'additionalProperties': False})}": lambda text: json.loads(text),
            'start: "yes" | "no"': lambda text: {"yes": 1, "no": 1}[text],
        }
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            for grammar, read in grammars.items():
                for seed in range(3):
                    sampling = Sampling(max_new_tokens=200, temperature=1.0, grammar=grammar, seed=seed)
                    told = engine.submit(Request([5, 6], sampling)).result()
                    assert told.finish_reason == "stop"
                    assert read(tiny_bpe.decode(told.token_ids[:-1]))
            with pytest.raises(TunesmithError):
                engine.submit(Request([5], Sampling(grammar="start: nobody"))).result()

    def test_what_is_refused(self, tiny_llama, tiny_bpe):
        """Tokens that the model does not have, pictures, hotter than vLLM goes, too long a text; the engine goes on."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            for request, told in (
                (Request([5, 100_000]), "the token 100000"),
                (Request([5], Sampling(logit_bias={-1: 2.0})), "logit_bias has the token -1"),
                (Request([5], inputs={"pixel_values": 1}), "pixel_values"),
                (Request([5], Sampling(temperature=3.0)), "temperature"),
            ):
                with pytest.raises(TunesmithError, match=told):
                    engine.submit(request)
            with pytest.raises(TunesmithError, match="engine=transformers has both"):
                engine.embed([[5]])
            assert engine.submit(Request([5], self.greedy)).result().token_ids

    def test_adapters(self, tiny_llama, tiny_bpe, tmp_path):
        """A request names its adapter; each answers as transformers' model with those weights."""
        import torch
        from peft import LoraConfig, get_peft_model

        prompt = list(requests_of(tiny_bpe, self.greedy)[0].prompt)
        expected = {"base": load_plain(tiny_llama)}
        for seed, name in enumerate(("one", "two")):
            torch.manual_seed(seed)
            config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
            expected[name] = get_peft_model(load_plain(tiny_llama), config)
            expected[name].save_pretrained(tmp_path / name)
        folders = [str(tmp_path / name) for name in ("one", "two")]
        with self.opened(self.handle(tiny_llama, tiny_bpe), adapters=folders) as engine:
            assert engine.adapters == ("base", "one", "two")
            for name in ("two", "base", "one", None):
                (told,) = engine.score([prompt], adapter=name)
                with torch.no_grad():
                    of = expected[name or "one"](torch.tensor([prompt])).logits[0].log_softmax(-1)
                wanted = [float(one[token]) for one, token in zip(of, prompt[1:], strict=False)]
                assert [one.value for one in told] == pytest.approx(wanted, abs=1e-3)
            with pytest.raises(TunesmithError, match="did you mean one"):
                engine.submit(Request(prompt, adapter="oen"))
