"""Pairs of answers to questions about images: both show them, and the loss is that of each pair by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.tokenizers import own_template
from tunesmith_library_loading.processors import load_processor
from tunesmith_library_testing.seeing import save_seeing_model
from tunesmith_library_training.log_probs import sequence_log_probs
from tunesmith_stage_dpo import DirectPreference


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_seeing_model(tmp_path_factory.mktemp("llava"), "llava")


@pytest.fixture(scope="module")
def processor(folder: Path) -> Any:
    return load_processor(folder, trust_remote_code=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    places = []
    for number in range(3):
        pixels = numpy.random.default_rng(number).integers(0, 255, (40, 60, 3), dtype=numpy.uint8)
        places.append(str(folder / f"{number}.png"))
        Image.fromarray(pixels).save(places[-1])
    return places


def rows_of(pictures: list[str]) -> list[dict[str, Any]]:
    first, second, third = pictures
    rows = [
        pair([user("<image>Which?")], "One.", "Two.", [first]),
        pair([user("Hello")], "Good day.", "No.", []),
        pair([user("<image>?"), assistant("Yes."), user("And <image>?")], "Three.", "Four.", [second, third]),
    ]
    return [row if row["images"] else {name: row[name] for name in row if name != "images"} for row in rows]


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def pair(prompt: list[Any], chosen: str, rejected: str, images: list[str]) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": [assistant(chosen)], "rejected": [assistant(rejected)], "images": images}


def encoded(stage: DirectPreference, processor: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    template = ChatTemplate("auto", own_template(processor) or "", ()).bind(processor)
    columns = stage.encode(rows=rows, processor=processor, template=template)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_both_answers_show_what_the_prompt_shows(processor: Any, pictures: list[str]) -> None:
    examples = encoded(DirectPreference(), processor, rows_of(pictures))
    for example, expected in zip(examples, ([pictures[0]], [], pictures[1:]), strict=True):
        for name in ("chosen_images", "rejected_images"):
            assert [item["path"] for item in example[name]] == expected


def test_turns_that_are_left_out_take_their_images_along(processor: Any, pictures: list[str]) -> None:
    stage = DirectPreference(longer="cut_prompt", max_length=45)
    [example] = encoded(stage, processor, rows_of(pictures)[2:])
    assert [item["path"] for item in example["chosen_images"]] == pictures[2:]
    assert len(example["chosen_input_ids"]) <= 45


def test_boxes_of_both_answers_are_written(processor: Any, pictures: list[str]) -> None:
    from tunesmith_library_media.options import MediaOptions, keep_options

    row = pair([user("<image>Where?")], "<bbox>", "At <bbox>.", pictures[:1])
    row["objects"] = {"bbox": [[6, 10, 30, 40], [0, 0, 60, 20]]}  # of 60 × 40 pixels
    keep_options(processor, MediaOptions(boxes="thousandths"))
    try:
        [example] = encoded(DirectPreference(), processor, [row])
    finally:
        keep_options(processor, MediaOptions())
    for name, expected in (("chosen", "[100, 250, 500, 1000]"), ("rejected", "At [0, 0, 1000, 500].")):
        learned = [token for token in example[f"{name}_labels"] if token != -100]
        assert processor.tokenizer.decode(learned, skip_special_tokens=True).strip() == expected


def test_a_batch_is_its_pairs(folder: Path, processor: Any, pictures: list[str]) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    stage = DirectPreference()
    examples = encoded(stage, processor, rows_of(pictures))

    def sums(some: list[dict[str, Any]]) -> torch.Tensor:
        batch = stage.collate(examples=some, padding_free=False, processor=processor)
        with torch.no_grad():
            return sequence_log_probs(model, batch).sums

    alone = torch.stack([sums([example]) for example in examples], 1)
    torch.testing.assert_close(sums(examples).view(2, -1), alone, rtol=1e-5, atol=1e-5)
