"""A run that has learned one answer, so that tests see what was trained."""

import json
from pathlib import Path

QUESTION = "Who are you?"
ANSWER = "I am the tiny model of a test."


def learned_run(folder: Path, template: str = "chatml") -> Path:
    """Train it, in some seconds.

    Args:
        folder: for the model it begins from, `base`, its data, and the run.

    Returns: the run's folder.
    """
    import tunesmith
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    rows = folder / "train.json"
    rows.write_text(json.dumps([{"instruction": QUESTION, "input": "", "output": ANSWER}] * 16))
    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": 256, "intermediate_size": 256, "layers": 1, "vocab_size": len(tokenizer) + 8}
    save_tiny_model(folder / "base", tokenizer=tokenizer, **sizes)
    config = {
        "model": {"path": str(folder / "base")},
        "template": template,
        "data": {"train": [str(rows)], "cache": False},
        "adapter": {"name": "lora", "rank": 16},
        "precision": "fp32",
        "tracker": [],
        "output_dir": str(folder / "run"),
        "trainer": {"max_steps": 40, "per_device_train_batch_size": 8, "learning_rate": 5e-3, "save_strategy": "no"},
    }
    return Path(tunesmith.train(config))
