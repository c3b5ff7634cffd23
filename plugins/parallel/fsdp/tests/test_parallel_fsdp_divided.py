"""Layers and experts that processes share: what is refused before loading, and runs equal to one process's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.traits import AdapterTraits, QuantizerTraits, StageTraits
from tunesmith_library_testing.parts import StubPlan, load_plain
from tunesmith_library_testing.several import alike, config_of, trained
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_parallel_fsdp import Fsdp, plans

pytestmark = pytest.mark.usefixtures("no_launcher")
SENDS_TOKENS = find_spec("transformers.distributed.expert_parallel") is not None
sends_tokens = pytest.mark.skipif(not SENDS_TOKENS, reason="transformers sends no tokens to other processes below 5.21")


def problems_of(
    values: dict[str, Any] | None = None, beside: dict[str, Any] | None = None, **options: Any
) -> list[Any]:
    plugin = Fsdp(**{"processes": 4, **options})
    found = {kind: {"mine": SimpleNamespace(traits=traits)} for kind, traits in (beside or {}).items()}
    return plugin.check(StubPlan({"parallel": {"fsdp": plugin}, **found}, values=values))


# ---- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "values", "beside", "key"),
    [
        ({"tensor": 2, "experts": 4}, {}, {}, None),
        ({"tensor": 3}, {}, {}, "parallel.tensor"),
        ({"replicas": 2, "experts": 4}, {}, {}, "parallel.experts"),
        ({"tensor": 2}, {"adapter.use_dora": True}, {}, "parallel.tensor"),
        ({"tensor": 2}, {}, {"adapter": AdapterTraits(beside=True)}, "parallel.tensor"),
        ({"tensor": 2}, {}, {"adapter": AdapterTraits(beside=True, low_rank=True)}, None),
        ({"experts": 2}, {}, {"quantizer": QuantizerTraits(spreads=("fsdp",))}, "parallel.experts"),
        ({"experts": 2}, {}, {"stage": StageTraits(generates=True)}, "parallel.experts"),
    ],
)
def test_what_does_not_go_with_divided_layers(
    options: dict[str, Any], values: dict[str, Any], beside: dict[str, Any], key: str | None
) -> None:
    assert [problem.key for problem in problems_of(values, beside, **options)] == ([key] if key else [])


def test_numbers_that_a_model_allows(tiny_llama: Path, tiny_mixtures: dict[str, Path]) -> None:
    """From config.json, with the numbers that would do."""
    (heads,) = problems_of({"model.path": str(tiny_llama)}, tensor=4)
    assert "num_key_value_heads=2" in heads.message and heads.advice == "possible: 1, 2"
    assert problems_of({"model.path": str(tiny_llama)}, tensor=2) == []
    (none,) = problems_of({"model.path": str(tiny_llama)}, experts=2)
    assert "no experts" in none.message
    (uneven,) = problems_of({"model.path": str(tiny_mixtures["mixtral"])}, processes=8, experts=8)
    assert uneven.advice == "possible: 1, 2, 4"


def test_a_model_without_a_plan_is_refused_before_it_is_loaded(tiny_mixtures: dict[str, Path]) -> None:
    with pytest.raises(TunesmithError, match="no tensor-parallel plan for gpt_oss"):
        plans.refuse_before_loading(Fsdp(processes=2, tensor=2), tiny_mixtures["gpt_oss"])


@pytest.mark.skipif(SENDS_TOKENS, reason="this transformers sends tokens to experts of other processes")
def test_a_transformers_that_sends_no_tokens_is_named(tiny_mixtures: dict[str, Path]) -> None:
    with pytest.raises(TunesmithError, match=r"sends no tokens to other processes; 5\.21 does"):
        plans.refuse_before_loading(Fsdp(processes=2, experts=2), tiny_mixtures["gpt_oss"])


@sends_tokens
def test_experts_that_cannot_be_shared_are_refused_before_they_are_loaded(tiny_mixtures: dict[str, Path]) -> None:
    with pytest.raises(TunesmithError, match="3 processes cannot share 4 experts equally"):
        plans.refuse_before_loading(Fsdp(processes=3, experts=3), tiny_mixtures["gpt_oss"])
    plans.refuse_before_loading(Fsdp(processes=2, experts=2), tiny_mixtures["gpt_oss"])


def test_names_of_layers() -> None:
    assert plans.general("model.layers.10.mlp.experts.3.w1") == "model.layers.*.mlp.experts.*.w1"


# ---- what becomes of a model -----------------------------------------------------------------------------------------


@pytest.fixture
def second_of_two() -> Iterator[Any]:
    """A mesh of two processes of which this one is the second, and whose collectives do nothing."""
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    try:
        yield init_device_mesh("cpu", (1, 2), mesh_dim_names=("one", "two"))
    finally:
        distributed.destroy_process_group()


def lora(model: Any, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "o_proj"], **options))


def test_a_layer_has_a_part_in_each_process(second_of_two: Any, tiny_llama: Path) -> None:
    from tunesmith_parallel_fsdp.tensor import split

    whole, model = load_plain(tiny_llama), lora(load_plain(tiny_llama))
    split(model, second_of_two["two"])
    layer, expected = model.get_base_model().model.layers[1].self_attn, whole.model.layers[1].self_attn
    assert torch.equal(layer.q_proj.base_layer.weight.to_local(), expected.q_proj.weight[32:])
    assert torch.equal(layer.o_proj.base_layer.weight.to_local(), expected.o_proj.weight[:, 32:])
    assert layer.q_proj.lora_B["default"].weight.to_local().shape == (32, 4)
    assert layer.o_proj.lora_A["default"].weight.to_local().shape == (4, 32)
    assert type(layer.q_proj.lora_A["default"].weight) is torch.nn.Parameter  # whole
    assert type(model.get_output_embeddings().weight) is torch.nn.Parameter


def test_what_cannot_be_divided(second_of_two: Any, tiny_llama: Path, tiny_mixtures: dict[str, Path]) -> None:
    from tunesmith_parallel_fsdp.tensor import split

    two = second_of_two["two"]
    with pytest.raises(
        TunesmithError, match=r"q_proj is divided as colwise, which the adapter beside it cannot follow"
    ):
        split(lora(load_plain(tiny_llama), use_dora=True), two)
    with pytest.raises(TunesmithError, match="no tensor-parallel plan for GptOss"):
        split(load_plain(tiny_mixtures["gpt_oss"]), two)


@sends_tokens
def test_a_model_without_experts_shares_none(second_of_two: Any, tiny_llama: Path) -> None:
    from tunesmith_parallel_fsdp.experts import divide

    with pytest.raises(TunesmithError, match="LlamaForCausalLM has no fused experts"):
        divide(load_plain(tiny_llama), second_of_two["two"], second_of_two["one"])


@sends_tokens
def test_a_process_has_its_own_experts(second_of_two: Any, tiny_mixtures: dict[str, Path]) -> None:
    """As parts of what all have, where they are trained; as they are, where an adapter changes them."""
    from tunesmith_library_adapting.experts import over_packed
    from tunesmith_library_weights.experts import fused_experts
    from tunesmith_parallel_fsdp.experts import divide

    one, two = second_of_two["one"], second_of_two["two"]
    whole, model = load_plain(tiny_mixtures["gpt_oss"]), load_plain(tiny_mixtures["gpt_oss"])
    found = divide(model, two, one)
    own, expected = model.model.layers[0].mlp.experts, whole.model.layers[0].mlp.experts
    assert found.modules == [layer.mlp.experts for layer in model.model.layers] and not found.kept
    for name in ("gate_up_proj", "gate_up_proj_bias", "down_proj", "down_proj_bias"):
        weight = getattr(own, name)
        assert weight.shape == getattr(expected, name).shape  # of all experts, as it is saved
        assert torch.equal(weight.to_local(), getattr(expected, name)[2:])
    names = [item.name for item in fused_experts(whole)]
    adapted = over_packed(lora(whole, target_parameters=names))
    found = divide(adapted, two, one)
    assert not found.modules and len(found.kept) == 8
    wrapper = adapted.get_base_model().model.layers[0].mlp.experts
    left, right, _ = wrapper.get_delta_factors("default")
    assert len(left) == len(right) == 2


# ---- training --------------------------------------------------------------------------------------------------------

_TELLS = """
import json, os, pathlib
from torch.distributed.tensor import DTensor
from tunesmith import hookimpl, plugin


