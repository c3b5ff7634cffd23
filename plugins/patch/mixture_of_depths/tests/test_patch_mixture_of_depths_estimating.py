"""What routed layers are said to keep."""

import pytest
from tunesmith_library_estimates.activations import activations
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_testing.parts import StubPlan
from tunesmith_patch_mixture_of_depths import MixtureOfDepths


def test_routed_layers_keep_the_share_that_they_process():
    """Two layers alike, of which the second is routed: one and an eighth of what one keeps."""
    embeddings = Weight("model.embed_tokens.weight", (100, 8), "embedding", 32, trained=True)
    layers = [
        Weight(f"model.layers.{layer}.mlp.{name}.weight", shape, "linear", 32, trained=True)
        for layer in range(2)
        for name, shape in (("up_proj", (20, 8)), ("gate_proj", (20, 8)), ("down_proj", (8, 20)))
    ]
    before = Estimate("fp32", (embeddings, *layers), hidden_size=8, length=10)
    plain = activations(before, recomputes=False).bytes("forward")["activations"]
    routed = MixtureOfDepths(capacity=0.125).estimate(before, StubPlan({}))
    assert activations(routed, recomputes=False).bytes("forward")["activations"] == pytest.approx(plain * 1.125 / 2)
