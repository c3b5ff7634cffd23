"""The losses of a pair of answers, tensors in, tensors out.

Letters: P pairs; for an answer y to a prompt x, r(y) = log π(y|x) − log π_ref(y|x); y_w is the chosen and y_l the
rejected one; Δ = r(y_w) − r(y_l); σ is the sigmoid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Ratios:
    """Log-ratios of P pairs, and what the losses weigh them with."""

    chosen: torch.Tensor  # r(y_w): (P,) fp32
    rejected: torch.Tensor  # r(y_l): (P,) fp32
    chosen_counts: torch.Tensor  # tokens of y_w: (P,)
    rejected_counts: torch.Tensor  # tokens of y_l: (P,)
    beta: float  # strength of the tie to the reference
    label_smoothing: float = 0.0  # probability ε that a pair is the wrong way round

    @property
    def logits(self) -> torch.Tensor:
        """β Δ: (P,)."""
        return self.beta * (self.chosen - self.rejected)


def sigmoid(pairs: Ratios) -> torch.Tensor:
    """−(1−ε) log σ(βΔ) − ε log σ(−βΔ).

    Rafailov et al. 2023 (arXiv 2305.18290), equation 7; with ε the conservative loss of its section on noisy labels
    (Mitchell 2023, "A note on DPO with noisy preferences").
    """
    epsilon = pairs.label_smoothing
    return -(1 - epsilon) * F.logsigmoid(pairs.logits) - epsilon * F.logsigmoid(-pairs.logits)


def robust(pairs: Ratios) -> torch.Tensor:
    """(−(1−ε) log σ(βΔ) + ε log σ(−βΔ)) / (1 − 2ε), unbiased when a share ε of the pairs is the wrong way round.

    Chowdhury et al. 2024 (arXiv 2403.00409).
    """
    epsilon = pairs.label_smoothing
    return (epsilon * F.logsigmoid(-pairs.logits) - (1 - epsilon) * F.logsigmoid(pairs.logits)) / (1 - 2 * epsilon)


def hinge(pairs: Ratios) -> torch.Tensor:
    """max(0, 1 − βΔ). Zhao et al. 2023, SLiC (arXiv 2305.10425); with the reference, Liu et al. (arXiv 2309.06657)."""
    return torch.relu(1 - pairs.logits)


def ipo(pairs: Ratios) -> torch.Tensor:
    """(Δ̄ − 1/(2β))², Δ̄ of the ratios per token, as the authors compute it.

    Azar et al. 2023 (arXiv 2310.12036), equation 17, β being its τ.
    """
    delta = pairs.chosen / pairs.chosen_counts - pairs.rejected / pairs.rejected_counts
    return (delta - 1 / (2 * pairs.beta)) ** 2


def kto_pair(pairs: Ratios) -> torch.Tensor:
    """½ (1 − σ(β (r(y_w) − z_l))) + ½ (1 − σ(β (z_w − r(y_l)))), z the batch's mean ratio of a side, at least 0.

    Ethayarajh et al. 2024 (arXiv 2402.01306), with the other side's answers for its z₀; no gradient in z.
    """
    z_chosen = pairs.chosen.detach().mean().clamp(min=0)
    z_rejected = pairs.rejected.detach().mean().clamp(min=0)
    chosen = 1 - torch.sigmoid(pairs.beta * (pairs.chosen - z_rejected))
    rejected = 1 - torch.sigmoid(pairs.beta * (z_chosen - pairs.rejected))
    return (chosen + rejected) / 2


def bco_pair(pairs: Ratios) -> torch.Tensor:
    """−log σ(β r(y_w)) − log σ(−β r(y_l)), the binary classifier without reward shift.

    Jung et al. 2024 (arXiv 2404.04656).
    """
    return shifted_bco(pairs.beta * pairs.chosen, pairs.beta * pairs.rejected, 0.0)


def shifted_bco(chosen: torch.Tensor, rejected: torch.Tensor, shift: float) -> torch.Tensor:
    """−log σ(β r(y_w) − δ) − log σ(δ − β r(y_l)), δ the mean reward of both sides.

    Jung et al. 2024 (arXiv 2404.04656); beside DPO's it is a part of mixed preference optimisation (Wang et al. 2024,
    arXiv 2411.10442).

    Args:
        chosen, rejected: β r of the answers, (P,) fp32; shift: δ.

    Returns: (P,).
    """
    return -F.logsigmoid(chosen - shift) - F.logsigmoid(shift - rejected)


def apo_zero(pairs: Ratios) -> torch.Tensor:
    """1 − σ(β r(y_w)) + σ(β r(y_l)), for chosen answers better than the model's own.

    D'Oosterlinck et al. 2024 (arXiv 2408.06266), equation 7.
    """
    return 1 - torch.sigmoid(pairs.beta * pairs.chosen) + torch.sigmoid(pairs.beta * pairs.rejected)


def apo_down(pairs: Ratios) -> torch.Tensor:
    """σ(β r(y_w)) + 1 − σ(βΔ), for chosen answers worse than the model's own.

    D'Oosterlinck et al. 2024 (arXiv 2408.06266), equation 8.
    """
    return torch.sigmoid(pairs.beta * pairs.chosen) + 1 - torch.sigmoid(pairs.logits)


def exo_pair(pairs: Ratios) -> torch.Tensor:
    """KL(p_θ ‖ p_data) of the two answers: p_θ = (σ(βΔ), σ(−βΔ)), p_data = (1−ε, ε), ε > 0.

    Ji et al. 2024 (arXiv 2402.00856), equation 16.
    """
    data = torch.tensor([1 - pairs.label_smoothing, pairs.label_smoothing], device=pairs.logits.device).log()
    chosen = torch.sigmoid(pairs.logits) * (F.logsigmoid(pairs.logits) - data[0])
    rejected = torch.sigmoid(-pairs.logits) * (F.logsigmoid(-pairs.logits) - data[1])
    return chosen + rejected


def nca_pair(pairs: Ratios) -> torch.Tensor:
    """−log σ(β r(y_w)) − ½ log σ(−β r(y_w)) − ½ log σ(−β r(y_l)). Chen et al. 2024 (arXiv 2402.05369)."""
    chosen, rejected = pairs.beta * pairs.chosen, pairs.beta * pairs.rejected
    return -F.logsigmoid(chosen) - 0.5 * F.logsigmoid(-chosen) - 0.5 * F.logsigmoid(-rejected)


def sppo_hard(pairs: Ratios) -> torch.Tensor:
    """(r(y_w) − 1/(2β))² + (r(y_l) + 1/(2β))².

    Wu et al. 2024 (arXiv 2405.00675), equation 4.7 with probabilities of winning 1 and 0.
    """
    return (pairs.chosen - 0.5 / pairs.beta) ** 2 + (pairs.rejected + 0.5 / pairs.beta) ** 2


LOSSES: dict[str, Callable[[Ratios], torch.Tensor]] = {
    function.__name__: function
    for function in (
        sigmoid,
        robust,
        hinge,
        ipo,
        kto_pair,
        bco_pair,
        apo_zero,
        apo_down,
        exo_pair,
        nca_pair,
        sppo_hard,
    )
}
"""By the name of the option `loss`: the loss of each pair, (P,) fp32."""
