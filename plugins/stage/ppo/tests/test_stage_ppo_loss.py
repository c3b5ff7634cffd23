"""The mathematics of PPO against cases computed by hand and plain loops in float64."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tunesmith_stage_ppo import loss


@pytest.fixture
def random() -> dict:
    generator = torch.Generator().manual_seed(0)
    made = {name: torch.randn(4, 7, generator=generator, dtype=torch.float64) for name in ("a", "b", "c", "d")}
    starts, ends = torch.tensor([0, 2, 3, 6]), torch.tensor([7, 5, 4, 7])
    positions = torch.arange(7)
    return {**made, "mask": (positions >= starts[:, None]) & (positions < ends[:, None])}


def test_advantages_by_hand():
    """Two tokens, γ = 0.5, λ = 0.5: δ₂ = 1 - 0.4 = 0.6; δ₁ = 0 + 0.5·0.4 - 0.2 = 0; A₁ = 0 + 0.25·0.6 = 0.15."""
    rewards, values = torch.tensor([[9.0, 0.0, 1.0, 9.0]]), torch.tensor([[9.0, 0.2, 0.4, 9.0]])
    mask = torch.tensor([[False, True, True, False]])
    advantages, returns = loss.generalized_advantages(rewards, values, mask, gamma=0.5, lam=0.5)
    torch.testing.assert_close(advantages, torch.tensor([[0.0, 0.15, 0.6, 0.0]]))
    torch.testing.assert_close(returns, torch.tensor([[0.0, 0.35, 1.0, 0.0]]))


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (0.99, 0.0)])
def test_advantages_are_the_sum_of_discounted_errors(random, gamma, lam):
    """A_t = Σ_l (γλ)^l δ_{t+l}, written out (arXiv 1506.02438, eq. 16)."""
    rewards, values, mask = random["a"], random["b"], random["mask"]
    advantages, returns = loss.generalized_advantages(rewards, values, mask, gamma, lam)
    for row in range(len(mask)):
        at = mask[row].nonzero().flatten().tolist()
        r, v = rewards[row, at].tolist(), [*values[row, at].tolist(), 0.0]
        deltas = [r[t] + gamma * v[t + 1] - v[t] for t in range(len(r))]
        expected = [sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, len(r))) for t in range(len(r))]
        assert advantages[row, at].tolist() == pytest.approx(expected)
        assert returns[row, at].tolist() == pytest.approx([a + b for a, b in zip(expected, v, strict=False)])
    assert not advantages[~mask].any() and not returns[~mask].any()


def test_returns_without_discount_are_the_rewards_to_come(random):
    """γ = λ = 1: the return of a token is the sum of the rewards from it on, whatever the values."""
    rewards, mask = random["a"].masked_fill(~random["mask"], 0.0), random["mask"]
    _, returns = loss.generalized_advantages(rewards, random["b"], mask, 1.0, 1.0)
    torch.testing.assert_close(returns, rewards.flip(1).cumsum(1).flip(1).masked_fill(~mask, 0.0))


def test_policy_loss_by_hand():
    """ρ = 1.5, 0.5, 1.5, 0.5 with A = 1, 1, -1, -1 and ε = 0.2: -(1.2 + 0.5 - 1.5 - 0.8) / 4."""
    ratio, advantages = torch.tensor([[1.5, 0.5, 1.5, 0.5]]), torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    value, clipped = loss.policy_loss(ratio.log(), torch.zeros(1, 4), advantages, torch.ones(1, 4).bool(), 0.2)
    assert value.item() == pytest.approx(0.15) and clipped.item() == 0.5


def test_the_first_gradient_is_the_policy_gradient(random):
    """At π = π_old the gradient is that of -A log π."""
    mask, advantages = random["mask"], random["b"]
    log_probs = random["a"].clone().requires_grad_()
    value, clipped = loss.policy_loss(log_probs, random["a"], advantages, mask, 0.2)
    value.backward()
    torch.testing.assert_close(log_probs.grad, (-advantages / mask.sum()).masked_fill(~mask, 0.0))
    assert clipped.item() == 0


def test_no_gradient_beyond_the_clip():
    log_probs = torch.tensor([[0.5]], requires_grad=True)
    loss.policy_loss(log_probs, torch.zeros(1, 1), torch.ones(1, 1), torch.ones(1, 1).bool(), 0.2)[0].backward()
    assert log_probs.grad.item() == 0


def test_value_loss_by_hand():
    """V = 1, old 0, R = 2, ε = 0.2: max(1, 1.8²)/2 = 1.62; without clipping 0.5."""
    one = torch.ones(1, 1)
    assert loss.value_loss(one, 0 * one, 2 * one, one.bool(), 0.2).item() == pytest.approx(1.62)
    assert loss.value_loss(one, 0 * one, 2 * one, one.bool(), 0.0).item() == pytest.approx(0.5)


def test_whitening(random):
    values, mask = random["a"] * 3 + 5, random["mask"]
    whitened = loss.whiten(values, mask)
    assert whitened[mask].mean().item() == pytest.approx(0, abs=1e-9)
    assert whitened[mask].std().item() == pytest.approx(1, abs=1e-6)
    kept = loss.whiten(values, mask, shift_mean=False)
    assert kept[mask].mean().item() == pytest.approx(values[mask].mean().item())
    assert not whitened[~mask].any()
    one = torch.zeros(1, 3).bool()
    one[0, 1] = True
    assert loss.whiten(torch.full((1, 3), 4.0), one).isfinite().all()


def test_rewards_of_tokens(random):
    rewards = loss.token_rewards(torch.arange(1.0, 5.0).double(), random["a"], random["b"], random["mask"], 0.5)
    expected = -0.5 * (random["a"] - random["b"]) * random["mask"]
    for row, last in enumerate([6, 4, 3, 6]):
        expected[row, last] += row + 1
    torch.testing.assert_close(rewards, expected)
    nothing = loss.token_rewards(torch.ones(1), torch.zeros(1, 3), None, torch.zeros(1, 3).bool(), 0.5)
    assert not nothing.any(), "an answer without tokens has no place for its score"


def test_the_estimate_of_kl_has_the_right_mean():
    """Over all tokens of a vocabulary, weighted by their probability, it is KL(old ‖ new) itself."""
    generator = torch.Generator().manual_seed(1)
    old, new = torch.randn(2, 50, generator=generator, dtype=torch.float64).log_softmax(-1)
    drawn = torch.multinomial(old.exp(), 200_000, replacement=True, generator=generator)
    estimate = loss.approximate_kl(new[drawn][None], old[drawn][None], torch.ones(1, len(drawn)).bool()).item()
    exact = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=old), torch.distributions.Categorical(logits=new)
    ).item()
    assert estimate == pytest.approx(exact, rel=0.03)


def test_the_penalty_adapts():
    assert loss.adapted_kl_coef(0.1, kl=6.6, target=6.0, count=100, horizon=1000) == pytest.approx(0.101)
    assert loss.adapted_kl_coef(0.1, kl=60.0, target=6.0, count=100, horizon=1000) == pytest.approx(0.102)
    assert loss.adapted_kl_coef(0.1, kl=0.0, target=6.0, count=100, horizon=1000) == pytest.approx(0.098)
    assert not math.isnan(loss.adapted_kl_coef(0.0, kl=1.0, target=6.0, count=1, horizon=1))


HALVES = (slice(0, 2), slice(2, 4))


@pytest.mark.parametrize("shift_mean", [True, False])
def test_two_processes_whiten_as_one(random, shift_mean):
    """Two threads stand for the processes; each has half of the answers, and sums are taken over both."""
    values, mask = random["a"], random["mask"]
    parts, meeting = [torch.zeros(()), torch.zeros(())], threading.Barrier(2, timeout=30)

    def whiten(place: int) -> torch.Tensor:
        def total(part: torch.Tensor) -> torch.Tensor:
            parts[place] = part
            meeting.wait()
            found = parts[0] + parts[1]
            meeting.wait()
            return found

        return loss.whiten(values[HALVES[place]], mask[HALVES[place]], shift_mean, total)

    with ThreadPoolExecutor(2) as pool:
        found = torch.cat(list(pool.map(whiten, (0, 1))))
    torch.testing.assert_close(found, loss.whiten(values, mask, shift_mean))


@pytest.mark.parametrize("function", [loss.masked_mean, loss.policy_loss, loss.value_loss, loss.approximate_kl])
def test_parts_of_a_mean_add_up_to_it(random, function):
    """With the number of tokens of all processes, each computes its part of the mean over all."""
    tensors = {loss.masked_mean: "a", loss.approximate_kl: "ab"}.get(function, "abc")
    options = {"clip_range": 0.2} if len(tensors) == 3 else {}
    arguments = [*(random[name] for name in tensors), random["mask"]]
    found = [
        function(*(tensor[half] for tensor in arguments), **options, count=random["mask"].sum()) for half in HALVES
    ]
    whole = function(*arguments, **options)
    one, two, all_ = (item if isinstance(item, tuple) else (item,) for item in (*found, whole))
    for first, second, expected in zip(one, two, all_, strict=True):
        torch.testing.assert_close(first + second, expected)


def test_scores_by_all_scores_of_the_run():
    """(score - mean) / (standard deviation + eps) of those of all steps so far, as TRL's PPO has it."""
    import statistics

    from tunesmith_library_training.moments import Moments
    from tunesmith_stage_ppo import Ppo
    from tunesmith_stage_ppo.rollouts import Collector

    collector = Collector(Ppo(normalize_scores=True), None, None, None, [], 1, Moments())
    seen = []
    for scores in ([1.0, 4.0, 2.5], [10.0, -3.0], [0.5, 0.5, 0.5, 7.0]):
        seen += scores
        mean, deviation = statistics.fmean(seen), statistics.stdev(seen)
        found = collector._normalized(torch.tensor(scores)).tolist()
        assert found == pytest.approx([(score - mean) / deviation for score in scores], rel=1e-5, abs=1e-6)
    plain = Collector(Ppo(), None, None, None, [], 1, Moments())
    assert plain._normalized(torch.tensor([3.0])).tolist() == [3.0] and plain.scored.count == 0
