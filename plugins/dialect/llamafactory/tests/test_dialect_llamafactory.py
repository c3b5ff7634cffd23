"""LLaMA-Factory's files become runs of ours: what each key becomes, and that nothing is dropped in silence."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tunesmith
import yaml
from tunesmith.catalog import Catalog
from tunesmith.compose import compose
from tunesmith_dialect_llamafactory import LlamaFactory
from tunesmith_dialect_llamafactory.environment import HONOURED, MEANINGLESS, without_meaning
from tunesmith_dialect_llamafactory.translating import translate
from tunesmith_library_testing import DialectSuite
from tunesmith_library_testing.suites.dialect import Beside, notes

FOLDER = Path(__file__).parent
ONLY = Catalog.of({"dialect.llamafactory": LlamaFactory})


@functools.cache
def examples() -> Mapping[str, dict[str, Any]]:
    """The keys and values of each of LLaMA-Factory's example files, by its path below `examples/`."""
    read = yaml.load((FOLDER / "examples.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    made = {path: {**read["common"][keys["like"]], **keys} for path, keys in read["files"].items()}
    return {
        path: {key: value for key, value in keys.items() if key not in ("like", "without", *keys.get("without", ()))}
        for path, keys in made.items()
    }


REFUSED = {
    "ktransformers/": {"use_kt"},
    "megatron/qwen2_vl_full.yaml": {"tensor_model_parallel_size", "pipeline_model_parallel_size"},
    "megatron/qwen3_moe_full.yaml": {"pipeline_model_parallel_size", "expert_model_parallel_size"},
    "train_lora/qwen3_lora_sft_ray.yaml": {"dataset_dir"},
}
"""The files that ask for what cannot be had, and the keys."""


BESIDE = Beside(translate, {"model_name_or_path": "m", "dataset": "d", "do_train": True})
made_of, refused = BESIDE.made_of, BESIDE.refused


class TestPlugin(DialectSuite):
    plugin = LlamaFactory
    examples: ClassVar = {
        path: examples()[path]
        for path in (
            "train_lora/qwen3_lora_sft.yaml",
            "train_lora/qwen3_lora_dpo.yaml",
            "extras/galore/llama3_full_sft.yaml",
            "v1/train_qlora/quantization.yaml",
        )
    }


# ---- files -----------------------------------------------------------------------------------------------------------


def test_every_example_file_is_read() -> None:
    """Each of the 83 is for the command of its folder, and refuses what is named in `REFUSED` alone."""
    commands = {"inference": "chat", "merge_lora": "export"}
    assert len(examples()) == 83
    for path, keys in examples().items():
        made = LlamaFactory().translate_config(keys)
        assert made is not None, f"{path} is not read"
        expected = next((found for place, found in REFUSED.items() if path.startswith(place)), set())
        assert notes(made, "refused").keys() == expected, path
        predicts, exports = path.endswith("predict.yaml"), path.endswith("export_lora.yaml")
        usual = commands.get(path.partition("/")[0], "train")
        assert made.command == ("predict" if predicts else "export" if exports else usual), path


@pytest.mark.slow
@pytest.mark.parametrize("path", examples())
def test_every_example_file_plans_without_an_unknown_key(path: str) -> None:
    made = translate(examples()[path])
    command = {"predict": "eval"}.get(made.command, made.command)
    _, problems = tunesmith.plan(examples()[path], command=command)
    unknown = [
        problem.message for problem in problems if "has no option" in problem.message or "no key" in problem.message
    ]
    assert not unknown


def test_the_file_of_the_readme() -> None:
    """`train_lora/qwen3_lora_sft.yaml`: each value under our key, and LLaMA-Factory's defaults where ours differ."""
    made = translate(examples()["train_lora/qwen3_lora_sft.yaml"])
    assert made.config == {
        "model": {"path": "Qwen/Qwen3-4B-Instruct-2507", "trust_remote_code": True},
        "stage": {"name": "sft", "max_length": 2048},
        "adapter": {"name": "lora", "rank": 8, "target_modules": "all"},
        "data": {
            "train": [{"path": "identity"}, {"path": "alpaca_en_demo"}],
            "max_samples": 1000,
            "num_proc": 16,
        },
        "template": {"name": "qwen3_nothink"},
        "output_dir": "saves/model/lora/sft",
        "overwrite": True,
        "precision": "bf16",
        "trainer": {
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 8,
            "learning_rate": 1e-4,
            "num_train_epochs": 3.0,
            "lr_scheduler_type": "cosine",
            "warmup_ratio": 0.1,
            "gradient_checkpointing": "auto",
            "logging_steps": 10,
            "logging_first_step": False,
            "save_steps": 500,
            "save_total_limit": None,
            "dataloader_num_workers": 4,
        },
    }
    assert (made.sources["adapter.rank"], made.sources["trainer.warmup_ratio"]) == ("lora_rank", "warmup_ratio")


def test_defaults_are_theirs() -> None:
    """LLaMA-Factory's own, as transformers' TrainingArguments and its arguments have them."""
    trainer = made_of()["trainer"]
    assert (trainer["learning_rate"], trainer["lr_scheduler_type"], trainer["warmup_ratio"]) == (5e-5, "linear", 0)
    assert (trainer["logging_steps"], trainer["save_total_limit"], trainer["gradient_checkpointing"]) == (
        500,
        None,
        "auto",
    )
    assert made_of()["adapter"] == {"name": "lora"} and made_of()["stage"] == {"name": "sft"}
    assert made_of(val_size=0.1)["trainer"]["eval_strategy"] == "no"
    assert made_of(val_size=0.1, do_eval=True)["trainer"]["eval_strategy"] == "epoch"
    assert made_of(use_galore=True)["optimizer"] == {"name": "galore", "rank": 16, "scale": 2.0}
    assert made_of(stage="dpo", pref_loss="simpo")["stage"] == {
        "name": "simpo",
        "longer": "cut_prompt",
        "beta": 0.1,
        "gamma": 0.5,
    }
    assert made_of(streaming=True)["data"]["shuffle_buffer"] == 16384


def test_newer_files() -> None:
    made = translate(
        {
            "model": "m",
            "peft_config": {"name": "lora", "r": 16, "lora_alpha": 32, "target_modules": "all"},
            "quant_config": {"name": "bnb", "quantization_bit": 4},
            "kernel_config": {"name": "liger_kernel"},
            "dist_config": {"name": "deepspeed", "config_file": "z3.json"},
            "optim_config": {"name": "muon", "wd": 0.1},
            "batching_strategy": "padding_free",
            "train_dataset": "d",
            "micro_batch_size": 2,
            "global_batch_size": 8,
            "cp_size": 1,
        }
    )
    assert made.config["adapter"] == {"name": "lora", "rank": 16, "alpha": 32, "target_modules": "all"}
    assert made.config["quantizer"] == {"name": "bitsandbytes", "bits": 4}
    assert (made.config["patch"], made.config["optimizer"]) == ({"liger": {}}, {"name": "muon"})
    assert made.config["parallel"] == {"name": "deepspeed", "config": "z3.json"}
    trainer = made.config["trainer"]
    assert (trainer["per_device_train_batch_size"], trainer["gradient_accumulation_steps"]) == (2, 4)
    assert (trainer["weight_decay"], trainer["lr_scheduler_type"]) == (0.1, "constant")
    assert made.sources["adapter.rank"] == "peft_config.r" and not notes(made, "refused")


def test_a_newer_file_without_peft_config_trains_all_weights() -> None:
    made = translate({"model": "m", "train_dataset": "d", "micro_batch_size": 1})
    assert made.config["adapter"] == {"name": "full"} and made.config["trainer"]["learning_rate"] == 1e-4


def test_a_list_of_data_sets_of_a_newer_file(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(
        "one:\n  path: a/b\n  source: hf_hub\n  converter: sharegpt\n  size: 5\n  weight: 0.5\ntwo:\n  path: two.json\n"
    )
    (tmp_path / "two.json").write_text("[]")
    made = translate({"model": "m", "train_dataset": str(tmp_path / "demo.yaml"), "micro_batch_size": 1})
    assert made.config["data"]["train"] == [
        {
            "path": "huggingface://datasets/a/b",
            "name": "one",
            "format": "sharegpt",
            "samples": 2,
        },
        {"path": str(tmp_path / "two.json"), "name": "two"},
    ]


def test_what_tutorials_nest() -> None:
    made = made_of(lora_config={"r": 64, "target_modules": ["q_proj", "v_proj"]}, train={"learning_rate": 3e-4})
    assert made["adapter"] == {"name": "lora", "rank": 64, "target_modules": ["q_proj", "v_proj"]}
    assert made["trainer"]["learning_rate"] == 3e-4


# ---- environment -----------------------------------------------------------------------------------------------------


def test_the_hub_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_MODELSCOPE_HUB", "1")
    assert made_of()["default_hub"] == "modelscope"


def test_extra_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_EXTRA_ARGS", "1")
    assert not refused(learning_raet=1)


def test_variables_without_meaning_are_said() -> None:
    assert list(without_meaning({"DISABLE_VERSION_CHECK": "1", "USE_RAY": "0"})) == [
        "DISABLE_VERSION_CHECK means nothing here: versions are checked when packages are installed."
    ]
    (said,) = without_meaning({"MIN_NNODES": "2", "RAY_ADDRESS": "auto"})
    assert said.startswith("MIN_NNODES means nothing here: parallel=ray")
    assert not HONOURED.keys() & MEANINGLESS.keys()


# ---- what is theirs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {"model_name_or_path": "m", "dataset_name": "d", "lora_alpha": 16, "use_peft": True},
        {"model": {"path": "m"}, "stage": "sft", "lora_rank": 8, "lora_target": "all"},
        {"lora_rank": 8},
        {"base_model": "m", "datasets": []},
    ],
)
def test_what_is_not_theirs_is_left(config: dict[str, Any]) -> None:
    assert LlamaFactory().translate_config(config) is None


def test_overrides_of_keys_that_both_have(tmp_path: Path) -> None:
    """`stage=rm` over a file of theirs is in their words, though the file has no stage."""
    (tmp_path / "x.yaml").write_text("model_name_or_path: m\ndataset: d\ndo_train: true\n")
    made = compose(tmp_path / "x.yaml", ["stage=rm", "cutoff_len=64", "trainer.optim=sgd"], ONLY)
    assert (made.tree["stage"]["name"], made.tree["stage"]["max_length"]) == ("reward", 64) and made.tree["trainer"][
        "optim"
    ] == "sgd"


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a registry of models."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/models.yaml").write_text("Qwen3-4B-Instruct-2507: {huggingface: Qwen/Qwen3-4B-Instruct-2507}\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ("top.model_name: Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B-Instruct-2507"),
        ("top.model_name: Custom\ntop.model_path: org/mine", "org/mine"),
        ("top.model_name: Nobody-7B", ""),
        ("top.model_name: Custom", ""),
    ],
)
def test_models_by_the_names_of_llamaboard(lines: str, path: str, tmp_path: Path) -> None:
    file = tmp_path / "board.yaml"
    file.write_text(f"{lines}\ntop.finetuning_type: lora\ntrain.training_stage: DPO\ntrain.dataset: [d]\n")
    made = compose(file, None, ONLY)
    if path:
        assert made.tree["model"]["path"] == path and not made.problems
    else:
        (problem,) = made.problems
        assert "top.model_name" in problem.message and "write model_name_or_path=" in problem.message
        over = compose(file, ["model_name_or_path=org/other", "lora_rank=4"], ONLY)
        assert over.tree["model"]["path"] == "org/other" and over.tree["adapter"]["rank"] == 4 and not over.problems


