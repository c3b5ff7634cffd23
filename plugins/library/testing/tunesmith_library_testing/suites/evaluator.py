"""What every evaluator keeps to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import DataError
from tunesmith.types import Row
from tunesmith_library_evaluating import Evaluation

from tunesmith_library_testing.engine import chat_of
from tunesmith_library_testing.parts import CHAT, evaluation_data, handle_of, load_plain
from tunesmith_library_testing.suites.plugin import PluginSuite

ROWS: tuple[Row, ...] = (
    {"messages": list(CHAT)},
    {"messages": list(CHAT[:2])},
    {"messages": [{"role": "user", "content": "Sing!"}, {"role": "assistant", "content": "The tide turns, 鲸鱼."}]},
)


class EvaluatorSuite(PluginSuite):
    """The tests of an `evaluator` plugin, on a tiny Llama of random weights."""

    kind = "evaluator"
    rows: ClassVar[Sequence[Row]] = ROWS  # that it can measure on, three or more
    reads_data: ClassVar[bool] = True  # False: it brings its own questions
    tolerance: ClassVar[float] = 1e-4  # of the numbers of an example, relative, from one batch to another

    def evaluate(self, folder: Path, tokenizer: Any, sets: Mapping[str, Sequence[Row]], **overrides: Any) -> Evaluation:
        """What the hook gives for a model; overrides are options."""
        model = load_plain(folder)
        return self._evaluation(handle_of(folder, tokenizer, load=lambda: model), tokenizer, sets, **overrides)

    def _evaluation(self, handle: Any, tokenizer: Any, sets: Mapping[str, Sequence[Row]], **overrides: Any) -> Any:
        data = evaluation_data(tokenizer, sets)
        return self.manager(**overrides).hook.evaluate(handle=handle, chat=chat_of(handle), data=data)

    def test_numbers(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Each metric is a number with a standard error, by data set; all of it can be written as JSON."""
        found = self.evaluate(tiny_llama, tiny_bpe, {"first": self.rows, "second": self.rows[:2]})
        assert isinstance(found, Evaluation) and found.metrics
        if self.reads_data:
            assert set(found.metrics) >= {"first", "second"}
        for part, metrics in found.metrics.items():
            assert metrics, f"nothing was measured on {part}"
            for name, measured in metrics.items():
                assert type(measured.value) is float and not math.isnan(measured.value), f"{name}: {measured.value!r}"
                assert type(measured.count) is int and measured.count >= 0
                assert measured.standard_error is None or measured.standard_error >= 0
        json.dumps([found.records, found.settings], allow_nan=False)

    def test_records(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A record for each example, which says where the example stands."""
        found = self.evaluate(tiny_llama, tiny_bpe, {"first": self.rows, "second": self.rows[:2]})
        assert found.records, "there are no records"
        places = [(record["dataset"], record["index"]) for record in found.records]
        assert len(set(places)) == len(places) and all(type(index) is int for _, index in places)
        if self.reads_data:
            assert {name for name, _ in places} == {"first", "second"}

    def test_examples_are_measured_alone(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """The numbers of an example do not depend on those beside it."""
        if not self.reads_data:
            pytest.skip("it brings its own questions")
        found = self.evaluate(tiny_llama, tiny_bpe, {"all": self.rows, "one": self.rows[1:2]})
        (alone,) = (record for record in found.records if record["dataset"] == "one")
        beside = next(record for record in found.records if record["dataset"] == "all" and record["index"] == 1)
        for name, value in alone.items():
            if name not in ("dataset", "index"):
                expected = pytest.approx(value, rel=self.tolerance) if isinstance(value, float) else value
                assert beside[name] == expected, name

    def test_model_stays_as_it_was(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """A model that is being trained goes on as if it had not been measured: weights, gradients, random numbers."""
        import torch

        model = load_plain(tiny_llama).train()
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            expected = torch.rand(3)
            torch.manual_seed(0)
            handle = handle_of(tiny_llama, tiny_bpe, load=lambda: model)
            self._evaluation(handle, tiny_bpe, {"held": self.rows})
            assert torch.equal(torch.rand(3), expected), "random numbers were drawn"
        assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
        assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())

    def test_without_data(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """An empty evaluation set is no zero but an error, before the model is loaded."""
        if not self.reads_data:
            pytest.skip("it brings its own questions")
        handle = handle_of(tiny_llama, tiny_bpe, load=lambda: pytest.fail("the model was loaded"))
        for sets in ({}, {"held": ()}):
            with pytest.raises(DataError):
                self._evaluation(handle, tiny_bpe, sets)
