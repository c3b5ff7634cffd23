"""A model's weights by its config.json alone, against the model itself; and what is said where it is not known."""

import json
import shutil
import subprocess
import sys

import pytest
from tunesmith_library_estimates.estimating import AUTO
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_loading.remembered import Times, keep
from tunesmith_library_loading.work import task_of, work_of
from tunesmith_library_testing.parts import StubPlan, estimate_of, load_plain
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_model_transformers import Transformers

EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


@pytest.mark.parametrize(
    ("architecture", "options"), [("llama", {}), ("qwen3", {"tie_word_embeddings": True}), ("qwen3_moe", EXPERTS)]
)
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_equals_the_model(architecture, options, precision, dtype, tmp_path):
    folder = save_tiny_model(tmp_path, architecture=architecture, **options)
    found = Transformers(path=str(folder)).estimate(Estimate(precision), StubPlan({}, values={"precision": precision}))
    expected = estimate_of(load_plain(folder, dtype), precision)
    assert {weight.name: weight for weight in found.weights} == {weight.name: weight for weight in expected.weights}
    assert (found.hidden_size, found.vocabulary) == (expected.hidden_size, expected.vocabulary)
    assert found.unknown == ()


def estimated(folder, precision="bf16", device="cpu"):
    plan = StubPlan({}, values={"precision": precision})
    return Transformers(path=str(folder)).estimate(Estimate(precision, machine=Machine(device=device)), plan)


def with_config(folder, **config):
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_what_is_not_known(tiny_llama, tmp_path):
    (elsewhere,) = estimated("org/name").unknown
    assert elsewhere == "the model: the config.json of org/name is not at hand"
    (strange,) = estimated(with_config(tmp_path, model_type="new")).unknown
    assert strange == "the model: the weights of model_type=new are not known"
    plain = json.loads((tiny_llama / "config.json").read_text(encoding="utf-8"))
    like = estimated(with_config(tmp_path, **plain | {"model_type": "new"}))
    assert like.weights == estimated(tiny_llama).weights
    assert like.unknown == ("what model_type=new has beside layers of the form of llama's, for which it is taken",)
    shutil.copy(tiny_llama / "model.safetensors", tmp_path)
    stored = estimated(tmp_path)
    assert {weight.name for weight in stored.weights} == {weight.name for weight in estimated(tiny_llama).weights}
    assert stored.unknown == (
        "the form of the layers: model_type=new is not known; the weights are those of its files",
    )


def test_weights_that_are_stored_in_few_bits(tiny_llama, tmp_path):
    plain = json.loads((tiny_llama / "config.json").read_text(encoding="utf-8"))
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 32, "modules_to_not_convert": ["v_proj"]}
    found = estimated(with_config(tmp_path, **plain, quantization_config=gptq))
    bits = {weight.name.split(".")[-2]: weight.bits for weight in found.weights}
    assert (bits["q_proj"], bits["v_proj"], bits["embed_tokens"]) == (4 + 20 / 32, 16, 16)
    assert found.unknown == () and any("as stored by gptq" in share for share in found.shares)
    other = estimated(with_config(tmp_path, **plain, quantization_config={"quant_method": "new"}))
    assert other.weights and other.unknown == ("the few bits that the model is stored in",)
    fp8 = with_config(tmp_path, **plain, quantization_config={"quant_method": "fp8"})
    assert estimated(fp8).weights == estimated(tiny_llama).weights  # undone on a processor
    assert estimated(fp8, device="cuda").weights != estimated(tiny_llama).weights


def test_precision_of_a_machine_that_was_named(tiny_llama):
    """On a GPU `auto` goes by what that GPU can, and not by what this machine's processor measured."""
    for flops, expected in (({"bf16": 1e14, "fp32": 1e13}, "bf16"), ({"fp16": 1e14, "fp32": 1e13}, "fp32")):
        asked = Estimate("bf16", unknown=(AUTO,), machine=Machine(device="cuda", flops=flops))
        found = Transformers(path=str(tiny_llama)).estimate(asked, StubPlan({}))
        assert (found.precision, found.unknown) == (expected, ())


def test_precision_as_it_will_be_chosen(tiny_llama, tmp_path, monkeypatch):
    """What `auto` will be is said where a rule or an earlier run knows it, and nothing is measured for a plan."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")  # a machine without a GPU
    asked, plan = Estimate("bf16", unknown=(AUTO,)), StubPlan({})
    small = Transformers(path=str(tiny_llama)).estimate(asked, plan)
    assert (small.precision, small.unknown, small.weights[0].bits) == ("fp32", (), 32)
    larger = Transformers(path=str(tiny_llama), config={"hidden_size": 4096})
    assert (larger.estimate(asked, plan).precision, larger.estimate(asked, plan).unknown) == ("bf16", (AUTO,))
    keep(work_of(tiny_llama, task_of(plan), larger.config), Times(fp32=1.0, bf16=2.0))
    assert (larger.estimate(asked, plan).precision, larger.estimate(asked, plan).unknown) == ("fp32", ())
    assert larger.estimate(asked, StubPlan({}, values={"precision": "bf16"})).precision == "bf16"


def test_no_torch(tiny_llama):
    program = (
        "import sys\n"
        "from tunesmith_library_estimates.estimation import Estimate\n"
        "from tunesmith_library_testing.parts import StubPlan\n"
        "from tunesmith_model_transformers import Transformers\n"
        "assert Transformers(path=sys.argv[1]).estimate(Estimate('bf16'), StubPlan({})).parameters\n"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tiny_llama)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
