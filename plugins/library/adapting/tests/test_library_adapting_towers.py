"""Models that also see: of which parts layers are adapted, whichever names fit them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForImageTextToText
from tunesmith import TunesmithError
from tunesmith_library_adapting.adapters import adapt, ready_to_train
from tunesmith_library_adapting.targets import pick_targets, targeted
from tunesmith_library_testing.seeing import save_seeing_model

TOWER, TEXT = "model.vision_tower", "model.language_model"
JOINED = ["model.multi_modal_projector.linear_1", "model.multi_modal_projector.linear_2"]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its tower and its language model both have a q_proj."""
    return save_seeing_model(tmp_path_factory.mktemp("seeing") / "llava", "llava")


def places(names: list[str]) -> set[str]:
    return {".".join(name.split(".")[:2]) for name in names}


@pytest.mark.parametrize(
    ("include", "towers", "expected"),
    [
        ("all", ["language"], {TEXT}),
        (["q_proj"], ["language"], {TEXT}),
        ("all", ["projector"], {"model.multi_modal_projector"}),
        (["q_proj", "linear_1"], ["tower", "projector"], {TOWER, "model.multi_modal_projector"}),
        ("all", ["language", "vision"], {TEXT, TOWER}),
    ],
)
def test_only_the_layers_of_the_parts_that_are_asked_for_are_adapted(
    llava: Path, include: Any, towers: list[str], expected: set[str]
) -> None:
    model = AutoModelForImageTextToText.from_pretrained(llava)
    layers = targeted(model, pick_targets(model, include, [], towers))
    assert places(layers) == expected
    queries = {name for name in layers if name.endswith("q_proj")}
    has_queries = {TEXT, TOWER} & expected  # peft compares ends of names: q_proj alone would fit both
    assert places(sorted(queries)) == has_queries
    assert towers != ["projector"] or layers == JOINED


@pytest.mark.parametrize(
    ("include", "towers", "message"),
    [
        (
            ["linear_1"],
            ["language"],
            r"(?s)linear_1: all 1 layers.*part projector.*towers=\[language,projector\]",
        ),
        (["gate_proj"], ["language", "vision"], r"(?s)towers=vision: .*gate_proj.*leaves nothing of it.*fc1"),
        ("all", ["audio"], r"(?s)towers=audio: this model has no such part.*vision"),
        (["fc3"], ["vision"], r"(?s)target_modules=fc3.*did you mean fc[12]"),
    ],
)
def test_names_and_parts_that_come_to_nothing_are_refused(
    llava: Path, include: Any, towers: list[str], message: str
) -> None:
    with pytest.raises(TunesmithError, match=message):
        pick_targets(AutoModelForImageTextToText.from_pretrained(llava), include, [], towers)


def test_biases_of_other_parts_stay_as_they_are_and_the_parts_are_told(
    llava: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tunesmith")
    model = AutoModelForImageTextToText.from_pretrained(llava)
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=pick_targets(model, "all", [], ["projector"]), bias="all")
    adapted = ready_to_train(adapt(model, config), "LoRA", ["projector"])
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if name.endswith("bias")} == {
        f"base_model.model.{name}.base_layer.bias" for name in JOINED
    }
    assert all("multi_modal_projector" in name for name in trained)
    assert "language frozen" in caplog.text and "vision frozen" in caplog.text and "projector " in caplog.text


def test_a_part_without_linear_layers_can_be_trained_whole_beside_the_adapter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = AutoModelForImageTextToText.from_pretrained(save_seeing_model(tmp_path / "gemma3", "gemma3"))
    with pytest.raises(TunesmithError, match=r"(?s)no linear layers.*modules_to_save=\[multi_modal_projector\]"):
        pick_targets(model, "all", [], ["language", "projector"])
    targets = pick_targets(model, "all", ["multi_modal_projector"])
    config = LoraConfig(r=2, target_modules=targets, modules_to_save=["multi_modal_projector"])
    caplog.set_level("INFO", "tunesmith")
    adapted = ready_to_train(adapt(model, config), "LoRA")
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if "modules_to_save" in name} == {
        f"base_model.model.model.multi_modal_projector.modules_to_save.default.{name}"
        for name in ("mm_input_projection_weight", "mm_soft_emb_norm.weight")
    }
    assert "vision frozen" in caplog.text and "projector frozen" not in caplog.text