@pytest.mark.usefixtures("known")
def test_the_settings_that_llamaboard_saves(tmp_path: Path) -> None:
    """The state of its form, which holds every element, also those of what is off."""
    file = tmp_path / "board.yaml"
    file.write_text(
        "top.model_name: Qwen3-4B-Instruct-2507\ntop.finetuning_type: lora\ntop.checkpoint_path: [one]\n"
        "top.quantization_bit: '4'\ntop.template: qwen3\ntop.rope_scaling: none\ntop.booster: liger_kernel\n"
        "train.training_stage: DPO\ntrain.dataset_dir: data\ntrain.dataset: [dpo_en_demo]\ntrain.learning_rate: 5e-6\n"
        "train.num_train_epochs: '3.0'\ntrain.max_samples: '1000'\ntrain.compute_type: bf16\ntrain.batch_size: 2\n"
        "train.val_size: 0.1\ntrain.save_steps: 50\ntrain.use_galore: false\ntrain.galore_rank: 32\n"
        "train.image_max_pixels: 768*768\ntrain.video_min_pixels: 16 * 16\n"
        'train.neftune_alpha: 0\ntrain.pref_loss: ipo\ntrain.extra_args: \'{"optim": "adamw_torch"}\'\n'
    )
    made = compose(file, None, ONLY)
    assert (made.command, made.problems) == ("train", ())
    assert made.tree["stage"] == {"name": "dpo", "longer": "cut_prompt", "beta": 0.1, "loss": "ipo"}
    assert made.tree["adapter"] == {"name": "lora", "path": "saves/Qwen3-4B-Instruct-2507/lora/one"}
    assert made.tree["quantizer"] == {"name": "bitsandbytes", "bits": 4, "double_quant": True}
    assert made.tree["patch"] == {"liger": {}}
    trainer = made.tree["trainer"]
    assert (trainer["learning_rate"], trainer["eval_strategy"], trainer["eval_steps"]) == (5e-6, "steps", 50)
    assert trainer["per_device_eval_batch_size"] == trainer["per_device_train_batch_size"] == 2
    assert made.tree["data"]["train"] == [{"path": "dpo_en_demo"}] and "optimizer" not in made.tree
    places = {str(key): str(origin) for key, origin in made.origins.items()}
    assert places["stage.loss"] == f"{file}:23" and not any("belongs to" in told for told in made.notices)


