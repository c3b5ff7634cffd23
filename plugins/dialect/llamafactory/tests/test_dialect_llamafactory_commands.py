"""The command line of LLaMA-Factory: flags, and `llamafactory-cli`."""

from __future__ import annotations

from pathlib import Path

import pytest
import tunesmith
from tunesmith.catalog import Catalog
from tunesmith.cli.converting import converted
from tunesmith.cli.flags import with_overrides
from tunesmith.compose import compose
from tunesmith_dialect_llamafactory import LlamaFactory
from tunesmith_dialect_llamafactory.commands import command_line, processes, run

ONLY = Catalog.of({"dialect.llamafactory": LlamaFactory})

TUTORIAL = """
--stage dpo --do_train True --model_name_or_path org/m --preprocessing_num_workers 16 --finetuning_type lora
--template default --flash_attn auto --dataset_dir data --dataset dpo_en_demo --cutoff_len 1024
--learning_rate 5e-06 --num_train_epochs 1.0 --max_samples 1000 --per_device_train_batch_size 2
--gradient_accumulation_steps 8 --lr_scheduler_type cosine --max_grad_norm 1.0 --logging_steps 5 --save_steps
100 --warmup_steps 0 --optim adamw_torch --packing False --report_to none --output_dir saves/dpo --bf16 True
--plot_loss True --ddp_timeout 180000000 --include_num_input_tokens_seen True --lora_rank 8 --lora_alpha 16
--lora_dropout 0 --lora_target all --pref_beta 0.1 --pref_ftx 0 --pref_loss sigmoid --overwrite_cache
"""
"""The flags of a tutorial on DPO."""


def test_the_flags_of_a_tutorial() -> None:
    words = with_overrides(TUTORIAL.split(), [])
    assert len(words) == 36 and all("=" in word for word in words)
    made = compose(None, words, ONLY)
    assert (made.command, made.problems) == ("train", ())
    assert made.tree["stage"] == {
        **{"name": "dpo", "max_length": 1024, "loss": "sigmoid", "beta": 0.1, "rpo_alpha": 0, "longer": "cut_prompt"},
    }
    assert made.tree["adapter"] == {"name": "lora", "rank": 8, "alpha": 16, "dropout": 0, "target_modules": "all"}
    assert made.tree["trainer"]["learning_rate"] == 5e-6 and made.tree["precision"] == "bf16"


def test_flags_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("model_name_or_path: m\ndataset: d\ndo_train: true\nlora_rank: 4\n")
    words = with_overrides(["--lora_rank", "16", "--no_double_quantization", "--stage=pt"], [])
    made = compose(tmp_path / "x.yaml", words, ONLY)
    assert made.tree["adapter"]["rank"] == 16 and made.tree["stage"]["name"] == "pretrain"


def test_switches_before_overrides(tmp_path: Path) -> None:
    """A switch without a value does not take the override behind it; a text that has a sign of equality is a text."""
    (tmp_path / "x.yaml").write_text("model_name_or_path: m\ndataset: d\n")
    words = ["--bf16", "lora_rank=16", "--do_train", "adapter.dropout=0.1", "--optim_args", "rank=64,scale=0.25"]
    given = with_overrides(words, [])
    assert given[:4] == ["bf16=true", "lora_rank=16", "do_train=true", "adapter.dropout=0.1"]
    made = compose(tmp_path / "x.yaml", given, ONLY)
    assert (made.problems, made.tree["adapter"]["rank"], made.tree["precision"]) == ((), 16, "bf16")
    assert made.tree["trainer"]["optim_args"] == "rank=64,scale=0.25"


def test_a_text_that_is_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("model_name_or_path: m\ndataset: d\ndo_train: true\n")
    words = with_overrides(["--default_system", "--lora_rank", "5", "--lora_target", "--resume_from_checkpoint"], [])
    messages = sorted(problem.message for problem in compose(tmp_path / "x.yaml", words, ONLY).problems)
    assert [message.partition(":")[0] for message in messages] == ["default_system", "lora_target"]
    assert all("it is a text" in message for message in messages)


def test_the_configuration_is_shown_for_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tunesmith.cli.running import run as run_ours

    (tmp_path / "chat.yaml").write_text("model_name_or_path: org/m\ntemplate: qwen\nmax_new_tokens: 5\n")
    assert run_ours(["config", "show", str(tmp_path / "chat.yaml")]) == 0
    assert "max_new_tokens: 5" in capsys.readouterr().out
    assert run_ours(["config", "show", "--for", "chat", "model.path=org/m"]) == 0


