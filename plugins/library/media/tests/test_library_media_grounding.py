"""Boxes in the form and the coordinates of each family's publisher."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import pytest
from PIL import Image
from tunesmith import DataError
from tunesmith_library_chat import ChatTemplate, tokenize
from tunesmith_library_chat.tokenizers import own_template
from tunesmith_library_loading.processors import load_processor
from tunesmith_library_media.boxes import Box
from tunesmith_library_media.expanding import expanded
from tunesmith_library_media.grounding import OF_PROCESSORS, STAND_IN, grounded
from tunesmith_library_media.options import MediaOptions, keep_options
from tunesmith_library_media.telling import faults
from tunesmith_library_testing.seeing import save_seeing_model

BOX = [52, 30, 250, 148]
SIZE = (300, 200)


def picture(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "navy").save(file, "PNG")
    return file.getvalue()


def row_of(answer: str = "<ref-object> is at <bbox>.", **objects: Any) -> dict[str, Any]:
    asked = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Where?"}]}
    messages = [asked, {"role": "assistant", "content": answer}]
    return {"messages": messages, "images": [picture(*SIZE)], "objects": {"bbox": [BOX], "ref": ["a ship"], **objects}}


def said(row: dict[str, Any]) -> str:
    text = row["messages"][-1]["content"]
    return str(text.replace(row[STAND_IN], "<") if STAND_IN in row else text)


@pytest.fixture(scope="module")
def processors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    names = ("qwen2_vl", "qwen2_5_vl", "paligemma", "llava")
    folders = {name: save_seeing_model(tmp_path_factory.mktemp(name), name) for name in names}
    return {name: load_processor(folder, trust_remote_code=False) for name, folder in folders.items()}


WRITTEN = {
    "Qwen2VLProcessor": "<|box_start|>(173,150),(833,740)<|box_end|>",
    "Qwen3VLProcessor": "[173, 150, 833, 740]",
    "InternVLProcessor": "<box>[[173, 150, 833, 740]]</box>",
    "Glm4vProcessor": "<|begin_of_box|>[173, 150, 833, 740]<|end_of_box|>",
    "PaliGemmaProcessor": "<loc0153><loc0177><loc0757><loc0852>",
    "Qwen2_5_VLProcessor": "[49, 34, 233, 166]",
}
"""Of the box in an image of 300 × 200 pixels, computed by hand; shown as 280 × 224 where pixels are counted."""


@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_what_the_publisher_writes(name: str) -> None:
    box = Box(tuple(map(float, BOX)), (300.0, 200.0), 0)
    assert OF_PROCESSORS[name].written(box, (280, 224)) == WRITTEN[name]


@pytest.mark.parametrize("name", WRITTEN)
def test_an_answer_leads_back_to_the_box(name: str) -> None:
    form, shown = OF_PROCESSORS[name], (280, 224)
    numbers = [int(each) for each in re.findall(r"\d+", form.written(Box((52.0, 30.0, 250.0, 148.0), SIZE, 0), shown))]
    numbers = [numbers[index] for index in (1, 0, 3, 2)] if "Pali" in name else numbers
    scale = shown if form.scale is None else (form.scale, form.scale)
    for number, edge, size, wanted in zip(numbers, scale * 2, SIZE * 2, BOX, strict=True):
        assert abs(number * size / edge - wanted) <= 0.5 * size / edge + 1e-9


def test_the_far_corner_stays_within_the_numbers_of_the_family() -> None:
    whole = Box((0.0, 0.0, 300.0, 200.0), (300.0, 200.0), 0)
    assert OF_PROCESSORS["Qwen2VLProcessor"].written(whole, None) == "<|box_start|>(0,0),(999,999)<|box_end|>"
    assert OF_PROCESSORS["Qwen3VLProcessor"].written(whole, None) == "[0, 0, 1000, 1000]"
    assert OF_PROCESSORS["PaliGemmaProcessor"].written(whole, None) == "<loc0000><loc0000><loc1023><loc1023>"
    assert OF_PROCESSORS["Qwen2_5_VLProcessor"].written(whole, (280, 224)) == "[0, 0, 280, 224]"


def smart_resize(width: int, height: int, factor: int, most: int) -> tuple[int, int]:
    """Qwen2.5-VL's published formula, for images that are large enough."""
    across, down = (round(edge / factor) * factor for edge in (width, height))
    if across * down > most:
        beta = math.sqrt(width * height / most)
        across, down = (max(factor, math.floor(edge / beta / factor) * factor) for edge in (width, height))
    return across, down


