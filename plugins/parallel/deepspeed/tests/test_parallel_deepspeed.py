"""Files and options that DeepSpeed gets, what is refused, mixtures of experts, and runs of two processes."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from tunesmith.traits import AdapterTraits, QuantizerTraits, TrainerTraits
from tunesmith_library_testing import ParallelSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_parallel_deepspeed import Deepspeed
from tunesmith_parallel_deepspeed.keys import GONE, OF_OFFLOADS, OF_ZERO, TOP

TRAINER = {
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 4,
    "max_grad_norm": 1.0,
    "learning_rate": 1e-4,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "optim": "adamw_torch_fused",
    "lr_scheduler_type": "cosine",
}


class TestDeepspeed(ParallelSuite):
    plugin = Deepspeed
    options: ClassVar = {"processes": 2}


pytestmark = pytest.mark.usefixtures("no_launcher")


def problems(others: dict[str, Any] | None = None, values: dict[str, Any] | None = None, **options: Any) -> list[Any]:
    plugin = Deepspeed(**{"processes": 2, **options})
    given = {f"trainer.{name}": value for name, value in TRAINER.items()} | {"precision": "bf16"} | (values or {})
    trainer = SimpleNamespace(traits=TrainerTraits(training_arguments=True))
    plan = StubPlan({"parallel": {"deepspeed": plugin}, "trainer": {"mine": trainer}, **(others or {})}, values=given)
    return plugin.check(plan)


def file_of(folder: Path, **content: Any) -> str:
    path = folder / "ds.json"
    path.write_text(json.dumps(content))
    return str(path)


def settings(**options: Any) -> dict[str, Any]:
    made: dict[str, Any] = dict(Deepspeed(**options).traits.arguments["deepspeed"])
    return made


# ---- the configuration -----------------------------------------------------------------------------------------------


def test_what_fits_the_model_and_the_trainer_is_left_to_them() -> None:
    made = settings()
    zero = made["zero_optimization"]
    assert zero == {"stage": 2, "reduce_bucket_size": "auto"}
    assert made["gradient_clipping"] == made["train_batch_size"] == made["bf16"]["enabled"] == "auto"
    assert made["zero_force_ds_cpu_optimizer"] is False, "the optimizer that was chosen steps"
    three = settings(stage=3)["zero_optimization"]
    assert three["stage3_param_persistence_threshold"] == "auto"


def test_options_and_a_file_become_one(tmp_path: Path) -> None:
    zero = {"stage": 3, "offload_optimizer": {"device": "cpu", "ratio": 0.3}, "sub_group_size": 7}
    path = file_of(tmp_path, zero_optimization=zero, steps_per_print=5, bf16={"enabled": "auto"}, optimizer={})
    made = settings(config=path, overlap_comm=True, offload_param="cpu")
    assert made["zero_optimization"]["overlap_comm"] is True
    assert made["zero_optimization"]["offload_optimizer"] == {"device": "cpu", "ratio": 0.3}
    assert made["zero_optimization"]["offload_param"] == {"device": "cpu", "pin_memory": True}
    assert (made["zero_optimization"]["sub_group_size"], made["steps_per_print"]) == (7, 5)
    assert "optimizer" not in made, "the trainer's counts, and is the same"
    assert json.loads(Path(path).read_text())["zero_optimization"] == zero, "the file stays as it is"


def test_nvme_has_its_folder(tmp_path: Path) -> None:
    made = settings(stage=3, offload_optimizer="nvme", nvme_path=str(tmp_path))["zero_optimization"]
    assert made["offload_optimizer"] == {"pin_memory": True, "device": "nvme", "nvme_path": str(tmp_path)}


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, None),
        ({"stage": 3, "offload_param": "cpu", "offload_optimizer": "cpu"}, None),
        ({"stage": 0, "offload_optimizer": "cpu"}, "parallel.offload_optimizer"),
        ({"stage": 2, "offload_param": "cpu"}, "parallel.offload_param"),
        ({"stage": 2, "offload_optimizer": "nvme", "nvme_path": "/"}, "parallel.offload_optimizer"),
        ({"stage": 3, "offload_optimizer": "nvme"}, "parallel.nvme_path"),
        ({"stage": 3, "offload_optimizer": "nvme", "nvme_path": "/no/such/folder"}, "parallel.nvme_path"),
        ({"nvme_path": "/"}, "parallel.nvme_path"),
        ({"stage": 1, "stage3_max_live_parameters": 5}, "parallel.stage3_max_live_parameters"),
        ({"config": "/no/such/file.json"}, "parallel.config"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], key: str | None) -> None:
    assert [str(problem.key) for problem in problems(**options)] == ([key] if key else [])


@pytest.mark.parametrize(
    ("content", "options", "key"),
    [
        ({"zero_optimization": {"stage": 3}}, {"stage": 2}, "parallel.stage"),
        ({"zero_optimization": {"stage": 3}}, {"stage": 3}, None),
        ({"zero_optimization": {"stage": 7}}, {}, "parallel.config"),
        ({"zero_optimization": {"stage": 2, "overlap_comm": True}}, {"overlap_comm": False}, "parallel.overlap_comm"),
        (
            {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}},
            {"offload_optimizer": "none"},
            "parallel.offload_optimizer",
        ),
        ({"train_micro_batch_size_per_gpu": 1}, {}, "trainer.per_device_train_batch_size"),
        ({"gradient_accumulation_steps": 1}, {}, "trainer.gradient_accumulation_steps"),
        ({"gradient_clipping": 0.5}, {}, "trainer.max_grad_norm"),
        ({"train_batch_size": 17}, {}, "trainer.per_device_train_batch_size"),
        ({"train_batch_size": 16, "gradient_clipping": "auto"}, {}, None),
        ({"fp16": {"enabled": True}}, {}, "precision"),
        ({"bf16": {"enabled": False}}, {}, "precision"),
        ({"bf16": {"enabled": True}, "fp16": {"enabled": False}}, {}, None),
        ({"optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": [0.9, 0.999]}}}, {}, None),
        ({"optimizer": {"type": "AdamW", "params": {"lr": 1e-3}}}, {}, "parallel.config"),
        ({"optimizer": {"type": "AdamW", "params": {"freeze_step": 3}}}, {}, "parallel.config"),
        ({"optimizer": {"type": "OneBitAdam"}}, {}, "parallel.config"),
        ({"scheduler": {"type": "WarmupDecayLR", "params": {}}}, {}, "trainer.lr_scheduler_type"),
        (
            {"scheduler": {"type": "WarmupCosineLR", "params": {"warmup_num_steps": "auto", "warmup_min_lr": 0}}},
            {},
            None,
        ),
        ({"tensor_parallel": {"autotp_size": 2}}, {}, "parallel.config"),
        ({"compression_training": {"enabled": False}}, {}, None),
    ],
)
def test_a_file_that_says_something_else(
    tmp_path: Path, content: dict[str, Any], options: dict[str, Any], key: str | None
) -> None:
    path = file_of(tmp_path, **content)
    found = problems(config=path, **options)
    assert [str(problem.key) for problem in found] == ([key] if key else [])
    assert all("ds.json" in problem.message for problem in found), "the file is named"


@pytest.mark.parametrize(
    ("content", "size", "of_step", "keys"),
    [
        ({"train_batch_size": 16, "gradient_accumulation_steps": 4}, 2, 16, []),
        ({"train_batch_size": 32}, 2, 16, ["trainer.global_batch_size"]),
        ({"gradient_accumulation_steps": 2}, 2, 16, ["trainer.gradient_accumulation_steps"]),
        ({"train_batch_size": 16, "train_micro_batch_size_per_gpu": "auto"}, "auto", 16, []),
        ({"train_micro_batch_size_per_gpu": 2}, "auto", 16, ["trainer.per_device_train_batch_size"]),
        ({"gradient_accumulation_steps": 2}, "auto", None, ["trainer.per_device_train_batch_size"]),
        ({"train_batch_size": 16}, "auto", None, ["trainer.global_batch_size"]),
    ],
)
def test_a_file_beside_examples_of_a_step(
    tmp_path: Path, content: dict[str, Any], size: Any, of_step: int | None, keys: list[str]
) -> None:
    values = {"trainer.per_device_train_batch_size": size, "trainer.global_batch_size": of_step}
    values["trainer.gradient_accumulation_steps"] = 1
    found = problems(config=file_of(tmp_path, **content), values=values)
    assert [str(problem.key) for problem in found] == keys


@pytest.mark.parametrize(
    ("content", "said", "meant"),
    [
        ({"zero_optimizationn": {"stage": 3}}, "says zero_optimizationn,", "zero_optimization?"),
        (
            {"zero_optimization": {"stage": 2, "overlap_com": True}},
            "says zero_optimization.overlap_com,",
            "overlap_comm",
        ),
        (
            {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu", "pin": True}}},
            "says zero_optimization.offload_optimizer.pin,",
            "pin_memory",
        ),
        ({"zero_optimization": True}, "zero_optimization holds no mapping, but true", "stage"),
    ],
)
def test_keys_that_deepspeed_would_pass_over(tmp_path: Path, content: dict[str, Any], said: str, meant: str) -> None:
    (problem,) = problems(config=file_of(tmp_path, **content))
    assert (problem.key, problem.severity) == ("parallel.config", "error")
    assert said in problem.message and meant in problem.advice
    assert problems(config=file_of(tmp_path, _remark="for people", zero_optimization={"stage": 2})) == []


@pytest.mark.parametrize(("installed", "known"), [("0.19.0", True), ("0.19.7", False), ("0.20.0", False)])
def test_keys_that_later_versions_pass_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str, known: bool
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: installed)
    found = problems(config=file_of(tmp_path, zero_optimization={"stage": 3, "mics_shard_size": 8}))
    assert [problem.severity for problem in found] == ([] if known else ["error"])


def test_the_keys_are_those_of_the_installed_version(tmp_path: Path) -> None:
    """Read from its source: to import it takes seconds."""
    spec = importlib.util.find_spec("deepspeed")
    assert spec is not None and spec.origin is not None
    runtime = Path(spec.origin).parent / "runtime"
    offloads = fields_of(runtime / "zero" / "offload_config.py")
    assert fields_of(runtime / "zero" / "config.py")["DeepSpeedZeroConfig"] <= OF_ZERO | set(GONE)
    assert offloads["DeepSpeedZeroOffloadParamConfig"] <= OF_OFFLOADS["offload_param"]
    assert offloads["DeepSpeedZeroOffloadOptimizerConfig"] <= OF_OFFLOADS["offload_optimizer"]
    constants = (runtime / "constants.py").read_text()
    read = re.findall(r"get_scalar_param\(\s*param_dict,\s*(\w+)", (runtime / "config.py").read_text())
    assert len(read) > 10
    assert {re.search(rf"^{name} = ['\"](\w+)", constants, re.M)[1] for name in read if name.isupper()} <= TOP  # type: ignore[index]


def fields_of(file: Path) -> dict[str, set[str]]:
    """The fields of each class of a module, and their aliases."""
    found: dict[str, set[str]] = {}
    for made in ast.parse(file.read_text()).body:
        if isinstance(made, ast.ClassDef):
            lines = [line for line in made.body if isinstance(line, ast.AnnAssign) and line.value is not None]
            names = {line.target.id for line in lines if isinstance(line.target, ast.Name)}
            calls = [line.value for line in lines if isinstance(line.value, ast.Call)]
            words = [word.value for call in calls for word in call.keywords if word.arg == "alias"]
            found[made.name] = names | {str(word.value) for word in words if isinstance(word, ast.Constant)}
    return found


def test_parts_that_are_switched_off_are_not_handed_on(tmp_path: Path) -> None:
    path = file_of(tmp_path, amp={"enabled": False}, sparse_gradients=False, wall_clock_breakdown=True)
    assert problems(config=path) == []
    made = settings(config=path)
    assert made["wall_clock_breakdown"] and not {"amp", "sparse_gradients"} & made.keys(), "newer versions refuse them"


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_file_that_is_no_configuration(tmp_path: Path, content: str) -> None:
    (tmp_path / "ds.json").write_text(content)
    assert [str(problem.key) for problem in problems(config=str(tmp_path / "ds.json"))] == ["parallel.config"]


def test_what_stands_beside_it() -> None:
    both = problems(values={"trainer.deepspeed": "other.json", "trainer.fsdp": "full_shard"})
    assert [str(problem.key) for problem in both] == ["trainer.deepspeed", "trainer.fsdp"]
    assert "parallel.config=other.json" in both[0].advice
    other = {"trainer": {"mine": SimpleNamespace(traits=TrainerTraits())}}
    assert [str(problem.key) for problem in problems(other)] == ["trainer"]
    cut = {"quantizer": {"mine": SimpleNamespace(traits=QuantizerTraits())}}
    assert [str(problem.key) for problem in problems(cut, stage=3)] == ["quantizer"]
    assert problems(cut, stage=2) == []
    thin = {"adapter": {"mine": SimpleNamespace(traits=AdapterTraits(beside=True), init="pissa", use_dora=True)}}
    assert [str(problem.key) for problem in problems(thin, stage=3)] == ["adapter.init", "adapter.use_dora"]
    assert problems(thin, stage=2) == []
    assert [str(problem.key) for problem in problems(values={"trainer.torch_compile": True}, stage=3)] == [
        "trainer.torch_compile"
    ]


def test_a_checkpoint_in_parts_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    plugin, checkpoint = Deepspeed(processes=2), tmp_path / "checkpoint-4"
    plan = StubPlan({"parallel": {"deepspeed": plugin}})
    object.__setattr__(plan, "resumed", checkpoint)
    assert plugin.check(plan) == []
    (checkpoint / "training_state" / "parts").mkdir(parents=True)
    (problem,) = plugin.check(plan)
    assert problem.message.startswith("checkpoint-4 is in parts") and "parallel=fsdp" in problem.advice


# ---- mixtures of experts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["qwen3_moe", "mixtral", "gpt_oss"])
def test_mixtures_are_known_by_their_structure(tiny_mixtures: dict[str, Path], architecture: str) -> None:
    """Those whose experts are a list of modules, and those whose experts are one tensor; each layer has one."""
    from transformers import AutoModelForCausalLM
    from tunesmith_parallel_deepspeed.mixtures import mixtures_of

    model = AutoModelForCausalLM.from_pretrained(tiny_mixtures[architecture])
    found = mixtures_of(model)
    assert len(found) == model.config.num_hidden_layers
    inside = {id(weight) for module in found for weight in module.parameters()}
    assert all(
        (id(weight) in inside) == (".experts." in name)
        for name, weight in model.named_parameters()
        if ".mlp." in name and "gate." not in name and "router" not in name
    )


def test_a_dense_model_has_no_mixture(tiny_llama: Path) -> None:
    from transformers import AutoModelForCausalLM
    from tunesmith_parallel_deepspeed.mixtures import mixtures_of

    assert mixtures_of(AutoModelForCausalLM.from_pretrained(tiny_llama)) == []


def test_experts_that_are_cut_in_pieces_are_known(tiny_mixtures: dict[str, Path]) -> None:
    """ZeRO-3 leaves empty parameters, which know the shapes of the whole ones."""
    import torch
    from transformers import AutoModelForCausalLM
    from tunesmith_parallel_deepspeed.mixtures import mixtures_of

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_mixtures["qwen3_moe"])
    for weight in model.parameters():
        weight.ds_shape, weight.data = weight.shape, torch.empty(0)
    assert len(mixtures_of(model)) == model.config.num_hidden_layers
