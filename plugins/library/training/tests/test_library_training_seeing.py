"""Batches with images and clips against each example alone in plain transformers: logits and all gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tunesmith import TunesmithError
from tunesmith_library_testing.seeing import save_seeing_model, seeing_families, seeing_tokenizer
from tunesmith_library_training import attention as per_sequence
from tunesmith_library_training import watching

Example = tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]
"""Columns (T,) of an example's tokens, and the tensors of what it shows."""

PATCHES = {"qwen2_vl": 14, "qwen2_5_vl": 14, "qwen3_vl": 16, "qwen3_5": 16}  # pixels of a patch's side
# Tokens of an image, which is a square; pixels of its side; whether types of tokens tell images from text.
SQUARES = {"llava": (4, 28, False), "gemma3": (4, 56, True), "paligemma": (16, 56, True)}
MARKS = {"llava": "<image>", "gemma3": "<image_soft_token>", "paligemma": "<image>"}


class Writer:
    """Writes an example: tokens of text and of items, whose pixels are random."""

    def __init__(self, family: str, generator: torch.Generator) -> None:
        self.family, self.generator = family, generator
        self.tokenizer = seeing_tokenizer(seeing_families()[family])
        self.ids: list[int] = []
        self.types: list[int] = []
        self.shown: dict[str, list[torch.Tensor]] = {}

    def text(self, count: int, kind: int = 0) -> None:
        self.tokens(torch.randint(5, 250, (count,), generator=self.generator).tolist(), kind)

    def mark(self, token: str, count: int = 1, kind: int = 0) -> None:
        self.tokens([self.tokenizer.convert_tokens_to_ids(token)] * count, kind)

    def tokens(self, ids: list[int], kind: int) -> None:
        self.ids += ids
        self.types += [kind] * len(ids)

    def show(self, name: str, *shape: int) -> None:
        self.shown.setdefault(name, []).append(torch.randn(shape, generator=self.generator))

    def patches(self, frames: int, height: int, width: int) -> None:
        """An image or, of several frames, a clip, in patches that are merged by fours."""
        clip, patch = frames > 1, PATCHES[self.family]
        kind, token, name = (2, "<|video_pad|>", "_videos") if clip else (1, "<|image_pad|>", "")
        apart = frames if self.family.startswith("qwen3") else 1
        for _ in range(apart):
            self.mark("<|vision_start|>")
            self.mark(token, frames // apart * height * width // 4, kind)
            self.mark("<|vision_end|>")
            self.text(1)
        self.show(f"pixel_values{name}", frames * height * width, 3 * 2 * patch**2)
        grid = torch.tensor([[frames, height, width]])
        self.shown.setdefault("video_grid_thw" if clip else "image_grid_thw", []).append(grid)
        if clip and self.family == "qwen2_5_vl":
            self.shown.setdefault("second_per_grid_ts", []).append(torch.rand(1, generator=self.generator) * 2)

    def example(self, typed: str | None) -> Example:
        columns = {"input_ids": torch.tensor(self.ids)}
        if typed:
            columns[typed] = torch.tensor(self.types)
        return columns, {name: torch.cat(parts) for name, parts in self.shown.items()}


def in_patches(family: str) -> list[Example]:
    """Two images of different sizes, text alone, an image and a clip, a clip alone."""
    generator = torch.Generator().manual_seed(1)
    examples = []
    for items in ([(1, 4, 6), (1, 2, 4)], [], [(1, 8, 4), (2, 4, 4)], [(3, 4, 2)]):
        writer = Writer(family, generator)
        writer.text(5)
        for item in items:
            writer.patches(*item)
        writer.text(3)
        examples.append(writer.example("mm_token_type_ids"))
    return examples


def in_squares(family: str) -> list[Example]:
    """An image at the end, text alone, an image at the beginning, several: neighbours that must not be one."""
    generator = torch.Generator().manual_seed(1)
    tokens, edge, typed = SQUARES[family]
    examples = []
    for before, count, after in ((9, 1, 0), (0, 0, 14), (0, 1, 12), (4, 3, 5)):
        writer = Writer(family, generator)
        prefix = family == "paligemma"  # a prompt in which everything sees everything, then the answer
        writer.text(0 if prefix else before)
        for _ in range(count):
            writer.mark(MARKS[family], tokens, 0 if prefix else 1)
            writer.show("pixel_values", 1, 3, edge, edge)
            writer.text(0 if prefix else 2 * (after > 0))
        writer.text(after or 4 * prefix, kind=int(prefix))
        examples.append(writer.example("token_type_ids" if typed else None))
    return examples


def examples_of(family: str) -> list[Example]:
    return in_patches(family) if family in PATCHES else in_squares(family)


def concatenated(examples: list[Example]) -> dict[str, Any]:
    lengths = [len(columns["input_ids"]) for columns, _ in examples]
    bounds = torch.tensor([0, *lengths]).cumsum(0).int()
    return {
        **{name: torch.cat([columns[name] for columns, _ in examples])[None] for name in examples[0][0]},
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        **{"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds},
        **{"max_length_q": max(lengths), "max_length_k": max(lengths)},
        **shown(examples),
    }


def padded(examples: list[Example]) -> dict[str, Any]:
    columns = [{**columns, "attention_mask": torch.ones_like(columns["input_ids"])} for columns, _ in examples]
    rows = {
        name: torch.nn.utils.rnn.pad_sequence([each[name] for each in columns], batch_first=True) for name in columns[0]
    }
    return {**rows, **shown(examples)}


def shown(examples: list[Example]) -> dict[str, torch.Tensor]:
    """What the examples show, in their order."""
    names = dict.fromkeys(name for _, tensors in examples for name in tensors)
    return {name: torch.cat([tensors[name] for _, tensors in examples if name in tensors]) for name in names}


def load(folder: Path, attention: str) -> Any:
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, config.architectures[0]).from_pretrained(folder, attn_implementation=attention)
    return model.double().eval()


def ours_and_plain(folder: Path) -> tuple[Any, Any]:
    per_sequence.register()
    ours = load(folder, per_sequence.NAME)
    watching.watch(ours.base_model)
    return ours, load(folder, "sdpa")


def assert_equal_alone(ours: Any, plain: Any, examples: list[Example], *, apart: bool) -> None:
    """Compare a batch of the examples with each alone: logits and gradients, of the parts nothing reaches too.

    Args:
        apart: the batch is padded, else concatenated.
    """
    lengths = [len(columns["input_ids"]) for columns, _ in examples]
    logits = ours(**(padded if apart else concatenated)(examples), use_cache=False).logits
    found = [row[:length] for row, length in zip(logits, lengths, strict=True)] if apart else logits[0].split(lengths)
    expected = [plain(**padded([example]), use_cache=False).logits[0] for example in examples]
    for ours_alone, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_alone, theirs, rtol=1e-5, atol=1e-6)
    torch.manual_seed(0)
    weights = [torch.randn_like(each) for each in expected]
    for model, outputs in ((ours, found), (plain, expected)):
        model.zero_grad(set_to_none=True)
        sum((output * weight).sum() for output, weight in zip(outputs, weights, strict=True)).backward()
    largest = max(each.grad.abs().max() for each in plain.parameters() if each.grad is not None)
    for (name, mine), theirs in zip(ours.named_parameters(), plain.parameters(), strict=True):
        gradients = [torch.zeros(1) if each.grad is None else each.grad for each in (mine, theirs)]
        error = (gradients[0] - gradients[1]).abs().max()
        assert error <= 1e-5 * max(gradients[1].abs().max(), 1e-3 * largest), name


