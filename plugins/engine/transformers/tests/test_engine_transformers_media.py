"""What models that see and hear answer about images, videos and sounds is what transformers' own generation says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith.types import Conversation, Request, Sampling
from tunesmith_library_engine.showing import kinds_of
from tunesmith_library_testing.seeing import save_seeing_model, seeing_families

SMALL = {"image": (48, 40), "video": (5, 32, 48)}
FAMILIES = {name: facts.media for name, facts in seeing_families().items()}


def item(kind: str, seed: int) -> bytes:
    """A file of noise."""
    import numpy
    from tunesmith_library_media.arrays import file_of, sound_file

    noise = numpy.random.default_rng(seed)
    if kind == "audio":
        return sound_file(noise.normal(size=8000).astype("float32") * 0.1, 16000)
    return file_of(noise.integers(0, 255, (*SMALL[kind], 3), dtype=numpy.uint8), kind)  # type: ignore[arg-type]


def contents(media: tuple[str, ...]) -> list[list[str]]:
    """What is shown in each question: one of each kind, and two of the first."""
    return [*([kind] for kind in media), [media[0], media[0]]]


def moved_inputs(dtype: Any) -> dict[str, Any]:
    import torch
    from tunesmith_engine_transformers.generating import inputs_of

    given = {
        "pixels": torch.ones(2, 3, dtype=torch.bfloat16),
        "seconds": torch.ones(2),
        "grid": torch.ones(2, 3).long(),
    }
    model: Any = SimpleNamespace(device=torch.device("cpu"), dtype=dtype)
    return inputs_of(Request([1], Sampling(), inputs={**given, "name": "x"}), model)


def test_pixels_come_in_the_numbers_of_the_model() -> None:
    import torch

    made = moved_inputs(torch.float16)
    assert {name: getattr(value, "dtype", value) for name, value in made.items()} == {
        **{"pixels": torch.float16, "seconds": torch.float32, "grid": torch.int64},
        "name": "x",
    }


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_transformers(family: str, tmp_path: Path) -> None:
    import torch
    import transformers
    import tunesmith

    pytest.importorskip("tunesmith_model_transformers")
    folder = save_seeing_model(tmp_path / family, family)
    engine = {"name": "transformers", "max_new_tokens": 6, "temperature": 0.0}
    config = {"model": {"path": str(folder)}, "template": "auto", "precision": "fp32", "engine": engine}
    facts = seeing_families()[family]
    model: Any = getattr(transformers, facts.model_class).from_pretrained(folder, dtype=torch.float32).eval()
    with tunesmith.ChatSession(config) as session:
        assert kinds_of(session.handle.processor) == facts.media
        session.load()
        for kinds in contents(facts.media):
            parts = [{"type": kind, kind: item(kind, seed)} for seed, kind in enumerate(kinds)]
            conversation = Conversation([{"role": "user", "content": [*parts, {"type": "text", "text": "What?"}]}])
            request = session.request(conversation, Sampling(max_new_tokens=6))
            answered = [token for delta in session.engine.submit(request) for token in delta.token_ids]
            prompt = torch.tensor([request.prompt])
            made = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                **{name: _as(value, model.dtype) for name, value in request.inputs.items()},
                max_new_tokens=6,
                do_sample=False,
                eos_token_id=list(request.sampling.stop_token_ids),
            )
            assert answered == made[0, prompt.shape[1] :].tolist(), kinds
            assert request.inputs, "what is shown reaches the model"


def _as(value: Any, dtype: Any) -> Any:
    return value.to(dtype) if value.is_floating_point() and value.ndim > 1 else value
