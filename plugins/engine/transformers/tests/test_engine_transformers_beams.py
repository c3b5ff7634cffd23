"""Beam search against transformers' own, against an exhaustive search, and by what it refuses or leaves out."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from tunesmith.types import Request, Sampling
from tunesmith_engine_transformers import Transformers
from tunesmith_engine_transformers.beams import Beams, search
from tunesmith_engine_transformers.rows import Row
from tunesmith_engine_transformers.settings import choice_of
from tunesmith_library_testing.parts import StubPlan, handle_of, load_plain

PROMPTS = [[5, 9, 40], [7, 101, 33, 12, 88], [200, 3]]
END = 2


@pytest.fixture(scope="module")
def model(tiny_llama: Path) -> Any:
    made = load_plain(tiny_llama).eval()
    torch.manual_seed(3)
    with torch.no_grad():  # logits that differ enough for beams to part, and answers that end
        made.get_output_embeddings().weight.mul_(12.0)
    return made


def row_of(prompt: list[int], sampling: Sampling, limit: int = 6, ends: tuple[int, ...] = (END,), **asked: Any) -> Row:
    choice = choice_of(sampling, Sampling(), GenerationConfig())
    request = Request(prompt, sampling, **asked)
    return Row(request, choice, limit, frozenset(ends), random.Random(sampling.seed))


def answers(model: Any, rows: list[Row], beams: Beams) -> list[list[int]]:
    search(model, rows, beams)
    return [list(row.answer.result().token_ids) for row in rows]


def theirs(model: Any, prompt: list[int], **options: Any) -> list[int]:
    """What `model.generate` says, without what stands behind the end."""
    ids = torch.tensor([prompt])
    found: list[int] = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=6,
        pad_token_id=0,
        **{"do_sample": False, "eos_token_id": END, **options},
    )[0, len(prompt) :].tolist()
    return found[: found.index(END) + 1] if END in found else found


@pytest.mark.parametrize("penalty", [1.0, -2.0])
def test_equals_transformers_also_in_a_batch(model: Any, penalty: float) -> None:
    wanted = [theirs(model, prompt, num_beams=3, length_penalty=penalty) for prompt in PROMPTS]
    rows = [row_of(prompt, Sampling(temperature=0)) for prompt in PROMPTS]
    assert answers(model, rows, Beams(3, penalty)) == wanted
    greedy = [theirs(model, prompt) for prompt in PROMPTS]
    assert wanted != greedy, "a search must make a difference"


def test_enough_beams_find_the_best_answer(model: Any) -> None:
    """Of all answers of three tokens out of four, by their sums of log-probabilities without what repeating costs."""
    few, length = [4, 8, 15, 16], 3
    bias = {token: -1e4 for token in range(model.config.vocab_size) if token not in few}
    penalties: dict[str, Any] = {"presence_penalty": 2.0, "frequency_penalty": 1.5}

    def best(prompt: list[int], **penalty: float) -> list[int]:
        answers = list(itertools.product(few, repeat=length))
        log_probs = model(torch.tensor([[*prompt, *answer] for answer in answers])).logits.double().log_softmax(-1)
        sums = []
        for answer, of_answer in zip(answers, log_probs, strict=True):
            likely = sum(of_answer[len(prompt) - 1 + place, token].item() for place, token in enumerate(answer))
            before = [answer[:place].count(token) for place, token in enumerate(answer)]
            sums.append(likely - sum(map(penalty.get("frequency_penalty", 0.0).__mul__, before)))
            sums[-1] -= penalty.get("presence_penalty", 0.0) * sum(count > 0 for count in before)
        return list(answers[max(range(len(answers)), key=sums.__getitem__)])

    prompts = [*PROMPTS, [4, 4, 4], [16, 8, 16, 8], [301, 15, 15]]
    wanted: tuple[dict[str, Any], ...] = ({}, penalties)
    for penalty in wanted:
        sampling = Sampling(temperature=0, logit_bias=bias, **penalty)
        found = answers(model, [row_of(prompt, sampling, length, (250,)) for prompt in prompts], Beams(16))
        with torch.no_grad():
            assert found == [best(prompt, **penalty) for prompt in prompts]
    with torch.no_grad():
        assert found != [best(prompt) for prompt in prompts], "penalties must make a difference"


def test_limits_ends_and_settings_are_a_requests_own(model: Any) -> None:
    plain = answers(model, [row_of(PROMPTS[0], Sampling(temperature=0))], Beams(3))[0]
    rows = [
        row_of(PROMPTS[0], Sampling(temperature=0), limit=3),
        row_of(PROMPTS[0], Sampling(temperature=0), ends=(END, plain[0])),
        row_of(PROMPTS[0], Sampling(temperature=0, repetition_penalty=5.0)),
    ]
    short, ended, penalised = answers(model, rows, Beams(3))
    assert len(short) == 3 and rows[0].answer.result().finish_reason == "length"
    assert plain[0] not in ended[:-1]
    assert penalised == theirs(model, PROMPTS[0], num_beams=3, repetition_penalty=5.0)


def test_log_probabilities_are_the_models_own(model: Any) -> None:
    row = row_of(PROMPTS[1], Sampling(temperature=0), log_probs=2)
    tokens = answers(model, [row], Beams(3))[0]
    with torch.no_grad():
        logits = model(torch.tensor([[*PROMPTS[1], *tokens]])).logits[0].double()
    expected = logits.log_softmax(-1)[len(PROMPTS[1]) - 1 : -1]
    told = row.answer.result().log_probs
    assert [one.value for one in told] == pytest.approx(
        [expected[place, token].item() for place, token in enumerate(tokens)], abs=1e-4
    )
    assert all(len(one.alternatives) == 2 for one in told)


def test_drawn_continuations_go_by_the_requests_seed(model: Any) -> None:
    def drawn(seed: int, beside: int = 0) -> list[int]:
        rows = [row_of(PROMPTS[0], Sampling(temperature=3.0, top_k=0, seed=seed))]
        rows += [row_of(PROMPTS[1], Sampling(temperature=3.0, seed=1)) for _ in range(beside)]
        return answers(model, rows, Beams(2))[0]

    torch.manual_seed(8)
    before = torch.get_rng_state()
    assert drawn(1) == drawn(1, beside=1)
    assert len({tuple(drawn(seed)) for seed in range(4)}) > 1
    assert torch.equal(before, torch.get_rng_state())


def test_a_search_that_nobody_waits_for_ends(model: Any) -> None:
    rows = [row_of(prompt, Sampling(temperature=0), limit=200, ends=()) for prompt in PROMPTS]
    calls = itertools.count()

    def cancel(*_: Any) -> None:
        if next(calls) == 3:
            for row in rows:
                row.answer.cancel()

    hook = model.register_forward_hook(cancel)
    search(model, rows, Beams(2))
    hook.remove()
    assert next(calls) < 10 and not any(row.made for row in rows)


def test_a_penalty_without_beams_is_said() -> None:
    def problems(**options: Any) -> list[str]:
        engine = Transformers(**options)
        return [str(problem.key) for problem in engine.check(plan=StubPlan({"engine": {"transformers": engine}}))]

    assert problems(length_penalty=2.0) == ["engine.length_penalty"]
    assert not problems() and not problems(length_penalty=2.0, num_beams=2)


def test_the_engine_searches_where_it_is_told(model: Any, tiny_llama: Path, tiny_bpe: Any) -> None:
    """Requests that come together, each answered in one piece."""
    handle = handle_of(tiny_llama, tiny_bpe, load=lambda: model)
    engine = Transformers(num_beams=3, length_penalty=0.5).open_engine(handle=handle)
    ends = sorted(engine.end_token_ids)
    answers = [engine.submit(Request(prompt, Sampling(temperature=0, max_new_tokens=6))) for prompt in PROMPTS]
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        (delta,) = list(answer)
        expected = theirs(model, prompt, num_beams=3, length_penalty=0.5, eos_token_id=ends)
        places = [place for place, token in enumerate(expected) if token in ends]
        assert list(delta.token_ids) == expected[: places[0] + 1 if places else None]
    engine.close()
