"""Stages that compare answers, of models that see: the loss of a mixed batch is that of its examples one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import transformers
from PIL import Image
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_chat.tokenizers import own_template, tokenizer_of
from tunesmith_library_loading.processors import load_processor
from tunesmith_library_testing.seeing import save_seeing_model
from tunesmith_library_training import attention, watching

pytestmark = pytest.mark.slow

CASES = [
    ("kto", "qwen2_vl"),
    ("kto", "llava"),
    ("orpo", "qwen2_vl"),
    ("orpo", "llava"),
    ("simpo", "qwen2_vl"),
    ("simpo", "llava"),
    ("reward", "qwen3_5"),  # of which transformers has a classifier
    ("reward", "gemma3"),
]


def stage_of(name: str, **options: Any) -> Any:
    from tunesmith_stage_kto import KahnemanTversky
    from tunesmith_stage_orpo import OddsRatioPreference
    from tunesmith_stage_reward import RewardModelling
    from tunesmith_stage_simpo import SimplePreference

    classes = {"kto": KahnemanTversky, "orpo": OddsRatioPreference, "simpo": SimplePreference}
    return {**classes, "reward": RewardModelling}[name](**options)


def rows_of(name: str, folder: Path) -> list[dict[str, Any]]:
    """About one image, about none, and about two in different turns."""
    places = []
    for number, size in enumerate([(40, 60), (56, 56), (90, 30)]):
        pixels = numpy.random.default_rng(number).integers(0, 255, (*size, 3), dtype=numpy.uint8)
        places.append(str(folder / f"{number}.png"))
        Image.fromarray(pixels).save(places[-1])
    turns = [user("<image>?"), assistant("Yes."), user("And <image>?")]
    shown = [([user("<image>Which?")], places[:1]), ([user("Hello")], []), (turns, places[1:])]
    rows = [{"prompt": prompt, **({"images": images} if images else {})} for prompt, images in shown]
    for number, row in enumerate(rows):
        good, bad = [assistant("One." * (number + 1))], [assistant("Two.")]
        row |= {"completion": good, "label": number != 1} if name == "kto" else {"chosen": good, "rejected": bad}
    return rows


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def loaded(name: str, folder: Path, processor: Any, attention_: str) -> Any:
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, config.architectures[0]).from_pretrained(folder, attn_implementation=attention_)
    if name == "reward":
        from tunesmith_stage_reward.classifier import score_every_token, to_classifier

        torch.manual_seed(1)
        model = to_classifier(model, tokenizer_of(processor))
        score_every_token(model)
    return model.double().eval()


def encoded(stage: Any, name: str, folder: Path, processor: Any) -> list[dict[str, Any]]:
    template = ChatTemplate("auto", own_template(processor) or "", ()).bind(processor)
    columns = stage.encode(rows=rows_of(name, folder), processor=processor, template=template)
    examples = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert len(examples) == 3
    return examples


def models_of(name: str, folder: Path, processor: Any) -> tuple[Any, Any]:
    """As it is trained, and plain."""
    attention.register()
    ours = loaded(name, folder, processor, attention.NAME)
    watching.watch(ours.base_model)
    return ours, loaded(name, folder, processor, "sdpa")


@pytest.mark.parametrize(("name", "family"), CASES)
def test_a_mixed_batch_of_answers_is_its_examples(name: str, family: str, tmp_path: Path) -> None:
    folder = save_seeing_model(tmp_path / "model", family)
    processor = load_processor(folder, trust_remote_code=False)
    stage = stage_of(name, **({"loss": "apo_zero_unpaired"} if name == "kto" else {}))
    examples = encoded(stage, name, tmp_path, processor)
    if name == "kto":
        examples = [{**example, "reference_log_prob": -9.0 - index} for index, example in enumerate(examples)]
    ours, plain = models_of(name, folder, processor)

    def loss(model: Any, some: list[dict[str, Any]], padding_free: bool) -> torch.Tensor:
        batch = stage.collate(examples=some, padding_free=padding_free, processor=processor)
        found: torch.Tensor = stage.compute_loss(model=model, batch=batch).loss
        found.backward()
        return found.detach()

    alone = torch.stack([loss(plain, [example], False) for example in examples]).sum()
    largest = max(each.grad.abs().max() for each in plain.parameters() if each.grad is not None)
    for padding_free in (False,) if family == "qwen3_5" else (False, True):  # its states are kept apart on GPUs alone
        ours.zero_grad(set_to_none=True)
        torch.testing.assert_close(loss(ours, examples, padding_free), alone, rtol=1e-5, atol=1e-6)
        for (weight, mine), theirs in zip(ours.named_parameters(), plain.parameters(), strict=True):
            gradients = [torch.zeros(1) if each.grad is None else each.grad for each in (mine, theirs)]
            assert (gradients[0] - gradients[1]).abs().max() <= 1e-5 * largest, weight


@pytest.mark.parametrize("family", ["qwen2_vl", "llava"])
def test_answers_to_other_prompts_are_about_their_own_images(family: str, tmp_path: Path) -> None:
    """KTO's baseline: what a mixed batch says of answers to others is what each of them says alone."""
    folder = save_seeing_model(tmp_path / "model", family)
    processor = load_processor(folder, trust_remote_code=False)
    stage = stage_of("kto")
    examples = encoded(stage, "kto", tmp_path, processor)
    ours, plain = models_of("kto", folder, processor)

    def said(model: Any, some: list[dict[str, Any]], padding_free: bool) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            batch = stage.collate(examples=some, padding_free=padding_free, processor=processor)
            return dict(stage.reference_log_probs(model, batch))

    alone = [said(plain, [example], False) for example in examples]
    for padding_free in (False, True):
        for name, found in said(ours, examples, padding_free).items():
            torch.testing.assert_close(found, torch.cat([each[name] for each in alone]), rtol=1e-5, atol=1e-6)
