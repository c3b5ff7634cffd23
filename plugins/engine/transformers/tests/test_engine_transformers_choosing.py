"""How tokens are chosen: against transformers' own sampling, against written-out penalties, and by their frequency."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from tunesmith import TunesmithError
from tunesmith.types import Request, Sampling
from tunesmith_engine_transformers.choosing import Chooser, draw, log_probs_of, warpers
from tunesmith_engine_transformers.rows import Row
from tunesmith_engine_transformers.settings import Drawing, choice_of
from tunesmith_library_testing.parts import load_plain

V = 50


def row_of(sampling: Sampling, prompt: Sequence[int] = (1, 2), made: Sequence[int] = (), **asked: Any) -> Row:
    choice = choice_of(sampling, Sampling(), GenerationConfig())
    return Row(
        Request(prompt, sampling, **asked), choice, 99, frozenset(), random.Random(sampling.seed), made=list(made)
    )


def chosen(rows: Sequence[Row], scores: torch.Tensor) -> list[int]:
    ids = torch.tensor([row.ids for row in rows])
    return Chooser(rows).choose(ids, scores.clone()).argmax(-1).tolist()


# ---- drawing --------------------------------------------------------------------------------------------------------


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    """Twenty thousand draws: within four standard deviations for each of twelve tokens."""
    torch.manual_seed(0)
    scores, count = torch.randn(12) * 1.5, 20_000
    probabilities = scores.softmax(-1)
    numbers = random.Random(0)
    drawn = draw(scores.expand(count, -1), [numbers.random() for _ in range(count)])[:, 0]
    shares = drawn.bincount(minlength=12) / count
    assert ((shares - probabilities).abs() < 4 * (probabilities * (1 - probabilities) / count).sqrt()).all()


@pytest.mark.parametrize("number", [0.0, 0.3, 1 - 2**-53])
def test_what_is_ruled_out_is_never_drawn(number: float) -> None:
    scores = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]])
    assert draw(scores, [number]).item() in (1, 3)


def test_a_number_draws_the_token_at_its_place() -> None:
    scores = torch.tensor([[0.2, 0.5, 0.3]]).log().expand(4, -1)
    assert draw(scores, [0.1, 0.21, 0.69, 0.71])[:, 0].tolist() == [0, 1, 1, 2]


def test_broken_scores_are_an_error() -> None:
    with pytest.raises(TunesmithError, match="not finite"):
        draw(torch.tensor([[0.0, torch.nan]]), [0.5])


@pytest.mark.parametrize(
    "wanted",
    [
        {"temperature": 0.7},
        {"temperature": 1.3, "top_k": 5},
        {"temperature": 1.0, "top_p": 0.6},
        {"temperature": 2.0, "min_p": 0.2},
        {"temperature": 0.9, "top_k": 12, "top_p": 0.8, "min_p": 0.05},
    ],
)
def test_probabilities_equal_those_of_transformers(tiny_llama: Any, wanted: dict[str, float]) -> None:
    """What transformers' own sampling leaves of the scores of a model, for each of several prompts."""
    model, prompts = load_plain(tiny_llama), torch.randint(5, 300, (4, 6))
    output = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        generation_config=GenerationConfig(
            do_sample=True, max_new_tokens=1, return_dict_in_generate=True, output_scores=True, output_logits=True
        ),
        **{"top_k": 0, **wanted},
    )
    drawing = choice_of(Sampling(**wanted), Sampling(), GenerationConfig()).drawing
    assert drawing is not None
    ours = warpers(drawing)(prompts, output.logits[0])
    assert torch.allclose(ours.softmax(-1), output.scores[0].softmax(-1), atol=1e-6)


