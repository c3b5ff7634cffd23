"""What norms in fp32 are said to take."""

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_testing.parts import StubPlan
from tunesmith_patch_upcast import Upcast


def test_norms_take_twice_as_much():
    weights = (Weight("model.norm.weight", (8,), "norm", 16), Weight("lm_head.weight", (100, 8), "head", 16))
    before = Estimate("bf16", weights)
    found = Upcast().estimate(before, StubPlan({}))
    assert [weight.bits for weight in found.weights] == [32, 16]
    assert Upcast(norms=False, logits=True).estimate(before, StubPlan({})) == before
