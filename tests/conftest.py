"""Fixtures of the tests across plugins."""

import json
import random
from pathlib import Path

import pytest
from following import questions


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that writes such questions and answers, so that what is trained on a frozen part has a ground."""
    import tunesmith
    from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

    folder = tmp_path_factory.mktemp("pretrained")
    texts = [f"{question} {right} {wrong}" for question, right, wrong in questions(400)]
    tokenizer = tiny_tokenizer([*texts, "user assistant <|im_start|> <|im_end|>"])
    save_tiny_model(folder / "base", tokenizer=tokenizer)
    turns = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n"
    rng = random.Random(1)
    with open(folder / "corpus.jsonl", "w") as file:
        for question, right, wrong in questions(1000):
            file.write(json.dumps({"text": turns.format(question, rng.choice((right, wrong)))}) + "\n")
    return tunesmith.train(
        {
            "model": {"path": str(folder / "base")},
            "template": "chatml",
            "data": {
                "train": [{"path": str(folder / "corpus.jsonl"), "format": "text"}],
                "cache": False,
                "special_tokens": "parse",
            },
            "stage": {"name": "pretrain", "max_length": 128},
            "adapter": "full",
            "tracker": [],
            "precision": "fp32",
            "output_dir": str(folder / "out"),
            "trainer": {
                "max_steps": 150,
                "per_device_train_batch_size": 8,
                "learning_rate": 5e-3,
                "save_strategy": "no",
            },
        }
    )
