"""Patterns of dotted names."""

import pytest
from tunesmith import TunesmithError
from tunesmith_library_weights.patterns import matches, matches_any, parts_of, refuse_unknown

NAMES = ["model.layers.0.mlp.up_proj", "model.layers.11.self_attn.q_proj", "lm_head"]


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("model.layers.1.mlp.up_proj", "up_proj", True),
        ("model.layers.1.mlp.up_proj", "layers.1", True),
        ("model.layers.11.mlp.up_proj", "layers.1", False),
        ("model.layers.11.mlp.up_proj", "layers.1?.mlp", True),
        ("model.layers.11.mlp.up_proj", "layers.[0-9].mlp", False),
        ("model.layers.1.mlp.up_proj", "up", False),
        ("model.layers.1.mlp.up_proj", "layers.*.up_proj", True),
        ("model.layers.1.mlp.up_proj", "Layers", False),
        ("lm_head", "lm_head", True),
        ("lm_head", "*", True),
        ("lm_head", "", False),
    ],
)
def test_patterns_fit_whole_parts_of_names(name: str, pattern: str, fits: bool) -> None:
    assert matches(name, pattern) == fits


def test_one_of_several_is_enough() -> None:
    assert [name for name in NAMES if matches_any(name, ["mlp", "lm_head"])] == [NAMES[0], NAMES[2]]
    assert not matches_any(NAMES[0], [])


def test_unknown_patterns_are_named_with_the_nearest() -> None:
    refuse_unknown("adapter.freeze", ["layers.?", "q_*"], NAMES, "layer")
    expected = r"(?s)adapter\.freeze=layers\.1\.q_porj: fits no layer of this model.*q_proj.*did you mean q_proj\?"
    with pytest.raises(TunesmithError, match=expected):
        refuse_unknown("adapter.freeze", ["mlp", "layers.1.q_porj"], NAMES, "layer")


def test_numbers_are_no_names() -> None:
    assert parts_of(NAMES) == {"model", "layers", "mlp", "up_proj", "self_attn", "q_proj", "lm_head"}
