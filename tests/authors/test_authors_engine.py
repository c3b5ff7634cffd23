import pytest
from engine_lookup import Lookup, LookupEngine
from tunesmith.types import Request, Sampling
from tunesmith_library_testing import EngineSuite

pytestmark = pytest.mark.slow


class TestLookup(EngineSuite):
    plugin = Lookup
    one_file = True

    def test_guesses_save_passes(self, tiny_llama, tiny_bpe, monkeypatch):
        """A tiny model soon repeats itself: its answers take fewer passes than they have tokens, and are the same."""
        passes, run = [], LookupEngine.run
        monkeypatch.setattr(LookupEngine, "run", lambda *given, **options: passes.append(1) or run(*given, **options))
        answers, counts = [], []
        for guesses in (0, 8):
            with self.opened(self.handle(tiny_llama, tiny_bpe), guesses=guesses) as engine:
                request = Request([5, 6, 7, 8] * 4, Sampling(max_new_tokens=100, temperature=0.0))
                answers.append(engine.submit(request).result().token_ids)
            counts.append(len(passes) - sum(counts))
        assert answers[0] == answers[1] and counts[0] == len(answers[0]) > counts[1]
