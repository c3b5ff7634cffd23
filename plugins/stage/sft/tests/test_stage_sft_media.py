"""Rows that show images: encoded by size, cut between items, in one batch with rows of text alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import tunesmith
from PIL import Image
from tunesmith import DataError
from tunesmith.types import IGNORED
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.chatml import CHATML
from tunesmith_library_chat.tokenizers import own_template
from tunesmith_library_loading.processors import load_processor
from tunesmith_library_testing.seeing import save_seeing_model
from tunesmith_stage_sft import SupervisedFineTuning

PAD = "<|image_pad|>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_seeing_model(tmp_path_factory.mktemp("qwen2_vl"), "qwen2_vl")


@pytest.fixture(scope="module")
def processor(folder: Path) -> Any:
    return load_processor(folder, trust_remote_code=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    places = []
    for number, (width, height) in enumerate([(40, 60), (100, 60), (56, 56)]):
        pixels = numpy.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=numpy.uint8)
        places.append(str(tmp_path_factory.mktemp("pictures") / f"{number}.png"))
        Image.fromarray(pixels).save(places[-1])
    return places


def rows_of(pictures: list[str]) -> list[dict[str, Any]]:
    first, second, third = pictures
    return [
        chat("<image>What is it?", "A dog.", [first]),
        chat("Hello", "Good day."),
        chat("<image> and <image>: which?", "Neither <image>.", [second, third, first]),
    ]


def chat(asked: str, said: str, images: list[str] | None = None) -> dict[str, Any]:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {"messages": messages, "images": images} if images else {"messages": messages}


def template_of(processor: Any) -> ChatTemplate:
    return ChatTemplate("auto", own_template(processor) or "", ()).bind(processor)


def encoded(processor: Any, rows: list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    columns = SupervisedFineTuning(**options).encode(rows=rows, processor=processor, template=template_of(processor))
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_images_take_tokens_that_nobody_learns(processor: Any, pictures: list[str]) -> None:
    pad = processor.tokenizer.convert_tokens_to_ids(PAD)
    rows = rows_of(pictures)
    for options in ({}, {"train_on_prompt": True}):
        for row, example in zip(rows, encoded(processor, rows, **options), strict=True):
            shown = [Image.open(place) for place in row.get("images", ())]
            # of 28 × 28 pixels each, as the model's own image processor divides them
            expected = sum(
                int(processor.image_processor(image, return_tensors="pt")["image_grid_thw"].prod()) // 4
                for image in shown
            )
            assert example["input_ids"].count(pad) == expected
            assert pad not in example["labels"]
            assert [item["path"] for item in example["images"]] == row.get("images", [])


def test_a_cut_goes_through_no_image(processor: Any, pictures: list[str]) -> None:
    pad = processor.tokenizer.convert_tokens_to_ids(PAD)
    messages = [
        *chat("<image>First", "One.")["messages"],
        *chat("<image>Second", "Two.")["messages"],
    ]
    row = {"messages": messages, "images": pictures[:2]}
    [whole] = encoded(processor, [row])
    numbers = [len([1 for token in whole["input_ids"] if token == pad])]
    both = {0: 0}
    for most in range(20, len(whole["input_ids"]) + 1):
        for example in encoded(processor, [row], max_length=most):
            assert example["input_ids"] == whole["input_ids"][: len(example["input_ids"])]
            both[len(example["images"])] = example["input_ids"].count(pad)
            assert example["input_ids"].count(pad) == both[len(example["images"])]
            # neither is a mark left that an image was to follow
            marks = [processor.tokenizer.convert_tokens_to_ids(f"<|vision_{name}|>") for name in ("start", "end")]
            assert [example["input_ids"].count(mark) for mark in marks] == [len(example["images"])] * 2
    assert both[2] == numbers[0] and 0 < both[1] < both[2]


@pytest.mark.parametrize("padding_free", [True, False])
def test_packed_rows_show_what_they_show_alone(processor: Any, pictures: list[str], padding_free: bool) -> None:
    stage = SupervisedFineTuning()
    rows = rows_of(pictures)
    packed = encoded(processor, rows, packing=True, max_length=400)
    assert len(packed) == 1
    apart = sorted(encoded(processor, rows), key=lambda example: -len(example["input_ids"]))
    first, second = (
        stage.collate(examples=examples, padding_free=padding_free, processor=processor) for examples in (packed, apart)
    )
    assert first.keys() == second.keys() >= {"pixel_values", "image_grid_thw", "mm_token_type_ids"}
    for name, value in first.items():
        assert torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]


def test_text_alone_takes_no_tensors(processor: Any) -> None:
    examples = encoded(processor, [chat("Hello", "Good day.")])
    batch = SupervisedFineTuning().collate(examples=examples, padding_free=True, processor=processor)
    assert "pixel_values" not in batch
    assert (batch["labels"] != IGNORED).any()


def test_a_model_that_reads_text_alone_is_told(tiny_bpe: Any, pictures: list[str]) -> None:
    with pytest.raises(DataError, match="this model takes text, and no images"):
        SupervisedFineTuning().encode(rows=[chat("<image>", "a", pictures[:1])], processor=tiny_bpe, template=CHATML)


def test_boxes_are_trained_as_the_family_writes_them(processor: Any, pictures: list[str]) -> None:
    row = chat("<image>Find <ref-object>.", "<bbox>", pictures[:1])
    row["objects"] = {"bbox": [[10, 15, 20, 60]], "ref": ["it"]}
    [example] = encoded(processor, [row])
    learned = [token for token in example["labels"] if token != IGNORED]
    # an image of 40 × 60 pixels, in thousandths
    assert processor.tokenizer.decode(learned).startswith("<|box_start|>(250,250),(500,999)<|box_end|>")
    text = processor.tokenizer.decode(example["input_ids"])
    assert "Find <|object_ref_start|>it<|object_ref_end|>." in text
    with pytest.raises(DataError, match="outside of the image, which has 40 × 60 pixels"):
        encoded(processor, [{**row, "objects": {"bbox": [[10, 15, 60, 40]], "ref": ["it"]}}])


@pytest.mark.slow
def test_a_run_learns_to_tell_images_apart(folder: Path, pictures: list[str], tmp_path: Path) -> None:
    rows = [chat("<image>Which?", f"It is {number}.", [place]) for number, place in enumerate(pictures)] * 8
    rows += [chat("Hello", "Good day.")] * 4
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    trainer = {"num_train_epochs": 3, "per_device_train_batch_size": 7, "learning_rate": 3e-3, "logging_steps": 1}
    config = {
        "model": {"path": str(folder)},
        "stage": "sft",
        "adapter": "full",
        "data": {"train": [str(tmp_path / "rows.jsonl")]},
        "trainer": trainer,
        "tracker": {"jsonl": {}},
        "output_dir": str(tmp_path / "run"),
    }
    tunesmith.train(config)
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [step["loss"] for step in steps if "loss" in step]
    assert losses[-1] < losses[0] - 1
