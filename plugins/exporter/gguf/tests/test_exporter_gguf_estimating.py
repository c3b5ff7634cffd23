"""How large files are said to get, beside real ones."""

import pytest
from tunesmith_exporter_gguf import Gguf
from tunesmith_library_testing.parts import CHATML, StubPlan, estimate_of, handle_of, load_plain
from tunesmith_library_testing.tiny import save_tiny_model

KINDS = ["f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"]


@pytest.mark.slow
def test_files_are_as_large_as_was_said(tiny_bpe, tmp_path):
    """All but what the file says of the model, of which the vocabulary is the most."""
    folder = save_tiny_model(tmp_path / "base", tokenizer=tiny_bpe, hidden_size=256, intermediate_size=512)
    exporter = Gguf(type=KINDS, verify=False)
    said = exporter.estimate(estimate_of(load_plain(folder)), StubPlan({}, "export")).disk
    out = exporter.export(handle_of(folder, tiny_bpe, template=CHATML.bind(tiny_bpe)), tmp_path / "sea")
    for kind in KINDS:
        (file,) = out.glob(f"*{kind.upper()}.gguf")
        assert said[f"GGUF, {kind}"] == pytest.approx(file.stat().st_size, rel=0.03)


def test_a_mixture_that_is_not_known_is_said():
    found = Gguf(type=["iq2_m", "f16"]).estimate(estimate_of_nothing(), StubPlan({}, "export"))
    assert len(found.unknown) == 1 and "iq2_m" in found.unknown[0]


def estimate_of_nothing():
    from tunesmith_library_estimates.estimation import Estimate, Weight

    return Estimate("bf16", (Weight("model.norm.weight", (8,), "norm", 16),))
