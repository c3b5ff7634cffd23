"""What every evaluator keeps to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith import DataError
from tunesmith.types import Row
from tunesmith_library_chat.thoughts import Thinking
from tunesmith_library_evaluating import Evaluation
from tunesmith_library_evaluating.asking import Asking

from tunesmith_library_testing.engine import chat_of, scripted_chat
from tunesmith_library_testing.parts import CHAT, CHATML, evaluation_data, handle_of, load_plain
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

    def _evaluation(
        self, handle: Any, tokenizer: Any, sets: Mapping[str, Sequence[Row]], chat: Any = None, **overrides: Any
    ) -> Any:
        data = evaluation_data(tokenizer, sets)
        return self.manager(**overrides).hook.evaluate(handle=handle, chat=chat or chat_of(handle), data=data)

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

    def test_records_carry_the_numbers(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Where records have a metric's name, it is the mean of theirs, by their `weight`: two runs are compared so."""
        found = self.evaluate(tiny_llama, tiny_bpe, {"first": self.rows, "second": self.rows[:2]})
        paired = 0
        for part, metrics in found.metrics.items():
            own = [record for record in found.records if part in (record["dataset"], *record.get("parts", ()))]
            for name, measured in metrics.items():
                values = [(record[name], record.get("weight", 1.0)) for record in own if _is_number(record.get(name))]
                if values:
                    mean = sum(value * weight for value, weight in values) / sum(weight for _, weight in values)
                    assert measured.value == pytest.approx(mean, rel=1e-6, abs=1e-9), f"{part}: {name}"
                    paired += 1
        assert paired, "no record has a number under the name of a metric"

    def test_unfinished_thoughts_are_no_answers(self, tiny_llama: Path, tiny_bpe: Any) -> None:
        """Thinking of the right answer for ever is no better than saying nothing, and it is told."""
        thinking = replace(CHATML, thinking=Thinking())
        handle = handle_of(tiny_llama, tiny_bpe, template=thinking)
        found, asked = {}, 0
        room = {"max_new_tokens": 512} if issubclass(self.plugin, Asking) else {}
        for name, script in (("silent", lambda _: ""), ("thinking", self._thinks_of_the_answer)):
            with scripted_chat(handle, script) as chat:
                found[name] = self._evaluation(handle, tiny_bpe, {"held": self.rows}, chat, **room)
                asked += chat.engine.stats().answered
        if not asked:
            pytest.skip("nothing is answered")
        silent, thoughtful = found["silent"].metrics, found["thinking"].metrics
        shares = [metrics["unfinished"].value for metrics in thoughtful.values() if "unfinished" in metrics]
        assert shares and set(shares) == {1.0}, "not told"
        for part, metrics in thoughtful.items():
            for name in metrics.keys() & silent[part].keys() - {"unfinished", "truncated"}:
                gain = metrics[name].value - silent[part][name].value
                assert gain <= 0 if metrics[name].greater_is_better else gain >= 0, f"{part}: {name}"
        settings = found["thinking"].settings
        assert settings.keys() >= {"template", "enable_thinking", "max_new_tokens", "temperature"}

    def _thinks_of_the_answer(self, prompt: str) -> str:
        """A thought without end, that has the expected answer in it."""
        answers = [str(row["messages"][-1]["content"]) for row in self.rows if row["messages"][0]["content"] in prompt]
        return "<think>\n" + (answers or [""])[0]

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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
