"""Rules for stages that learn from their own answers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tunesmith_tracker_guard.history import History, all_above
from tunesmith_tracker_guard.limits import Limits
from tunesmith_tracker_guard.rule import Rule


def no_spread(history: History, limits: Limits) -> str | None:
    shares = history.lately("frac_reward_zero_std", limits.patience)
    if not all_above(shares, limits.no_spread):
        return None
    return (
        f"in {median(shares):.0%} of the groups all answers have the same reward, so that nothing is learned from them"
    )


def entropy_collapse(history: History, limits: Limits) -> str | None:
    first, recent = history.opening.get("entropy"), history.lately("entropy", limits.patience)
    if not (
        first and recent and len(history.logged) > limits.patience and max(recent) < limits.entropy * median(first)
    ):
        return None
    return f"the entropy of a token fell to {recent[-1]:.3g} nats, and began at {median(first):.3g}"


def clip_share(history: History, limits: Limits) -> str | None:
    for name in ("clip_ratio/region_mean", "clip_fraction"):
        shares = history.lately(name, limits.patience)
        if all_above(shares, limits.clipped):
            return f"the changes of {median(shares):.0%} of the tokens are clipped"
    return None


def length_limit(history: History, limits: Limits) -> str | None:
    shares = history.lately("completions/clipped_ratio", limits.patience)
    shares = shares or [1 - ended for ended in history.lately("ended", limits.patience)]
    return (
        f"{median(shares):.0%} of the answers are cut at the length limit" if all_above(shares, limits.length) else None
    )


def kl_explosion(history: History, limits: Limits) -> str | None:
    far = _per_token(history.lately("kl", limits.patience), history.lately("answer_tokens", limits.patience))
    if not all_above(far, limits.kl):
        return None
    return f"the policy is {far[-1]:.3g} nats per token away from its reference"


def _per_token(distances: Sequence[float], tokens: Sequence[float]) -> Sequence[float]:
    """Distances by token; those that come with the number of an answer's tokens are of a whole answer."""
    if not tokens:
        return distances
    return [distance / max(number, 1.0) for distance, number in zip(distances, tokens, strict=True)]


RULES = (
    Rule("no_spread", no_spread, "rewards that tell answers apart, easier or harder prompts, a higher temperature"),
    Rule("entropy_collapse", entropy_collapse, "a lower learning rate, a higher entropy_coef or beta"),
    Rule("clip_share", clip_share, "a lower learning rate, fewer passes over the same answers"),
    Rule("length_limit", length_limit, "a larger limit of new tokens, a reward that asks for an end"),
    Rule("kl_explosion", kl_explosion, "a lower learning rate, a higher beta or init_kl_coef"),
)
"""As those of `training`."""
