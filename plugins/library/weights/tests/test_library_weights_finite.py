"""Which tensors hold numbers that are not finite."""

import math

import pytest
import torch
from tunesmith_library_weights.finite import non_finite, trained_weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn])
def test_names_what_is_not_finite(dtype):
    values = {
        "zero": torch.zeros(3),
        "largest": torch.tensor([torch.finfo(dtype).max, 1.0], dtype=torch.float64),
        "nan": torch.ones(2, 2),
    }
    values["nan"][1, 0] = math.nan
    if dtype != torch.float8_e4m3fn:  # which has no infinity
        values["infinite"] = torch.tensor(-math.inf)
    found = non_finite((name, value.to(dtype)) for name, value in values.items())
    assert found == [name for name in ("nan", "infinite") if name in values]


def test_what_has_no_numbers_is_finite():
    tensors = [torch.zeros(0), torch.empty(3, device="meta"), torch.tensor([2**31 - 1])]
    assert non_finite((str(place), tensor) for place, tensor in enumerate(tensors)) == []


def test_trained_weights():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(False))
    assert [name for name, _ in trained_weights(model)] == ["0.weight", "0.bias"]
    assert trained_weights(object()) == []
