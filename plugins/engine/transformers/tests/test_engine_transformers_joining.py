"""Requests that come and go while others run: each gets what `model.generate` gives to it alone."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.types import Request, Sampling
from tunesmith_engine_transformers import Transformers, prompts
from tunesmith_engine_transformers.narrow import narrow
from tunesmith_library_testing.parts import handle_of, load_plain
from tunesmith_library_testing.tiny import save_published_model, save_tiny_mixture, save_tiny_model

PROMPTS = [
    [7 + 3 * index + (11 * place) % 97 for place in range(length)] for index, length in enumerate((3, 40, 7, 25, 61))
]
PROMPTS += [PROMPTS[2], [*PROMPTS[1], 9, 9], [*PROMPTS[4][:20], 8]]
LIMITS = (30, 6, 17, 4, 12, 25, 10, 8)


@contextlib.contextmanager
def opened(handle: Any, **options: Any) -> Iterator[Any]:
    engine = Transformers(**options).open_engine(handle)
    try:
        yield engine
    finally:
        engine.close()


def sharpened(model: Any) -> Any:
    """Scores that differ enough for rounding to change no choice."""
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(8.0)
    return model


def alone(model: Any, prompt: list[int], limit: int, ends: Any = None, **options: Any) -> list[int]:
    """What `model.generate` says, greedily."""
    ids = torch.tensor([prompt])
    settings = {
        "max_new_tokens": limit,
        "do_sample": False,
        "pad_token_id": 0,
        "eos_token_id": sorted(ends or ()) or None,
    }
    made: list[int] = model.generate(ids, attention_mask=torch.ones_like(ids), **{**settings, **options})[0].tolist()
    return made[len(prompt) :]


def log_probs_alone(model: Any, prompt: list[int], answer: list[int]) -> list[float]:
    """The log-probabilities of an answer, token by token as `model.generate` computes them."""
    ids = torch.tensor([prompt])
    settings = {"return_dict_in_generate": True, "output_logits": True, "pad_token_id": 0, "eos_token_id": None}
    made = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=len(answer), do_sample=False, **settings
    )
    told = zip(made.logits, answer, strict=True)
    return [logits[0].double().log_softmax(-1)[token].item() for logits, token in told]


def requested(prompt: list[int], limit: int, **asked: Any) -> Request:
    return Request(prompt, Sampling(temperature=0.0, max_new_tokens=limit), **asked)


def endless(folder: Path, tokenizer: Any) -> tuple[Any, list[tuple[int, int]]]:
    """A handle of a model that never ends by itself, and the shapes of its inputs, step by step."""
    model, shapes = sharpened(load_plain(folder)), list[tuple[int, int]]()
    model.generation_config.eos_token_id = None

    def see(module: Any, arguments: Any, inputs: Any, output: Any) -> None:
        shapes.append(tuple(inputs["input_ids"].shape))
        output.logits[..., tokenizer.eos_token_id] = -torch.inf

    model.register_forward_hook(see, with_kwargs=True)
    return handle_of(folder, tokenizer, load=lambda: model), shapes


# ---- architectures --------------------------------------------------------------------------------------------------

LONG_ROPE = {
    **{"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 32, "factor": 4.0},
    **{"short_factor": [1.0] * 8, "long_factor": [1.0 + 2 * place for place in range(8)]},
}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16}
MODELS: dict[str, Callable[[Path], Path]] = {
    "full": lambda folder: save_tiny_model(folder, seed=3),
    "window": lambda folder: save_tiny_model(folder, architecture="mistral", sliding_window=16),
    "states_between": lambda folder: save_published_model(folder, "vision_hybrid", dtype="float32"),
}
MORE: dict[str, Callable[[Path], Path]] = {
    "states_beside": lambda folder: save_published_model(folder, "hybrid", dtype="float32"),
    "mixture": lambda folder: save_tiny_mixture(folder, "qwen3_moe"),
    "sinks": lambda folder: save_tiny_mixture(folder, "gpt_oss", **SLIDING),
    "soft_cap": lambda folder: save_tiny_model(folder, architecture="gemma2", **SLIDING),
    "convolution": lambda folder: save_tiny_model(folder, architecture="lfm2", layer_types=["conv", "full_attention"]),
    "bias_of_distance": lambda folder: save_tiny_model(folder, architecture="bloom", n_head=4, n_layer=2),
    "learned_positions": lambda folder: save_tiny_model(folder, architecture="opt", ffn_dim=64, word_embed_proj_dim=64),
    "chunks": lambda folder: save_tiny_model(
        folder, architecture="llama4_text", attention_chunk_size=16, num_local_experts=2, intermediate_size_mlp=64
    ),
    "several_positions": lambda folder: save_published_model(folder, "vision", dtype="float32"),
    "no_attention": lambda folder: save_tiny_model(
        folder, architecture="mamba2", num_heads=8, state_size=16, n_groups=1, expand=2, chunk_size=16
    ),
    "positions_of_the_longest": lambda folder: save_tiny_model(folder, rope_parameters=LONG_ROPE),
}


@pytest.mark.parametrize("name", [*MODELS, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def test_answers_equal_those_of_transformers_alone(tmp_path: Path, tiny_bpe: Any, name: str, monkeypatch: Any) -> None:
    """Eight prompts in five places, in parts, one after the other as former ones speak; again, with what is kept."""
    import transformers

    monkeypatch.setattr(prompts, "_CHUNK_ON_CPU", 32)
    folder = {**MODELS, **MORE}[name](tmp_path / "model")
    (architecture,) = transformers.AutoConfig.from_pretrained(folder).architectures
    model = sharpened(getattr(transformers, architecture).from_pretrained(folder).eval())
    with opened(handle_of(folder, tiny_bpe, load=lambda: model), batch_size=5) as engine:
        expected = [alone(model, *each, engine.end_token_ids) for each in zip(PROMPTS, LIMITS, strict=True)]
        reference = [log_probs_alone(model, *each) for each in zip(PROMPTS, expected, strict=True)]
        for _ in range(2):
            begun: list[Any] = []
            for prompt, limit in zip(PROMPTS, LIMITS, strict=True):
                begun.append(engine.submit(requested(prompt, limit, log_probs=0)))
                if len(begun) % 2:
                    next(iter(begun[-1]))
            for answer, made, likely in zip(begun, expected, reference, strict=True):
                told = answer.result()
                assert list(told.token_ids) == made
                assert [one.value for one in told.log_probs] == pytest.approx(likely, abs=1e-4)
    assert len(set(map(tuple, expected))) > 5


def test_a_picture_joins_text(tmp_path: Path, tiny_bpe: Any) -> None:
    """Positions of a picture's tokens have several dimensions; rows with and without one are one batch."""
    import transformers

    folder = save_published_model(tmp_path / "model", "vision", dtype="float32")
    model = sharpened(transformers.Qwen3VLForConditionalGeneration.from_pretrained(folder).eval())
    torch.manual_seed(1)
    size = model.config.vision_config
    patch = size.in_channels * size.temporal_patch_size * size.patch_size**2
    prompt = [5, *[model.config.image_token_id] * 4, 6, 7]
    inputs = {
        "pixel_values": torch.randn(16, patch),
        "image_grid_thw": torch.tensor([[1, 4, 4]]),
        "mm_token_type_ids": torch.tensor([[0, 1, 1, 1, 1, 0, 0]]),
    }
    widths: list[int] = []
    model.register_forward_hook(lambda *seen: widths.append(len(seen[2]["input_ids"])), with_kwargs=True)
    with opened(handle_of(folder, tiny_bpe, load=lambda: model)) as engine:
        expected = alone(model, prompt, 20, engine.end_token_ids, **inputs)
        text = alone(model, PROMPTS[1], 20, engine.end_token_ids)
        widths.clear()
        first = engine.submit(requested(PROMPTS[1], 20))
        next(iter(first))
        begun = [engine.submit(requested(prompt, 20, inputs=inputs)), engine.submit(requested(PROMPTS[1], 20))]
        assert [list(each.result().token_ids) for each in (first, *begun)] == [text, expected, text]
    assert max(widths) == 3