def test_rows_of_one_batch_draw_by_their_own_settings_and_seeds() -> None:
    torch.manual_seed(1)
    settings = [
        Sampling(temperature=1.0, seed=1),
        Sampling(temperature=0.0),
        Sampling(temperature=1.0, seed=1),
        Sampling(temperature=1.7, top_k=3, seed=2),
        Sampling(temperature=1.0, seed=3),
    ]
    scores = torch.randn(V).expand(5, -1)
    steps = [chosen([row_of(sampling)], scores[:1])[0] for sampling in settings]
    assert chosen([row_of(sampling) for sampling in settings], scores) == steps
    assert steps[0] == steps[2] and steps[1] == int(scores[0].argmax())
    assert steps[3] in scores[0].topk(3).indices


def test_neutral_settings_are_no_processors() -> None:
    assert not warpers(Drawing(1.0, 0, 1.0, 0.0))


# ---- penalties ------------------------------------------------------------------------------------------------------


def test_penalties_and_bias_written_out() -> None:
    torch.manual_seed(2)
    prompt, made = [3, 4, 4], [7, 8, 7]
    sampling = Sampling(
        temperature=0.0,
        repetition_penalty=1.5,
        frequency_penalty=0.4,
        presence_penalty=0.3,
        logit_bias={7: 2.0, 11: -5.0},
    )
    scores = torch.randn(2, V, dtype=torch.float64)
    expected = scores[0].tolist()
    for token, bias in sampling.logit_bias.items():
        expected[token] += bias
    for token in {*prompt, *made}:
        expected[token] = expected[token] / 1.5 if expected[token] > 0 else expected[token] * 1.5
    for token in set(made):
        expected[token] -= 0.4 * made.count(token) + 0.3
    rows = [row_of(sampling, prompt, made), row_of(Sampling(temperature=0.0), prompt, made)]
    found = Chooser(rows).choose(torch.tensor([row.ids for row in rows]), scores.clone())
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(found[1], scores[1]), "the other row is left alone"


def test_nothing_is_penalised_before_it_was_said() -> None:
    scores = torch.randn(1, V)
    row = row_of(Sampling(temperature=0.0, frequency_penalty=2.0, presence_penalty=2.0))
    assert torch.equal(Chooser([row]).choose(torch.tensor([row.ids]), scores.clone()), scores)


# ---- log-probabilities ----------------------------------------------------------------------------------------------


def test_log_probabilities_are_the_models_own() -> None:
    """Before temperature and penalties, for the rows that ask."""
    torch.manual_seed(3)
    scores = torch.randn(3, V)
    rows = [
        row_of(Sampling(temperature=3.0, seed=1, logit_bias={5: 9.0}), log_probs=2),
        row_of(Sampling(temperature=0.0)),
        row_of(Sampling(temperature=0.0), log_probs=0),
    ]
    chooser = Chooser(rows)
    tokens = chooser.choose(torch.tensor([row.ids for row in rows]), scores.clone()).argmax(-1).tolist()
    told = chooser.log_probs(tokens)
    reference = scores.log_softmax(-1)
    assert set(told) == {0, 2}
    assert told[0].value == pytest.approx(reference[0, tokens[0]].item())
    assert list(told[0].alternatives) == reference[0].topk(2).indices.tolist()
    assert told[2].value == pytest.approx(reference[2].max().item()) and not told[2].alternatives


def test_no_more_alternatives_than_tokens() -> None:
    few, none = log_probs_of(torch.randn(2, 4).log_softmax(-1), [0, 3], [9, 0])
    assert len(few.alternatives) == 4 and not none.alternatives


def test_a_row_without_numbers_fails_alone() -> None:
    """The other one draws what it draws beside nobody."""
    torch.manual_seed(4)
    scores = torch.randn(2, V)
    expected = chosen([row_of(Sampling(temperature=1.0, seed=5))], scores[:1])
    scores[1, 7] = torch.nan
    rows = [row_of(Sampling(temperature=1.0, seed=5)), row_of(Sampling(temperature=1.0, seed=6))]
    assert chosen(rows, scores)[:1] == expected
    assert not rows[0].answer.ended
    with pytest.raises(TunesmithError, match="not finite"):
        rows[1].answer.result()
