"""The stage in a whole run: a file, training by the pipeline with two rewards, and a chat with what was trained."""

import json

import pytest
import tunesmith
from tunesmith_library_testing.parts import records

STAGE = {
    "name": "grpo",
    "num_generations": 4,
    "max_completion_length": 4,
    "beta": 0.1,
}


@pytest.mark.slow
def test_a_run_by_the_pipeline(tiny_llama, tmp_path):
    rows = [{"instruction": f"Say {word}", "output": word} for word in "abcdefghijkl"]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    (tmp_path / "rewards.py").write_text(
        "def vowels(prompts, completions, rows):\n"
        "    assert all(len(row['answer']) == 1 for row in rows)\n"
        "    return [sum(letter in 'aeiou' for letter in text) / max(len(text), 1) for text in completions]\n"
    )
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(tmp_path / "train.json")], "cache_dir": str(tmp_path / "cache")},
        "adapter": {"name": "lora", "rank": 4},
        "precision": "fp32",
        "output_dir": str(tmp_path / "out"),
        "reward": {"function": {"path": f"{tmp_path / 'rewards.py'}:vowels"}, "exact_match": {"weight": 0.5}},
        "trainer": {"max_steps": 3, "logging_steps": 1, "use_cpu": True},
        "stage": STAGE,
    }
    run = tunesmith.train(config)
    assert (run / "adapter_model.safetensors").is_file()
    events = records(run)
    logged = [event for event in events if "reward" in event]
    assert [event["step"] for event in logged] == [1, 2, 3]
    each = [event["rewards/function/mean"] + event["rewards/exact_match/mean"] for event in logged]
    assert each == pytest.approx([event["reward"] for event in logged])
    assert len(tunesmith.chat(run, [[{"role": "user", "content": "Say a"}]], {"engine.max_new_tokens": 4})) == 1
