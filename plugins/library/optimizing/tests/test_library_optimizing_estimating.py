"""States of a low-rank optimizer as they are said, by hand."""

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import BESIDE_A_STEP
from tunesmith_library_optimizing.estimating import LowRank, estimate_low_rank

WEIGHTS = (
    Weight("model.layers.0.mlp.up_proj.weight", (8, 4), "linear", 32, trained=True),
    Weight("model.layers.0.mlp.down_proj.weight", (2, 8), "linear", 32, trained=True),
    Weight("lm_head.weight", (10, 4), "head", 16, trained=True),
    Weight("model.layers.0.norm.weight", (4,), "norm", 32, trained=True),
    Weight("model.layers.1.mlp.up_proj.weight", (8, 4), "linear", 32),
)


def found(target_modules, layerwise=False):
    projection = LowRank(
        target_modules,
        2,
        layerwise,
        numbers=lambda rows, columns: 1000 * rows + columns,
        beside=lambda rows, columns, width: 100 * rows + width,
    )
    return estimate_low_rank(Estimate("fp32", WEIGHTS), projection)


def states(target_modules, layerwise=False):
    made = found(target_modules, layerwise)
    return made.bytes("step")["optimizer states"], made.bytes("backward").get("gradients")


def test_all_are_the_linear_layers_that_are_larger_than_the_rank():
    assert states("all") == (8004 * 4 + 2 * 16 * 4 + 2 * 40 * 2 + 2 * 4 * 4, None)


def test_the_output_layer_is_projected_where_it_is_named():
    assert states(["lm_head"]) == (2 * 32 * 4 + 2 * 16 * 4 + 10004 * 2 + 2 * 4 * 4, None)


def test_layerwise_has_one_gradient_at_a_time():
    assert states("all", layerwise=True)[1] == 32 * 4


def test_a_step_needs_room_for_the_largest_update():
    assert found("all").bytes("step")[BESIDE_A_STEP] == 100 * 8 + 4
    assert BESIDE_A_STEP not in found("all").bytes("backward")
    made = found("all", layerwise=True)
    assert made.bytes("backward")[BESIDE_A_STEP] == 804 and BESIDE_A_STEP not in made.bytes("step")


def test_updates_inside_the_backward_pass_are_offered_with_what_they_ask_for():
    (half, inside) = found("all").changes
    assert half.overrides == ("optimizer.rank=1",)
    assert inside.overrides == ("optimizer.layerwise=true", "trainer.max_grad_norm=0")
