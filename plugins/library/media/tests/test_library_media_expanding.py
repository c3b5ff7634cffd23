"""Tokens by size: what is written for an item is what the whole processor writes, wherever it stands."""

from __future__ import annotations

import io
from typing import Any

import numpy
import pytest
from PIL import Image
from tunesmith import DataError
from tunesmith_library_chat import ChatTemplate, Rendered
from tunesmith_library_chat.spans import Span
from tunesmith_library_loading.processors import load_processor
from tunesmith_library_media.expanding import expanded, placeholders
from tunesmith_library_media.facts import formula_of
from tunesmith_library_media.options import MediaOptions, keep_options
from tunesmith_library_media.replacing import asked
from tunesmith_library_media.shapes import Shape
from tunesmith_library_media.tensors import tensors_of
from tunesmith_library_testing.seeing import save_seeing_model

SIZES = [(40, 30), (100, 60), (56, 200), (1, 1), (50, 3), (300, 300)]


def picture(width: int, height: int) -> bytes:
    pixels = numpy.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module", params=["llava", "gemma3", "qwen2_vl"])
def processor(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = save_seeing_model(tmp_path_factory.mktemp(request.param), request.param)
    return load_processor(folder, trust_remote_code=False)


def said(processor: Any, number: int) -> str:
    token = placeholders(processor)["images"]
    return "<s>" + "".join(f"See {token} here. " for _ in range(number)) + "Yes.</s>"


def test_it_is_the_text_of_the_whole_processor(processor: Any) -> None:
    pictures = [picture(*size) for size in SIZES]
    text = said(processor, len(pictures))
    found = expanded(processor, Rendered(text, ()), {"images": pictures})
    opened = [Image.open(io.BytesIO(each)).convert("RGB") for each in pictures]
    whole = processor(text=[text], images=[opened], add_special_tokens=False, return_tensors="pt")
    ids = processor.tokenizer(found.text, add_special_tokens=False)["input_ids"]
    assert ids == whole["input_ids"][0].tolist()
    made = tensors_of(processor, [{"images": pictures}], {"input_ids": whole["input_ids"]})
    others = whole.keys() - {"input_ids", "attention_mask"}
    assert made.keys() == others
    assert all((made[name] == whole[name]).all() for name in others)


def test_what_is_trained_and_what_is_text_moves_along(processor: Any) -> None:
    token = placeholders(processor)["images"]
    text = f"{token} {token} spelt, answer"
    start = text.index("answer")
    second = (len(token) + 1, 2 * len(token) + 1)
    found = expanded(processor, Rendered(text, (Span(start, len(text), 0),), (second,)), {"images": [picture(60, 60)]})
    assert found.text[found.spans[0].start : found.spans[0].end] == "answer"
    assert found.text[slice(*found.literal[0])] == token
    [item] = found.items
    assert token in found.text[item.start : item.end] or "<image_soft_token>" in found.text[item.start : item.end]
    assert found.moved_range(start, len(text)) == (found.spans[0].start, found.spans[0].end)


def test_places_and_items_are_counted(processor: Any) -> None:
    for number, shown in ((1, 2), (2, 1), (1, 0)):
        with pytest.raises(DataError, match=f"has {number} places for images, and the row {shown} images"):
            expanded(processor, Rendered(said(processor, number), ()), {"images": [picture(9, 9)] * shown})
    with pytest.raises(DataError, match="no audios"):
        expanded(processor, Rendered("a", ()), {"audios": ["a.wav"]})


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl"])
def test_a_formula_gives_what_the_processor_does(family: str, tmp_path: Any) -> None:
    processor = load_processor(save_seeing_model(tmp_path, family), trust_remote_code=False)
    formula = formula_of(processor, "images")
    assert formula is not None
    for size in ((28, 28), (40, 30), (333, 77), (77, 333), (1000, 900), (29, 55)):
        assert formula(processor, "<|image_pad|>", Shape(size)) == asked(
            processor, "images", "<|image_pad|>", Shape(size)
        )


def test_an_image_that_the_model_refuses_is_named(tmp_path: Any) -> None:
    processor = load_processor(save_seeing_model(tmp_path / "model", "qwen2_vl"), trust_remote_code=False)
    (tmp_path / "line.png").write_bytes(picture(400, 1))
    with pytest.raises(DataError, match=r"image .*line.png cannot be shown to the model: .*aspect ratio"):
        expanded(processor, Rendered(said(processor, 1), ()), {"images": [str(tmp_path / "line.png")]})


def test_limits_make_images_smaller(tmp_path: Any) -> None:
    processor = load_processor(save_seeing_model(tmp_path, "qwen2_vl"), trust_remote_code=False)
    text, large = said(processor, 1), picture(200, 100)
    whole = expanded(processor, Rendered(text, ()), {"images": [large]})
    keep_options(processor, MediaOptions(image_max_pixels=5000))
    small = expanded(processor, Rendered(text, ()), {"images": [large]})
    alike = expanded(processor, Rendered(text, ()), {"images": [picture(100, 50)]})
    assert small.text == alike.text != whole.text
    ids = processor.tokenizer(small.text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    grid = tensors_of(processor, [{"images": [large]}], {"input_ids": ids})["image_grid_thw"]
    assert int(grid.prod()) // 4 == small.text.count("<|image_pad|>")


def test_a_template_writes_the_places(processor: Any) -> None:
    template = ChatTemplate("auto", processor.chat_template or processor.tokenizer.chat_template, ()).bind(processor)
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    rendered = template.render(messages, add_generation_prompt=True)
    assert len(expanded(processor, rendered, {"images": [picture(50, 50)]}).items) == 1
