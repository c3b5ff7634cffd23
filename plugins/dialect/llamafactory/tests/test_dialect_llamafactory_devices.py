"""Numbers, memory and processes: what LLaMA-Factory leaves to accelerate, torchao and its own checkpointing."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from tunesmith.catalog import Catalog
from tunesmith.compose import compose
from tunesmith_dialect_llamafactory import LlamaFactory
from tunesmith_dialect_llamafactory.translating import knows, translate
from tunesmith_library_testing.suites.dialect import Beside, notes

ONLY = Catalog.of({"dialect.llamafactory": LlamaFactory})
PLAIN = {"model_name_or_path": "m", "dataset": "d", "do_train": True}
BESIDE = Beside(translate, PLAIN)
made_of, refused = BESIDE.made_of, BESIDE.refused


def dropped(**keys: Any) -> set[str]:
    return set(notes(translate({**PLAIN, **keys}), "dropped"))


# ---- numbers and memory ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "patch"),
    [
        ({"upcast_layernorm": True}, {"upcast": {"norms": True}}),
        ({"upcast_lmhead_output": True}, {"upcast": {"logits": True, "norms": False}}),
        ({"upcast_layernorm": True, "upcast_lmhead_output": True}, {"upcast": {"logits": True, "norms": True}}),
        ({"fp8": True, "fp8_backend": "torchao"}, {"fp8": {}}),
        (
            {
                "fp8": True,
                "fp8_enable_fsdp_float8_all_gather": True,
                "fsdp": "full_shard",
                "fsdp_config": {"version": 2},
            },
            {"fp8": {"all_gather": True, "recipe": "tensorwise"}},
        ),
        ({"upcast_layernorm": False, "fp8": False}, None),
    ],
)
def test_numbers(keys: dict[str, Any], patch: dict[str, Any] | None) -> None:
    assert made_of(**keys).get("patch") == patch
    assert not refused(**keys)


def test_what_asks_for_nothing_is_said() -> None:
    assert dropped(fp8_backend="torchao") == {"fp8_backend"}
    assert dropped(fp8=True, fp8_enable_fsdp_float8_all_gather=True) == {"fp8_enable_fsdp_float8_all_gather"}
    assert dropped(use_unsloth_gc=True, disable_gradient_checkpointing=True) == {"use_unsloth_gc"}
    chat = translate({"model_name_or_path": "m", "upcast_layernorm": True, "fp8": True})
    assert "patch" not in chat.config and set(notes(chat, "dropped")) == {"upcast_layernorm", "fp8"}
    assert refused(fp8=True, fp8_backend="te").keys() == {"fp8_backend"}


def test_the_layers_of_oft_are_said() -> None:
    made = translate({**PLAIN, "finetuning_type": "oft", "oft_target": "q_proj"})
    assert made.config["adapter"]["target_modules"] == ["q_proj"]
    assert "does not read it" in notes(made, "translated")["oft_target"]
    plain = translate({**PLAIN, "finetuning_type": "oft", "oft_target": "all"})
    assert "oft_target" not in notes(plain, "translated")


def test_inputs_of_layers_on_the_host() -> None:
    assert made_of(use_unsloth_gc=True)["trainer"]["gradient_checkpointing"] == "offload"
    assert made_of(use_unsloth_gc=False)["trainer"]["gradient_checkpointing"] == "auto"


def test_orders_and_schedules_that_are_not_there() -> None:
    for keys in ({"group_by_length": True}, {"sortish_sampler": True}, {"train_sampling_strategy": "group_by_length"}):
        assert dropped(**keys) == set(keys) and "train_sampling_strategy" not in made_of(**keys)["trainer"]
    assert "did you mean random?" in str(translate({**PLAIN, "train_sampling_strategy": "randm"}).notes)
    assert refused(lr_scheduler_type="cosine_with_min_lrs").keys() == {"lr_scheduler_type"}
    made = translate({**PLAIN, "report_to": ["comet_ml", "profiler"]})
    assert "no installed plugin writes to comet_ml" in notes(made, "dropped")["report_to"]
    assert "profiler" in made.config["tracker"] and "comet_ml" not in made.config["tracker"]
    assert "tracker" not in made_of(report_to="clearml")
    assert dropped(data_seed=1) == {"data_seed"} and not dropped(data_seed=1, seed=1)


def test_trackers_get_what_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option goes to the program that it is of; LLaMA-Factory's own names of projects hold."""
    for name in ("WANDB_PROJECT", "SWANLAB_PROJ_NAME"):
        monkeypatch.delenv(name, raising=False)
    made = made_of(report_to="wandb,tensorboard", run_name="mine")["tracker"]
    assert made["wandb"] == {"project": "llamafactory", "run_name": "mine"}
    assert made["tensorboard"] == {"run_name": "mine"} and set(made) > {"console", "jsonl", "plot"}
    made = made_of(report_to=["trackio"], project="p", trackio_space_id="me/space")["tracker"]
    assert made["trackio"] == {"project": "p", "space_id": "me/space"}
    assert dropped(project="p", run_name="mine", trackio_space_id="x") == {"project", "run_name", "trackio_space_id"}
    written = {"swanlab_mode": "local", "swanlab_run_name": "mine", "swanlab_workspace": "team"}
    made = made_of(use_swanlab=True, **written)["tracker"]["swanlab"]
    assert made == {"project": "llamafactory", "mode": "local", "run_name": "mine", "workspace": "team"}
    assert made_of(use_swanlab=True, swanlab_project="p")["tracker"]["swanlab"]["project"] == "p"


