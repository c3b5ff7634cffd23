"""Videos of different lengths in one batch, against each alone through the model's own processor."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

FAMILIES = {
    "llava_next_video": "LlavaNextVideoForConditionalGeneration",
    "internvl": "InternVLForConditionalGeneration",
}


def clip(frames: int, height: int, width: int) -> Any:
    return np.random.default_rng(frames).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_video_is_seen_as_it_is_alone(family: str, tmp_path: Path) -> None:
    import transformers
    from tunesmith_library_media.options import options_of
    from tunesmith_library_media.processors import provide
    from tunesmith_library_media.shapes import loaded
    from tunesmith_library_media.tensors import tensors_of
    from tunesmith_library_testing.seeing import save_seeing_model

    folder = save_seeing_model(tmp_path / family, family)
    provide(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = getattr(transformers, FAMILIES[family]).from_pretrained(folder).eval()
    videos = [clip(90, 60, 40), clip(30, 40, 60)]
    alone = []
    for video in videos:
        shown = loaded(processor, "videos", video, options_of(processor))
        alone.append(
            processor(
                text=["What? <video>"],
                videos=[shown.frames],
                video_metadata=[shown.metadata],
                do_sample_frames=False,
                return_tensors="pt",
            )
        )
    lengths = [made["input_ids"].shape[1] for made in alone]
    assert lengths[0] > lengths[1]
    ids = torch.full((2, lengths[0]), processor.tokenizer.pad_token_id)
    for row, made in enumerate(alone):
        ids[row, : lengths[row]] = made["input_ids"][0]
    batch = {"input_ids": ids, "attention_mask": torch.arange(lengths[0]) < torch.tensor(lengths)[:, None]}
    media = tensors_of(processor, [{"videos": [video]} for video in videos], batch)
    together = model(**batch, **media).logits
    for row, made in enumerate(alone):
        expected = model(**made).logits[0]
        assert torch.allclose(together[row, : lengths[row]], expected, atol=1e-5)
