"""Pre-training on a stream, end to end: the model learns a document, and where it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tunesmith_library_testing.parts import records

DOCUMENT = "Nobody counts the waves twice."


@pytest.fixture(scope="module")
def run(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned one document by heart, read as a stream."""
    import tunesmith

    folder = tmp_path_factory.mktemp("stream")
    with open(folder / "corpus.jsonl", "w", encoding="utf-8") as file:
        file.write((json.dumps({"text": DOCUMENT}) + "\n") * 40)
    return tunesmith.train(
        {
            "model": {"path": str(tiny_llama)},
            "stage": {"name": "pretrain", "max_length": 64},
            "data": {"train": [str(folder / "corpus.jsonl")], "streaming": True, "shuffle_buffer": 4, "batch_size": 8},
            "adapter": "full",
            "precision": "fp32",
            "output_dir": str(folder / "out"),
            "tracker": {"jsonl": {}},
            "trainer": {
                "max_steps": 40,
                "per_device_train_batch_size": 2,
                "learning_rate": 5e-3,
                "save_strategy": "no",
                "logging_steps": 40,
            },
        }
    )


def test_a_document_and_its_end_are_learned(run: Path) -> None:
    """Continued greedily, the first word becomes the document, followed by the end-of-text token, and not before."""
    import torch
    from transformers import AutoTokenizer
    from tunesmith_library_testing.parts import load_plain

    tokenizer, model = AutoTokenizer.from_pretrained(run), load_plain(run)
    ids = tokenizer(DOCUMENT)["input_ids"]
    with torch.no_grad():
        found = model.generate(torch.tensor([ids[:2]]), do_sample=False, max_new_tokens=len(ids) + 5)[0].tolist()
    assert found == [*ids, tokenizer.eos_token_id]


def test_the_run_says_its_length(run: Path) -> None:
    events = records(run)
    last = next(event for event in reversed(events) if event.get("event") == "step")
    assert (last["step"], last["total_steps"]) == (40, 40) and last["loss"] < 3
