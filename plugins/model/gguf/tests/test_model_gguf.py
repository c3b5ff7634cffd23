"""A GGUF file as a model to be asked: what is known before llama.cpp is there."""

from types import SimpleNamespace

import pytest
from tunesmith import TunesmithError
from tunesmith.keys import Key, Origin
from tunesmith.traits import EngineTraits
from tunesmith_library_testing import ModelSuite
from tunesmith_library_testing.parts import StubPlan, source_of
from tunesmith_model_gguf import GGUF

_WHY = "nothing of torch is made of such a file"


class TestGGUF(ModelSuite):
    plugin = GGUF
    options = {"path": "model.gguf"}
    deviations = {
        "test_loads_the_tokenizer": "test_model_gguf_asking does, with a file of this kind, where llama.cpp is there",
        "test_loads_the_weights": _WHY,
        "test_logits_of_chosen_positions": _WHY,
        "test_sequences_are_isolated": _WHY,
    }

    def test_loads_the_tokenizer(self):
        """A file that is none is an error before llama.cpp is asked for."""
        with pytest.raises(TunesmithError, match="no file or folder"):
            self.manager().hook.load_processor(source=source_of("nowhere.gguf"))

    def test_loads_the_weights(self):
        with pytest.raises(TunesmithError, match="engine=llamacpp"):
            self.manager().hook.load_model(source=source_of("model.gguf"), processor=None, quantization=None)

    def test_logits_of_chosen_positions(self):
        """Training and exporting are refused before anything is loaded, with what to do instead."""
        for command in ("train", "export"):
            (problem,) = self._said(command)
            assert "cannot" in problem.message or "not" in problem.message
            assert "was written from" in problem.advice

    def test_sequences_are_isolated(self):
        """An engine that runs modules of torch is refused, by what it says of itself."""
        (problem,) = self._said("chat", EngineTraits(runs_modules=True))
        assert problem.key == "engine" and "engine=llamacpp" in problem.advice
        assert self._said("chat", EngineTraits()) == []

    def test_a_repository(self):
        """Of the many files of a repository one is taken: that is said before all are fetched."""
        for path, wanted in (("org/x-GGUF", "hf://org/x-GGUF/FILE.gguf"), ("s3://b/x", "s3://b/x/FILE.gguf")):
            found = self.make(path=path).check(plan=StubPlan({}, command="chat"))
            assert [problem.advice for problem in found if problem.key == "model.path"] == [f"model.path={wanted}"]
        for path in ("hf://org/x/x-Q4.gguf", "./x-GGUF", "x.GGUF"):
            found = self.make(path=path).check(plan=StubPlan({}, command="chat"))
            assert not [problem for problem in found if problem.key == "model.path"]

    def _said(self, command, traits=None):
        engine = {} if traits is None else {"engine": {"mine": type("Mine", (), {"traits": traits})()}}
        plan = StubPlan({"model": {"gguf": self.make()}, **engine}, command=command)
        installed = [problem for problem in self.make().check(plan=plan) if "not installed" not in problem.message]
        return installed


@pytest.mark.parametrize(
    ("path", "origin", "refused"),
    [
        (None, Origin("command line"), True),
        ("x.gguf", Origin("command line"), False),
        (None, Origin("run.yaml", 3), False),
        (None, None, False),
    ],
)
def test_an_adapter_without_a_file(path, origin, refused):
    """One that is asked for and would do nothing is told; the default, a file's, and one with a path, are not."""
    plan = StubPlan({"adapter": {"lora": SimpleNamespace(path=path)}}, command="chat")
    object.__setattr__(plan, "origins", {Key("adapter", "name"): origin} if origin else {})
    told = [problem.advice for problem in GGUF(path="x.gguf").check(plan=plan) if problem.key == "adapter.name"]
    assert len(told) == refused and all("engine.adapters=" in advice for advice in told)
