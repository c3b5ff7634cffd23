"""A model's weights by its config.json alone, against the model itself; and what is said where it is not known."""

import json
import subprocess
import sys

import pytest
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_testing.parts import estimate_of, load_plain
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_model_transformers import Transformers

EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


@pytest.mark.parametrize(
    ("architecture", "options"), [("llama", {}), ("qwen3", {"tie_word_embeddings": True}), ("qwen3_moe", EXPERTS)]
)
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_equals_the_model(architecture, options, precision, dtype, tmp_path):
    folder = save_tiny_model(tmp_path, architecture=architecture, **options)
    found = Transformers(path=str(folder)).estimate(Estimate(precision))
    expected = estimate_of(load_plain(folder, dtype), precision)
    assert {weight.name: weight for weight in found.weights} == {weight.name: weight for weight in expected.weights}
    assert (found.hidden_size, found.vocabulary) == (expected.hidden_size, expected.vocabulary)
    assert found.unknown == ()


def test_what_is_not_known(tmp_path):
    (elsewhere,) = Transformers(path="org/name").estimate(Estimate("bf16")).unknown
    assert elsewhere == "the model: the config.json of org/name is not at hand"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}), encoding="utf-8")
    (strange,) = Transformers(path=str(tmp_path)).estimate(Estimate("bf16")).unknown
    assert strange == "the model: the weights of model_type=mamba are not known"


def test_weights_that_are_stored_in_few_bits(tiny_llama, tmp_path):
    config = json.loads((tiny_llama / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {"quant_method": "gptq"}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    found = Transformers(path=str(tmp_path)).estimate(Estimate("bf16"))
    assert found.weights and found.unknown == ("the few bits that the model is stored in",)


def test_no_torch(tiny_llama):
    program = (
        "import sys\n"
        "from tunesmith_library_estimates.estimation import Estimate\n"
        "from tunesmith_model_transformers import Transformers\n"
        "assert Transformers(path=sys.argv[1]).estimate(Estimate('bf16')).parameters\n"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tiny_llama)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
