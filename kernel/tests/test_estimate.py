"""What plugins say that they cost: the order in which they are asked, and what becomes of it."""

import dataclasses
import subprocess
import sys

import pytest
import tunesmith
from tunesmith import hookimpl
from tunesmith.catalog import Catalog
from tunesmith.errors import ConfigError
from tunesmith_library_estimates.estimation import Memory, Weight

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
    assert {"weights": 32 * 2 / 8 + 12, "gradients": 12}.items() <= found.bytes("step").items()
    assert found.bytes("forward")["weights"] == 32 * 2 / 8 + 12 and "gradients" not in found.bytes("forward")
    assert found.tokens == 2 * 42
    assert calls == [], "nothing is loaded"


def test_a_plugin_that_is_silent_is_named(costly):
    found = tunesmith.estimate(CONFIG, {"tracker": []}, catalog=costly)
    assert found.unknown == ("precision=auto is taken for bf16", "stage.sft does not say what it costs")
    assert tunesmith.estimate(CONFIG, {"precision": "fp32"}, catalog=costly).unknown == found.unknown[1:]


def test_a_wrong_configuration_is_refused(costly):
    with pytest.raises(ConfigError, match="rnak"):
        tunesmith.estimate(CONFIG, {"adapter.rnak": 1}, catalog=costly)


def test_an_estimate_imports_no_torch(tmp_path):
    """Of whatever is installed."""
    program = (
        "import sys\n"
        "from tunesmith.assemble import examine\n"
        "from tunesmith.compose import compose\n"
        "from tunesmith_library_estimates.estimating import estimated\n"
        "plan, problems, manager = examine(compose({'model': {'path': 'org/name'}}), 'train')\n"
        "assert estimated(plan).precision == 'bf16'\n"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
