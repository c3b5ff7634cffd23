"""The engine with tiny models in SGLang, on a GPU."""

import functools
import importlib.util
import json

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Request, Sampling
from tunesmith_engine_sglang import SGLang
from tunesmith_library_testing import EngineSuite
from tunesmith_library_testing.suites import engine as engine_suite
from tunesmith_library_testing.suites import engine_model
from tunesmith_library_testing.tiny import save_tiny_model

pytestmark = pytest.mark.gpu
if importlib.util.find_spec("sglang") is None:
    pytest.skip("SGLang is not installed", allow_module_level=True)

wide = functools.partial(save_tiny_model, head_dim=64)
"""Kernels of attention have no heads of 16."""


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory):
    return wide(tmp_path_factory.mktemp("wide") / "llama")


class TestSGLang(EngineSuite):
    plugin = SGLang
    options = {
        "mem_fraction_static": 0.2,
        "enable_deterministic_inference": True,
        "options": {"disable_cuda_graph": True, "attention_backend": "triton"},
    }

    @pytest.fixture(autouse=True)
    def _wide(self, monkeypatch):
        for module in (engine_suite, engine_model):
            monkeypatch.setattr(module, "save_tiny_model", wide)

    def test_grammars(self, tiny_llama, tiny_bpe):
        """An untrained model writes what fits a grammar."""
        schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
        grammar = f"start: %json {json.dumps({**schema, 'additionalProperties': False})}"
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            told = engine.submit(
                Request([5, 6], Sampling(max_new_tokens=200, temperature=0.0, grammar=grammar))
            ).result()
            assert json.loads(tiny_bpe.decode(told.token_ids[:-1])).keys() == {"a"}
            with pytest.raises(TunesmithError, match="engine=transformers has both"):
                engine.embed([[5]])
