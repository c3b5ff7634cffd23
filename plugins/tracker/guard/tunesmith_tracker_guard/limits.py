"""From where on something is worth a warning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tunesmith.ranges import above, at_least, between

Share = Annotated[float, between(0, 1)]


@dataclass(kw_only=True, eq=False)
class Limits:
    """The thresholds of the rules; robust statistics of the run itself, wherever there is a scale of its own."""

    # logged steps that are looked back on
    window: Annotated[int, at_least(8, most=100_000)] = 50
    # logged steps in a row in which something must be so
    patience: Annotated[int, at_least(1, most=10_000)] = 3
    # evaluations in a row that are worse than the best one before
    evaluations: Annotated[int, at_least(1, most=10_000)] = 2
    # loss_spike, gradient_explosion: standard deviations (robust ones) above the median of the window
    spike: Annotated[float, above(0, most=10_000)] = 8.0
    # gradient_explosion: times the median norm of the window, at least
    explosion: Annotated[float, above(1, most=1_000_000)] = 20.0
    # loss_rises: times the loss of the first step
    rise: Annotated[float, above(1, most=1_000_000)] = 3.0
    # overfitting: part of the best evaluation loss by which later ones are above it
    worsening: Annotated[float, at_least(0, most=1_000)] = 0.01
    # duplicate_batches: share of examples that were seen before in the epoch
    repeated: Share = 0.5
    # no_spread: share of groups in which all answers have the same reward
    no_spread: Share = 0.8
    # entropy_collapse: part of the entropy at the beginning
    entropy: Share = 0.1
    # clip_share: share of tokens whose change is clipped
    clipped: Share = 0.5
    # length_limit: share of answers that are cut at max_new_tokens
    length: Share = 0.8
    # kl_explosion: nats per token by which the policy has left its reference
    kl: Annotated[float, above(0, most=1_000)] = 1.0
