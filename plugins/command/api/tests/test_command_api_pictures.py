"""A model that reads images is asked about one over HTTP: what it says is what transformers says by itself."""

from __future__ import annotations

import base64
import io
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PROMPT = "user\n<image>What is it?<|im_end|>\n"
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}\n{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}"
    "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
)


def png(seed: int) -> bytes:
    """A picture of noise."""
    from PIL import Image

    held = io.BytesIO()
    Image.frombytes("RGB", (20, 30), random.Random(seed).randbytes(20 * 30 * 3)).save(held, "PNG")
    return held.getvalue()


ONE, OTHER = 1, 2


def address(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


@pytest.fixture(scope="module")
def seeing() -> Any:
    """A processor, a small model that reads images of 8 × 8 as 4 tokens, and a template."""
    import torch
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from tunesmith_library_chat import ChatTemplate
    from tunesmith_library_testing.tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    size = {"height": 8, "width": 8}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size=size),
        tokenizer=tokenizer,
        patch_size=4,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    image = tokenizer.convert_tokens_to_ids("<image>")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LlavaConfig(text_config=text, vision_config=vision, image_token_id=image, image_seq_length=4)
        model = LlavaForConditionalGeneration(config).eval()
        torch.nn.init.normal_(model.model.multi_modal_projector.linear_2.weight, std=1.0)
        torch.nn.init.normal_(model.model.vision_tower.embeddings.patch_embedding.weight, std=1.0)
    template = ChatTemplate("seeing", TEMPLATE, ("<|im_end|>",)).bind(processor)
    return SimpleNamespace(processor=processor, model=model, template=template)


def alone(seeing: Any, data: bytes, prompt: str = PROMPT) -> list[int]:
    """What transformers itself makes of a prompt and an image."""
    from PIL import Image

    given = seeing.processor(
        text=[prompt], images=[Image.open(io.BytesIO(data))], add_special_tokens=False, return_tensors="pt"
    )
    made = seeing.model.generate(**given, max_new_tokens=5, do_sample=False)
    found: list[int] = made[0, given["input_ids"].shape[1] :].tolist()
    return found


@pytest.fixture
def handle(seeing: Any, tmp_path: Path) -> Any:
    from tunesmith.types import ModelHandle, ModelSource

    source = ModelSource(tmp_path, "seeing", "fp32", 0, False, lambda *_: tmp_path)
    return ModelHandle(source, None, seeing.processor, seeing.template, lambda: seeing.model, lambda model: model)


def asked(*contents: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [*contents, {"type": "text", "text": "What is it?"}]}]}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_images_reach_the_model(serving: Any, seeing: Any, handle: Any, tmp_path: Path) -> None:
    plugin = pytest.importorskip("tunesmith_engine_transformers")
    (tmp_path / "other.png").write_bytes(png(OTHER))
    engine = plugin.Transformers(max_new_tokens=5, temperature=0.0).open_engine(handle)
    served = serving(engine=engine, allow_media_path=(str(tmp_path),))
    expected = {seed: alone(seeing, png(seed)) for seed in (ONE, OTHER)}
    assert expected[ONE] != expected[OTHER], "the model sees no difference, so that nothing is tested"
    decode = seeing.processor.tokenizer.decode
    for url, seed in ((address(png(ONE)), ONE), (f"file://{tmp_path}/other.png", OTHER)):
        reply = served.client.post("/v1/chat/completions", json=asked(image(url)))
        assert reply.status_code == 200, reply.text
        content = reply.json()["choices"][0]["message"]["content"]
        assert content == decode(expected[seed]).rstrip("\ufffd"), "but for a character that is cut off"
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png(ONE)).decode()}
    body = {**asked({"type": "image", "source": source}), "max_tokens": 5}
    said = served.client.post("/v1/messages", json=body)
    assert said.status_code == 200, said.text
    assert said.json()["content"][0]["text"] == decode(expected[ONE]).rstrip("\ufffd")