def test_every_argument_of_the_trainer_is_known() -> None:
    """LLaMA-Factory's parser takes all of transformers' Seq2SeqTrainingArguments: none is called unknown."""
    source = Path(str(importlib.util.find_spec("transformers").origin))  # type: ignore[union-attr]
    fields = set()
    for module, name in (
        ("training_args.py", "TrainingArguments"),
        ("training_args_seq2seq.py", "Seq2SeqTrainingArguments"),
    ):
        tree = ast.parse(source.with_name(module).read_text(encoding="utf-8"))
        (made,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        fields |= {item.target.id for item in made.body if isinstance(item, ast.AnnAssign)}  # type: ignore[union-attr]
    assert len(fields) > 100 and not {name for name in fields if not name.startswith("_") and not knows(name)}
    former = ("fp16_backend", "past_index", "use_ipex", "torchdynamo", "push_to_hub_token", "fsdp_min_num_params")
    assert all(map(knows, former))


def test_former_and_other_names_of_the_trainers() -> None:
    assert made_of(use_liger_kernel=True)["patch"] == {"liger": {}}
    assert made_of(activation_checkpointing=False)["trainer"]["gradient_checkpointing"] is False
    assert made_of(fsdp="full_shard", fsdp_min_num_params=5)["parallel"] == {"name": "fsdp", "min_num_params": 5}
    assert not dropped(save_on_each_node=False, half_precision_backend="auto", enable_jit_checkpoint=True)
    assert refused(parallelism_config={"tp_size": 2}).keys() == {"parallelism_config"}


# ---- processes -------------------------------------------------------------------------------------------------------

# keys and values of LLaMA-Factory's files for accelerate, and of one that accelerate's own questions write
DDP = """\
compute_environment: LOCAL_MACHINE
debug: false
distributed_type: MULTI_GPU
downcast_bf16: 'no'
gpu_ids: all
machine_rank: 1
main_process_ip: 10.0.0.1
main_process_port: 29555
main_training_function: main
mixed_precision: bf16
num_machines: 2
num_processes: 16
rdzv_backend: static
same_network: true
tpu_env: []
tpu_use_cluster: false
tpu_use_sudo: false
use_cpu: false
"""
FSDP = """\
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
fsdp_config:
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_sharding_strategy: FULL_SHARD
mixed_precision: bf16
num_machines: 1
num_processes: 2
"""


def composed(folder: Path, launcher: str, run: str = "", **named: str) -> Any:
    (folder / "accelerate.yaml").write_text(launcher)
    (folder / "run.yaml").write_text(f"model_name_or_path: m\ndataset: d\ndo_train: true\n{run}")
    words = [f"config_file={folder / 'accelerate.yaml'}", *(f"{key}={value}" for key, value in named.items())]
    return compose(folder / "run.yaml", words, ONLY)


def test_accelerates_processes(tmp_path: Path) -> None:
    """accelerate counts the processes of all machines, `parallel` those of one; each value has its line."""
    made = composed(tmp_path, DDP)
    assert made.problems == ()
    assert made.tree["parallel"] == {
        **{"name": "ddp", "processes": 8, "nodes": 2, "node_rank": 1, "master": "10.0.0.1:29555"},
    }
    assert made.tree["precision"] == "bf16"
    file = tmp_path / "accelerate.yaml"
    lines = {str(key): str(origin) for key, origin in made.origins.items() if origin.source == str(file)}
    assert lines["parallel.processes"] == f"{file}:12" and lines["parallel.master"] == f"{file}:7"
    assert lines["precision"] == f"{file}:10"


def test_the_runs_own_precision_counts(tmp_path: Path) -> None:
    assert composed(tmp_path, DDP, "fp16: true\n").tree["precision"] == "fp16"


@pytest.mark.parametrize(("kind", "uses_cpu"), [("MULTI_CPU", True), ("MULTI_NPU", None)])
def test_other_devices(kind: str, uses_cpu: bool | None, tmp_path: Path) -> None:
    made = composed(tmp_path, f"distributed_type: {kind}\nnum_processes: 2\n")
    assert made.tree["parallel"] == {"name": "ddp", "processes": 2}
    assert made.tree["trainer"].get("use_cpu") is uses_cpu


def test_one_process(tmp_path: Path) -> None:
    made = composed(tmp_path, "distributed_type: 'NO'\nnum_processes: 1\nmixed_precision: 'no'\nuse_cpu: true\n")
    assert "parallel" not in made.tree and made.tree["trainer"]["use_cpu"] is True and not made.problems


@pytest.mark.parametrize(
    ("launcher", "said"),
    [
        (
            "distributed_type: FSDP\nfsdp_config:\n  fsdp_shardin_strategy: FULL_SHARD\n",
            (
                "config_file.fsdp_config.fsdp_shardin_strategy",
                "no such option",
                "mean sharding_strategy?",
                ":3",
            ),
        ),
        ("distributed_type: MEGATRON_LM\nnum_processes: 2\n", ("MEGATRON_LM is not there", "FSDP, DEEPSPEED", ":1")),
        ("distributed_type: MULTI_GPUS\n", ("MULTI_GPUS is no way", "did you mean MULTI_GPU?")),
        ("distributed_type: MULTI_GPU\nnum_machines: 2\nnum_processes: 3\n", ("3 processes", "2 machines", ":3")),
        ("distributed_type: 'NO'\nnum_proceses: 3\n", ("num_proceses", "did you mean num_processes?", ":2")),
        ("distributed_type: 'NO'\nmixed_precision: fp8\n", ("mixed_precision", "fp8: true", ":2")),
        ("a: [\n", ("config_file", "cannot be read", "accelerate.yaml:")),
    ],
)
def test_what_accelerates_file_asks_for_in_vain(launcher: str, said: tuple[str, ...], tmp_path: Path) -> None:
    problems = composed(tmp_path, launcher).problems
    text = "\n".join(f"{problem.message}\n{problem.advice}" for problem in problems)
    assert len(problems) == 1 and all(part in text for part in said), text


@pytest.mark.parametrize(
    ("launcher", "parallel"),
    [
        (FSDP, {"name": "fsdp", "processes": 2}),
        (
            FSDP.replace("FULL_SHARD", "HYBRID_SHARD_ZERO2").replace("num_machines: 1", "num_machines: 2"),
            {"name": "fsdp", "processes": 1, "nodes": 2, "replicas": 2, "reshard_after_forward": False},
        ),
        (
            FSDP.replace("_sharding_strategy: FULL_SHARD", "_offload_params: true\n  fsdp_version: 2"),
            {"name": "fsdp", "processes": 2, "cpu_offload": True},
        ),
        (
            "distributed_type: DEEPSPEED\ndeepspeed_config:\n  deepspeed_config_file: ds.json\nnum_processes: 2\n",
            {"name": "deepspeed", "processes": 2, "config": "ds.json"},
        ),
        (
            "distributed_type: DEEPSPEED\ndeepspeed_config:\n  zero_stage: 3\n  offload_param_device: cpu\n"
            "  offload_optimizer_device: none\nnum_processes: 4\n",
            {"name": "deepspeed", "processes": 4, "stage": 3, "offload_param": "cpu"},
        ),
    ],
)
def test_what_spreads_a_model(launcher: str, parallel: dict[str, Any], tmp_path: Path) -> None:
    made = composed(tmp_path, launcher)
    assert made.tree["parallel"] == parallel and not made.problems


def test_what_means_nothing_in_accelerates_file(tmp_path: Path) -> None:
    made = composed(tmp_path, "distributed_type: 'NO'\ngpu_ids: '0,1'\nsame_network: true\n")
    (said,) = (notice for notice in made.notices if "config_file" in notice)
    assert "gpu_ids is dropped" in said and "CUDA_VISIBLE_DEVICES" in said and "accelerate.yaml:2" in said


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (problem,) = refused(config_file=str(tmp_path / "no.yaml")).items()
    assert problem[0] == "config_file" and "no such file" in problem[1]
    chat = translate({"model_name_or_path": "m", "config_file": "no.yaml"})
    assert set(notes(chat, "dropped")) == {"config_file"}


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (FSDP, "config_file=THIS.yaml"),
        ('{"train_batch_size": "auto", "zero_optimization": {"stage": 2}}', "deepspeed="),
    ],
)
def test_a_launchers_file_is_no_run(text: str, advice: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    (problem,) = compose(tmp_path / "x.yaml", None, ONLY).problems
    assert "not of a run" in problem.message and advice in problem.advice and "x.yaml:" in problem.advice


# ---- FSDP, DeepSpeed, Ray --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "parallel"),
    [
        (
            {"fsdp": "shard_grad_op auto_wrap offload"},
            {"name": "fsdp", "reshard_after_forward": False, "cpu_offload": True},
        ),
        ({"fsdp": "no_shard"}, {"name": "ddp"}),
        ({"fsdp": True, "fsdp_config": {"transformer_layer_cls_to_wrap": "A,B"}}, {"name": "fsdp", "wrap": ["A", "B"]}),
        (
            {"fsdp": "full_shard", "fsdp_config": {"state_dict_type": "SHARDED_STATE_DICT", "fsdp_version": 2}},
            {"name": "fsdp", "checkpoints": "sharded"},
        ),
        ({"deepspeed": "z2.json"}, {"name": "deepspeed", "config": "z2.json"}),
        (
            {"use_hyper_parallel": True, "hyper_parallel_cp_size": 4},
            {"name": "fsdp", "sequence": "ulysses", "sequence_size": 4},
        ),
        ({"ray_num_workers": 4}, None),
        ({"fsdp_config": {"min_num_params": 3}}, None),
    ],
)
def test_what_a_run_says_of_spreading(keys: dict[str, Any], parallel: dict[str, Any] | None) -> None:
    assert made_of(**keys).get("parallel") == parallel
    assert not refused(**keys)


