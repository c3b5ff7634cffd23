"""LLaMA-Factory's files train, chat and merge through `llamafactory-cli`, for each stage and method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tunesmith_dialect_llamafactory.commands import run

STAGES = ("pt", "sft", "rm", "dpo", "kto", "ppo")
METHODS = ("full", "freeze", "lora", "qlora")

ASKED = [{"instruction": f"Say {n}.", "input": "", "output": f"It is {n}."} for n in range(6)]
SETS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "pt": ([{"text": f"It is {n}, and then it is {n}."} for n in range(6)], {"columns": {"prompt": "text"}}),
    "sft": (ASKED, {}),
    "pairs": (
        [{"instruction": f"Say {n}.", "input": "", "chosen": f"It is {n}.", "rejected": "No."} for n in range(6)],
        {
            "ranking": True,
            "columns": {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"},
        },
    ),
    "kto": (
        [{**row, "kto_tag": n % 2 == 0} for n, row in enumerate(ASKED)],
        {"columns": {"prompt": "instruction", "query": "input", "response": "output", "kto_tag": "kto_tag"}},
    ),
}
MORE: dict[str, dict[str, Any]] = {
    "sft": {"add_special_tokens": "<|wave|>"},
    "dpo": {"pref_bco_weight": 0.5},
    "kto": {"pref_ftx": 0.1},
    "ppo": {"ppo_score_norm": True},
}
"""Keys of a stage that change what is learned."""
SET_OF = {"pt": "pt", "sft": "sft", "rm": "pairs", "dpo": "pairs", "kto": "kto", "ppo": "sft"}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `dataset_info.json`."""
    folder = tmp_path_factory.mktemp("data")
    for name, (rows, _) in SETS.items():
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    info = {name: {"file_name": f"{name}.json", **about} for name, (_, about) in SETS.items()}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


def written(folder: Path, name: str, **keys: Any) -> str:
    """A YAML file of theirs."""
    (folder / name).write_text(yaml.safe_dump(keys, sort_keys=False), encoding="utf-8")
    return str(folder / name)


