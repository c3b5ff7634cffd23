"""The conformance kit: one small class in a plugin's tests gives it the tests of its kind.

    from tunesmith_library_testing import AdapterSuite

    class TestLora(AdapterSuite):
        plugin = Lora
        options = {"rank": 4}

Beside the suites: `tiny` makes models and tokenizers on the spot, `parts` the objects that hooks are called with.
Importing this package imports neither pytest nor torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith_library_testing.suites.adapter import AdapterSuite as AdapterSuite
    from tunesmith_library_testing.suites.command import CommandSuite as CommandSuite
    from tunesmith_library_testing.suites.data import DataSuite as DataSuite
    from tunesmith_library_testing.suites.dialect import DialectSuite as DialectSuite
    from tunesmith_library_testing.suites.engine import EngineSuite as EngineSuite
    from tunesmith_library_testing.suites.evaluator import EvaluatorSuite as EvaluatorSuite
    from tunesmith_library_testing.suites.exporter import ExporterSuite as ExporterSuite
    from tunesmith_library_testing.suites.format import FormatSuite as FormatSuite
    from tunesmith_library_testing.suites.hub import HubSuite as HubSuite
    from tunesmith_library_testing.suites.loss import LossSuite as LossSuite
    from tunesmith_library_testing.suites.model import ModelSuite as ModelSuite
    from tunesmith_library_testing.suites.optimizer import OptimizerSuite as OptimizerSuite
    from tunesmith_library_testing.suites.parallel import ParallelSuite as ParallelSuite
    from tunesmith_library_testing.suites.patch import PatchSuite as PatchSuite
    from tunesmith_library_testing.suites.plugin import PluginSuite as PluginSuite
    from tunesmith_library_testing.suites.quantizer import QuantizerSuite as QuantizerSuite
    from tunesmith_library_testing.suites.reward import RewardSuite as RewardSuite
    from tunesmith_library_testing.suites.stage import StageSuite as StageSuite
    from tunesmith_library_testing.suites.template import TemplateSuite as TemplateSuite
    from tunesmith_library_testing.suites.tracker import TrackerSuite as TrackerSuite
    from tunesmith_library_testing.suites.trainer import TrainerSuite as TrainerSuite

_KINDS = (
    "adapter",
    "command",
    "data",
    "dialect",
    "engine",
    "evaluator",
    "exporter",
    "format",
    "hub",
    "loss",
    "model",
    "optimizer",
    "parallel",
    "patch",
    "plugin",
    "quantizer",
    "reward",
    "stage",
    "template",
    "tracker",
    "trainer",
)
_HOME = {f"{kind.capitalize()}Suite": f"tunesmith_library_testing.suites.{kind}" for kind in _KINDS}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a suite on first use, with pytest's explanations of failed assertions."""
    if name not in _HOME:
        raise AttributeError(f"module 'tunesmith_library_testing' has no attribute {name!r}")
    import pytest

    pytest.register_assert_rewrite("tunesmith_library_testing.suites")
    return getattr(importlib.import_module(_HOME[name]), name)
