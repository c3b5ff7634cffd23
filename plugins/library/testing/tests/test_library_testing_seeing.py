"""Tiny models that see and hear: their own class loads every tensor, and reads what their own processor makes."""

from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_media.processors import provide
from tunesmith_library_testing.seeing import save_seeing_model, seeing_families

QUICK = ("llava", "qwen2_audio")
"""The others are alike, and slow together."""


def shown(medium: str) -> dict[str, Any]:
    """What a processor is called with for a picture of noise, or a second of it."""
    import numpy
    from PIL import Image

    noise = numpy.random.default_rng(0)
    if medium == "audio":
        return {"audio": [noise.normal(size=16000).astype("float32")], "sampling_rate": 16000}
    return {"images": [Image.fromarray(noise.integers(0, 255, (70, 90, 3), dtype=numpy.uint8))]}


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in seeing_families()]
)
def test_a_family_is_read_by_its_own_class(family: str, tmp_path: Path) -> None:
    import torch
    import transformers

    facts = seeing_families()[family]
    folder = save_seeing_model(tmp_path / family, family)
    model, loaded = getattr(transformers, facts.model_class).from_pretrained(folder, output_loading_info=True)
    assert not any(loaded.values())
    provide(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    for medium in set(facts.media) - {"video"}:
        content = [{"type": medium}, {"type": "text", "text": "What is this?"}]
        text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        made = processor(text=[text], return_tensors="pt", **shown(medium))
        assert torch.isfinite(model.eval()(**made.to(model.dtype)).logits).all()