@pytest.mark.parametrize("limit", [None, 6000])
def test_pixels_are_those_of_the_image_that_goes_in(processors: dict[str, Any], limit: int | None) -> None:
    processor = processors["qwen2_5_vl"]
    keep_options(processor, MediaOptions(image_max_pixels=limit))
    try:
        numbers = [int(each) for each in re.findall(r"\d+", said(grounded(row_of(), processor)))]
    finally:
        keep_options(processor, MediaOptions())
    factor = 1.0 if limit is None else math.sqrt(limit / (SIZE[0] * SIZE[1]))
    width, height = int(SIZE[0] * factor), int(SIZE[1] * factor)
    part = processor.image_processor
    shown = smart_resize(width, height, 28, part.size["longest_edge"])
    grid = part(Image.new("RGB", (width, height)), return_tensors="pt")["image_grid_thw"][0].tolist()
    assert (grid[2] * 14, grid[1] * 14) == shown
    scaled = [value * edge / size for value, edge, size in zip(BOX, shown * 2, SIZE * 2, strict=True)]
    assert all(abs(number - value) <= 0.5 for number, value in zip(numbers, scaled, strict=True))


def test_marks_are_control_tokens_and_what_a_row_spells_is_text(processors: dict[str, Any]) -> None:
    processor = processors["qwen2_vl"]
    tokenizer = processor.tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|box_start|>", "<|box_end|>"]})
    template = ChatTemplate("auto", own_template(processor) or "", ()).bind(processor)
    row = grounded(row_of("<|box_start|> \ufdd0 <bbox>", ref=None), processor)
    rendered = expanded(processor, template.render(row["messages"], training=True), row)
    ids = tokenize(tokenizer, [rendered], control=template.control)[0].ids
    assert ids.count(tokenizer.convert_tokens_to_ids("<|box_start|>")) == 1
    assert rendered.text.count("<|box_start|>") == 2 and "\ufdd0" in rendered.text
    [span] = rendered.spans
    assert rendered.text[span.start : span.end].startswith("<|box_start|> \ufdd0 <|box_start|>(173,150),(833,740)")


def test_places_are_filled_in_the_order_of_the_texts(processors: dict[str, Any]) -> None:
    row = row_of("<bbox> <bbox>", bbox=[BOX, [10, 20], [0.0, 0, 300.6, 200]], ref=[], image_id=[0, 1, 0])
    row["images"].append(picture(100, 100))
    row["messages"][0]["content"].append({"type": "image"})
    row["messages"][0]["content"][1]["text"] = "What is at <bbox>?"
    found = grounded(row, processors["qwen2_vl"])
    asked = found["messages"][0]["content"][1]["text"].replace(found[STAND_IN], "<")
    assert asked == "What is at <|box_start|>(173,150),(833,740)<|box_end|>?"
    expected = "<|box_start|>(100,200)<|box_end|> <|box_start|>(0,0),(999,999)<|box_end|>"
    assert said(found) == expected and "objects" not in found
    assert grounded(found, processors["qwen2_vl"]) is found


def test_shares_of_the_image_need_no_size(processors: dict[str, Any]) -> None:
    row = row_of("<bbox>", bbox=[[0.1, 0.2, 0.5, 1.0]], ref=[], bbox_type="norm1")
    assert said(grounded(row, processors["paligemma"])) == "<loc0205><loc0102><loc1023><loc0512>"


