"""Rules for every training: what its losses, gradients, learning rate and data look like when something is wrong."""

from __future__ import annotations

import math
from statistics import median

from tunesmith_tracker_guard.history import History, all_above, deviation
from tunesmith_tracker_guard.limits import Limits
from tunesmith_tracker_guard.rule import Rule, Told

ENOUGH = 8
"""Values that a median and a deviation are made of, at least."""

FLAT = 1e-3
"""Part of the loss within which all values lie when it does not move."""

GRADIENT = "zero_gradient/"

_LOST = "a lower learning rate, for steps that are too large end in weights that react to nothing; a longer warm-up"


def non_finite(history: History, limits: Limits) -> str | None:
    wrong = [f"{name} is {value}" for name, value in history.logged[-1].items() if name in ("loss", "reward", "kl")
             and not math.isfinite(value)]  # fmt: skip
    return wrong[0] if wrong else None


def loss_spike(history: History, limits: Limits) -> str | None:
    *before, last = history.values("loss") or [0.0]
    if history.facts.generates or len(before) < ENOUGH or history.logged[-1].get("loss") != last:
        return None
    middle, spread = median(before), deviation(before)
    above = max(limits.spike * spread, 0.5 * abs(middle), 0.1 * abs(median(history.opening["loss"])))
    return f"the loss is {last:.4g}, and was {middle:.4g} ± {spread:.2g}" if last > middle + above else None


def loss_rises(history: History, limits: Limits) -> str | None:
    recent = history.lately("loss", limits.patience)
    if history.facts.generates or not recent or len(history.logged) <= limits.patience:
        return None
    first = history.opening["loss"][0] if history.opening["loss"] else math.inf
    far = min(recent) > limits.rise * abs(first) and min(recent) > first + 0.5
    return f"the loss is {recent[-1]:.4g}, and began at {first:.4g}" if far else None


def loss_flat(history: History, limits: Limits) -> str | None:
    values = history.lately("loss", 2 * ENOUGH)
    if history.facts.generates or not values or _no_gradient(history):  # which is named by itself
        return None
    still = max(values) - min(values) <= FLAT * abs(median(values))
    return f"the loss stays at {values[-1]:.4g} for {len(values)} logged steps" if still else None


def gradient_explosion(history: History, limits: Limits) -> str | None:
    values = [value for value in history.values("grad_norm") if value > 0]
    *before, last = values or [0.0]
    if len(before) < ENOUGH or history.logged[-1].get("grad_norm") != last:
        return None
    middle, spread = median(before), deviation([math.log(value) for value in before])  # norms are normal in logarithms
    far = math.log(last / middle) > max(limits.spike * spread, math.log(limits.explosion))
    larger = last > 2 * max(history.opening["grad_norm"])
    return f"the norm of the gradient is {last:.3g}, and was {middle:.3g}" if far and larger else None


def zero_gradient(history: History, limits: Limits) -> str | Told | None:
    if all_above(history.lately("frac_reward_zero_std", 2), 1.0):
        return None  # without spread there is none, which is named by itself
    silent, before = history.always(2, GRADIENT), list(history.logged)[:-2]
    if _no_gradient(history):
        what = "the gradient of all trained weights is exactly 0"
        lost = any(metrics.get("grad_norm") for metrics in before)
    elif silent:
        more = f" and {len(silent) - 3} other places" if len(silent) > 3 else ""
        named = ", ".join(name.removeprefix(GRADIENT) for name in silent[:3])
        what = f"trained weights have a gradient of exactly 0: {named}{more}"
        lost = any(name not in metrics for name in silent for metrics in before)
    else:
        return None
    return Told(f"{what}; it had been another", _LOST) if lost else what


def _no_gradient(history: History) -> bool:
    return history.lately("grad_norm", 2) == [0.0, 0.0]


def no_trained_tokens(history: History, limits: Limits) -> str | None:
    shares = history.lately("trained_token_share", 2)
    return f"{shares[-1]:.2%} of the tokens are trained" if shares and max(shares) < 0.005 else None


def all_tokens_trained(history: History, limits: Limits) -> str | None:
    shares = history.lately("trained_token_share", 2)
    if not (history.facts.masks and shares and min(shares) >= 1.0):
        return None
    return "all tokens are trained, those of prompts too, which this stage leaves out"


def learning_rate_stuck(history: History, limits: Limits) -> str | None:
    rates = history.lately("learning_rate", limits.patience)
    if rates and not any(rates) and history.step < 0.9 * history.facts.total_steps:
        return f"the learning rate is 0 for {len(rates)} logged steps"
    rates = history.lately("learning_rate", max(5, limits.patience))
    if history.facts.moves and rates and rates[-1] and len(set(rates)) == 1:
        return f"the learning rate stays at {rates[-1]:.3g}, where its schedule moves it"
    return None


def duplicate_batches(history: History, limits: Limits) -> str | None:
    shares = history.lately("repeated_examples", 2)
    if not all_above(shares, limits.repeated):
        return None
    return f"{shares[-1]:.0%} of the examples were seen before in the same epoch"


def overfitting(history: History, limits: Limits) -> str | None:
    for name, (best, *later) in history.evaluations.items():
        recent = later[-limits.evaluations :]
        worse = len(recent) == limits.evaluations and all(
            each.loss > best.loss + limits.worsening * abs(best.loss) for each in recent
        )
        if worse and recent[-1].loss >= recent[0].loss and recent[-1].trained < best.trained:
            return (
                f"{name} rose from {best.loss:.4g} at step {best.step} to {recent[-1].loss:.4g}, that of training falls"
            )
    return None


RULES = (
    Rule(
        "non_finite",
        non_finite,
        "a lower learning rate, a longer warm-up, bf16 in place of fp16; go on from a checkpoint",
    ),
    Rule("loss_spike", loss_spike, "look at the examples of these steps; a lower learning rate or max_grad_norm"),
    Rule("loss_rises", loss_rises, "a learning rate a tenth or a hundredth as large, and a longer warm-up"),
    Rule(
        "loss_flat",
        loss_flat,
        "a higher learning rate; look at what is trained: tunesmith plan, and at the data: tunesmith data show",
    ),
    Rule("gradient_explosion", gradient_explosion, "look at the examples of these steps; a smaller max_grad_norm"),
    Rule("zero_gradient", zero_gradient, "other target_modules, or leave out what the data does not reach"),
    Rule("no_trained_tokens", no_trained_tokens, "tunesmith data show, which marks what is trained; another template"),
    Rule(
        "all_tokens_trained", all_tokens_trained, "tunesmith data show, which marks what is trained; another template"
    ),
    Rule("learning_rate_stuck", learning_rate_stuck, "another lr_scheduler_type, fewer warmup_steps"),
    Rule("duplicate_batches", duplicate_batches, "leave out repeated rows; smaller weights of repeated data sets"),
    Rule("overfitting", overfitting, "fewer epochs, early_stopping_patience, load_best_model_at_end=true, more data"),
)
"""Of what is said once: the name, how it is found, what to try."""
