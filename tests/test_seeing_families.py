"""Every family that sees or hears, from the rows of the demo sets to an export that transformers opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_testing.seeing import save_seeing_model, seeing_families

pytestmark = [pytest.mark.slow, pytest.mark.real]

SETS = {"image": "mllm_demo.json", "audio": "mllm_audio_demo.json"}


def logits_of(folder: Path, family: str, medium: str, media: Path) -> Any:
    """What the model of a folder says of one item, in its own class and through its own processor."""
    import torch
    import transformers
    from tunesmith_library_loading.processors import load_processor
    from tunesmith_library_media.items import load_audio, load_image

    facts = seeing_families()[family]
    model, found = getattr(transformers, facts.model_class).from_pretrained(folder, output_loading_info=True)
    assert not any(found.values())
    processor = load_processor(folder, trust_remote_code=False)
    given: dict[str, Any] = {"images": [load_image(str(media / "1.jpg"))]}
    if medium == "audio":
        given = {"audio": [load_audio(str(media / "1.mp3"), 16000)], "sampling_rate": 16000}
    made = processor(text=[f"{facts.marks[medium]} What is this?"], return_tensors="pt", **given)
    with torch.no_grad():
        return model.eval()(**made.to(model.dtype)).logits


@pytest.mark.parametrize("family", seeing_families())
def test_a_family_learns_and_is_exported(family: str, real_files: Path, tmp_path: Path) -> None:
    import torch
    import tunesmith
    from safetensors.torch import load_file

    medium = seeing_families()[family].media[0]
    base = save_seeing_model(tmp_path / "base", family)
    config = {
        "model": {"path": str(base)},
        "stage": "sft",
        "adapter": "full",
        "data": {"train": [str(real_files / "data" / SETS[medium])]},
        "trainer": {
            **{"max_steps": 5, "per_device_train_batch_size": 3, "logging_steps": 1},
            **{"learning_rate": 3e-3, "lr_scheduler_type": "constant"},
        },
        "tracker": {"jsonl": {}},
        "output_dir": str(tmp_path / "run"),
    }
    run = tunesmith.train(config)
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [step["loss"] for step in steps if "loss" in step]
    assert len(losses) == 5 and losses[-1] < losses[0]

    merged = tunesmith.export(run, output_dir=tmp_path / "merged")
    stored, written = (
        {name: each.shape for name, each in load_file(folder / "model.safetensors").items()}
        for folder in (base, merged)
    )
    assert stored == written
    assert {path.name for path in base.iterdir()} <= {path.name for path in merged.iterdir()}
    media = real_files / "data" / "mllm_demo_data"
    trained, exported = (logits_of(folder, family, medium, media) for folder in (run, merged))
    assert torch.equal(trained, exported)
    assert not torch.allclose(exported, logits_of(base, family, medium, media))