def test_boxes_that_are_written_out_in_pixels(processors: dict[str, Any]) -> None:
    row = row_of('[{"bbox_2d": [52, 30, 250, 148], "label": "ship"}, {"point_2d": [150,100]}] [1, 2, 3, 4]')
    row = {"boxes": "pixels", **{name: row[name] for name in ("messages", "images")}}
    row["messages"][0]["content"][1]["text"] = 'Answer {"bbox_2d": [x1, y1, x2, y2]}'
    found = grounded(row, processors["qwen2_5_vl"])
    width, height = smart_resize(*SIZE, 28, processors["qwen2_5_vl"].image_processor.size["longest_edge"])
    box = [round(value * edge / size) for value, edge, size in zip(BOX, (width, height) * 2, SIZE * 2, strict=True)]
    point = [width // 2, height // 2]
    assert said(found) == f'[{{"bbox_2d": {box}, "label": "ship"}}, {{"point_2d": {point}}}] [1, 2, 3, 4]'
    some = {
        **row,
        "messages": [
            *row["messages"][:-1],
            {"role": "assistant", "content": '{"bbox_2d": [[52, 30, 250, 148],[52,30,250,148]]}'},
        ],
    }
    assert said(grounded(some, processors["qwen2_5_vl"])) == f'{{"bbox_2d": [{box},{box}]}}'
    assert "boxes" not in found and "[x1, y1, x2, y2]" in found["messages"][0]["content"][1]["text"]
    row["images"] = []
    with pytest.raises(DataError, match="0 images; it must have one"):
        grounded(row, processors["qwen2_5_vl"])


def test_a_family_without_a_form_is_told_what_there_is(processors: dict[str, Any]) -> None:
    processor = processors["llava"]
    with pytest.raises(DataError, match="LlavaProcessor write boxes") as error:
        grounded(row_of(), processor)
    assert "model.media.boxes=thousandths" in str(error.value)
    keep_options(processor, MediaOptions(boxes="thousandths"))
    try:
        assert said(grounded(row_of(), processor)) == "a ship is at [173, 150, 833, 740]."
    finally:
        keep_options(processor, MediaOptions())


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"bbox": [[52, 30, 301.5, 148]]}, "outside of the image, which has 300 × 200 pixels"),
        ({"bbox": [[-2, 30, 250, 148]]}, "outside of the image"),
        ({"bbox": [[250, 30, 52, 148]]}, "ends before it begins"),
        ({"bbox": [[0.1, 0.2, 1.5, 0.9]], "bbox_type": "norm1"}, "outside of 0 to 1"),
        ({"bbox": [[1, 2, 3]]}, r"a point \[x, y\]"),
        ({"bbox": [[1, 2, 3, math.nan]]}, "in finite numbers"),
        ({"bbox": ["52, 30"]}, "in finite numbers"),
        ({"bbox": []}, "1 × <bbox> for 0 in `objects.bbox`"),
        ({"bbox": [BOX, BOX]}, "1 × <bbox> for 2"),
        ({"ref": []}, "1 × <ref-object> for 0 in `objects.ref`"),
        ({"image_id": [1]}, "of image 1, and the row has 1, counted from 0"),
        ({"image_id": [0, 0]}, "2 numbers for 1"),
        ({"bbox_type": "xywh"}, "possible are real and norm1"),
        ({"bboxs": [BOX]}, "`objects.bboxs` is none of its columns"),
    ],
)
def test_what_is_wrong_with_boxes_is_said(processors: dict[str, Any], objects: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        grounded(row_of(**objects), processors["qwen2_vl"])


def test_a_look_at_the_data_finds_them_without_a_model() -> None:
    assert list(faults(row_of())) == []
    row = row_of()
    del row["objects"]
    [bare] = faults(row)
    assert "the row no `objects`" in bare
    [found] = faults(row_of(bbox=[[52, 30, 400, 148]]))
    assert "outside of the image, which has 300 × 200 pixels" in found
