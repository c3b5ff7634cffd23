"""TRL's own YAML files become runs of ours: what each key becomes, that they plan without a problem, and that they
train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import tunesmith
import yaml
from tunesmith.planning import report
from tunesmith.types import Translation
from tunesmith_dialect_trl import Trl
from tunesmith_dialect_trl.translating import trainer_of, translate
from tunesmith_library_testing import DialectSuite
from tunesmith_library_testing.suites.dialect import notes

EXAMPLES: dict[str, dict[str, Any]] = {
    # trl/scripts/sft.py, LoRA
    "sft": {
        "model_name_or_path": "Qwen/Qwen2-0.5B",
        "dataset_name": "trl-lib/Capybara",
        "learning_rate": 2.0e-4,
        "num_train_epochs": 1,
        "packing": True,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 8,
        "eos_token": "<|im_end|>",
        "eval_strategy": "steps",
        "eval_steps": 100,
        "use_peft": True,
        "lora_r": 32,
        "lora_alpha": 16,
        "output_dir": "Qwen2-0.5B-SFT",
    },
    # a mixture, quantised
    "qlora": {
        "model_name_or_path": "Qwen/Qwen2-0.5B",
        "dtype": "bfloat16",
        "attn_implementation": "sdpa",
        "datasets": [
            {"path": "trl-lib/Capybara", "fraction": 0.7},
            {"path": "json", "data_files": "mine.jsonl", "fraction": 0.3},
        ],
        "test_split_size": 0.1,
        "use_peft": True,
        "lora_target_modules": ["all-linear"],
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "use_bnb_nested_quant": True,
        "assistant_only_loss": True,
        "warmup_ratio": 0.1,
        "lr_scheduler_type": "cosine",
        "bf16": True,
        "report_to": ["none"],
        "seed": 7,
    },
    "dpo": {
        "model_name_or_path": "Qwen/Qwen2-0.5B-Instruct",
        "dataset_name": "trl-lib/ultrafeedback_binarized",
        "learning_rate": 5.0e-6,
        "per_device_train_batch_size": 2,
        "loss_type": ["sigmoid", "sft"],
        "loss_weights": [1.0, 0.2],
        "beta": 0.05,
        "max_length": 512,
        "gradient_checkpointing": False,
        "use_peft": True,
    },
    "kto": {
        "dataset_name": "trl-lib/kto-mix-14k",
        "model_name_or_path": "org/model",
        "desirable_weight": 1.5,
        "loss_type": "kto",
        "warmup_steps": 20,
        "optim": "rmsprop",
    },
    "reward": {
        "model_name_or_path": "Qwen/Qwen2-0.5B-Instruct",
        "dataset_name": "trl-lib/ultrafeedback_binarized",
        "center_rewards_coefficient": 0.01,
        "lora_task_type": "SEQ_CLS",
        "max_length": 2048,
    },
    "grpo": {
        "model_name_or_path": "Qwen/Qwen2.5-0.5B-Instruct",
        "dataset_name": "org/math",
        "reward_funcs": ["think_format_reward"],
        "reward_weights": [0.5],
        "num_generations": 4,
        "max_prompt_length": 256,
        "max_completion_length": 128,
        "loss_type": "dr_grpo",
        "scale_rewards": False,
        "per_device_train_batch_size": 4,
    },
    "rloo": {
        "model_name_or_path": "Qwen/Qwen2.5-0.5B-Instruct",
        "dataset_name": "org/math",
        "reward_model_name_or_path": "org/reward",
        "normalize_advantages": True,
        "num_generations": 4,
    },
}


class TestTrl(DialectSuite):
    plugin = Trl
    examples: ClassVar = EXAMPLES


def put(config: dict[str, Any], key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = node[part]
    return node


def sft(**keys: Any) -> Translation:
    return translate({"model_name_or_path": "m", "dataset_name": "d", **keys})


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_trainer_is_known_by_its_keys(name: str) -> None:
    assert trainer_of(EXAMPLES[name])[0] == ("sft" if name == "qlora" else name)
    assert trainer_of({**EXAMPLES[name], "trl": "dpo"}) == ("dpo", "")


def test_the_trainer_is_said() -> None:
    assert notes(sft(), "translated")["trl"].startswith("sft, as no key belongs to another trainer; write trl: NAME")
    assert notes(sft(beta=0.1), "translated")["trl"].startswith("dpo, by its keys beta; ")
    assert "trl" not in notes(sft(trl="sft"), "translated")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_plans_without_an_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text(json.dumps(CHATS[0]))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(EXAMPLES[name]))
    found, problems = tunesmith.plan(tmp_path / "c.yaml")
    errors = [problem for problem in problems if problem.severity == "error"]
    assert errors == [], report(errors, found.origins)
    assert found.name("stage") == ("sft" if name == "qlora" else name)
    assert found.notices[0] == f"{tmp_path / 'c.yaml'}: read as trl's, by tunesmith-dialect-trl 0.1.0"


def test_values_of_an_sft_file() -> None:
    made = translate(EXAMPLES["sft"])
    assert made.command == "train"
    assert made.config == {
        "model": {"path": "Qwen/Qwen2-0.5B"},
        "output_dir": "Qwen2-0.5B-SFT",
        "stage": {"name": "sft", "packing": True, "max_length": 1024, "train_on_prompt": True},
        "data": {
            "train": [{"path": "trl-lib/Capybara", "format": "openai"}],
            "eval": [{"path": "trl-lib/Capybara", "format": "openai", "split": "test", "name": "test"}],
        },
        "adapter": {
            "name": "lora",
            "rank": 32,
            "alpha": 16,
            "dropout": 0.05,
            "target_modules": ["q_proj", "v_proj"],
        },
        "trainer": {
            "learning_rate": 2e-4,
            "num_train_epochs": 1,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 8,
            "eval_strategy": "steps",
            "eval_steps": 100,
            "save_total_limit": None,
            "lr_scheduler_type": "linear",
            "warmup_ratio": 0,
            "gradient_checkpointing": True,
            "train_sampling_strategy": "random",
        },
    }
    assert notes(made, "dropped") == {"eos_token": "the strings that end an answer are the template's."}
    assert set(notes(made, "translated")) == {"trl", "lora_target_modules", "assistant_only_loss"}


def test_values_of_a_mixture_and_of_a_quantised_model() -> None:
    config = dict(translate(EXAMPLES["qlora"]).config)
    assert config["data"] == {
        "train": [
            {"path": "trl-lib/Capybara", "format": "openai", "weight": 0.7},
            {"path": "mine.jsonl", "format": "openai", "weight": 0.3},
        ],
        "mix": "interleave_under",
        "val_size": 0.1,
    }
    assert config["quantizer"] == {"name": "bitsandbytes", "bits": 4, "quant_type": "nf4", "double_quant": True}
    assert config["adapter"]["target_modules"] == "all"
    assert (config["precision"], config["seed"], config["stage"]["train_on_prompt"]) == ("bf16", 7, False)
    assert config["trainer"]["warmup_ratio"] == 0.1 and "tracker" not in config


def test_values_of_preferences() -> None:
    config = dict(translate(EXAMPLES["dpo"]).config)
    assert config["stage"] == {"name": "dpo", "loss": "sigmoid", "rpo_alpha": 0.2, "beta": 0.05, "max_length": 512}
    assert config["adapter"]["dropout"] == 0.0, "trl's dpo disables dropout"
    config = dict(translate(EXAMPLES["kto"]).config)
    assert config["stage"] == {"name": "kto", "loss": "kto", "desirable_weight": 1.5, "max_length": 1024}
    assert config["trainer"]["warmup_steps"] == 20 and config["trainer"]["train_sampling_strategy"] == "sequential"
    assert config["adapter"] == {"name": "full"} and config["trainer"]["learning_rate"] == 1e-6
    assert translate(EXAMPLES["reward"]).config["stage"]["center_coefficient"] == 0.01


def test_values_of_rewards() -> None:
    config = dict(translate(EXAMPLES["grpo"]).config)
    assert config["stage"]["max_prompt_length"] == 256 and config["stage"]["scale_rewards"] == "none"
    assert config["reward"]["format"]["weight"] == 0.5
    assert translate(EXAMPLES["rloo"]).config["reward"] == {"model": {"path": "org/reward"}}


@pytest.mark.parametrize(
    ("keys", "ours", "value"),
    [
        ({"dtype": "bfloat16"}, "adapter.dtype", "bfloat16"),
        ({"torch_dtype": "bfloat16"}, "adapter.dtype", "bfloat16"),
        ({"max_seq_length": 64}, "stage.max_length", 64),
        ({"evaluation_strategy": "epoch"}, "trainer.eval_strategy", "epoch"),
        ({"attn_implementation": "kernels-community/flash-attn2"}, "patch.flash_attention.implementation", "kernels"),
        ({"model_revision": "v2"}, "model.revision", "v2"),
        ({"fp16": True}, "precision", "fp16"),
        ({"bf16": False}, "precision", "fp32"),
        ({"warmup_steps": 0.25}, "trainer.warmup_ratio", 0.25),
        ({"use_liger_kernel": True, "liger_kernel_config": {"rope": False}}, "patch.liger", {"rope": False}),
        ({"neftune_noise_alpha": 5}, "patch.neftune.noise_alpha", 5),
        ({"lr_scheduler_kwargs": '{"min_lr_rate": 0.1}'}, "trainer.lr_scheduler_kwargs", {"min_lr_rate": 0.1}),
        ({"resume_from_checkpoint": True}, "resume", True),
        (
            {"report_to": "wandb"},
            "tracker",
            {"console": {}, "guard": {}, "jsonl": {}, "plot": {}, "record": {}, "wandb": {}},
        ),
        (
            {"report_to": ["trackio"], "project": "p", "run_name": "r"},
            "tracker.trackio",
            {"run_name": "r", "project": "p"},
        ),
        ({"loss_type": "dft"}, "loss", "dft"),
        ({"completion_only_loss": True}, "stage.train_on_prompt", False),
        ({"dataset_text_field": "body"}, "stage.name", "pretrain"),
        ({"dataset_config": "en"}, "data.train", [{"path": "d", "format": "openai", "subset": "en"}]),
        ({"dataset_train_split": "a"}, "data.train", [{"path": "d", "format": "openai", "split": "a"}]),
        ({"chat_template_path": "t.jinja"}, "template.file", "t.jinja"),
        ({"use_peft": True, "lora_modules_to_save": ["lm_head"]}, "adapter.modules_to_save", ["lm_head"]),
        ({"load_in_8bit": True}, "quantizer.bits", 8),
        ({"deepspeed": "z2.json"}, "parallel", {"name": "deepspeed", "config": "z2.json"}),
        (
            {"fsdp": "full_shard auto_wrap", "fsdp_config": {"min_num_params": 100, "fsdp_version": 2}},
            "parallel",
            {"name": "fsdp", "min_num_params": 100},
        ),
        ({"fsdp": ["shard_grad_op"]}, "parallel", {"name": "fsdp", "reshard_after_forward": False}),
    ],
)
def test_values_that_need_thought(keys: dict[str, Any], ours: str, value: Any) -> None:
    assert put(dict(sft(**keys).config), ours) == value


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"push_to_hub": True}, "True cannot be had: nothing is sent anywhere"),
        ({"packing_strategy": "wrapped"}, "'wrapped' cannot be had"),
        ({"max_length": None}, "None cannot be had: examples have a length"),
        ({"loss_type": "sigmoid_norm"}, "'sigmoid_norm' cannot be had: it is none of ours."),
        ({"loss_type": ["sigmoid", "hinge"]}, "cannot be had: one loss of weight 1 is possible"),
        ({"deepspeed": {"zero": 3}}, "cannot be had: its configuration is a file."),
        ({"fsdp_config": "x.json", "fsdp": "full_shard"}, "'x.json' cannot be had: it is no mapping."),
        ({"resume_from_checkpoint": "out/checkpoint-3"}, "cannot be had: a run goes on from its newest checkpoint."),
        ({"chat_template_path": "org/name"}, "cannot be had: a template is a Jinja file"),
        ({"model_init_kwargs": {"a": 1}}, "cannot be had: write dtype"),
        ({"learning_raet": 1}, "it is no key of trl's sft."),
        ({"num_generations": 2, "trl": "sft"}, "it is no key of trl's sft."),
        ({"reward_funcs": ["my.reward"], "trl": "grpo"}, "my.reward cannot be had: a function of trl's"),
        ({"reward_weights": [1], "trl": "grpo"}, "[1] cannot be had: there are 0 rewards."),
    ],
)
def test_what_cannot_be_had_is_refused(keys: dict[str, Any], told: str) -> None:
    refused = notes(sft(**keys), "refused")
    assert list(refused) == [next(iter(keys))] and told in refused[next(iter(keys))]


def test_a_key_of_another_trainer_is_said_to_be_one() -> None:
    made = sft(num_generations=2, trl="sft")
    assert next(note.advice for note in made.notes if note.outcome == "refused") == (
        "it is one of grpo and rloo: write trl: grpo"
    )


def test_what_belongs_to_something_else_is_dropped() -> None:
    made = sft(lora_r=8, bnb_4bit_quant_type="fp4", env={"A": 1}, run_name="x", data_seed=None)
    assert set(notes(made, "dropped")) == {"lora_r", "bnb_4bit_quant_type", "env", "run_name"}


def test_an_old_name_keeps_its_line(tmp_path: Path) -> None:
    lines = ("dataset_name: d", "model_name_or_path: m", "max_seq_length: 64", "torch_dtype: float32")
    (tmp_path / "c.yaml").write_text("\n".join(lines))
    found, _ = tunesmith.plan(tmp_path / "c.yaml")
    assert next(str(at) for key, at in found.origins.items() if str(key) == "stage.max_length").endswith("c.yaml:3")


def test_flags_of_theirs_are_known() -> None:
    assert all(map(Trl.knows, ("dataset_name", "use_peft", "max_seq_length", "num_generations", "trl")))
    assert not Trl.knows("dataset_dir") and not Trl.knows("rank")


def test_our_own_configurations_are_left() -> None:
    assert Trl().translate_config({"model": {"path": "x"}, "lora_r": 3}) is None
    assert Trl().translate_config({"learning_rate": 3}) is None


# ---- training --------------------------------------------------------------------------------------------------------

CHATS = [
    {"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"It is {n}."}]}
    for n in range(8)
]
PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"Say {n}."}],
        "chosen": [{"role": "assistant", "content": f"It is {n}."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    for n in range(8)
]
TINY = {"max_steps": 2, "per_device_train_batch_size": 2, "use_cpu": True, "save_strategy": "no", "bf16": False}


@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        (CHATS, {"use_peft": True, "lora_r": 4, "max_length": 64, "assistant_only_loss": True}),
        pytest.param(PAIRS, {"beta": 0.1, "max_length": 64, "use_peft": True}, marks=pytest.mark.slow),
        pytest.param(PAIRS, {"center_rewards_coefficient": 0.01}, marks=pytest.mark.slow),
    ],
)
def test_a_file_of_trls_trains(rows: list[Any], keys: dict[str, Any], tiny_llama: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    config = {"model_name_or_path": str(tiny_llama), "dataset_name": str(data), **TINY, **keys}
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump({**config, "output_dir": str(tmp_path / "run")}))
    run = tunesmith.train(tmp_path / "theirs.yaml", ["learning_rate=1e-3", "tracker=jsonl", "data.cache=false"])
    again = yaml.safe_load((run / "run.yaml").read_text())
    assert again["trainer"]["learning_rate"] == 1e-3 and again["trainer"]["lr_scheduler_type"] == "linear"
    assert (run / "adapter_config.json").is_file() == bool(keys.get("use_peft"))
