"""States of a low-rank optimizer as they are said, by hand."""

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_optimizing.estimating import estimate_low_rank

WEIGHTS = (
    Weight("model.layers.0.mlp.up_proj.weight", (8, 4), "linear", 32, trained=True),
    Weight("model.layers.0.mlp.down_proj.weight", (2, 8), "linear", 32, trained=True),
    Weight("lm_head.weight", (10, 4), "head", 16, trained=True),
    Weight("model.layers.0.norm.weight", (4,), "norm", 32, trained=True),
    Weight("model.layers.1.mlp.up_proj.weight", (8, 4), "linear", 32),
)


def states(target_modules, layerwise=False):
    found = estimate_low_rank(
        Estimate("fp32", WEIGHTS),
        target_modules=target_modules,
        rank=2,
        layerwise=layerwise,
        numbers=lambda rows, columns: 1000 * rows + columns,
    )
    return found.bytes("step")["optimizer states"], found.bytes("backward").get("gradients")


def test_all_are_the_linear_layers_that_are_larger_than_the_rank():
    assert states("all") == (8004 * 4 + 2 * 16 * 4 + 2 * 40 * 2 + 2 * 4 * 4, None)


def test_the_output_layer_is_projected_where_it_is_named():
    assert states(["lm_head"]) == (2 * 32 * 4 + 2 * 16 * 4 + 10004 * 2 + 2 * 4 * 4, None)


def test_layerwise_has_one_gradient_at_a_time():
    assert states("all", layerwise=True)[1] == 32 * 4