def test_a_misspelt_flag_gets_the_nearest_key() -> None:
    made = compose(
        None, with_overrides(["--model_name_or_path", "m", "--dataset", "d", "--learning_raet", "1"], []), ONLY
    )
    assert [problem.message for problem in made.problems] == ["learning_raet: it is no key of LLaMA-Factory's."]
    assert "learning_rate" in made.problems[0].advice


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, []),
        ({"FORCE_TORCHRUN": "1"}, ["parallel=ddp"]),
        ({"NPROC_PER_NODE": "2"}, ["parallel=ddp", "parallel.processes=2"]),
        (
            {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "5"},
            ["parallel=ddp", "parallel.nodes=2", "parallel.node_rank=1", "parallel.master=a:5"],
        ),
        ({"FORCE_TORCHRUN": "1", "WORLD_SIZE": "2"}, []),
        ({"FORCE_TORCHRUN": "1", "MAX_RESTARTS": "3"}, ["parallel=ddp", "parallel.restarts=3"]),
    ],
)
def test_processes_of_the_environment(environment: dict[str, str], expected: list[str]) -> None:
    assert processes({"CUDA_VISIBLE_DEVICES": "", **environment}) == expected


def test_what_the_file_says_of_them_stays() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "", "NPROC_PER_NODE": "2"}
    assert processes(environment, "fsdp") == ["parallel.processes=2"]
    assert processes(environment, "ray") == []


def test_commands_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("model_name_or_path: m\neval_dataset: d\ndo_predict: true\noutput_dir: out\n")
    none = {"CUDA_VISIBLE_DEVICES": ""}
    written = ["-o", "out/generated_predictions.jsonl", "--overwrite"]
    assert command_line("train", [str(file)], none) == ["predict", str(file), *written]
    assert command_line("train", [str(file), "do_train=true"], none) == ["train", str(file), "do_train=true"]
    assert command_line("chat", [str(file)], none) == ["chat", "--bare-words", str(file)]
    several = command_line("train", ["--model_name_or_path", "m", "--do_train"], {"NPROC_PER_NODE": "2"})
    assert several == ["train", "parallel=ddp", "parallel.processes=2", "--model_name_or_path", "m", "--do_train"]
    made = compose(None, with_overrides(several[1:], ()), ONLY)
    assert made.tree["parallel"] == {"name": "ddp", "processes": 2} and made.problems == ()
    served = {"API_HOST": "0.0.0.0", "API_PORT": "1", "API_MODEL_NAME": "m", "FASTAPI_ROOT_PATH": "/a", "API_KEY": "k"}
    told = ["--host", "0.0.0.0", "--port", "1", "--model-name", "m", "--root-path", "/a"]
    assert command_line("api", ["x"], served) == ["api", "x", *told], "the server reads API_KEY itself"
    assert run(["help"]) == 0 and "tunesmith chat" in capsys.readouterr().out
    assert run(["trian"]) == 2 and "did you mean train?" in capsys.readouterr().err
    assert run(["version"]) == 0 and tunesmith.__version__ in capsys.readouterr().out


def test_conversion(tmp_path: Path) -> None:
    """A converted file composes to what the foreign one does."""
    theirs, ours = tmp_path / "theirs.yaml", tmp_path / "ours.yaml"
    theirs.write_text(
        "model_name_or_path: m\nstage: dpo\ndataset: a,b\nmix_strategy: interleave_over\ninterleave_probs: 0.7,0.3\n"
        "lora_target: q_proj,v_proj\ndefault_system: 'Say: \"no\" # always'\noutput_dir: saves/x\nuse_galore: true\n"
    )
    made = compose(theirs, ["adapter.dropout=0.1"], ONLY)
    ours.write_text(converted(made, str(theirs)))
    assert compose(ours, None, ONLY).tree == made.tree
    theirs.write_text("model_name_or_path: m\nadapter_name_or_path: a\nexport_dir: out\n")
    text = converted(compose(theirs, None, ONLY), "theirs.yaml")
    assert "# For: tunesmith export THIS-FILE --output out" in text and "output_dir" not in text


def test_the_model_of_webchat_is_chosen_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("tunesmith.cli.running.run", lambda words: started.append(words) or 0)
    monkeypatch.setattr("tunesmith_dialect_llamafactory.commands._missing", lambda name, ours: "")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7999")
    file = tmp_path / "chat.yaml"
    file.write_text("model_name_or_path: org/base\nadapter_name_or_path: saves/mine\ntemplate: llama3\n")
    assert run(["webchat", str(file)]) == run(["webui"]) == 0
    assert started == [["webui", "--port", "7999"]] * 2
    assert "choose saves/mine under Chat" in capsys.readouterr().err
