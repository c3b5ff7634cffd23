"""Answers to prompts with images: their log-probabilities are plain transformers' with the model's own processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.tokenizers import own_template
from tunesmith_library_loading.processors import load_processor
from tunesmith_library_testing.seeing import save_seeing_model
from tunesmith_stage_ppo import Ppo
from tunesmith_stage_ppo.policy import Policy

ANSWERS = [[40, 41, 42], [50, 51], [60, 61, 62, 63]]


def row_of(folder: Path, number: int, size: tuple[int, int]) -> dict[str, Any]:
    pixels = numpy.random.default_rng(number).integers(0, 255, (*size, 3), dtype=numpy.uint8)
    place = str(folder / f"{number}.png")
    Image.fromarray(pixels).save(place)
    return {"prompt": "<image>Which?", "images": [place]}


def plain(model: Any, processor: Any, row: dict[str, Any], answer: list[int]) -> torch.Tensor:
    """The log-probabilities of an answer to the prompt alone."""
    content = [{"type": "image"}, {"type": "text", "text": "Which?"}] if "images" in row else row["prompt"]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    images = [Image.open(place) for place in row.get("images", [])]
    inputs = dict(processor(text=[text], images=images or None, return_tensors="pt", add_special_tokens=False))
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([answer])], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    for name in {"token_type_ids", "mm_token_type_ids"} & inputs.keys():
        inputs[name] = torch.cat([inputs[name], torch.zeros(1, len(answer)).long()], 1)
    logits = model(**inputs).logits[0, -len(answer) - 1 : -1]
    said: torch.Tensor = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]
    return said


@pytest.mark.parametrize("family", ["qwen2_vl", "llava", "gemma3"])
def test_log_probabilities_with_images_are_the_models_own(family: str, tmp_path: Path) -> None:
    """Of a batch of prompts with and without images, and of some of it."""
    from transformers import AutoModelForImageTextToText

    folder = save_seeing_model(tmp_path / "model", family)
    processor = load_processor(folder, trust_remote_code=False)
    template = ChatTemplate("auto", own_template(processor) or "", ()).bind(processor)
    rows = [row_of(tmp_path, 1, (40, 60)), {"prompt": "Hello"}, row_of(tmp_path, 2, (90, 30))]
    columns = Ppo().encode(rows=rows, processor=processor, template=template)
    examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    policy = Policy(model, temperature=1.0, precision="fp32", processor=processor)
    sequences = policy.sequences(examples, ANSWERS)
    with torch.no_grad():
        expected = [plain(model, processor, row, answer) for row, answer in zip(rows, ANSWERS, strict=True)]
        for start, some in ((0, sequences), (1, sequences.rows(1, 3))):
            found, _, _ = policy.evaluate(some)
            for row, mask in enumerate(some.mask):
                torch.testing.assert_close(found[row][mask], expected[start + row], rtol=1e-5, atol=1e-5)