def test_an_answer_is_gone_on_with_before_an_image(serving: Any, seeing: Any, handle: Any) -> None:
    """The image is seen there, too: what follows depends on it."""
    plugin = pytest.importorskip("tunesmith_engine_transformers")
    engine = plugin.Transformers(max_new_tokens=5, temperature=0.0).open_engine(handle)
    served = serving(engine=engine)
    begun = {"role": "assistant", "content": "It"}
    how = {"add_generation_prompt": False, "continue_final_message": True}
    expected = {seed: alone(seeing, png(seed), PROMPT + "assistant\nIt") for seed in (ONE, OTHER)}
    assert expected[ONE] != expected[OTHER], "the model sees no difference, so that nothing is tested"
    for seed in (ONE, OTHER):
        body = asked(image(address(png(seed))))
        reply = served.client.post("/v1/chat/completions", json={"messages": [*body["messages"], begun], **how})
        assert reply.status_code == 200, reply.text
        said = seeing.processor.tokenizer.decode(expected[seed]).rstrip("\ufffd")
        assert reply.json()["choices"][0]["message"]["content"].endswith(said)


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (image("data:image/png;base64,AAAA"), "media_not_readable"),
        (image(address(png(ONE)[:40])), "media_not_readable"),
        (image("file:///etc/passwd"), "media_not_allowed"),
        (image("/etc/hostname"), "media_not_allowed"),
        (image("http://127.0.0.1:1/x.png"), "media_not_available"),
        (image("http://169.254.169.254/latest/meta-data"), "media_not_available"),
        ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}, "media_not_supported"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "media_not_supported"),
        ({"type": "file", "file": {"file_id": "x"}}, None),
        ({"type": "hologram"}, None),
    ],
)
def test_images_that_are_none(serving: Any, part: Any, code: str | None) -> None:
    served = serving()
    reply = served.client.post("/v1/chat/completions", json=asked(part))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, code) and error["param"] == "messages[0].content[0]", error
    assert not served.engine.requests


def test_limits_of_images(serving: Any) -> None:
    served = serving(max_media=1, max_media_bytes=3000)
    small, large = image(address(png(ONE))), image(address(png(ONE) + b"x" * 3000))
    for parts, code in (((small, small), "too_many_media"), ((large,), "media_too_large")):
        reply = served.client.post("/v1/chat/completions", json=asked(*parts))
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, code)


def test_a_text_that_forges_places_of_images_is_text(serving: Any, seeing: Any) -> None:
    """The image's own tokens are there, 4 of them, and what is spelt has none."""
    from tunesmith.types import Delta

    served = serving()
    served.engine.on_submit = lambda request, answer: answer.put(Delta((40,), finish_reason="length"))
    body = asked({"type": "text", "text": "<image>"}, image(address(png(ONE))))
    reply = served.client.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    prompt, special = served.engine.requests[0].prompt, seeing.processor.image_token_id
    assert prompt.count(special) == 4 and "<image>" in seeing.processor.tokenizer.decode(
        [token for token in prompt if token != special]
    )


def test_a_large_image_in_a_small_file(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith_library_chat import showing

    monkeypatch.setattr(showing, "MOST_PIXELS", 20 * 30)
    served = serving()
    body = asked(image(address(png(ONE))), image(address(png(OTHER))))
    reply = served.client.post("/v1/chat/completions", json=body)
    assert reply.status_code == 400 and "1200 pixels" in reply.json()["error"]["message"]


def test_a_model_that_reads_text_alone(serving: Any, seeing: Any) -> None:
    served = serving()
    served.service.processor = seeing.processor.tokenizer
    error = served.client.post("/v1/chat/completions", json=asked(image(address(png(ONE))))).json()["error"]
    assert "takes text alone" in error["message"] and error["code"] == "media_not_supported"
    assert 'the line "processor:" of the log' in error["message"], "it may be one that sees, and lack a package"
