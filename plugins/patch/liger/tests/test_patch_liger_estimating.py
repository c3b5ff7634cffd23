"""What layers with Liger's kernels are said to keep less."""

from tunesmith_library_estimates.activations import activations
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_testing.parts import StubPlan
from tunesmith_patch_liger import Liger

WEIGHTS = (
    Weight("model.embed_tokens.weight", (100, 8), "embedding", 16, trained=True),
    Weight("model.layers.0.input_layernorm.weight", (8,), "norm", 16, trained=True),
    Weight("model.layers.0.mlp.gate_proj.weight", (20, 8), "linear", 16, trained=True),
    Weight("model.layers.0.mlp.up_proj.weight", (20, 8), "linear", 16, trained=True),
    Weight("model.layers.0.mlp.down_proj.weight", (8, 20), "linear", 16, trained=True),
)


def kept(**options):
    before = Estimate("bf16", WEIGHTS, hidden_size=8, length=10)
    return activations(Liger(**options).estimate(before, StubPlan({})), recomputes=False).bytes("forward")[
        "activations"
    ]


def test_less_is_kept():
    """A norm's input in 16 bits in place of 32 and of its result; of a gate not what its activation gives."""
    none = dict.fromkeys(("rms_norm", "swiglu", "geglu"), False)
    plain = kept(**none)
    assert plain - kept(**none | {"rms_norm": True}) == 10 * 8 * (4 + 2 - 2)
    assert plain - kept(**none | {"swiglu": True}) == 10 * 20 * 2
    assert kept() == plain - 10 * (8 * 4 + 20 * 2)
