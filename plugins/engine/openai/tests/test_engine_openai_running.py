"""The conformance suite of engines, with tiny models behind servers."""

import pytest
from tunesmith import TunesmithError
from tunesmith_engine_openai import OpenAI
from tunesmith_engine_transformers import Transformers
from tunesmith_library_testing import EngineSuite
from tunesmith_library_testing.parts import handle_of
from tunesmith_library_testing.served import model_reply, served
from tunesmith_library_testing.suites.engine_model import requests_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url_of():
    """Gives the address of a server that runs the model of a folder."""
    running = {}

    def url(folder, tokenizer):
        if folder not in running:
            engine = Transformers().open_engine(handle_of(folder, tokenizer))
            server = served(model_reply(engine))
            running[folder] = (server.__enter__().url, server, engine)
        return running[folder][0]

    yield url
    for _, server, engine in running.values():
        engine.close()
        server.__exit__(None, None, None)


class TestOpenAI(EngineSuite):
    plugin = OpenAI
    options = {"base_url": "http://127.0.0.1:9/v1"}
    deviations = {
        "test_load_weights": "the weights are the server's, and are not exchanged",
        "test_loads_once": "no model is loaded here at all",
    }

    @pytest.fixture(autouse=True)
    def _served(self, url_of, tiny_llama, tiny_bpe):
        """Runs before the threads are counted."""
        self.url_of = url_of
        url_of(tiny_llama, tiny_bpe)

    def handle(self, folder, tokenizer, **options):
        type(self).options = {"base_url": self.url_of(folder, tokenizer)}
        return handle_of(folder, tokenizer, **options)

    def test_load_weights(self, tiny_llama, tiny_bpe):
        """They are refused, with what to do instead; the engine goes on."""
        with self.opened(self.handle(tiny_llama, tiny_bpe)) as engine:
            with pytest.raises(TunesmithError, match="engine=vllm"):
                engine.load_weights([])
            assert engine.submit(requests_of(tiny_bpe, self.greedy)[0]).result().token_ids

    def test_loads_once(self, tiny_llama, tiny_bpe):
        """Nothing is loaded here."""

        def load():
            raise AssertionError("loaded")

        with self.opened(self.handle(tiny_llama, tiny_bpe, load=load)) as engine:
            assert engine.submit(requests_of(tiny_bpe, self.greedy)[0]).result().token_ids
