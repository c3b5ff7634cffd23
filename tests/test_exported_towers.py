"""Models that see, trained with pictures: what is exported is what was trained of each part, the rest as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LORA = {"name": "lora", "rank": 4}
# parts of the names of a checkpoint's tensors
PLACES = {
    "llava": {"language": "language_model.", "vision": "vision_tower.", "projector": "multi_modal_projector."},
    "qwen2_vl": {"language": "model.", "vision": "visual.blocks.", "projector": "visual.merger."},
}
CASES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "LoRA beside the language model": ("llava", {"adapter": LORA}, {"language"}),
    "LoRA beside all parts": (
        "qwen2_vl",
        {"adapter": {**LORA, "towers": ["language", "tower", "projector"]}},
        {"language", "vision", "projector"},
    ),
    "LoRA beside the tower alone": ("llava", {"adapter": {**LORA, "towers": ["vision"]}}, {"vision"}),
    "EVA beside the language model and the projector": (
        "qwen2_vl",
        {"adapter": {**LORA, "init": "eva", "towers": ["language", "projector"]}},
        {"language", "projector"},
    ),
    "the projector in full": ("qwen2_vl", {"adapter": {"name": "full", "towers": ["projector"]}}, {"projector"}),
    "QLoRA of the language model": (
        "llava",
        {"adapter": LORA, "quantizer": {"name": "bitsandbytes", "bits": 8}},
        {"language"},
    ),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from tunesmith_library_testing.seeing import save_seeing_model

    folder = tmp_path_factory.mktemp("bases")
    return {family: save_seeing_model(folder / family, family) for family in PLACES}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four questions about pictures of one colour."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("rows")
    made = []
    for number, colour in enumerate(("red", "green", "blue", "white")):
        Image.new("RGB", (56, 28 * (1 + number % 2)), colour).save(folder / f"{colour}.png")
        turns = [{"role": "user", "content": "<image>Which colour?"}, {"role": "assistant", "content": colour}]
        made.append({"messages": turns, "images": [f"{colour}.png"]})
    (folder / "rows.json").write_text(json.dumps(made))
    return folder / "rows.json"


def held(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def shown(folder: Path, family: str) -> Mapping[str, Any]:
    """What the model's own processor makes of a picture and a word."""
    from PIL import Image
    from tunesmith_library_loading.processors import load_processor
    from tunesmith_library_testing.seeing import seeing_families

    mark = seeing_families()[family].marks["image"]
    picture = Image.linear_gradient("L").convert("RGB").resize((56, 56))
    processor = load_processor(folder, trust_remote_code=False)
    made: Mapping[str, Any] = processor(text=[f"{mark} colour"], images=[[picture]], return_tensors="pt")
    return made


def logits(model: Any, inputs: Mapping[str, Any]) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(**inputs, use_cache=False).logits.float()


@pytest.mark.parametrize("case", CASES)
def test_what_is_exported_is_what_was_trained_of_each_part(
    case: str, bases: dict[str, Path], rows: Path, tmp_path: Path
) -> None:
    import torch
    import transformers
    import tunesmith

    family, options, parts = CASES[case]
    base, places = bases[family], PLACES[family]
    trainer = {"max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "save_strategy": "no"}
    run = tunesmith.train(
        None,
        {
            **{"model.path": str(base), "data": {"train": [str(rows)], "cache": False}, "precision": "fp32"},
            **{"output_dir": str(tmp_path / "run"), "trainer": trainer, **options},
        },
    )
    exported = tunesmith.export(run, {"quantizer": None} if "quantizer" in options else {})
    before, after = held(base), held(exported)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and changed <= {name for name in before if name.startswith(tuple(places[part] for part in parts))}
    assert all(any(name.startswith(places[part]) for name in changed) for part in parts)
    for file in base.glob("*.json*"):
        if file.name not in ("config.json", "generation_config.json"):
            assert json.loads((exported / file.name).read_text()) == json.loads(file.read_text()), file.name
    assert (exported / "chat_template.jinja").read_text() == (base / "chat_template.jinja").read_text()

    inputs = shown(exported, family)
    whole = transformers.AutoModelForImageTextToText.from_pretrained(exported, dtype="float32")
    told = logits(whole, inputs)
    if "quantizer" not in options:
        assert (logits(tunesmith.open_model(run).load(), inputs) - told).abs().max() < 1e-4
    if options["adapter"]["name"] == "lora":
        from peft import PeftModel

        plain = transformers.AutoModelForImageTextToText.from_pretrained(base, dtype="float32")
        assert (logits(PeftModel.from_pretrained(plain, run), inputs) - told).abs().max() < 1e-4, "peft alone reads it"
