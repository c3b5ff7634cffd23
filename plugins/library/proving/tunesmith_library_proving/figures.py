"""How far what a model says is from what another says: the numbers of the gate, and their limits. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy, kl_div

_NUMBERS = 500_000  # logits that are compared at a time, in float64

MESSAGES = (
    "{share} the same first choice",
    "logits differ by {size} at most",
    "perplexity {former} → {latter}",
)


@dataclass(frozen=True)
class Figures:
    """One model beside another, over the same tokens."""

    largest: float  # difference of a logit, or of a score; NaN when one is
    same_choice: float  # share of the positions where both have the same first choice; of scores, of their order
    divergence: float  # Kullback-Leibler, of the second's distribution from the first's, mean over positions, in nats
    perplexity_before: float | None  # of the tokens that are there; None of scores
    perplexity_after: float | None
    positions: int  # that were compared

    @property
    def worse(self) -> float:
        """By which factor the perplexity grew; 1 of scores."""
        if self.perplexity_before is None or self.perplexity_after is None:
            return 1.0
        return self.perplexity_after / self.perplexity_before

    def described(self) -> str:
        """In words, for a line of the screen."""
        if self.perplexity_before is None:
            return f"scores differ by {self.largest:.2g} at most"
        parts = [f"{self.same_choice:.1%} the same first choice", f"KL {self.divergence:.2g}"]
        parts += [f"logits differ by {self.largest:.2g} at most"]
        return ", ".join([*parts, f"perplexity {self.perplexity_before:.4g} → {self.perplexity_after:.4g}"])

    def as_json(self) -> dict[str, Any]:
        """With three digits that count, so that a report of the same artefact is the same."""
        found = {name: _short(value) for name, value in vars(self).items()}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class Limits:
    """What an artefact of a format may differ by from the model that was trained; a format declares its own."""

    largest: float = math.inf
    divergence: float = math.inf
    same_choice: float = 0.0
    worse: float = math.inf  # factor of the perplexity
    beside_base: float = 0.0  # a divergence up to this many times the base's in the same format is none of the run's

    def passed(self, found: Figures, base: Figures | None = None) -> list[str]:
        """What is beyond a limit, in words; [] when nothing is.

        Args:
            base: the drift of the base model that is put through the same format.
        """
        problems = []
        if not math.isfinite(found.largest):
            return ["it computes numbers that are not finite"]
        if found.largest > self.largest:
            what = "scores" if found.perplexity_before is None else "logits"
            problems.append(f"{what} differ by {found.largest:.2g}, allowed is {self.largest:g}")
        allowed = max(self.divergence, self.beside_base * base.divergence if base else 0.0)
        if found.divergence > allowed:
            problems.append(f"the KL divergence is {found.divergence:.2g} nats, allowed is {allowed:.2g}")
        if found.same_choice < min(self.same_choice, base.same_choice if base and self.beside_base else 1.0):
            problems.append(f"{found.same_choice:.1%} have the same first choice, required is {self.same_choice:.1%}")
        if found.worse > max(self.worse, base.worse if base and self.beside_base else 0.0):
            problems.append(f"the perplexity grows by the factor {found.worse:.3g}, allowed is {self.worse:g}")
        return problems

    def as_json(self) -> dict[str, float]:
        """The limits that there are."""
        plain = Limits()
        return {name: value for name, value in vars(self).items() if value != getattr(plain, name)}


def compare(
    before: Sequence[torch.Tensor], after: Sequence[torch.Tensor], ids: Sequence[Sequence[int]] | None = None
) -> Figures:
    """Compare what two models say.

    Args:
        before, after: float32, for each text the logits (T, V) of its tokens, or a classifier's scores (labels,).
        ids: the tokens of each text, T of them; None for scores.

    Raises: ValueError when a text has other shapes.
    """
    for one, other in zip(before, after, strict=True):
        if one.shape != other.shape:
            raise ValueError(f"shapes {tuple(one.shape)} and {tuple(other.shape)}")
    largest = max((_largest(*part) for part in _parts(before, after)), default=0.0)
    if ids is None:
        order = [torch.equal(a.argsort(), b.argsort()) for a, b in zip(before, after, strict=True)]
        return Figures(largest, sum(order) / max(len(order), 1), 0.0, None, None, len(order))
    positions = sum(map(len, before))
    same = sum(int((a.argmax(-1) == b.argmax(-1)).sum()) for a, b in _parts(before, after))
    apart = sum(_divergence(a, b) for a, b in _parts(before, after))
    return Figures(
        largest, same / positions, apart / positions, _perplexity(before, ids), _perplexity(after, ids), positions
    )


def _parts(
    before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """What two models say, some positions at a time: the differences of a whole text would take its memory thrice."""
    for one, other in zip(before, after, strict=True):
        rows = max(_NUMBERS // one.shape[-1], 1)
        yield from zip(one.split(rows), other.split(rows), strict=True)


def _largest(before: torch.Tensor, after: torch.Tensor) -> float:
    """A vocabulary's forbidden tokens are minus infinity in both."""
    difference = torch.where(before == after, torch.zeros_like(before), (after - before).abs())
    return float(difference.max()) if difference.numel() else 0.0


def _divergence(before: torch.Tensor, after: torch.Tensor) -> float:
    p, q = before.double().log_softmax(-1), after.double().log_softmax(-1)
    return max(float(kl_div(q, p, log_target=True, reduction="sum")), 0.0)


def _perplexity(logits: Sequence[torch.Tensor], ids: Sequence[Sequence[int]]) -> float:
    total, count = 0.0, 0
    for said, tokens in zip(logits, ids, strict=True):
        wanted = torch.tensor(tokens[1 : len(said)])
        rows = max(_NUMBERS // said.shape[-1], 1)
        for part, right in zip(said[: len(wanted)].split(rows), wanted.split(rows), strict=True):
            total += float(cross_entropy(part.double(), right, reduction="sum")) if len(right) else 0.0
        count += len(wanted)
    return math.exp(min(total / count, 700.0)) if count else math.nan


def _short(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.3g}") if math.isfinite(value) else None
