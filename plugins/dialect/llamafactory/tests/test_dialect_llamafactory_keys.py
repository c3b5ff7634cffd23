"""What becomes of single keys of LLaMA-Factory's; that none is forgotten, and none dropped in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith_dialect_llamafactory.table import OLD, table
from tunesmith_dialect_llamafactory.translating import translate
from tunesmith_library_testing.suites.dialect import Beside, notes

FOLDER = Path(__file__).parent


BESIDE = Beside(translate, {"model_name_or_path": "m", "dataset": "d", "do_train": True})
made_of, refused = BESIDE.made_of, BESIDE.refused


@pytest.mark.parametrize(
    ("keys", "ours"),
    [
        ({"stage": "pt"}, {"stage": {"name": "pretrain"}}),
        ({"stage": "rm"}, {"stage": {"name": "reward"}}),
        ({"stage": "dpo", "pref_loss": "ipo", "pref_ftx": 1.0}, {"stage": {"loss": "ipo", "rpo_alpha": 1.0}}),
        ({"stage": "dpo", "dpo_beta": 0.2, "dpo_loss": "orpo"}, {"stage": {"name": "orpo", "beta": 0.2}}),
        ({"stage": "dpo", "pref_bco_weight": 0.5}, {"stage": {"bco_weight": 0.5}}),
        ({"stage": "dpo", "pref_loss": "orpo", "pref_ftx": 0.5}, {"stage": {"name": "orpo", "sft_alpha": 1.5}}),
        ({"stage": "dpo", "pref_loss": "simpo", "pref_ftx": 0.5}, {"stage": {"name": "simpo", "sft_alpha": 0.5}}),
        ({"stage": "kto", "kto_chosen_weight": 2.0}, {"stage": {"desirable_weight": 2.0, "beta": 0.1}}),
        ({"stage": "kto", "pref_ftx": 0.1}, {"stage": {"sft_alpha": 0.1}}),
        (
            {"stage": "ppo", "reward_model": "r", "learning_rate": 1e-6, "max_new_tokens": 64, "ppo_score_norm": True},
            {
                "stage": {
                    **{"learning_rate": 1e-6, "value_learning_rate": 1e-6, "temperature": 0.95, "max_new_tokens": 64},
                    **{"init_kl_coef": 0.2, "kl_target": 6.0, "normalize_scores": True},
                }
            },
        ),
        (
            {"stage": "ppo", "reward_model": "r", "max_steps": 7, "per_device_train_batch_size": 2},
            {
                "stage": {
                    "name": "ppo",
                    "total_steps": 7,
                    "batch_size": 2,
                    "mini_batch_size": 2,
                    "learning_rate": 5e-5,
                },
                "reward": {"model": {"path": "r"}},
            },
        ),
        (
            {"stage": "ppo", "reward_model": "http://x", "reward_model_type": "api"},
            {"reward": {"http": {"url": "http://x"}}},
        ),
        ({"finetuning_type": "full", "pure_bf16": True}, {"adapter": {"dtype": "bfloat16"}, "precision": "bf16"}),
        ({"finetuning_type": "freeze", "freeze_trainable_modules": "all"}, {"adapter": {"name": "freeze"}}),
        (
            {"finetuning_type": "freeze", "name_module_trainable": "mlp,self_attn"},
            {"adapter": {"trainable_modules": ["mlp", "self_attn"]}},
        ),
        ({"finetuning_type": "oft", "oft_block_size": 16}, {"adapter": {"name": "oft", "block_size": 16}}),
        (
            {"finetuning_type": "oft", "adapter_name_or_path": "a,b", "create_new_adapter": True},
            {"adapter": {"name": "oft", "path": ["a", "b"], "restart": True}},
        ),
        ({"lora_target": "q_proj,v_proj"}, {"adapter": {"target_modules": ["q_proj", "v_proj"]}}),
        ({"pissa_init": True}, {"adapter": {"init": "pissa", "pissa_iterations": 16}}),
        ({"adapter_name_or_path": "a,b"}, {"adapter": {"path": ["a", "b"]}}),
        ({"loraplus_lr_ratio": 8.0}, {"optimizer": {"name": "loraplus", "ratio": 8.0}}),
        ({"quantization_bit": 4}, {"quantizer": {"name": "bitsandbytes", "bits": 4}}),
        (
            {"quantization_bit": 4, "quantization_method": "bitsandbytes", "no_double_quantization": True},
            {"quantizer": {"double_quant": False}},
        ),
        ({"quantization_bit": 2, "quantization_method": "hqq"}, {"quantizer": {"name": "hqq", "bits": 2}}),
        ({"flash_attn": "disabled"}, {"model": {"attention": "eager"}}),
        ({"flash_attn": "fa2"}, {"model": {"attention": "auto"}}),
        ({"moe_aux_loss_coef": 0.01}, {"model": {"router_aux_loss": "on", "router_aux_loss_coef": 0.01}}),
        ({"use_apollo": True, "apollo_proj": "svd"}, {"optimizer": {"name": "apollo", "proj": "svd", "rank": 16}}),
        ({"use_badam": True, "badam_switch_interval": -1}, {"optimizer": {"name": "badam", "switch_mode": "fixed"}}),
        ({"use_apollo": True, "apollo_layerwise": True, "max_grad_norm": 1.0}, {"trainer": {"max_grad_norm": 0.0}}),
        (
            {"use_asft_loss": True, "asft_alpha": 0.05, "ref_model": "r"},
            {"loss": {"name": "asft", "alpha": 0.05, "reference": "r"}},
        ),
        ({"warmup_steps": 20}, {"trainer": {"warmup_steps": 20}}),
        ({"warmup_steps": 0.1}, {"trainer": {"warmup_ratio": 0.1}}),
        ({"bf16": False}, {"precision": "fp32"}),
        ({"fp16": True}, {"precision": "fp16"}),
        ({"neftune_noise_alpha": 5}, {"patch": {"neftune": {"noise_alpha": 5}}}),
        (
            {"mix_strategy": "interleave_over", "interleave_probs": "0.7,0.3", "dataset": "a,b"},
            {"data": {"mix": "interleave_over", "train": [{"path": "a", "weight": 0.7}, {"path": "b", "weight": 0.3}]}},
        ),
        (
            {"mix_strategy": "interleave_once", "interleave_probs": [0.5, 0.5], "dataset": ["a", "b"]},
            {"data": {"mix": "interleave_once", "train": [{"path": "a", "weight": 0.5}, {"path": "b", "weight": 0.5}]}},
        ),
        ({"dataset_dir": "sets"}, {"data": {"registry": "sets/dataset_info.json"}}),
        ({"dataset_dir": "ONLINE", "dataset": "org/x"}, {"data": {"train": [{"path": "org/x", "format": "alpaca"}]}}),
        ({"eval_dataset": "e,f"}, {"data": {"eval": [{"path": "e"}, {"path": "f"}]}}),
        ({"mask_history": True, "neat_packing": True}, {"stage": {"last_turn_only": True, "packing": True}}),
        ({"resume_from_checkpoint": "saves/x/checkpoint-5"}, {"resume": True, "output_dir": "saves/x"}),
        (
            {"report_to": "profiler"},
            {"tracker": {"console": {}, "guard": {}, "jsonl": {}, "plot": {}, "record": {}, "profiler": {}}},
        ),
        ({"seed": 1}, {"seed": 1, "data": {"shuffle_seed": 1}}),
        ({"eval_strategy": "steps", "logging_steps": 7}, {"trainer": {"eval_steps": 7}}),
        ({"eval_strategy": "steps", "logging_steps": 7, "eval_steps": 3}, {"trainer": {"eval_steps": 3}}),
        ({"eval_strategy": "epoch"}, {"trainer": {"eval_steps": None}}),
        ({"train_sampling_strategy": "sequential"}, {"trainer": {"train_sampling_strategy": "sequential"}}),
        ({"lr_scheduler_type": "warmup_stable_decay"}, {"trainer": {"lr_scheduler_type": "warmup_stable_decay"}}),
        (
            {"enable_torch_profiler": True, "profiler_active_steps": 3},
            {
                "tracker": {
                    **{"console": {}, "guard": {}, "jsonl": {}, "plot": {}, "record": {}},
                    "profiler": {"active_steps": 3, "with_stack": True},
                }
            },
        ),
        ({"fsdp": ["full_shard", "auto_wrap"]}, {"parallel": {"name": "fsdp"}}),
        ({"template": "qwen3", "enable_thinking": False}, {"template": {"name": "qwen3", "enable_thinking": False}}),
        ({"split_special_tokens": False}, {"data": {"special_tokens": "parse"}}),
        ({"media_dir": "pictures"}, {"data": {"train": [{"path": "d", "media_dir": "pictures"}]}}),
        ({"template": "qwen3"}, {"model": {"path": "m", "media": None}}),
        (
            {"template": "qwen2_vl", "image_resolution": 262144},
            {
                "model": {
                    "media": {
                        **{"image_max_pixels": 262144, "image_min_pixels": 1024},
                        **{"video_max_pixels": 65536, "video_min_pixels": 256},
                    }
                }
            },
        ),
        (
            {"video_maxlen": 16, "video_fps": 1.0, "audio_sampling_rate": 8000, "use_audio_in_video": False},
            {"model": {"media": {"video_max_frames": 16, "video_fps": 1.0, "audio_sampling_rate": 8000}}},
        ),
        ({"freeze_vision_tower": True, "freeze_language_model": False}, {"adapter": {"towers": None}}),
        ({"freeze_vision_tower": False}, {"adapter": {"towers": ["language", "tower"]}}),
        (
            {"freeze_vision_tower": False, "freeze_language_model": True, "lora_target": "all"},
            {"adapter": {"towers": ["tower"]}},
        ),
        (
            {"finetuning_type": "full", "freeze_multi_modal_projector": False, "freeze_language_model": True},
            {"adapter": {"towers": ["projector"]}},
        ),
        ({"lora_target": "all", "freeze_multi_modal_projector": False}, {"adapter": {"towers": None}}),
        (
            {"lora_target": "linear_1,q_proj", "freeze_multi_modal_projector": False},
            {"adapter": {"towers": ["language", "projector"]}},
        ),
    ],
)
def test_what_becomes_of_keys(keys: dict[str, Any], ours: dict[str, Any]) -> None:
    made = made_of(**keys)
    for kind, options in ours.items():
        if isinstance(options, dict):
            assert {option: made[kind].get(option) for option in options} == options
        else:
            assert made[kind] == options


@pytest.mark.parametrize(
    ("keys", "ours"),
    [
        ({"quantization_bit": "4"}, {"quantizer": {"name": "bitsandbytes", "bits": 4}}),
        ({"quantization_bit": "none"}, {}),
        ({"warmup_steps": "10"}, {"trainer": {"warmup_steps": 10}}),
        ({"learning_rate": "5e-5"}, {"trainer": {"learning_rate": 5e-5}}),
        ({"save_total_limit": "None"}, {"trainer": {"save_total_limit": None}}),
        ({"resume_from_checkpoint": "None", "neftune_noise_alpha": 0, "fsdp": ""}, {}),
        (
            {"add_tokens": "a,b", "add_special_tokens": ["c"]},
            {
                "adapter": {"train_tokens": ["a", "b", "c"]},
                "patch": {"new_tokens": {"tokens": ["a", "b"], "special_tokens": ["c"], "start": "noise"}},
            },
        ),
    ],
)
def test_values_as_they_are_meant(keys: dict[str, Any], ours: dict[str, Any]) -> None:
    made, plain = made_of(**keys), made_of()
    assert made.keys() - plain.keys() == ours.keys() - plain.keys()
    assert all(made[kind] == {**plain.get(kind, {}), **options} or kind == "trainer" for kind, options in ours.items())
    assert all(made["trainer"][option] == value for option, value in ours.get("trainer", {}).items())


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("warmup_steps", [1], "it is no number."),
        ("learning_rate", "1e-4x", "it is no number."),
        ("export_size", "2GB", "it is no number."),
        ("bf16", "maybe", "it is true or false."),
        ("flash_attn", ["fa2"], "it is one word."),
        ("dataset_dir", {"a": 1}, "it is one word."),
    ],
)
def test_values_that_are_none(key: str, value: Any, told: str) -> None:
    assert refused(**{key: value})[key].endswith(told)


def test_media_that_cannot_be_had() -> None:
    assert "nothing is left to train" in refused(freeze_language_model=True)["freeze_language_model"]
    assert "bf16 is asked for, too" in refused(bf16=True, fp16=True)["fp16"]
    assert "videos are shown without their sound" in refused(use_audio_in_video=True)["use_audio_in_video"]
    said = BESIDE.notes_on("translated", freeze_multi_modal_projector=False)
    assert "adapter.towers=[language,projector]" in said["freeze_multi_modal_projector"]


def test_a_key_in_two_spellings_is_said() -> None:
    made = translate({"model_name_or_path": "m", "dataset": "d", "stage": "dpo", "pref_beta": 0.2, "dpo_beta": 0.1})
    assert made.config["stage"]["beta"] == 0.2
    assert notes(made, "dropped")["dpo_beta"] == "pref_beta is there, too, and counts."


def test_a_key_that_is_no_word() -> None:
    made = translate({"model_name_or_path": "m", "dataset": "d", 5: 2})  # type: ignore[dict-item]
    assert notes(made, "refused") == {"[5]": "it is no key of LLaMA-Factory's."}


@pytest.mark.parametrize("written", ["yes", "True", "on", 1, "1"])
def test_switches_as_their_files_and_flags_have_them(written: Any) -> None:
    assert made_of(bf16=written, streaming=written)["precision"] == "bf16"
    assert made_of(streaming=written)["data"]["streaming"] is True


@pytest.mark.parametrize(("file", "ours"), [("adapter_config.json", "adapter"), ("config.json", "model")])
def test_a_checkpoint_that_llamafactory_wrote_is_gone_on_with(tmp_path: Path, file: str, ours: str) -> None:
    for step in (9, 10):
        checkpoint = tmp_path / "x" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        (checkpoint / file).write_text("{}")
    keys = {"output_dir": str(tmp_path / "x"), "overwrite_output_dir": True}
    made = translate({"model_name_or_path": "m", "dataset": "d", "resume_from_checkpoint": True, **keys})
    assert made.config[ours]["path"] == str(tmp_path / "x/checkpoint-10")
    assert made.config["output_dir"] == str(tmp_path / "x-continued")
    assert not made.config.keys() & {"resume", "overwrite"}
    assert "the weights of its step 10" in notes(made, "translated")["resume_from_checkpoint"]
    for name in ("optimizer.pt", "scheduler.pt"):
        (tmp_path / "x/checkpoint-10" / name).touch()
    made = translate({"model_name_or_path": "m", "dataset": "d", "resume_from_checkpoint": True, **keys})
    assert made.config["trainer"]["resume_from"] == str(tmp_path / "x/checkpoint-10")
    assert made.config["model"]["path"] == "m" and "path" not in made.config["adapter"]
    assert made.config["output_dir"] == str(tmp_path / "x-continued")
    assert "after its step 10, with its weights, optimizer" in notes(made, "translated")["resume_from_checkpoint"]
    chosen = {"resume_from_checkpoint": str(tmp_path / "x/checkpoint-9"), "output_dir": "elsewhere"}
    assert made_of(**chosen)["output_dir"] == "elsewhere"
    (tmp_path / "x/run.yaml").touch()  # a run of ours
    assert made_of(resume_from_checkpoint=True, **keys)["resume"] is True


def test_a_run_that_would_be_deleted_is_said(tmp_path: Path) -> None:
    keys = {"stage": "sft", "do_train": True, "model_name_or_path": "m", "dataset": "d", "output_dir": str(tmp_path)}
    made = translate({**keys, "overwrite_output_dir": True})
    assert made.config["overwrite"] is True and "overwrite_output_dir" not in notes(made, "translated")
    (tmp_path / "run.yaml").touch()
    made = translate({**keys, "overwrite_output_dir": True})
    assert f"the run in {tmp_path} is deleted" in notes(made, "translated")["overwrite_output_dir"]


def test_models_that_are_stored_in_few_bits(tmp_path: Path) -> None:
    """By config.json where it is at hand, else by the name; what is quantised on loading goes by its own keys."""
    assert made_of(model_name_or_path="org/Llama-3-8B-Instruct-AWQ")["quantizer"] == {"name": "awq"}
    assert made_of(model_name_or_path="org/Llama-AQLM-2Bit-1x16")["quantizer"] == {"name": "aqlm"}
    assert "quantizer" not in made_of(model_name_or_path="org/Llama-awqward")
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "gptq"}}')
    assert made_of(model_name_or_path=str(tmp_path))["quantizer"] == {"name": "gptq"}
    bits = {"quantization_bit": 4}
    assert made_of(model_name_or_path="org/Llama-GPTQ", **bits)["quantizer"]["name"] == "bitsandbytes"


def test_tasks_with_choices() -> None:
    """Its example, and what its defaults say: five examples, English."""
    asked = {
        "task": "mmlu_test",
        "template": "llama3",
        "lang": "en",
        "n_shot": 5,
        "batch_size": 4,
        "save_dir": "saves/x",
    }
    made = translate({"model_name_or_path": "m", "trust_remote_code": False, **asked})
    assert made.command == "eval" and not notes(made, "refused") and not notes(made, "dropped")
    options = {"path": "evaluation/mmlu", "split": "test", "few_shot": 5, "prompt": "en"}
    assert made.config["evaluator"] == {"multiple_choice": options}
    assert made.config["output_dir"] == "saves/x" and made.config["engine"]["batch_size"] == 4
    made = translate({"model_name_or_path": "m", "task": "ceval_validation", "task_dir": "sets", "lang": "zh"})
    options = {"path": "sets/ceval", "split": "validation", "few_shot": 5, "prompt": "zh"}
    assert made.config["evaluator"] == {"multiple_choice": options} and "output_dir" not in made.config
    assert set(notes(translate({"model_name_or_path": "m", "n_shot": 3}), "dropped")) == {"n_shot"}
    assert "no task and its part" in notes(translate({"model_name_or_path": "m", "task": "mmlu"}), "refused")["task"]


def test_commands_of_the_other_kinds() -> None:
    chat = translate({"model_name_or_path": "m", "adapter_name_or_path": "a", "template": "llama3", "temperature": 0.5})
    assert chat.command == "chat" and chat.config["adapter"] == {"name": "lora", "path": "a"}
    assert chat.config["engine"] == {"temperature": 0.5, "top_p": 0.7, "top_k": 50, "max_new_tokens": 1024}
    hub = {"model_name_or_path": "m", "export_hub_model_id": "org/mine"}
    pushed = translate({**hub, "export_dir": "out"})
    assert pushed.config["exporter"] == {"push_to": "org/mine"}
    assert "private" in notes(pushed, "translated")["export_hub_model_id"]
    assert "exporter" not in translate({**hub, "dataset": "d", "do_train": True}).config
    export = translate({"model_name_or_path": "m", "export_dir": "out", "export_size": 2, "infer_dtype": "float16"})
    assert (export.command, export.config["output_dir"], export.config["precision"]) == ("export", "out", "fp16")
    assert export.config["exporter"] == {"max_shard_size": "2GB"}
    beams = {"model_name_or_path": "m", "num_beams": 4, "length_penalty": 0.5, "do_sample": False}
    searched = translate(beams)
    assert {"num_beams": 4, "length_penalty": 0.5, "temperature": 0.0}.items() <= searched.config["engine"].items()
    assert "follows one" in notes(translate({**beams, "infer_backend": "vllm"}), "refused")["num_beams"]
    assert "length_penalty" in notes(translate({**beams, "num_beams": 1}), "dropped")
    bits = {"export_quantization_bit": "4", "export_quantization_dataset": "data/c4_demo.jsonl", "export_size": 2}
    rounded = translate({"model_name_or_path": "m", "adapter_name_or_path": "a", "export_dir": "out", **bits})
    assert rounded.command == "export" and not notes(rounded, "refused")
    assert rounded.config["exporter"] == {
        **{"name": "gptq", "bits": 4, "data": "data/c4_demo.jsonl", "max_shard_size": "2GB"},
        **{"samples": 128, "sample_length": 1024},
    }
    trained = translate({"model_name_or_path": "m", "dataset": "d", "do_train": True, "export_quantization_bit": 4})
    assert "exporter" not in trained.config and "belongs to export_dir" in str(notes(trained, "dropped"))
    greedy = translate({"model_name_or_path": "m", "infer_backend": "hf", "do_sample": False})
    assert greedy.config["engine"]["temperature"] == 0 and greedy.config["engine"]["name"] == "transformers"


def test_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each engine gets its own options, with LLaMA-Factory's defaults; those of another are said to be passed over."""
    counts = iter((2, 3, 0))
    monkeypatch.setattr("tunesmith_dialect_llamafactory.thought.inference.gpus", lambda _: next(counts))
    drawn = {"temperature": 0.95, "top_p": 0.7, "top_k": 50, "max_new_tokens": 1024}
    keys = {"vllm_gpu_util": 0.5, "vllm_enforce_eager": True, "vllm_max_lora_rank": 64, "sglang_maxlen": 9}
    made = translate({"model_name_or_path": "m", "infer_backend": "vllm", **keys, "vllm_config": '{"max_num_seqs": 4}'})
    assert made.config["engine"] == {
        **{"name": "vllm", **drawn, "max_model_len": 4096, "gpu_memory_utilization": 0.5, "enforce_eager": True},
        **{"max_lora_rank": 64, "options": {"max_num_seqs": 4}, "tensor_parallel_size": 2},
    }
    assert notes(made, "dropped") == {"sglang_maxlen": "it belongs to infer_backend sglang."}
    keys = {"sglang_mem_fraction": 0.4, "sglang_lora_backend": "flashinfer", "vllm_config": "{}"}
    for tp_size in (3, 1):
        made = translate({"model_name_or_path": "m", "infer_backend": "sglang", **keys})
        assert made.config["engine"] == {
            **{"name": "sglang", **drawn, "context_length": 4096, "mem_fraction_static": 0.4, "tp_size": tp_size},
            **{"lora_backend": "flashinfer"},
        }
    assert refused(model_name_or_path="m", infer_backend="vllm", vllm_config="[1]")
    assert "engine" not in translate({"model_name_or_path": "m", "dataset": "d", "do_train": True}).config


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"stage": "rlhf"}, "there is no such stage."),
        ({"finetuning_type": "qlora"}, "there is no such method."),
        ({"use_galore": True, "use_badam": True}, "a run has one optimizer"),
        ({"stage": "ppo", "reward_model": "r", "do_sample": False}, "PPO learns from answers that are drawn."),
        ({"interleave_probs": "1,2"}, "it belongs to mix_strategy"),
        ({"hf_hub_token": "hf_x"}, "'***' cannot be had: a token does not belong into a file."),
        ({"swanlab_api_key": "abc"}, "'***' cannot be had: a key does not belong into a file."),
        ({"report_to": "tensorbord"}, "nothing is called tensorbord"),
        ({"report_to": True}, "nothing is called True"),
        ({"export_dir": "out", "export_quantization_bit": 5}, "GPTQ has other numbers of bits."),
        ({"tensor_model_parallel_size": 2}, "Megatron is not run."),
        ({"learning_raet": 1e-4}, "it is no key of LLaMA-Factory's."),
        ({"eval_dataset": "e", "val_size": 0.1}, "eval_dataset is there, too."),
    ],
)
def test_what_cannot_be_had(keys: dict[str, Any], told: str) -> None:
    found = refused(**keys)
    assert found and any(told in reason for reason in found.values()), found


