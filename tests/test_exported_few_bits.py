"""From training to few bits: runs that have learned an answer, as checkpoints of GPTQ, AWQ and FP8 that give it."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

QUESTION = "Who are you?"
ANSWER = "I am the tiny model of a test."
BASES: dict[str, dict[str, Any]] = {
    "qwen2": {},
    "qwen3": {"tie_word_embeddings": True},
    "gemma3_text": {"sliding_window": 64, "query_pre_attn_scalar": 16},
    "mixtral": {"num_local_experts": 4, "intermediate_size": 32},
}


def trained(folder: Path, architecture: str, **config: Any) -> Path:
    """A LoRA run that has learned one answer by heart."""
    import tunesmith
    from tunesmith_library_testing.tiny import save_tiny_model

    (folder / "train.json").write_text(json.dumps([{"instruction": QUESTION, "input": "", "output": ANSWER}] * 16))
    base = save_tiny_model(folder / "base", architecture=architecture, **config)
    return tunesmith.train(
        {
            "model": {"path": str(base)},
            "template": "chatml",
            "data": {"train": [str(folder / "train.json")], "cache": False},
            "adapter": {"name": "lora", "rank": 16, "modules_to_save": ["lm_head"]},
            "precision": "fp32",
            "tracker": [],
            "output_dir": str(folder / "run"),
            "trainer": {
                "max_steps": 60,
                "per_device_train_batch_size": 8,
                "learning_rate": 1e-2,
                "save_strategy": "no",
            },
        }
    )


def answer(folder: Path, **overrides: str) -> str:
    """What the folder alone says, by its own template; layers of GPTQ and AWQ are unpacked by the quantizer."""
    import tunesmith

    chosen = {"model.path": str(folder), "engine.temperature": 0, "engine.max_new_tokens": 24, **overrides}
    (said,) = tunesmith.chat(None, [[{"role": "user", "content": QUESTION}]], overrides=chosen)
    return said


@pytest.mark.parametrize("architecture", BASES)
def test_gptq_gives_the_trained_answer(architecture: str, tmp_path: Path) -> None:
    import tunesmith

    run = trained(tmp_path, architecture, **BASES[architecture])
    out = tunesmith.export(run, {"exporter": "gptq", "exporter.gptq.group_size": 32}, output_dir=tmp_path / "out")
    assert answer(out, quantizer="gptq") == ANSWER
    report = json.loads((out / "export_report.json").read_text())
    assert report["compared_on"]["origin"] == report["rounding"]["calibrated_on"] == "the run's data"
    assert 0 < report["figures"]["divergence"] < report["limits"]["divergence"]
    assert report["base_in_this_format"]["divergence"] > 0
    share = int(report["rounding"]["share"].partition("%")[0])
    assert share < 30 if architecture == "mixtral" else share > 40


def test_several_formats_share_the_merge(tmp_path: Path) -> None:
    """And each of them gives the answer; FP8 to plain transformers."""
    import tunesmith
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = trained(tmp_path, "llama")
    exporters: dict[str, Any] = {"gptq": {"group_size": 32}, "awq": {"group_size": 32}, "compressed": {}}
    tunesmith.export(run, {"exporter": exporters}, output_dir=tmp_path / "out")
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == sorted(exporters)
    assert {name: answer(tmp_path / "out" / name, quantizer=name) for name in ("gptq", "awq")} == {
        "gptq": ANSWER,
        "awq": ANSWER,
    }
    plain = tmp_path / "out" / "compressed"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(plain), AutoTokenizer.from_pretrained(plain)
    asked = [{"role": "user", "content": QUESTION}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(said, skip_special_tokens=True).strip() == ANSWER


def test_a_base_that_is_stored_in_few_bits(tmp_path: Path) -> None:
    """An adapter over what GPTQ has written is merged into what that stands for, and rounded again."""
    import tunesmith
    from tunesmith_library_testing.tiny import save_tiny_model

    rows = [{"instruction": QUESTION, "input": "", "output": ANSWER}] * 16
    (tmp_path / "train.json").write_text(json.dumps(rows))
    base = save_tiny_model(tmp_path / "base")
    options = {"group_size": 32, "data": str(tmp_path / "train.json")}
    plain = {"model": {"path": str(base)}, "template": "chatml", "exporter": {"gptq": options}}
    few = tunesmith.export(plain, output_dir=tmp_path / "few")
    run = tunesmith.train(
        {
            "model": {"path": str(few)},
            "quantizer": "gptq",
            "template": "chatml",
            "data": {"train": [str(tmp_path / "train.json")], "cache": False},
            "adapter": {"name": "lora", "rank": 16, "modules_to_save": ["lm_head"]},
            "precision": "fp32",
            "tracker": [],
            "output_dir": str(tmp_path / "run"),
            "trainer": {"max_steps": 60, "per_device_train_batch_size": 8, "learning_rate": 1e-2},
        }
    )
    out = tunesmith.export(run, {"exporter": "gptq", "exporter.gptq.group_size": 32}, output_dir=tmp_path / "out")
    assert answer(out, quantizer="gptq") == ANSWER