def test_the_template_of_a_folder_that_llamaboard_left(tmp_path: Path) -> None:
    """A handle answers with the template that its `training_args.yaml` names, and with nothing else of it."""
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "org/m", "peft_type": "LORA"}')
    plain = {"model": {"path": "org/m"}, "adapter": {"name": "lora"}}
    assert compose(tmp_path, None, Catalog.discover()).tree == plain
    left = "model_name_or_path: m\ndataset: d\ndo_train: true\nlora_rank: 4\ntemplate: "
    (tmp_path / "training_args.yaml").write_text(f"{left}qwen\n")
    made = compose(tmp_path, None, Catalog.discover())
    assert made.tree == {**plain, "template": {"name": "qwen"}} and made.command is None
    (tmp_path / "training_args.yaml").write_text(f"{left}nothing_of_that_name\n")
    assert compose(tmp_path, None, Catalog.discover()).tree["template"] == {"name": "nothing_of_that_name"}
    (tmp_path / "training_args.yaml").write_text("a: [")
    assert compose(tmp_path, None, Catalog.discover()).tree == plain


def test_shares_of_the_newer_data_files(tmp_path: Path) -> None:
    """`size` examples are drawn, then `weight` times as many of them, as its loader does it."""
    (tmp_path / "data.yaml").write_text(
        "a: {path: a.json, source: local, converter: alpaca, size: 50, weight: 0.5}\n"
        "b: {path: b.json, source: local, converter: alpaca, size: 7}\n"
        "c: {path: c.json, source: local, converter: alpaca, weight: 1.0}\n"
        "d:\n  path: d.json\n  weight: 2.0\n"
    )
    made = translate({"model": "m", "train_dataset": str(tmp_path / "data.yaml"), "peft_config": {"name": "lora"}})
    assert [entry.get("samples") for entry in made.config["data"]["train"]] == [25, 7, None, None]
    assert not any("weight" in entry or "max_samples" in entry for entry in made.config["data"]["train"])
    (said,) = notes(made, "refused").values()
    assert f"{tmp_path}/data.yaml:6: weight 2.0 of d" in said


