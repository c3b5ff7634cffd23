"""What the stage is said to compute beside its answers."""

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_testing.parts import StubPlan
from tunesmith_stage_kto import KahnemanTversky


def test_answers_to_other_prompts_are_computed_without_gradients():
    """One pass of the model and two of the reference beside those that learn; with apo one of the reference."""
    made = Estimate("bf16", sequences=4, flops_per_token=10.0)
    kto, apo = (KahnemanTversky(loss=loss).estimate(made, StubPlan({})) for loss in ("kto", "apo_zero_unpaired"))
    assert kto.tokens == 4 * 2048
    assert {what: work.flops for what, work in kto.work.items()} == {
        "reference": 20.0,
        "answers to other prompts": 10.0,
    }
    assert {what: work.flops for what, work in apo.work.items()} == {"reference": 10.0}
