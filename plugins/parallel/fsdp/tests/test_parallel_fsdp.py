"""Two processes with a part of the model each train as one that has all of it, save as it does, and go on from it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tunesmith.traits import OptimizerTraits, QuantizerTraits
from tunesmith_library_testing import ParallelSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_testing.several import alike, config_of, trained
from tunesmith_library_testing.tiny import save_tiny_mixture, save_tiny_model
from tunesmith_parallel_fsdp import Fsdp


class TestFsdp(ParallelSuite):
    plugin = Fsdp
    options: ClassVar = {"processes": 2}


pytestmark = pytest.mark.usefixtures("no_launcher")


# ---- what is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "values", "key"),
    [
        ({"replicas": 3}, {}, "parallel.replicas"),
        ({"wrap": ["Layer"], "min_num_params": 10}, {}, "parallel.min_num_params"),
        ({"checkpoints": "sharded"}, {"trainer.load_best_model_at_end": True}, "parallel.checkpoints"),
        ({}, {"trainer.fsdp": "full_shard"}, "trainer.fsdp"),
        ({}, {"trainer.deepspeed": "z.json"}, "trainer.deepspeed"),
        ({}, {"precision": "fp16"}, "precision"),
        ({"checkpoints": "sharded", "background": True}, {"precision": "bf16"}, None),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], values: dict[str, Any], key: str | None) -> None:
    plugin = Fsdp(processes=4, **options)
    problems = plugin.check(StubPlan({"parallel": {"fsdp": plugin}}, values=values))
    assert [problem.key for problem in problems] == ([key] if key else [])


@pytest.mark.parametrize(
    ("wrap", "meant"),
    [
        ("LamaDecoderLayer", "LlamaDecoderLayer"),
        ("LlamaDecoderLayer", None),
        ("Linear", None),
        ("OfMyAdapter", None),
    ],
)
def test_a_mistyped_class_is_told_before_loading(tiny_llama: Path, wrap: str, meant: str | None) -> None:
    plugin = Fsdp(processes=2, wrap=[wrap])
    found = plugin.check(StubPlan({"parallel": {"fsdp": plugin}}, values={"model.path": str(tiny_llama)}))
    assert [problem.advice for problem in found] == ([f"did you mean {meant}?"] if meant else [])
    assert plugin.check(StubPlan({"parallel": {"fsdp": plugin}}, values={"model.path": "org/elsewhere"})) == []


@pytest.mark.parametrize(("spreads", "refused"), [((), True), (("fsdp",), False)])
def test_a_quantizer_is_asked_whether_its_weights_can_be_cut(spreads: tuple[str, ...], refused: bool) -> None:
    plugin, mine = Fsdp(processes=2), SimpleNamespace(traits=QuantizerTraits(spreads=spreads))
    problems = plugin.check(StubPlan({"parallel": {"fsdp": plugin}, "quantizer": {"mine": mine}}))
    assert [problem.key for problem in problems] == (["quantizer"] if refused else [])


def test_an_optimizer_of_whole_weights_is_refused() -> None:
    from tunesmith_library_optimizing.checks import needs_whole_weights

    plan = StubPlan(
        {"parallel": {"fsdp": Fsdp(processes=2)}, "optimizer": {"mine": SimpleNamespace(traits=OptimizerTraits())}}
    )
    assert [problem.key for problem in needs_whole_weights(plan, "it looks at rows")] == ["optimizer"]
    assert needs_whole_weights(plan, "it looks at rows", ["deepspeed"]) == []


# ---- training --------------------------------------------------------------------------------------------------------

_TELLS = """
import json, os, pathlib
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from tunesmith import hookimpl, plugin


@plugin
class Tells:
    '''Writes down what a process has of the model.'''

    @hookimpl(wrapper=True)
    def compute_loss(self, model):
        weights = list(model.parameters())
        own = sum(w.to_local().nbytes for w in weights if isinstance(w, DTensor))
        told = {
            "spread": all(isinstance(w, DTensor) for w in weights) and isinstance(model, FSDPModule),
            "layers": sum(isinstance(module, FSDPModule) for module in model.modules()) - 1,
            "share": own / sum(w.nbytes for w in weights),
        }
        file = pathlib.Path(__file__).with_name("told-" + os.environ.get("RANK", "alone"))
        if not file.exists():
            file.write_text(json.dumps(told))
        return (yield)