# ---- who waits for whom ---------------------------------------------------------------------------------------------


def test_a_long_prompt_is_computed_between_the_tokens_of_others(
    tiny_llama: Path, tiny_bpe: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(prompts, "_CHUNK_ON_CPU", 64)
    handle, shapes = endless(tiny_llama, tiny_bpe)
    with opened(handle) as engine:
        running = engine.submit(requested([5, 6], 60))
        next(iter(running))
        assert engine.submit(requested([9 + place % 90 for place in range(640)], 3)).result().finish_reason == "length"
        assert not running.ended or len(shapes) > 60
        running.result()
    parts = [place for place, shape in enumerate(shapes) if shape == (1, 64)]
    assert len(parts) == 10
    assert all(later - earlier == 2 for earlier, later in itertools.pairwise(parts)), "a token between two"


def test_who_runs_waits_for_many_who_begin(tiny_llama: Path, tiny_bpe: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(prompts, "_CHUNK_ON_CPU", 64)
    handle, shapes = endless(tiny_llama, tiny_bpe)
    with opened(handle) as engine:
        held, free = threading.Event(), threading.Event()
        running = engine.submit(requested([5, 6], 60))
        running.listen(lambda _: (held.set(), free.wait(20)))
        held.wait(20)
        others = [engine.submit(requested([9 + number, *range(10, 41)], 3)) for number in range(8)]
        free.set()
        for answer in (*others, running):
            answer.result()
    parts = [place for place, shape in enumerate(shapes) if shape == (8, 16)]
    assert len(parts) == 2 and parts[1] - parts[0] == 1, "no token between them"
    assert (9, 1) in shapes, "all go on together"


def test_equal_prompts_are_computed_once(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle, shapes = endless(tiny_llama, tiny_bpe)
    with opened(handle) as engine:
        held, free = threading.Event(), threading.Event()
        waiting = engine.submit(requested([9], 2))
        waiting.listen(lambda _: (held.set(), free.wait(20)))
        held.wait(20)
        begun = [engine.submit(requested(PROMPTS[1], 5 + number)) for number in range(6)]
        free.set()
        answers = [answer.result().token_ids for answer in begun]
        assert engine.stats().cached_tokens == 5 * len(PROMPTS[1])
    assert all(answers[5][: len(answer)] == answer for answer in answers)
    assert [shape for shape in shapes if shape[1] > 1] == [(1, 40)]


def test_scores_do_not_wait_for_answers(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle, _ = endless(tiny_llama, tiny_bpe)
    with opened(handle) as engine:
        expected, begun = engine.score(PROMPTS), engine.submit(requested([5], 1500))
        next(iter(begun))
        for told, former in zip(engine.score(PROMPTS), expected, strict=True):
            assert [one.value for one in told] == pytest.approx([one.value for one in former], abs=1e-5)
        assert not begun.ended
        begun.cancel()


def test_what_a_generation_config_asks_for_is_kept_to(tiny_llama: Path, tiny_bpe: Any) -> None:
    model = sharpened(load_plain(tiny_llama))
    plain = alone(model, PROMPTS[0], 12)
    asked: list[dict[str, Any]] = [
        {"suppress_tokens": plain[:3]},
        {"begin_suppress_tokens": plain[:1]},
        {"no_repeat_ngram_size": 1},
        {"bad_words_ids": [plain[:1]]},
        {"min_new_tokens": 9, "eos_token_id": plain[2]},
        {"sequence_bias": {(plain[1],): -50.0}},
    ]
    for options in asked:
        own = load_plain(tiny_llama)
        own.load_state_dict(model.state_dict())
        own.generation_config.update(**options)
        with opened(handle_of(tiny_llama, tiny_bpe, load=lambda: own)) as engine:  # noqa: B023
            begun = [engine.submit(requested(prompt, 12)) for prompt in (PROMPTS[0], PROMPTS[3])]
            ends = engine.end_token_ids
            for prompt, answer in zip((PROMPTS[0], PROMPTS[3]), begun, strict=True):
                assert list(answer.result().token_ids) == alone(own, prompt, 12, ends), options
            assert alone(own, PROMPTS[0], 12, ends) != plain, "it must make a difference"


def test_tokens_that_the_model_does_not_have_are_refused(tiny_llama: Path, tiny_bpe: Any) -> None:
    """They would fail whatever is computed beside them."""
    with opened(handle_of(tiny_llama, tiny_bpe)) as engine:
        for request in (Request([5, 9999]), Request([-1]), Request([5], Sampling(logit_bias={9999: 1.0}))):
            with pytest.raises(TunesmithError, match="has the token"):
                engine.submit(request)
        for compute in (engine.score, engine.embed):
            with pytest.raises(TunesmithError, match="sequence 1 has the token 9999"):
                compute([[5, 6], [5, 9999]])


# ---- what is kept ---------------------------------------------------------------------------------------------------


def test_the_next_turn_computes_only_what_is_new(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle, shapes = endless(tiny_llama, tiny_bpe)
    with opened(handle) as engine, opened(handle, prefix_cache=0) as plain:
        first = engine.submit(requested(PROMPTS[4], 10)).result()
        turn = [*PROMPTS[4], *first.token_ids, 4, 9, 9]
        expected = plain.submit(requested(turn, 10, log_probs=0)).result()
        shapes.clear()
        told = engine.submit(requested(turn, 10, log_probs=0)).result()
        assert shapes[0] == (1, 4), "the last token of the former answer was not computed"
        assert told.token_ids == expected.token_ids
        assert [one.value for one in told.log_probs] == pytest.approx(
            [one.value for one in expected.log_probs], abs=1e-4
        )
        assert (engine.stats().cached_tokens, plain.stats().cached_tokens) == (len(turn) - 4, 0)
        shapes.clear()
        engine.submit(requested([*PROMPTS[4][:50], 8, 8, 8], 2)).result()
        assert shapes[0] == (1, 3), "instructions that others had too"
        engine.load_weights([])
        shapes.clear()
        engine.submit(requested(turn, 2)).result()
        assert shapes[0] == (1, len(turn)), "nothing is known of other weights"


def test_no_more_is_kept_than_asked_and_the_oldest_goes(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle, shapes = endless(tiny_llama, tiny_bpe)
    with opened(handle, prefix_cache=90) as engine:

        def computed(prompt: list[int]) -> int:
            shapes.clear()
            engine.submit(requested(prompt, 2)).result()
            return shapes[0][1]

        first, second, third = ([start + place for place in range(40)] for start in (10, 100, 200))
        assert [computed(each) for each in (first, second, first)] == [40, 40, 1]
        assert [computed(each) for each in (third, first, second)] == [40, 1, 40]
        assert computed(list(range(10, 110))) == 60, "the first 40 of it are known; it is too long to be kept"
        assert computed(list(range(10, 110))) == 60


# ---- the output layer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
def test_the_output_layer_gives_a_few_tokens_the_same(bias: bool) -> None:
    """Against float64, for numbers of tokens within and without those that it is for; then it is itself."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(16, 160, bias=bias)
    for count in (1, 2, 5, 8, 9):
        hidden = torch.randn(count, 1, 16)
        expected = hidden.double() @ layer.weight.double().t() + (layer.bias.double() if bias else 0.0)
        with torch.no_grad(), narrow(layer):
            assert "forward" in vars(layer)
            assert torch.allclose(layer(hidden).double(), expected, atol=1e-6)
        assert "forward" not in vars(layer)
    for other in (None, torch.nn.Linear(16, 32), torch.nn.Linear(16, 160).bfloat16(), torch.nn.Embedding(160, 16)):
        with narrow(other):
            assert other is None or "forward" not in vars(other)