def test_hybrid_copies_are_those_of_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_of(fsdp="hybrid_shard")["parallel"] == {"name": "fsdp"}
    monkeypatch.setenv("NNODES", "2")
    assert made_of(fsdp="hybrid_shard")["parallel"] == {"name": "fsdp", "replicas": 2}


def test_ray_starts_them_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dropped(ray_num_workers=4, ray_init_kwargs={"address": "auto"}) == {"ray_num_workers", "ray_init_kwargs"}
    monkeypatch.setenv("USE_RAY", "1")
    assert made_of()["parallel"] == {"name": "ray"}
    former = {"resources_per_worker": {"GPU": 1}, "placement_strategy": "SPREAD"}
    assert made_of(**former)["parallel"] == {"name": "ray", "resources": {"GPU": 1}, "placement": "SPREAD"}
    assert not dropped(**former)
    made = made_of(ray_num_workers=4, deepspeed="z3.json", ray_init_kwargs={"address": "auto", "num_cpus": 4})
    assert made["parallel"] == {
        "name": "ray",
        "processes": 4,
        "sharding": "deepspeed",
        "sharding_options": {"config": "z3.json"},
        "address": "auto",
    }


def test_spreading_is_about_training() -> None:
    chat = translate({"model_name_or_path": "m", "fsdp": "full_shard", "deepspeed": "z3.json"})
    assert set(notes(chat, "dropped")) == {"fsdp", "deepspeed"} and "parallel" not in chat.config


def test_newer_files_spread_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = {
        **{"model": "m", "train_dataset": "d", "micro_batch_size": 1, "cp_size": 2, "cp_mode": "ulysses"},
        "dist_config": {"name": "fsdpturbo", "ep_size": 2},
    }
    alone = translate(newer)
    assert set(notes(alone, "dropped")) == {"dist_config"}
    monkeypatch.setenv("NPROC_PER_NODE", "2")
    made = translate(newer)
    assert made.config["parallel"] == {"name": "fsdp", "experts": 2, "sequence": "ulysses", "sequence_size": 2}
    assert not notes(made, "refused")
    assert made.sources["parallel.experts"] == "dist_config.ep_size"
