"""What plugins say that they cost: the order in which they are asked, and what becomes of it."""

import dataclasses
import subprocess
import sys

import pytest
import tunesmith
from tunesmith import hookimpl
from tunesmith.catalog import Catalog
from tunesmith.cli.estimates import in_words, lines
from tunesmith.errors import ConfigError
from tunesmith.types import Estimate, Memory, Weight

CONFIG = {"model": {"path": "org/tiny"}, "data": {"train": ["train.json"]}}


@pytest.fixture
def costly(plugins, monkeypatch):
    """The plugins, of which some say what they cost; each doubles or adds to what it was given."""

    def says(address, function):
        monkeypatch.setattr(plugins[address], "estimate", hookimpl(function), raising=False)

    def weights(self, estimate, plan):
        return dataclasses.replace(estimate, weights=(Weight("a.weight", (4, 8), "linear", 16),), length=plan.run.seed)

    def fewer(self, estimate):
        fewer = tuple(dataclasses.replace(weight, bits=self.bits) for weight in estimate.weights)
        return dataclasses.replace(estimate, weights=fewer)

    def adapter(self, estimate):
        return dataclasses.replace(estimate, weights=(*estimate.weights, Weight("b", (self.rank,), "other", 32, True)))

    def trained(self, estimate):
        gradients = Memory(4 * estimate.trained, phases=("backward", "step"))
        return dataclasses.replace(estimate, sequences=2).plus("gradients", gradients)

    says("model.transformers", weights)
    says("quantizer.hqq", fewer)
    says("adapter.lora", adapter)
    says("trainer.transformers", trained)
    return Catalog.of(plugins)


def test_each_is_asked_in_the_order_of_the_kinds(costly, calls):
    """The quantizer sees the model's weights, the trainer what the adapter trains, whatever order they are named in."""
    found = tunesmith.estimate(CONFIG, {"adapter.rank": 3, "quantizer": "hqq", "quantizer.bits": 2}, catalog=costly)
    assert found.weights == (Weight("a.weight", (4, 8), "linear", 2), Weight("b", (3,), "other", 32, trained=True))
    assert found.bytes("step") == {"weights": 32 * 2 / 8 + 12, "gradients": 12}
    assert found.bytes("forward") == {"weights": 32 * 2 / 8 + 12}
    assert found.tokens == 2 * 42
    assert calls == [], "nothing is loaded"


def test_a_plugin_that_is_silent_is_named(costly):
    found = tunesmith.estimate(CONFIG, {"tracker": []}, catalog=costly)
    assert found.unknown == ("precision=auto is taken for bf16", "stage.sft does not say what it costs")
    assert tunesmith.estimate(CONFIG, {"precision": "fp32"}, catalog=costly).unknown == found.unknown[1:]


def test_a_wrong_configuration_is_refused(costly):
    with pytest.raises(ConfigError, match="rnak"):
        tunesmith.estimate(CONFIG, {"adapter.rnak": 1}, catalog=costly)


def test_sums():
    """A worked example: two weights, memory that grows with the tokens, and a peak where the most comes together."""
    weights = (Weight("a", (10, 10), "linear", 4.5), Weight("b", (10,), "norm", 32, trained=True))
    made = Estimate("bf16", weights, sequences=2, length=5, flops_per_token=100, flops_per_pair=4, passes=3)
    made = made.plus("activations", Memory(bytes_per_token=7, phases=("forward",)))
    made = made.plus("gradients", Memory(40, phases=("backward", "step"))).plus("optimizer", Memory(80, 0, ("step",)))
    assert made.parameters == 110 and made.trained == 10
    assert made.bytes("load") == {"weights": 100 * 4.5 / 8 + 40}
    assert made.bytes("forward") == {"weights": 96.25, "activations": 70}
    assert made.peak == ("step", 96.25 + 40 + 80)
    assert made.flops == 3 * (100 + 4 * 3), "a token of 5 looks at 3 on average, itself included"
    assert made.plus("optimizer", Memory()).peak == ("forward", 166.25)
    assert made.without("x", "y").unknown == ("x", "y")


def test_in_words():
    weights = (Weight("a", (1024, 1024), "linear", 16), Weight("b", (1024,), "norm", 32, trained=True))
    made = Estimate("bf16", weights, sequences=8, length=2048, flops_per_token=1e9, passes=3).without("the rest")
    made = made.plus("activations", Memory(bytes_per_token=2**17, phases=("forward",))).plus("states", Memory(2**30))
    assert list(lines(made)) == [
        "parameters: 1,049,600, 1,024 of them trained",
        "weights: 2 MB",
        "activations: 2 GB (8 × 2,048 tokens at most)",
        "states: 1 GB",
        "peak: 3 GB in a forward pass (1 GB in loading, 1 GB in a backward pass, 1 GB in a step)",
        "a token costs 3 GFLOP",
        "not in it: the rest",
    ]
    assert list(lines(Estimate("bf16", unknown=("the model",)))) == ["not in it: the model"]
    assert [in_words(size) for size in (0, 999, 1000, 7.9 * 2**30)] == ["0 B", "999 B", "0.977 KB", "7.9 GB"]


def test_an_estimate_imports_no_torch(tmp_path):
    """Of whatever is installed."""
    program = (
        "import sys\n"
        "from tunesmith.assemble import examine\n"
        "from tunesmith.compose import compose\n"
        "from tunesmith.estimating import estimated\n"
        "plan, problems, manager = examine(compose({'model': {'path': 'org/name'}}), 'train')\n"
        "assert estimated(plan, manager).precision == 'bf16'\n"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