"""


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tied") / "qwen3", architecture="qwen3", tie_word_embeddings=True)


@pytest.mark.slow
def test_two_processes_with_a_part_each_train_as_one(tiny_llama: Path, tied: Path, tmp_path: Path) -> None:
    """Full and LoRA, SFT and DPO, whose reference is spread too; tied weights, fused experts, weights in 4 bits."""
    (tmp_path / "tells.py").write_text(_TELLS)
    mixture = save_tiny_mixture(tmp_path / "mixture", "qwen3_moe")
    quantised = {"quantizer": {"name": "bitsandbytes"}, "adapter": {"name": "lora", "dropout": 0.0}}
    cases: dict[str, tuple[Path, dict[str, Any], dict[str, Any]]] = {
        "full": (tiny_llama, {"max_grad_norm": 0.1}, {"patch": [str(tmp_path / "tells.py:Tells")]}),
        "lora": (tied, {"adapter": "lora"}, {}),
        "tied": (tied, {"optim": "adamw_torch_fused"}, {"parallel": {"reshard_after_forward": False}}),
        "dpo": (tiny_llama, {"stage": "dpo"}, {"parallel": {"min_num_params": 10_000}}),
        "dpo-lora": (tiny_llama, {"stage": "dpo", "adapter": "lora"}, {"parallel": {"wrap": ["LlamaDecoderLayer"]}}),
        "mixture": (mixture, {}, {}),
        "anchored": (tiny_llama, {}, {"loss": {"name": "asft", "alpha": 1.0}}),
        "quantised": (tiny_llama, {}, quantised),
    }

    def configs(kind: str, batch: int) -> dict[str, dict[str, Any]]:
        return {
            name: {**config_of(model, tmp_path, f"{kind}-{name}", per_device_train_batch_size=batch, **of), **more}
            for name, (model, of, more) in cases.items()
        }

    one = trained({name: _alone(config) for name, config in configs("one", 8).items()}, tmp_path)
    two = trained(configs("two", 4), tmp_path, processes=2, parallel="fsdp")
    for name in cases:
        alike(one[name], two[name], absolute=1e-4 if name == "mixture" else 2e-5)
    told = [json.loads((tmp_path / f"told-{rank}").read_text()) for rank in range(2)]
    assert [rank["spread"] for rank in told] == [True, True]
    assert [rank["layers"] for rank in told] == [2, 2]
    assert all(0.45 < rank["share"] < 0.55 for rank in told)


def _alone(config: dict[str, Any]) -> dict[str, Any]:
    """Without the options of processes, and without what looks at them."""
    return {key: value for key, value in config.items() if key not in ("parallel", "patch")}


@pytest.mark.slow
def test_checkpoints_are_gone_on_with_by_another_number_of_processes(tiny_llama: Path, tmp_path: Path) -> None:
    """From two processes to one, gathered or in parts, written meanwhile or not; and from one to two."""
    saves = {"save_strategy": "steps", "save_steps": 2, "lr_scheduler_type": "constant", "warmup_ratio": 0.0}
    manners = {
        "whole": {"background": True},
        "parts": {"checkpoints": "sharded"},
        "parts-meanwhile": {"checkpoints": "sharded", "background": True},
        "adapter": {"checkpoints": "sharded"},
    }

    def config(name: str, batch: int, steps: int) -> dict[str, Any]:
        adapter = "lora" if name.endswith("adapter") else "full"
        options: dict[str, Any] = {
            "adapter": adapter,
            "per_device_train_batch_size": batch,
            "max_steps": steps,
            **saves,
        }
        return config_of(tiny_llama, tmp_path, name, **options)

    expected = trained({kind: config(f"whole-{kind}", 8, 4) for kind in ("full", "adapter")}, tmp_path)
    begun = {name: {**config(name, 4, 2), "parallel": options} for name, options in manners.items()}
    trained(begun, tmp_path, processes=2, parallel="fsdp")
    for name in ("parts", "parts-meanwhile", "adapter"):
        files = [file for file in (tmp_path / name / "checkpoint-2").rglob("*") if file.is_file()]
        assert {file.suffix for file in files} <= {".safetensors", ".json", ".yaml", ".jinja"}, "nothing is pickled"
        assert len(list((tmp_path / name / "checkpoint-2" / "training_state" / "parts").iterdir())) == 2
    resumed = trained({name: {**config(name, 8, 4), "resume": True} for name in manners}, tmp_path)
    for name, run in resumed.items():
        _went_on_as(expected["adapter" if name == "adapter" else "full"], run)
    trained({name: config(name, 8, 2) for name in ("alone", "alone-adapter")}, tmp_path)
    again = {name: {**config(name, 4, 4), "resume": True} for name in ("alone", "alone-adapter")}
    spread = trained(again, tmp_path, processes=2, parallel="fsdp")
    _went_on_as(expected["full"], spread["alone"])
    _went_on_as(expected["adapter"], spread["alone-adapter"])


def _went_on_as(whole: Any, resumed: Any) -> None:
    assert resumed.losses == pytest.approx(whole.losses, rel=1e-5)
    off = {name: float((resumed.weights[name] - weight).abs().max()) for name, weight in whole.weights.items()}
    assert max(off.values()) < 2e-5