def test_misspelt_keys_of_the_newer_files() -> None:
    made = translate({"model": "m", "train_datset": "x", "peft_confg": {"name": "lora"}, "max_steps": 1})
    advice = {note.key: note.advice for note in made.notes if note.outcome == "refused"}
    assert "did you mean train_dataset?" in advice["train_datset"]
    assert "did you mean peft_config?" in advice["peft_confg"]


def test_muon_of_a_newer_file() -> None:
    options = {
        "wd": 0.1,
        "momentum": 0.9,
        "nesterov": False,
        "ns_steps": 6,
        "adamw_betas": [0.9, 0.95],
        "adamw_eps": 1e-9,
    }
    keys = {"model": "m", "train_dataset": "d", "max_steps": 1}
    made = translate({**keys, "optim_config": {"name": "muon", **options}})
    assert made.config["optimizer"] == {"name": "muon", "momentum": 0.9, "nesterov": False, "ns_steps": 6}
    trainer = made.config["trainer"]
    assert (trainer["weight_decay"], trainer["adam_beta1"], trainer["adam_beta2"]) == (0.1, 0.9, 0.95)
    assert trainer["adam_epsilon"] == 1e-9 and made.sources["optimizer.momentum"] == "optim_config.momentum"
    assert not notes(made, "dropped") and not notes(made, "refused")
    wrong = translate({**keys, "optim_config": {"name": "muon", "adamw_betas": 0.9, "momentun": 1}})
    assert notes(wrong, "refused").keys() == {"optim_config.adamw_betas", "optim_config.momentun"}


@pytest.mark.usefixtures("known")
def test_misspelt_settings_of_llamaboard(tmp_path: Path) -> None:
    file = tmp_path / "board.yaml"
    file.write_text(
        "top.model_name: Qwen3-4B-Instruct-2507\ntop.finetuning_type: lora\ntrain.training_stage: DPO\n"
        'train.dataset: [d]\ntrain.neftun_alpha: 5\ntrain.extra_args: \'{"optm": "sgd"}\'\ntrain.buttons: 3\n'
    )
    made = compose(file, None, ONLY)
    told = {problem.message.partition(":")[0]: problem.advice for problem in made.problems}
    assert "did you mean neftune_alpha?" in told["train.neftun_alpha"] and f"{file}:5" in told["train.neftun_alpha"]
    (name,) = told.keys() - {"train.neftun_alpha"}
    assert name.endswith("optm") and "did you mean optim?" in told[name] and f"{file}:6" in told[name]
    assert any("train.buttons is dropped" in notice for notice in made.notices)
