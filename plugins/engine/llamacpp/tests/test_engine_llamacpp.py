"""What the engine decides without llama.cpp: where answers have their place, and how tokens are chosen."""

from pathlib import Path

import pytest
import tunesmith_engine_llamacpp
from tunesmith import TunesmithError
from tunesmith.types import Sampling
from tunesmith_engine_llamacpp import LlamaCpp
from tunesmith_engine_llamacpp.loading import named
from tunesmith_engine_llamacpp.places import Places
from tunesmith_engine_llamacpp.settings import own_sampling
from tunesmith_library_engine.filling import filled
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_testing.suites.plugin import PluginSuite


class TestPlugin(PluginSuite):
    """What needs no llama.cpp; the suite of engines is in `test_engine_llamacpp_running`."""

    kind = "engine"
    plugin = LlamaCpp

    def test_without_the_program(self, monkeypatch):
        """It is told before anything is loaded, with the command that installs it."""
        monkeypatch.setattr(tunesmith_engine_llamacpp, "is_installed", lambda: False)
        (problem,) = self.make().check(plan=StubPlan({}, command="chat"))
        assert "not installed" in problem.message and "tunesmith-engine-llamacpp[program]" in problem.advice
        monkeypatch.setattr(tunesmith_engine_llamacpp, "is_installed", lambda: True)
        assert self.make().check(plan=StubPlan({}, command="chat")) == []


class Memory:
    """Notes what is to be forgotten; `whole` forgets all of a sequence or nothing, as a recurrent model does."""

    def __init__(self, whole=False):
        self.told, self.whole = [], whole

    def __call__(self, sequence, start):
        self.told.append((sequence, start))
        return start == 0 or not self.whole


def test_a_conversation_that_goes_on_finds_its_place():
    places = Places(2, 100, Memory())
    assert places.take([1, 2, 3], None, 20) == (0, 0)
    assert places.take([9, 9], None, 20) == (1, 0)
    places.leave(0, [1, 2, 3, 4, 5])
    places.leave(1, [9, 9, 8])
    assert places.take([9, 9, 8, 7], None, 20) == (1, 3)
    assert places.take([1, 2, 3, 4, 6, 6], None, 20) == (0, 4)


def test_the_last_token_of_a_prompt_is_always_computed():
    places = Places(1, 100, Memory())
    places.take([1, 2, 3], None, 20)
    places.leave(0, [1, 2, 3, 4])
    assert places.take([1, 2, 3], None, 20) == (0, 2)


def test_what_was_computed_with_another_adapter_is_not_taken():
    memory = Memory()
    places = Places(1, 100, memory)
    places.take([1, 2, 3], None, 20)
    places.leave(0, [1, 2, 3])
    assert places.take([1, 2, 3, 4], "mine", 20) == (0, 0)
    assert memory.told == [(0, 0)]


def test_a_memory_that_forgets_only_whole_sequences():
    memory = Memory(whole=True)
    places = Places(1, 100, memory)
    places.take([1, 2, 3], None, 20)
    places.leave(0, [1, 2, 3, 4])
    assert places.take([1, 2, 9], None, 20) == (0, 0)
    assert memory.told == [(0, 2), (0, 0)]
    places.leave(0, [1, 2, 9])
    assert places.take([1, 2, 9, 9], None, 20) == (0, 3), "nothing had to be forgotten"


def test_who_has_no_room_waits():
    places = Places(3, 100, Memory())
    assert places.take([1], None, 60) is not None
    assert places.take([2], None, 60) is None, "no memory for both"
    assert places.take([2], None, 40) is not None
    places.leave(0, [1])
    assert places.take([3], None, 60) is not None
    assert places.take([4], None, 1) is None


def test_what_is_remembered_makes_room():
    """The oldest first, and no more than is needed."""
    memory = Memory()
    places = Places(3, 100, memory)
    for number in range(3):
        places.take([number], None, 30)
    for number in range(3):
        places.leave(number, [number] * 30)
    assert places.take([2] * 30 + [7], None, 60) == (2, 30)
    assert memory.told == [(0, 0)]
    assert places.take([1] * 31, None, 40) == (1, 30)
    assert memory.told == [(0, 0)]


FILE = {"general.sampling.temp": "0.6", "general.sampling.top_k": "20", "general.name": "tiny"}


@pytest.mark.parametrize(
    ("asked", "options", "said", "expected"),
    [
        ({}, {}, {}, {"temperature": 0.0}),
        ({}, {}, FILE, {"temperature": 0.6, "top_k": 20}),
        ({"temperature": 0.0}, {}, FILE, {"temperature": 0.0}),
        ({"top_p": 0.5}, {}, {}, {"temperature": 1.0, "top_p": 0.5}),
        ({"top_k": 3}, {"temperature": 0.9, "top_k": 7}, FILE, {"temperature": 0.9, "top_k": 3}),
        ({}, {"min_p": 0.1}, FILE, {"temperature": 0.6, "top_k": 20, "min_p": 0.1}),
        ({"repetition_penalty": 1.3, "logit_bias": {3: 1.0}}, {}, {}, {"repetition_penalty": 1.3, "temperature": 0.0}),
    ],
)
def test_what_is_chosen(asked, options, said, expected):
    """What was asked, over the options, over the file; greedy where none of them says anything."""
    made = filled(Sampling(**asked), Sampling(**options), own_sampling(said), limit=9)
    assert made.max_new_tokens == 9
    assert {name: getattr(made, name) for name in expected} == expected
    assert made.logit_bias == asked.get("logit_bias", {})


def test_names_of_adapters():
    """Files' names, folders' where those are alike; a file that is given twice is told by its name."""
    assert list(named([Path("a/x.gguf"), Path("b/y.gguf")])) == ["x", "y"]
    assert list(named([Path("a/x.gguf"), Path("b/x.gguf")])) == ["a", "b"]
    for files, told in (
        (["gg/x-lora.gguf", "gg/../gg/x-lora.gguf"], r"x-lora\.gguf is given twice"),
        (["a/x.gguf", "c/a/x.gguf"], r"of a/x\.gguf, c/a/x\.gguf two have one name"),
        (["a/base.gguf"], "is called base"),
    ):
        with pytest.raises(TunesmithError, match=told):
            named([Path(file) for file in files])