INFO = {
    "mine": {"file_name": "sub/mine.json", "columns": {"prompt": "q", "response": "a", "query": None}},
    "theirs": {"hf_hub_url": "org/theirs", "formatting": "sharegpt", "subset": "en", "num_samples": 9},
    "made": {"script_url": "made.py"},
}


def test_data_sets_of_a_repository_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REMOTE: files that its dataset_info.json names are in the repository, too; it is fetched from the hub."""
    asked = []

    def downloaded(repository: str, **request: Any) -> str:
        asked.append((repository, request["repo_type"], request["allow_patterns"][0], request["cache_dir"]))
        if repository != "org/sets":
            raise OSError("no network")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", downloaded)
    (tmp_path / "dataset_info.json").write_text(json.dumps(INFO))
    keys = {"dataset_dir": "REMOTE:org/sets", "cache_dir": "there"}
    made = made_of(**keys, dataset="mine", eval_dataset="theirs")["data"]
    assert made["train"] == [
        {
            "path": "huggingface://datasets/org/sets/sub/mine.json",
            "format": "alpaca",
            "columns": {"prompt": "q", "response": "a", "query": "input", "*": "query"},
            "name": "mine",
        }
    ]
    assert made["eval"] == [
        {
            **{"path": "huggingface://datasets/org/theirs", "format": "sharegpt", "subset": "en"},
            **{"samples": 9, "name": "theirs", "columns": {"*": ""}},
        }
    ]
    assert "registry" not in made and asked[0] == ("org/sets", "dataset", "dataset_info.json", "there")
    assert refused(**keys, dataset="mime")["dataset"].endswith("the dataset_info.json of org/sets has no mime.")
    assert "is made by a script" in refused(**keys, dataset="made")["dataset"]
    told = refused(dataset_dir="REMOTE:org/none", dataset="a", eval_dataset="b")
    assert list(told) == ["dataset_dir"] and "no network" in told["dataset_dir"]
    (tmp_path / "dataset_info.json").write_text('{"features": {}}')
    assert "names no data sets" in refused(**keys)["dataset_dir"]


def test_tokens_that_start_from_what_they_stand_for(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text('"<|svg|>": the beginning of a drawing\n"<|end|>": its end\n')
    keys = {"new_special_tokens_config": str(file), "add_special_tokens": "<|other|>", "finetuning_type": "full"}
    described = {"<|svg|>": "the beginning of a drawing", "<|end|>": "its end"}
    for theirs, start in (("desc_init", "description"), ("desc_init_w_noise", "description_noise")):
        made = made_of(**keys, init_special_tokens=theirs)
        expected = {"special_tokens": list(described), "descriptions": described, "start": start}
        assert made["patch"]["new_tokens"] == expected and "train_tokens" not in made["adapter"]
    assert list(BESIDE.notes_on("dropped", **keys)) == ["add_special_tokens"]
    assert "additional_target" in BESIDE.notes_on("translated", finetuning_type="oft", add_tokens="a")["add_tokens"]
    assert made_of(add_tokens="a", init_special_tokens="desc_init")["patch"]["new_tokens"]["start"] == "noise"
    assert list(BESIDE.notes_on("dropped", init_special_tokens="desc_init")) == ["init_special_tokens"]
    assert (
        "there is no such file"
        in refused(new_special_tokens_config=str(tmp_path / "token.yaml"))["new_special_tokens_config"]
    )
    file.write_text("a: [1]\n")
    assert "a description is a text" in refused(new_special_tokens_config=str(file))["new_special_tokens_config"]
    file.write_text("- a\n")
    assert refused(new_special_tokens_config=str(file)).keys() == {"new_special_tokens_config"}


@pytest.mark.parametrize("value", ["all", "non_padding", True, "yes"])
def test_tokens_are_counted_whichever_are_asked_for(value: Any) -> None:
    assert not BESIDE.notes_on("dropped", include_num_input_tokens_seen=value)
    assert not refused(include_num_input_tokens_seen=value)


def test_what_belongs_to_something_that_is_off() -> None:
    made = translate(
        {
            "model_name_or_path": "m",
            "dataset": "d",
            "finetuning_type": "full",
            "lora_rank": 16,
            "galore_rank": 4,
            "pref_beta": 0.5,
        }
    )
    assert notes(made, "dropped") == {
        "lora_rank": "it belongs to finetuning_type lora.",
        "galore_rank": "it belongs to use_galore.",
        "pref_beta": "it belongs to stage dpo or kto.",
    }


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        ("double_quantization", {"quantization_bit": 8, "double_quantization": False}),
        ("quantization_type", {"quantization_bit": 4, "quantization_method": "hqq", "quantization_type": "fp4"}),
        ("oft_block_size", {"finetuning_type": "oft", "oft_rank": 4, "oft_block_size": 16}),
        ("warmup_ratio", {"warmup_steps": 10, "warmup_ratio": 0.1}),
        ("disable_gradient_checkpointing", {"disable_gradient_checkpointing": True, "gradient_checkpointing": True}),
        ("do_eval", {"do_eval": True}),
        ("max_grad_norm", {"use_galore": True, "galore_layerwise": True, "max_grad_norm": 0.5}),
        ("temperature", {"do_sample": False, "temperature": 0.5}),
        ("pref_bco_weight", {"stage": "dpo", "pref_loss": "simpo", "pref_bco_weight": 0.5}),
        ("dpo_label_smoothing", {"stage": "dpo", "pref_loss": "ipo", "dpo_label_smoothing": 0.1}),
    ],
)
def test_what_does_not_count_beside_another_key_is_said(key: str, keys: dict[str, Any]) -> None:
    made = translate({"model_name_or_path": "m", "dataset": "d", "do_train": True, **keys})
    assert key in notes(made, "dropped"), made.notes


def test_nothing_is_dropped_in_silence() -> None:
    """Each of the 277 keys and of transformers' is ours, or says why it is not, when it has a value that is not theirs
    by default."""
    for key, entry in table().items():
        if entry.ours or entry.by or entry.of or key in ("export_dir", "do_train"):
            continue
        value = {bool: not entry.default, int: 3, float: 0.3, str: "other"}.get(type(entry.default), "other")
        made = translate({"model_name_or_path": "m", "dataset": "d", key: value})
        said = {str(note.key) for note in made.notes}
        assert key in said or value in entry.met, f"{key}={value} says nothing"


def test_every_key_of_llamafactory_has_one_line() -> None:
    """The names of its dataclasses, and their defaults, as the table has them."""
    facts = json.loads((FOLDER / "keys.json").read_text(encoding="utf-8"))
    assert len(facts) == 275 and facts.keys() <= table().keys()
    other = {key: table()[key].default for key, default in facts.items() if table()[key].default != default}
    assert other == {"enable_thinking": None, "preserve_thinking": None, "split_special_tokens": None}
    for entry in table().values():
        ways = [bool(entry.ours), bool(entry.by), entry.only is not None, bool(entry.none)]
        assert sum(ways) == 1, f"{entry.key} has {sum(ways)} outcomes"
        assert not entry.by or entry.means, entry.key
    assert set(OLD.values()) <= table().keys() and not OLD.keys() & table().keys()