@plugin
class Tells:
    '''Writes down over which processes the weights are divided.'''

    @hookimpl(wrapper=True)
    def compute_loss(self, model):
        weights = [weight for weight in model.parameters() if isinstance(weight, DTensor)]
        meshes = {tuple(weight.device_mesh.mesh_dim_names) for weight in weights}
        pathlib.Path(__file__).with_name("told-" + os.environ["RANK"]).write_text(json.dumps(sorted(meshes)))
        return (yield)
"""


def compared(folder: Path, cases: dict[str, Any], processes: int, **options: Any) -> list[list[str]]:
    """Assert that runs of several processes are those of one; gives over which processes the weights were divided."""
    (folder / "tells.py").write_text(_TELLS)
    shares = processes // options.get("tensor", 1)

    def configs(kind: str, batch: int, patch: list[str]) -> dict[str, dict[str, Any]]:
        return {
            name: {
                **config_of(model, folder, f"{kind}-{name}", **{"per_device_train_batch_size": batch, **of}),
                "patch": patch,
            }
            for name, (model, of) in cases.items()
        }

    one = trained(configs("one", 8, []), folder)
    patch = [f"{folder / 'tells.py'}:Tells"]
    several = trained(
        configs("several", 8 // shares, patch), folder, processes=processes, parallel={"name": "fsdp", **options}
    )
    for name in cases:
        alike(one[name], several[name])
        assert sorted(os.listdir(one[name].folder)) == sorted(os.listdir(several[name].folder))
    told: list[list[str]] = json.loads((folder / "told-1").read_text())
    return told


@pytest.mark.slow
def test_processes_compute_layers_together(tiny_mixtures: dict[str, Path], tmp_path: Path) -> None:
    """Full and LoRA, also beside norms of heads and over fused experts, and over several batches a step."""
    dense = save_tiny_model(tmp_path / "qwen3", architecture="qwen3")
    cases = {
        "lora": (tiny_mixtures["qwen3_moe"], {"adapter": "lora"}),
        "dpo": (dense, {"stage": "dpo", "adapter": "lora"}),
        "full": (dense, {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}),
    }
    assert compared(tmp_path, cases, 2, tensor=2) == [["shards"], ["shards", "tensor"]]


@pytest.mark.slow
def test_processes_share_experts(tiny_mixtures: dict[str, Path], tmp_path: Path) -> None:
    cases = {
        "lora": (tiny_mixtures["gpt_oss"], {"adapter": "lora"}),
        "dpo": (tiny_mixtures["qwen3_moe"], {"stage": "dpo"}),
        "full": (tiny_mixtures["mixtral"], {}),
    }
    assert compared(tmp_path, cases, 2, experts=2) == [["copies", "experts"], ["shards"]]


@pytest.mark.slow
def test_processes_share_layers_and_experts(tiny_mixtures: dict[str, Path], tmp_path: Path) -> None:
    """Two shares of a batch, two processes for each layer, and four of which each has an expert."""
    told = compared(tmp_path, {"full": (tiny_mixtures["qwen3_moe"], {})}, 4, tensor=2, experts=4)
    assert told == [["copies", "experts"], ["shards"], ["shards", "tensor"]]


@pytest.mark.slow
def test_a_run_goes_on_under_another_division(tiny_mixtures: dict[str, Path], tmp_path: Path) -> None:
    """From shared layers to one process and back, from shared experts to whole ones; gathered and in parts."""
    dense = save_tiny_model(tmp_path / "qwen3", architecture="qwen3")
    saves = {"save_strategy": "steps", "save_steps": 2, "lr_scheduler_type": "constant", "warmup_ratio": 0.0}
    tensor, parts = {"tensor": 2}, {"checkpoints": "sharded"}
    begun: dict[str, tuple[Path, dict[str, Any]]] = {  # with how two processes begin, or one
        "layers": (dense, tensor),
        "layers-parts": (dense, {**tensor, **parts}),
        "layers-lora": (dense, tensor),
        "experts-parts": (tiny_mixtures["mixtral"], {"experts": 2, **parts}),
        "alone": (dense, {}),
    }

    def configs(names: list[str], steps: int, *, whole: bool, kind: str = "") -> dict[str, dict[str, Any]]:
        """Of a global batch of 8 examples, which one process has, or each of those that share layers."""
        options: dict[str, Any] = {"max_steps": steps, "per_device_train_batch_size": 8 if whole else 4, **saves}
        options["weight_decay"] = 0.1  # which norms do not have
        found = {}
        for name in names:
            adapter = "lora" if name.endswith("lora") else "full"
            found[name] = config_of(begun[name][0], tmp_path, kind + name, adapter=adapter, **options)
        return found

    expected = trained(configs(["alone", "layers-lora", "experts-parts"], 4, whole=True, kind="expected-"), tmp_path)
    expected |= dict.fromkeys(["layers", "layers-parts"], expected["alone"])
    trained(configs(["alone"], 2, whole=True), tmp_path)
    first = configs(["layers", "layers-parts", "layers-lora"], 2, whole=True)
    first |= configs(["experts-parts"], 2, whole=False)
    trained(
        {name: {**config, "parallel": begun[name][1]} for name, config in first.items()},
        tmp_path,
        processes=2,
        parallel="fsdp",
    )
    again = configs(["layers", "layers-parts", "layers-lora"], 4, whole=True)
    resumed = trained({name: {**config, "resume": True} for name, config in again.items()}, tmp_path)
    spread = configs(["experts-parts"], 4, whole=False)
    divided = {name: {**config, "parallel": tensor} for name, config in configs(["alone"], 4, whole=True).items()}
    second = {name: {**config, "resume": True} for name, config in {**spread, **divided}.items()}
    resumed |= trained(second, tmp_path, processes=2, parallel="fsdp")
    for name, run in resumed.items():
        alike(expected[name], run)
