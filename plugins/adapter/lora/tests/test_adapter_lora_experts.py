"""LoRA on fused experts: which ones get it, and that training, saving, loading and merging keep the function."""

import copy
import logging
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora.layer import ParamWrapper
from transformers import AutoModelForCausalLM
from tunesmith import TunesmithError
from tunesmith_adapter_lora import Lora
from tunesmith_library_adapting.targets import pick_parameters, pick_targets
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, logits_of, source_of, train
from tunesmith_library_weights.experts import fused_experts, routers

LAYOUTS = ("qwen3_moe", pytest.param("mixtral", marks=pytest.mark.slow), "gpt_oss")
EXPERTS = {f"model.layers.{layer}.mlp.experts.{name}" for layer in (0, 1) for name in ("gate_up_proj", "down_proj")}


def adapt(folder: Path, *, trained: Path | None = None, training: bool = True, **options):
    torch.manual_seed(0)
    return Lora(**options).apply_adapter(load_plain(folder), trained, source_of(folder, training=training))


def adapted_parameters(model) -> set[str]:
    found = {(name, module) for name, module in model.named_modules() if isinstance(module, ParamWrapper)}
    plain = {(name.removeprefix("base_model.model.").replace(".base_layer", ""), module) for name, module in found}
    return {f"{name}.{module.parameter_name}" for name, module in plain}


@pytest.mark.parametrize("architecture", LAYOUTS)
def test_trains_saves_loads_and_merges(tiny_mixtures, tiny_bpe, tmp_path: Path, architecture: str) -> None:
    """Against peft alone, and against a plain model to whose weights the trained product is added here, by hand."""
    folder = tiny_mixtures[architecture]
    model = adapt(folder, rank=4)
    assert adapted_parameters(model) == EXPERTS
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    losses = train(model, collate(examples(tiny_bpe)), steps=4)
    assert losses[-1] < losses[0] - 0.05
    for name, weight in model.named_parameters():
        assert name not in before or not torch.equal(weight, before[name]), f"{name} was not trained"
    expected = logits_of(model, tiny_bpe)
    model.save_pretrained(tmp_path)
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path)
    torch.testing.assert_close(logits_of(theirs, tiny_bpe), expected, atol=1e-5, rtol=0)
    ours = adapt(folder, trained=tmp_path, training=False)
    torch.testing.assert_close(logits_of(ours, tiny_bpe), expected, atol=1e-5, rtol=0)

    plain, merged = load_plain(folder), Lora().merge_adapter(copy.deepcopy(model))
    for name, module in model.named_modules():
        if isinstance(module, ParamWrapper):
            place = name.removeprefix("base_model.model.").replace(".base_layer", "")
            a = module.lora_A["default"].weight.double().unflatten(0, (4, 4))  # (experts, rank, in)
            b = module.lora_B["default"].weight.double().unflatten(1, (4, 4)).permute(2, 0, 1)  # (experts, out, rank)
            added = 2.0 * b @ a  # alpha is twice the rank
            weight = plain.get_parameter(f"{place}.{module.parameter_name}")
            # peft's `in` is the second axis of experts that are held as (experts, in, out)
            total = weight.double() + (added.mT if architecture == "gpt_oss" else added)
            result = merged.get_parameter(f"{place}.{module.parameter_name}")
            torch.testing.assert_close(result.double(), total, atol=1e-6, rtol=0)
    torch.testing.assert_close(logits_of(merged, tiny_bpe), expected, atol=1e-4, rtol=0)
    assert not adapted_parameters(merged) and type(merged) is type(plain)