@pytest.mark.parametrize("family", ["qwen2_vl", "gemma3"])
def test_a_mixed_batch_equals_each_example_alone(family: str, tmp_path: Path) -> None:
    models = ours_and_plain(save_seeing_model(tmp_path / "m", family))
    for apart in (False, True):
        assert_equal_alone(*models, examples_of(family), apart=apart)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "qwen3_5", "llava", "paligemma"])
def test_a_mixed_batch_of_any_family_equals_each_example_alone(family: str, tmp_path: Path) -> None:
    models = ours_and_plain(save_seeing_model(tmp_path / "m", family))
    concatenates = family != "qwen3_5"  # its linear layers keep sequences apart with a kernel alone that is not here
    for apart in (False, True) if concatenates else (True,):
        assert_equal_alone(*models, examples_of(family), apart=apart)


def test_other_attention_does_not_mix_images_of_sequences(tmp_path: Path) -> None:
    """transformers' masks of a concatenated batch read the types of the first sequence's tokens for all."""
    model = load(save_seeing_model(tmp_path / "m", "gemma3"), "sdpa")
    watching.watch(model.base_model)
    with pytest.raises(TunesmithError, match="padding_free=false"):
        model(**concatenated(in_squares("gemma3")), use_cache=False)


def test_text_alone_leaves_out_what_is_trained_beside_the_language_model(tmp_path: Path, tiny_llama: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from tunesmith_library_testing.parts import load_plain

    assert not watching.text_leaves_out(load_plain(tiny_llama))
    model = load(save_seeing_model(tmp_path / "m", "qwen2_vl"), "sdpa")
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=r".*language_model.*q_proj"))
    assert not watching.text_leaves_out(adapted), "the tower is frozen"
    model.model.visual.merger.requires_grad_(True)
    assert watching.text_leaves_out(adapted)
