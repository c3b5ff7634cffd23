"""What the engine decides without SGLang, and how it reads what that says."""

import importlib.util
import json

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Delta, LogProb, Sampling
from tunesmith_engine_sglang import SGLang
from tunesmith_engine_sglang.opening import Opening
from tunesmith_engine_sglang.talking import Reader, parameters, scores_of
from tunesmith_library_testing.parts import StubPlan, handle_of
from tunesmith_library_testing.suites.plugin import PluginSuite


class TestPlugin(PluginSuite):
    """What needs no SGLang; the suite of engines is in `test_engine_sglang_running`."""

    kind = "engine"
    plugin = SGLang

    def test_without_the_program(self, monkeypatch):
        """It is told before anything is loaded, with the command that installs it; so is what it would pass over."""
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        (problem,) = self.make().check(plan=StubPlan({}, command="chat"))
        assert "not installed" in problem.message and "tunesmith-engine-sglang[program]" in problem.advice
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
        plan = StubPlan({"quantizer": {"any": None}, "patch": {"some": None}}, command="chat")
        told = self.make().check(plan=plan)
        assert [(item.key, item.severity) for item in told] == [("quantizer", "error"), ("patch", "warning")]
        (problem,) = self.make().check(plan=StubPlan({}, command="train"))
        assert (problem.key, problem.severity) == ("engine.enable_memory_saver", "warning")
        assert self.make(enable_memory_saver=True).check(plan=StubPlan({}, command="train")) == []


def said(ids, logprobs=(), others=(), finish=None):
    about = {"finish_reason": finish, "output_token_logprobs": logprobs, "output_top_logprobs": others}
    return {"output_ids": ids, "meta_info": about}


def test_answers_are_read():
    """All that there is each time, or what is new; with the token that ended it, whether SGLang says it or not."""
    values = [(-0.5, 7, None), (-1.0, 8, None), (-2.0, 9, None)]
    others = [[(-0.5, 7, None), (-0.7, 1, None)]] * 3
    reader = Reader(1, (4,), new=False)
    assert reader.push(said([], finish=None)) is None
    assert reader.push(said([7], values[:1], others[:1])) == Delta((7,), (LogProb(-0.5, {7: -0.5}),))
    last = reader.push(said([7, 8, 9], values, others, {"type": "length", "length": 3}))
    assert last == Delta((8, 9), (LogProb(-1.0, {7: -0.5}), LogProb(-2.0, {7: -0.5})), "length")
    reader = Reader(None, (4, 5), new=True)
    assert reader.push(said([7])) == Delta((7,)) and reader.push(said([8])) == Delta((8,))
    assert reader.push(said([5], finish={"type": "stop", "matched": 5})) == Delta((5,), (), "stop")
    for matched, end in ((9, 9), ("word", 4), (None, 4)):
        told = Reader(None, (4, 5), new=False).push(said([7], finish={"type": "stop", "matched": matched}))
        assert told == Delta((7, end), (), "stop")
    assert Reader(None, (4,), new=False).push(said([7], finish={"type": "abort"})).finish_reason == "cancelled"
    with pytest.raises(TunesmithError, match="out of memory"):
        gone = {"type": "abort", "message": "out of memory", "status_code": 500}
        Reader(None, (4,), new=False).push(said([7], finish=gone))


def test_scores_are_read():
    about = {
        "input_token_logprobs": [(None, 3, None), (-1.0, 7, None), (-2.0, 8, None)],
        "input_top_logprobs": [None, [(-0.1, 1, None), (-1.0, 7, None)], [(-2.0, 8, None)]],
    }
    assert scores_of(about, [3, 7, 8], 1) == (LogProb(-1.0, {1: -0.1}), LogProb(-2.0, {8: -2.0}))
    assert scores_of({"input_token_logprobs": [(None, 3, None)]}, [3], 0) == ()
    with pytest.raises(TunesmithError, match="probabilities"):
        scores_of(about, [3, 7, 9], 0)


def test_what_is_asked():
    made = parameters(
        Sampling(
            max_new_tokens=9, temperature=0.5, top_k=0, logit_bias={3: -1.0}, stop_token_ids=(5,), grammar="start: A"
        ),
        (4,),
        False,
    )
    assert made == {
        **{"temperature": 0.5, "top_k": -1, "logit_bias": {"3": -1.0}, "ebnf": "%llguidance {}\nstart: A"},
        **{"max_new_tokens": 9, "frequency_penalty": 0.0, "presence_penalty": 0.0, "stop_token_ids": [4, 5]},
        "skip_special_tokens": False,
    }
    assert parameters(Sampling(temperature=1.0, seed=7), (), True)["sampling_seed"] == 7
    assert "sampling_seed" not in parameters(Sampling(temperature=0.0, seed=7), (), False)
    with pytest.raises(TunesmithError, match="enable_deterministic_inference=true"):
        parameters(Sampling(temperature=1.0, seed=7), (), False)
    with pytest.raises(TunesmithError, match="at most 2"):
        parameters(Sampling(repetition_penalty=3.0), (), False)


def test_what_it_is_opened_with(tmp_path):
    (tmp_path / "model").mkdir()
    handle = handle_of(tmp_path / "model", None)
    with pytest.raises(TunesmithError, match=r"config\.json"):
        Opening({}, {}).arguments(handle, ())
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "sea").mkdir()
    (tmp_path / "sea/adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 12}))
    made = Opening({"tp_size": 2}, {"tp_size": 4}, [tmp_path / "sea"]).arguments(handle, ("tp_size",))
    assert made == {
        **{
            "model_path": str(tmp_path / "model"),
            "dtype": "float32",
            "random_seed": 0,
            "grammar_backend": "llguidance",
        },
        **{"enable_lora": True, "lora_paths": {"sea": str(tmp_path / "sea")}, "max_loras_per_batch": 2},
        **{"max_lora_rank": 12, "tp_size": 4},
    }
    with pytest.raises(TunesmithError, match="did you mean tp_size"):
        Opening({}, {"tp_siz": 4}).arguments(handle, ("tp_size",))