@pytest.mark.parametrize(
    ("options", "layers", "parameters"),
    [
        ({}, ["k_proj", "o_proj", "q_proj", "v_proj"], EXPERTS),
        ({"target_modules": ["gate_up_proj", "down_proj"]}, [], EXPERTS),
        ({"target_modules": ["layers.0.*"]}, None, {name for name in EXPERTS if ".0." in name}),
        ({"target_modules": ["mlp"]}, [], EXPERTS),
        ({"target_modules": ["q_proj", "gate"]}, ["q_proj"], {f"model.layers.{i}.mlp.gate.weight" for i in (0, 1)}),
        ({"exclude_modules": ["experts"]}, ["k_proj", "o_proj", "q_proj", "v_proj"], set()),
    ],
)
def test_what_is_meant(tiny_mixtures, options, layers, parameters) -> None:
    """A router is left as it is unless it is named itself: neither `all` nor the block around it means it."""
    model = load_plain(tiny_mixtures["qwen3_moe"])
    asked = {"target_modules": "all", "exclude_modules": [], **options}
    include, exclude = asked["target_modules"], asked["exclude_modules"]
    assert layers is None or pick_targets(model, include, exclude) == layers
    assert set(pick_parameters(model, include, exclude)) == parameters


def test_names_of_a_router_that_is_a_linear_layer() -> None:
    """Architectures whose router is an `nn.Linear`: it is none of all linear layers."""

    class Experts(torch.nn.Module):
        num_experts = 4

        def __init__(self):
            super().__init__()
            self.up_proj = torch.nn.Parameter(torch.zeros(4, 8, 6))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = torch.nn.ModuleDict({"gate": torch.nn.Linear(6, 4), "experts": Experts()})
            self.gate_proj = torch.nn.Linear(6, 4)

        def get_output_embeddings(self):
            return None

    model = Model()
    assert list(routers(model)) == ["block.gate"] and [item.name for item in fused_experts(model)] == [
        "block.experts.up_proj"
    ]
    assert pick_targets(model, "all", []) == ["gate_proj"]
    assert pick_targets(model, ["all", "gate"], []) == ["gate", "gate_proj"]


@pytest.mark.parametrize("options", [{"dropout": 0.1}, {"use_dora": True}, {"init": "pissa"}, {"init": "eva"}])
def test_what_experts_cannot_have_is_refused(tiny_mixtures, options) -> None:
    """Before anything is loaded where config.json is at hand, and before peft sees it anyway; not without experts."""
    folder = tiny_mixtures["qwen3_moe"]
    with pytest.raises(
        TunesmithError, match=r"cannot be had on fused experts \(mlp\.experts\.down_proj(.|\n)*experts\]"
    ):
        adapt(folder, **options)
    lora, values = Lora(**options), {"model.path": str(folder)}
    (problem,) = lora.check(StubPlan({"adapter": {"lora": lora}}, values=values))
    assert problem.key == f"adapter.{next(iter(options))}" and "adapter.exclude_modules=[experts]" in problem.advice
    assert Lora(**options, exclude_modules=["experts"]).check(StubPlan({}, values=values)) == []
    assert Lora(**options, target_modules=["q_proj"]).check(StubPlan({}, values=values)) == []
    assert Lora().check(StubPlan({}, values=values)) == []


def test_the_share_is_said(tiny_mixtures, caplog) -> None:
    """By hand: a layer has 12,288 numbers in attention, 24,576 in experts, 256 in its router; the head 64 per token."""
    with caplog.at_level(logging.INFO, logger="tunesmith"):
        model = adapt(tiny_mixtures["qwen3_moe"], exclude_modules=["down_proj"])
    head = 64 * model.config.vocab_size
    total, reached = head + 2 * (12288 + 24576 + 256), 2 * (12288 + 16384)
    assert f"adapted: {100 * reached / total:.0f}% of the weights (not: lm_head" in caplog.text
    assert "mlp.experts.down_proj (" in caplog.text and "mlp.gate (" in caplog.text


def test_a_rank_of_experts(tiny_mixtures) -> None:
    model = adapt(tiny_mixtures["qwen3_moe"], rank=4, rank_pattern={"experts.down_proj": 2})
    outer = model.get_submodule("base_model.model.model.layers.0.mlp.experts")
    ranks = {outer.parameter_name: outer.r["default"], outer.base_layer.parameter_name: outer.base_layer.r["default"]}
    assert ranks == {"gate_up_proj": 4, "down_proj": 2} and outer.scaling["default"] == 2.0
