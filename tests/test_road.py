"""The whole road on a tiny model: a JSON file, training, chat, export, and a run's folder as a handle."""

import json
from pathlib import Path

import pytest
from tunesmith_library_testing.parts import logged, records

torch = pytest.importorskip("torch")

QUESTION = "Who are you?"
ANSWER = "I am the tiny model of a test."


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A LoRA run that has learned one answer by heart."""
    import tunesmith

    folder = tmp_path_factory.mktemp("road")
    rows = [{"instruction": QUESTION, "input": "", "output": ANSWER}] * 16
    (folder / "train.json").write_text(json.dumps(rows))
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(folder / "train.json")], "val_size": 2, "cache_dir": str(folder / "cache")},
        "adapter": {"name": "lora", "rank": 16, "modules_to_save": ["lm_head"]},
        "engine": {"temperature": 0, "max_new_tokens": 32},
        "precision": "fp32",
        "output_dir": str(folder / "out"),
        "trainer": {
            "max_steps": 60,
            "per_device_train_batch_size": 7,
            "learning_rate": 2e-2,
            "logging_steps": 5,
            "save_strategy": "no",
            "eval_strategy": "steps",
            "eval_steps": 30,
        },
    }
    return tunesmith.train(config)


def ask(config: object, **options: object) -> str:
    import tunesmith

    (answer,) = tunesmith.chat(config, [[{"role": "user", "content": QUESTION}]], **options)
    return answer


def test_the_folder_of_a_run(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    expected = {
        "run.yaml",
        "plugins.lock",
        "metrics.jsonl",
        "loss.png",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert expected <= names
    assert not [name for name in names if name.startswith(".")], "drafts are left behind"
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    lock = (run / "plugins.lock").read_text().splitlines()
    assert any(line.startswith("tunesmith-adapter-lora==") for line in lock)
    assert any(line.startswith("torch==") for line in lock)


def test_the_loss_falls(run: Path) -> None:
    events = records(run)
    losses = [event["loss"] for event in events if "loss" in event]
    assert losses[-1] < 0.2 < 3 < losses[0]
    assert any("eval_loss" in event for event in events)


def test_chat_with_a_run(run: Path, tiny_llama: Path) -> None:
    assert ask(run) == ANSWER
    untrained = {"model.path": str(tiny_llama), "template": "chatml", "engine.temperature": 0}
    assert ask(None, overrides=untrained) != ANSWER


def test_the_exported_model_answers_the_same_everywhere(run: Path, tmp_path: Path) -> None:
    import tunesmith
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merged = tunesmith.export(run, output_dir=tmp_path / "merged")
    assert ask(None, overrides={"model.path": str(merged), "engine.temperature": 0}) == ANSWER
    assert not list(merged.glob("adapter*"))

    model, tokenizer = AutoModelForCausalLM.from_pretrained(merged), AutoTokenizer.from_pretrained(merged)
    conversation = [{"role": "user", "content": QUESTION}]
    prompt = tokenizer.apply_chat_template(
        conversation, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output = model.generate(**prompt, max_new_tokens=32, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(output, skip_special_tokens=True).strip() == ANSWER


def test_a_run_repeats_to_the_same_weights(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tunesmith
    from safetensors.torch import load_file

    again = tunesmith.train(run / "run.yaml")
    assert again == run.with_name("out-2")
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (run, again))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_is_not_overwritten_by_accident(run: Path) -> None:
    import tunesmith

    with pytest.raises(tunesmith.TunesmithError, match="overwrite=true"):
        tunesmith.train(run, {"output_dir": str(run)})


def test_a_whole_model_is_a_run_too(tmp_path: Path, tiny_llama: Path) -> None:
    """adapter=full: the run's folder holds the model itself."""
    import tunesmith

    (tmp_path / "train.json").write_text(json.dumps([{"instruction": QUESTION, "output": ANSWER}] * 8))
    overrides = {
        "model.path": str(tiny_llama),
        "template": "chatml",
        "data": {"train": [str(tmp_path / "train.json")], "cache": False},
        "adapter": "full",
        "tracker": ["jsonl"],
        "output_dir": str(tmp_path / "out"),
        "trainer": {"max_steps": 40, "per_device_train_batch_size": 8, "learning_rate": 5e-3, "save_strategy": "no"},
        "engine": {"temperature": 0, "max_new_tokens": 32},
    }
    folder = tunesmith.train(None, overrides)
    assert (folder / "model.safetensors").is_file()
    assert ask(folder) == ANSWER
    merged = tunesmith.export(folder)
    assert merged == tmp_path / "out-merged"
    assert ask(None, overrides={"model.path": str(merged), "engine.temperature": 0}) == ANSWER


def test_plain_text_pretraining(tmp_path: Path, tiny_llama: Path) -> None:
    import tunesmith

    (tmp_path / "corpus.jsonl").write_text("\n".join(json.dumps({"text": f"The tide turns {n}."}) for n in range(50)))
    overrides = {
        "model.path": str(tiny_llama),
        "template": "chatml",
        "data": {"train": [{"path": str(tmp_path / "corpus.jsonl"), "format": "text"}], "cache": False},
        "stage": {"name": "pretrain", "max_length": 64},
        "adapter": "full",
        "output_dir": str(tmp_path / "out"),
        "trainer": {"max_steps": 20, "learning_rate": 5e-3, "logging_steps": 1, "save_strategy": "no"},
    }
    folder = tunesmith.train(None, overrides)
    losses = logged(folder)
    assert losses[-1] < losses[0] - 2
