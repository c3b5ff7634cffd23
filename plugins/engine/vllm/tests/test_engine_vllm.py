"""What the engine decides without vLLM."""

import importlib.util
import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tunesmith import TunesmithError
from tunesmith.types import Delta, LogProb, Sampling
from tunesmith_engine_vllm import VLLM
from tunesmith_engine_vllm.talking import delta_of, scores_of
from tunesmith_library_engine.filling import filled, own_ends, own_sampling
from tunesmith_library_engine.loras import loras_of
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_testing.suites.plugin import PluginSuite
from tunesmith_library_weights.exchanging import Weights


class TestPlugin(PluginSuite):
    """What needs no vLLM; the suite of engines is in `test_engine_vllm_running`."""

    kind = "engine"
    plugin = VLLM

    def test_without_the_program(self, monkeypatch):
        """It is told before anything is loaded, with the command that installs it; so is what vLLM would pass over."""
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        (problem,) = self.make().check(plan=StubPlan({}, command="chat"))
        assert "not installed" in problem.message and "tunesmith-engine-vllm[program]" in problem.advice
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
        plan = StubPlan({"quantizer": {"any": None}, "patch": {"some": None}}, command="chat")
        told = self.make().check(plan=plan)
        assert [(item.key, item.severity) for item in told] == [("quantizer", "error"), ("patch", "warning")]
        (problem,) = self.make().check(plan=StubPlan({}, command="train"))
        assert (problem.key, problem.severity) == ("engine.enable_sleep_mode", "warning")
        assert self.make(enable_sleep_mode=True).check(plan=StubPlan({}, command="train")) == []


def said(rank, value):
    return SimpleNamespace(rank=rank, logprob=value)


def test_what_is_said():
    """The likeliest tokens by their rank, also where the token that came is not among them."""
    of = {7: said(4, -3.0), 1: said(2, -1.0), 2: said(1, -0.5)}
    output = SimpleNamespace(token_ids=[7], logprobs=[of], finish_reason="length")
    best = LogProb(-3.0, {2: -0.5, 1: -1.0})
    assert delta_of(output, 2) == Delta((7,), (best,), "length")
    assert list(delta_of(output, 2).log_probs[0].alternatives) == [2, 1]
    output.finish_reason = None
    assert delta_of(output, None) == Delta((7,))
    assert scores_of([None, of], [3, 7], 0) == (LogProb(-3.0),)
    assert scores_of([None], [3], 5) == ()


def test_weights_in_files(tmp_path):
    """All of the model, with those that are exchanged, this time and before; others are refused."""
    from tunesmith_library_testing.tiny import save_tiny_model

    folder = save_tiny_model(tmp_path / "model")
    own, weights = load_file(folder / "model.safetensors"), Weights(folder)
    first, second, *_ = own
    for name in (first, second):
        with weights.written([(name, torch.zeros_like(own[name]))]) as target:
            found = {key: value for file in target.glob("*.safetensors") for key, value in load_file(file).items()}
        assert not target.exists()
    assert found.keys() == own.keys()
    for name, value in found.items():
        assert torch.equal(value, torch.zeros_like(value) if name in (first, second) else own[name])
    with pytest.raises(TunesmithError, match="no weight nobody"), weights.written([("nobody", own[first])]):
        pass
    with pytest.raises(TunesmithError, match="has the shape"), weights.written([(first, own[first][:1])]):
        pass


def test_what_a_folder_says(tmp_path):
    """What was asked, over the options, over generation_config.json; greedy where none of them says anything."""
    assert own_sampling(tmp_path) == Sampling() and own_ends(tmp_path) == frozenset()
    file = tmp_path / "generation_config.json"
    file.write_text(json.dumps({"do_sample": True, "temperature": 0.6, "top_k": 20, "eos_token_id": [3, 4]}))
    own = own_sampling(tmp_path)
    assert own_ends(tmp_path) == {3, 4}
    assert filled(Sampling(), Sampling(), own, 9) == Sampling(max_new_tokens=9, temperature=0.6, top_k=20)
    assert filled(Sampling(temperature=0.0), Sampling(top_k=2), own, 9).top_k == 2
    assert filled(Sampling(top_p=0.5), Sampling(), Sampling(), 9).temperature == 1.0
    assert filled(Sampling(), Sampling(), Sampling(), 9).temperature == 0.0
    file.write_text(json.dumps({"temperature": 0.6, "repetition_penalty": 1.1, "eos_token_id": 3}))
    assert own_sampling(tmp_path) == Sampling(repetition_penalty=1.1) and own_ends(tmp_path) == {3}


def test_adapters(tmp_path):
    """By the names of their folders; what engines do not put over a model is told, with what to do."""

    def folder(name, **config):
        (tmp_path / name).mkdir(parents=True)
        file = tmp_path / name / "adapter_config.json"
        file.write_text(json.dumps({"peft_type": "LORA", "r": 8, **config}))
        return tmp_path / name

    found = loras_of([folder("a"), folder("b", rank_pattern={"q_proj": 24})], "vLLM")
    assert [(lora.name, lora.rank) for lora in found] == [("a", 8), ("b", 24)]
    for config, told in (
        ({"peft_type": "OFT"}, "OFT, not LoRA"),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, r"whole layers \(lm_head\)"),
        ({"bias": "all"}, "biases"),
    ):
        with pytest.raises(TunesmithError, match=f"(?s){told}.*exporter=merged"):
            loras_of([folder(str(len(str(config))), **config)], "vLLM")
    with pytest.raises(TunesmithError, match="two have one name"):
        loras_of([tmp_path / "a", folder("other/a")], "vLLM")
    with pytest.raises(TunesmithError, match="holds no adapter"):
        loras_of([tmp_path], "vLLM")


@pytest.mark.parametrize(("command", "offered"), [("train", ["engine.gpu_memory_utilization=0.45"]), ("chat", [])])
def test_a_training_may_give_it_less_of_the_card(command, offered):
    weights = (Weight("model.embed_tokens.weight", (100, 8), "embedding", 16),)
    made = Estimate("bf16", weights, machine=Machine(room=Room(10_000, 0.85)))
    found = VLLM().estimate(made, StubPlan({}, command))
    assert [override for change in found.changes for override in change.overrides] == offered
