"""The grid of a group of weights: 2^bits equally spaced values, w ≈ s (q - z), and rounding to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_SMALLEST = 2.0**-24  # of float16, in which scales are stored
_LARGEST = 65504.0


@dataclass(frozen=True)
class Rounded:
    """A weight as whole numbers: weight[o, i] ≈ d[o] scales[o, g] (codes[o, i] - zeros[o, g]) / c[i], g = groups[i].

    c and d are the scales of the layer's input and output, 1 where there are none.
    """

    codes: torch.Tensor  # (out, in), uint8
    scales: torch.Tensor  # (out, number of groups), of 16 bits
    zeros: torch.Tensor  # (out, number of groups), uint8
    groups: torch.Tensor  # (in,), int32: the group of each column
    input_scale: torch.Tensor | None = None  # c (in,), float32 of values that bfloat16 has
    output_scale: torch.Tensor | None = None  # d (out,), likewise

    def packed_weight(self) -> torch.Tensor:
        """What the whole numbers say, (out, in), float32: without c and d."""
        scales, zeros = (part[:, self.groups.long()].float() for part in (self.scales, self.zeros))
        return scales * (self.codes.float() - zeros)


def fit(
    weight: torch.Tensor, bits: int, sym: bool, shrink: float = 1.0, scale_dtype: torch.dtype = torch.float16
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose scale and zero point for groups of weights from their extremes.

    Symmetric: s = 2 max|w| / (2^bits - 1), z = 2^(bits - 1). Otherwise s = (max w - min w) / (2^bits - 1) and
    z = round(-min w / s), with 0 always within the range. z is never 0, because GPTQ's first file format stores z - 1.

    Args:
        weight: (..., G), float32; the G weights of a group share their grid.
        shrink: the part of the range that is kept; what is beyond is clipped.
        scale_dtype: in which scales are stored.

    Returns: scale (...), float32 of values that `scale_dtype` has, and zero point (...), float32 of whole numbers.
    """
    top = 2**bits - 1
    low, high = weight.amin(-1).clamp(max=0) * shrink, weight.amax(-1).clamp(min=0) * shrink
    if sym:
        scale = _storable(2 * torch.maximum(-low, high) / top, scale_dtype)
        return scale, torch.full_like(scale, 2 ** (bits - 1))
    scale = _storable((high - low) / top, scale_dtype)
    zero = (-low / scale).round()
    scale = torch.where(zero < 1, _storable((high - low) / (top - 1), scale_dtype), scale)
    return scale, zero.clamp(1, top)


def to_grid(weight: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, bits: int) -> torch.Tensor:
    """The whole numbers q = clamp(round(w / s) + z, 0, 2^bits - 1), as floats; the arguments broadcast."""
    return ((weight / scale).round() + zero).clamp_(0, 2**bits - 1)


def round_to_nearest(weight: torch.Tensor, bits: int, group_size: int, sym: bool) -> Rounded:
    """Round every weight of (out, in), float32, to the nearest value of its group's grid."""
    grouped = weight.unflatten(1, (-1, group_size))
    scales, zeros = fit(grouped, bits, sym)
    return rounded(weight, scales, zeros, bits)


def rounded(weight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor, bits: int) -> Rounded:
    """Round a weight (out, in) to given grids (out, number of groups); groups lie side by side."""
    grouped = weight.unflatten(1, (scales.shape[1], -1))
    codes = to_grid(grouped, scales[..., None], zeros[..., None], bits).flatten(1)
    return Rounded(codes.byte(), scales.half(), zeros.byte(), side_by_side(weight.shape[1], scales.shape[1], weight))


def side_by_side(columns: int, groups: int, like: torch.Tensor) -> torch.Tensor:
    """The group of each column when groups lie side by side, (columns,), int32."""
    return torch.arange(columns, dtype=torch.int32, device=like.device) // (columns // groups)


def _storable(scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The nearest positive value that a dtype of 16 bits has."""
    return scale.clamp(_SMALLEST, _LARGEST).to(dtype).float()