def of_training(stage: str, method: str, model: Path, sets: Path, out: Path) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "model_name_or_path": str(model),
        "stage": stage,
        "do_train": True,
        "finetuning_type": "lora" if method == "qlora" else method,
        "dataset": SET_OF[stage],
        "dataset_dir": str(sets),
        "template": "chatml",
        "cutoff_len": 64,
        "output_dir": str(out),
        "logging_steps": 1,
        "per_device_train_batch_size": 2,
        "max_steps": 2,
        "learning_rate": 1.0e-3,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
    }
    keys |= MORE.get(stage, {})
    if method in ("lora", "qlora"):
        keys |= {"lora_rank": 4, "lora_target": "all"}
    if method == "qlora":
        keys |= {"quantization_bit": 4, "quantization_method": "bnb"}
    if method == "freeze":
        keys |= {"freeze_trainable_layers": 1}
    return keys


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stage", STAGES)
def test_trains_chats_and_merges(
    stage: str, method: str, tiny_llama: Path, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    keys = of_training(stage, method, tiny_llama, sets, out)
    if stage == "ppo":
        judge = tmp_path / "judge"
        assert run(["train", written(tmp_path, "rm.yaml", **of_training("rm", "lora", tiny_llama, sets, judge))]) == 0
        keys |= {"reward_model": str(judge), "max_new_tokens": 8}
    assert run(["train", written(tmp_path, "train.yaml", **keys)]) == 0, capsys.readouterr().err
    adapts = method in ("lora", "qlora")
    assert (out / "adapter_config.json").is_file() == adapts
    handle = {"model_name_or_path": str(tiny_llama), "adapter_name_or_path": str(out)} if adapts else {}
    handle = {"template": "chatml", **(handle or {"model_name_or_path": str(out)})}
    capsys.readouterr()
    if stage != "rm":
        chat = written(tmp_path, "chat.yaml", **handle, infer_backend="huggingface", max_new_tokens=4, num_beams=2)
        assert run(["chat", chat, "-m", "Say 1."]) == 0, capsys.readouterr().err
        assert "> Say 1." in capsys.readouterr().out
    merged = tmp_path / "merged"
    export = written(tmp_path, "export.yaml", **handle, export_dir=str(merged), export_size=1, export_device="cpu")
    assert run(["export", export]) == 0, capsys.readouterr().err
    assert (merged / "model.safetensors").is_file() and not (merged / "adapter_config.json").exists()
    if adapts and stage != "rm":
        assert _changed(tiny_llama, merged), "the merged model is the base's"


README = {
    "train": "train_lora/qwen3_lora_sft.yaml",
    "chat": "inference/qwen3_lora_sft.yaml",
    "export": "merge_lora/qwen3_lora_sft.yaml",
}
"""The three files of LLaMA-Factory's README."""


@pytest.mark.slow
def test_the_three_lines_of_the_readme(
    tiny_llama: Path, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`llamafactory-cli train FILE`, `chat FILE`, `export FILE`: as they are, but for the model and how long."""
    read = yaml.safe_load((Path(__file__).parent / "examples.yaml").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    for command, path in README.items():
        own = read["files"][path]
        keys = {**read["common"][own.pop("like")], **own, "model_name_or_path": str(tiny_llama)}
        keys = {key: value for key, value in keys.items() if key != "without"}
        if command == "train":
            keys |= {"output_dir": "saves/qwen3-4b/lora/sft", "dataset": "sft", "dataset_dir": str(sets)}
        written(tmp_path, f"{command}.yaml", **keys)
    assert run(["train", "train.yaml", "num_train_epochs=1", "use_cpu=true", "bf16=false"]) == 0, (
        capsys.readouterr().err
    )
    assert (tmp_path / "saves/qwen3-4b/lora/sft/loss.png").is_file()
    assert run(["chat", "chat.yaml", "--max_new_tokens", "4", "-m", "Say 1."]) == 0, capsys.readouterr().err
    assert run(["export", "export.yaml"]) == 0, capsys.readouterr().err
    assert (tmp_path / "saves/qwen3_sft_merged/model.safetensors").is_file()


FLAGS = """--stage dpo --do_train True --finetuning_type lora --preprocessing_num_workers 2 --template chatml
--flash_attn auto --dataset pairs --cutoff_len 64 --learning_rate 5e-06 --num_train_epochs 1.0 --max_samples 1000
--per_device_train_batch_size 2 --gradient_accumulation_steps 1 --lr_scheduler_type cosine --max_grad_norm 1.0
--logging_steps 1 --save_steps 100 --warmup_steps 0 --optim adamw_torch --packing False --report_to none --bf16 False
--plot_loss True --ddp_timeout 180000000 --include_num_input_tokens_seen True --lora_rank 8 --lora_alpha 16
--lora_dropout 0 --lora_target all --pref_beta 0.1 --pref_ftx 0 --pref_loss sigmoid --use_cpu True"""


@pytest.mark.slow
def test_the_flags_of_a_tutorial_train(tiny_llama: Path, sets: Path, tmp_path: Path) -> None:
    places = [
        "--model_name_or_path",
        str(tiny_llama),
        "--dataset_dir",
        str(sets),
        "--output_dir",
        str(tmp_path / "run"),
    ]
    assert run(["train", *FLAGS.split(), *places]) == 0
    record = yaml.safe_load((tmp_path / "run/run.yaml").read_text())
    assert (record["stage"]["name"], record["adapter"]["alpha"], record["trainer"]["optim"]) == (
        "dpo",
        16,
        "adamw_torch",
    )


def _changed(base: Path, merged: Path) -> bool:
    """Whether a weight of a layer differs."""
    from safetensors.torch import load_file

    before, after = load_file(base / "model.safetensors"), load_file(merged / "model.safetensors")
    return any(not before[name].equal(after[name].to(before[name].dtype)) for name in before if "q_proj" in name)
