"""Conversations with images, videos and sounds are shown to a model as its own processor shows them."""

from __future__ import annotations

import functools
import io
import random
from typing import Any

import pytest
from tunesmith.errors import DataError
from tunesmith.types import Conversation, Sampling
from tunesmith_library_chat import ChatTemplate, showing


def image() -> dict[str, Any]:
    """A picture of noise, as a part of a message."""
    from PIL import Image

    file = io.BytesIO()
    Image.frombytes("RGB", (90, 70), random.Random(0).randbytes(90 * 70 * 3)).save(file, "PNG")
    return {"type": "image", "image": file.getvalue()}


def video() -> dict[str, Any]:
    """Six seconds of noise."""
    import av
    import numpy

    file, noise = io.BytesIO(), numpy.random.default_rng(0)
    with av.open(file, "w", "mp4") as container:
        stream = container.add_stream("mpeg4", 4)
        stream.width, stream.height = 96, 64
        for _ in range(24):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (64, 96, 3), dtype=numpy.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return {"type": "video", "video": file.getvalue()}


def sound() -> dict[str, Any]:
    """Two seconds of noise."""
    import numpy
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, numpy.random.default_rng(0).normal(size=16000) * 0.1, 8000, format="FLAC")
    return {"type": "audio", "audio": file.getvalue()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`tiny("qwen2_vl")`: the processor of a tiny model of a family, and its template."""
    from tunesmith_library_loading.processors import load_processor
    from tunesmith_library_testing.seeing import save_seeing_model

    @functools.cache
    def make(family: str) -> tuple[Any, ChatTemplate]:
        processor = load_processor(save_seeing_model(tmp_path_factory.mktemp(family), family), False)
        jinja = processor.tokenizer.chat_template
        return processor, ChatTemplate(family, jinja, ("<|im_end|>",)).bind(processor)

    return make


def asked(processor: Any, template: ChatTemplate, *parts: Any) -> Any:
    content = [part if isinstance(part, dict) else {"type": "text", "text": part} for part in parts]
    conversation = Conversation([{"role": "user", "content": content}])
    return template.request(processor, conversation, Sampling())


@pytest.mark.slow
def test_images_and_videos_are_what_the_processor_makes_of_them(tiny: Any) -> None:
    import torch
    from PIL import Image
    from tunesmith_library_media.items import load_video
    from tunesmith_library_media.options import MediaOptions

    processor, template = tiny("qwen2_vl")
    request = asked(processor, template, image(), "and", video(), "are <|image_pad|>what?")
    frames, _ = load_video(video()["video"], MediaOptions())
    picture = Image.open(io.BytesIO(image()["image"]))
    text = template.render(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "and"}, {"type": "video"}]}],
        add_generation_prompt=True,
    ).text
    made = processor(text=[text], images=[picture], videos=[frames], do_sample_frames=False, return_tensors="pt")
    for name in ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw"):
        assert torch.equal(request.inputs[name], made[name]), name
    for token in (processor.image_token_id, processor.video_token_id):
        assert request.prompt.count(token) == (made["input_ids"] == token).sum() > 0, "what is spelt is text"


@pytest.mark.slow
def test_sounds_are_what_the_processor_makes_of_them(tiny: Any) -> None:
    import torch
    from tunesmith_library_media.items import load_audio

    processor, template = tiny("qwen2_audio")
    request = asked(processor, template, sound(), "what?")
    text = template.render(
        [{"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": "what?"}]}],
        add_generation_prompt=True,
    ).text
    samples = load_audio(sound()["audio"], 16000)
    made = processor(text=[text], audio=[samples], sampling_rate=16000, return_tensors="pt")
    assert list(request.prompt) == made["input_ids"][0].tolist()
    assert torch.allclose(request.inputs["input_features"], made["input_features"])


@pytest.mark.slow
def test_what_is_too_large_or_none_is_refused(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    processor, template = tiny("qwen2_vl")
    with pytest.raises(DataError, match=r"takes text, images and videos, and no audios$"):
        asked(processor, template, {"type": "audio", "audio": b""})
    for broken, said in (
        ({"type": "video", "video": "/a/clip.mp4"}, "a video is given as the bytes of its file, not as str"),
        ({"type": "video", "video": b"x" * 100}, "video"),
        ({"type": "video", "video": image()["image"]}, "it is no video, or broken"),
        ({"type": "image"}, "an image is given as the bytes of its file, not as NoneType"),
    ):
        with pytest.raises(DataError, match=said):
            asked(processor, template, broken, "what?")
    monkeypatch.setattr(showing, "MOST_FRAME_PIXELS", 1000)
    with pytest.raises(DataError, match="video_max_frames"):
        asked(processor, template, video(), "what?")
    monkeypatch.setattr(showing, "MOST_PIXELS", 1000)
    with pytest.raises(DataError, match="possible: 1000"):
        asked(processor, template, image(), "what?")
    processor, template = tiny("qwen2_audio")
    monkeypatch.setattr(showing, "MOST_SECONDS", 1)
    with pytest.raises(DataError, match="audio_max_seconds"):
        asked(processor, template, sound(), "what?")
