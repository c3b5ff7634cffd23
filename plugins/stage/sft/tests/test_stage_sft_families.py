"""Every family's mixed batch against each of its examples alone, through its own processor and plain transformers."""

from __future__ import annotations

import inspect
import io
import re
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers
from PIL import Image
from tunesmith.types import IGNORED, model_inputs
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.tokenizers import own_template
from tunesmith_library_loading.processors import load_processor
from tunesmith_library_testing.seeing import save_seeing_model, seeing_families
from tunesmith_library_training import attention, watching
from tunesmith_stage_sft import SupervisedFineTuning

RATE = 16_000
# Their linear layers keep the sequences of a concatenated batch apart with a kernel alone that is not here.
PADDED_ALONE = ("qwen3_5",)
# In float32: parts of their models, or what their processors make, are in numbers of their own.
SINGLE = ("llama4",)


def picture(width: int, height: int, random: numpy.random.Generator) -> Image.Image:
    return Image.fromarray(random.integers(0, 255, (height, width, 3), dtype=numpy.uint8))


def rows_of(family: str) -> list[dict[str, Any]]:
    """Several items of different sizes in a turn, text alone, items in two turns, at the beginning and within."""
    random = numpy.random.default_rng(0)

    def chat(asked: str, said: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]

    nothing = {"messages": chat("Hello there", "Good day.")}
    if "image" not in seeing_families()[family].media:
        sounds = [
            {"array": random.standard_normal(count).astype("float32"), "sampling_rate": RATE}
            for count in (RATE, 9_000, 30_000)
        ]
        return [
            {"messages": chat("<audio>What, and <audio>?", "A bird it is."), "audios": sounds[:2]},
            nothing,
            {"messages": chat("Which <audio>", "Neither."), "audios": sounds[2:]},
        ]
    sizes = ((40, 60), (100, 60), (56, 56), (90, 30), (30, 90), (64, 64))
    shown = [picture(*size, random) for size in sizes]
    two = [*chat("<image>First", "One."), *chat("<image> and <image>", "Two more of them.")]
    rows = [
        {"messages": chat("<image>What is it, and <image>?", "A dog it is."), "images": shown[:2]},
        nothing,
        {"messages": chat("Which <image>", "Neither of them."), "images": shown[2:3]},
        {"messages": two, "images": shown[3:]},
    ]
    if "video" in seeing_families()[family].media:
        clip = [picture(64, 48, random) for _ in range(6)]
        rows.insert(2, {"messages": chat("<video>What?", "It moves a lot."), "videos": [clip]})
    return rows


def by_the_processor(processor: Any, row: dict[str, Any]) -> dict[str, Any]:
    """What the model's own processor makes of a row."""

    def parts(content: str) -> list[dict[str, str]]:
        pieces = [piece for piece in re.split("(<image>|<audio>)", content) if piece]
        marks = {"<image>": {"type": "image"}, "<audio>": {"type": "audio"}}
        return [marks.get(piece, {"type": "text", "text": piece}) for piece in pieces]

    messages = [{**each, "content": parts(each["content"])} for each in row["messages"]]
    shown: dict[str, Any] = {"images": [row["images"]]} if "images" in row else {}
    if "audios" in row:
        shown = {"audio": [sound["array"] for sound in row["audios"]], "sampling_rate": RATE}
    text = processor.apply_chat_template(messages, tokenize=False)
    return dict(processor(text=[text], **shown, add_special_tokens=False, return_tensors="pt"))


def paligemma(processor: Any, example: dict[str, Any], labels: torch.Tensor) -> dict[str, Any]:
    """Its processor puts images first and ends a prompt in its own way, so that a conversation's tokens are ours."""
    shown = [Image.open(io.BytesIO(item["bytes"])) for item in example["images"]]
    made: dict[str, Any] = {"input_ids": torch.tensor([example["input_ids"]])}
    made["token_type_ids"] = (labels != IGNORED).long().cumsum(-1).clamp(max=1)
    if shown:
        pixels = [processor.image_processor(each.convert("RGB"), return_tensors="pt")["pixel_values"] for each in shown]
        made["pixel_values"] = torch.cat(pixels)
    return made


def load(folder: Path, implementation: str, dtype: torch.dtype) -> Any:
    kind = getattr(transformers, transformers.AutoConfig.from_pretrained(folder).architectures[0])
    model = kind.from_pretrained(folder, attn_implementation=implementation, dtype=dtype).eval()
    for name, parameter in model.named_parameters():
        if "gate" in name and parameter.ndim < 2:  # published closed
            torch.nn.init.constant_(parameter, 0.7)
    return model


def loss_of(model: Any, inputs: dict[str, Any], labels: torch.Tensor) -> torch.Tensor:
    """The sum over trained tokens."""
    logits = model(**inputs, use_cache=False).logits.double()
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )


def assert_same_gradients(ours: Any, plain: Any, tolerance: float) -> None:
    largest = max(each.grad.abs().max() for each in plain.parameters() if each.grad is not None)
    for (name, mine), theirs in zip(ours.named_parameters(), plain.parameters(), strict=True):
        found, expected = (torch.zeros(1) if each.grad is None else each.grad for each in (mine, theirs))
        error = (found - expected).abs().max()
        assert error <= tolerance * max(expected.abs().max(), 1e-3 * largest), name


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(seeing_families()))
def test_loss_and_gradients_are_the_sum_of_single_examples(family: str, tmp_path: Path) -> None:
    folder = save_seeing_model(tmp_path / "m", family)
    processor = load_processor(folder, trust_remote_code=False)
    assert type(processor).__name__ == seeing_families()[family].processor_class
    dtype = torch.float32 if family in SINGLE else torch.float64
    attention.register()
    ours, plain = load(folder, attention.NAME, dtype), load(folder, "sdpa", dtype)
    watching.watch(ours.base_model)
    rows, stage = rows_of(family), SupervisedFineTuning()
    template = ChatTemplate("auto", own_template(processor) or "", ()).bind(processor)
    columns = stage.encode(rows=rows, processor=processor, template=template)
    examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    taken, expected = inspect.signature(plain.forward).parameters, 0.0
    for row, example in zip(rows, examples, strict=True):
        labels = torch.tensor([example["labels"]])
        if "videos" in row:  # processors take frames of a file in ways of their own; positions and masks are compared
            made = model_inputs(stage.collate(examples=[example], padding_free=False, processor=processor))
        elif family == "paligemma":
            made = paligemma(processor, example, labels)
        else:
            made = by_the_processor(processor, row)
        assert made["input_ids"].tolist() == [example["input_ids"]], "tokens are the processor's"
        inputs = {name: value for name, value in made.items() if name in taken}
        cast = {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}
        loss = loss_of(plain, cast, labels)
        loss.backward()
        expected += loss.item()
    for padding_free in (False,) if family in PADDED_ALONE else (True, False):
        ours.zero_grad(set_to_none=True)
        batch = stage.collate(examples=examples, padding_free=padding_free, processor=processor)
        loss = loss_of(ours, model_inputs(batch), batch["labels"])
        loss.backward()
        assert loss.item() == pytest.approx(expected, rel=1e-5)
        assert_same_gradients(ours, plain, 1e-5)
