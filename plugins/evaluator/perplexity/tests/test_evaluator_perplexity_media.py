"""Perplexity of answers about images: the model is shown them; an engine, which scores text alone, is not asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from tunesmith import DataError
from tunesmith_evaluator_perplexity.losses import losses_by_engine, losses_by_model
from tunesmith_evaluator_perplexity.scores import items_of, sequences_of
from tunesmith_library_testing.seeing import save_seeing_model


def picture(place: Path, seed: int) -> Image.Image:
    pixels = numpy.random.default_rng(seed).integers(0, 255, (30, 40, 3), dtype=numpy.uint8)
    made = Image.fromarray(pixels)
    made.save(place)
    return made


def test_the_model_sees_what_is_asked_about(tmp_path: Path) -> None:
    folder = save_seeing_model(tmp_path / "llava", "llava")
    model, processor = AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    examples: list[dict[str, Any]] = []
    expected = []
    for seed, text in enumerate(("<image>A dog that runs", "Good day", "See <image> here")):
        shown = [picture(tmp_path / f"{seed}.png", seed)] if "<image>" in text else []
        inputs = processor(text=[text], images=[shown] if shown else None, return_tensors="pt")
        ids = inputs["input_ids"][0].tolist()
        labels = [-100 if token == processor.image_token_id else token for token in ids]
        paths = [{"path": str(tmp_path / f"{seed}.png"), "bytes": None}] if shown else []
        examples.append({"input_ids": ids, "labels": labels, "images": paths})
        with torch.no_grad():
            logits = model(**inputs).logits[0, :-1]
        targets = torch.tensor(labels[1:])
        expected.append(float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum")))
    found = sequences_of("mine", examples)
    items = items_of(examples)
    losses = losses_by_model(model, list(found.values()), items, processor, batch_tokens=1_000)
    assert [loss.total for loss in losses] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(DataError, match="an engine scores text alone, and the data have images"):
        losses_by_engine(None, list(found.values()), items)  # type: ignore[arg-type]
