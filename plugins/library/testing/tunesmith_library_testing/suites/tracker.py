"""What every tracker keeps to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tunesmith.options import options
from tunesmith.types import Evaluated, Event, RunEnded, RunStarted, Saved, StepEnded
from tunesmith.validate import structured

from tunesmith_library_testing.suites.plugin import PluginSuite

UNUSUAL = {"zero_gradient/model.layers.*.q_proj.lora_A": 4.0, "loss_größe (a+b)": 0.5, "loss_größe (a@b)": 0.25}
"""Metrics whose names a program might not take: a place in all layers, data sets as users call them."""


def events_of(folder: Path, *, steps: int = 4, status: str = "finished", resumed_from: int = 0) -> list[Event]:
    """What a run tells: every step, metrics at every second one, an evaluation and a checkpoint in the middle."""
    told: list[Event] = [RunStarted(folder, steps, {"trainer": {"max_steps": steps}}, resumed_from)]
    for step in range(resumed_from + 1, steps + 1):
        metrics = {"loss": 4.0 / step, "learning_rate": 1e-4, "grad_norm": 1.0, **UNUSUAL} if step % 2 == 0 else {}
        told.append(StepEnded(step, steps, step / steps, metrics))
        if step == 2:
            told += [Evaluated(step, {"eval_loss": 2.5}), Saved(step, folder / "checkpoint-2")]
    return [*told, RunEnded(status, {"loss": 1.0})]  # type: ignore[arg-type]


class TrackerSuite(PluginSuite):
    """The tests of a `tracker` plugin. It is told runs of four steps."""

    kind = "tracker"
    writes: ClassVar[tuple[str, ...]] = ()  # files that stand in the output folder after a run

    def tell(self, events: list[Event], folder: Path) -> None:
        """Tell events, in a working folder of its own."""
        here = Path.cwd()
        folder.mkdir(exist_ok=True)
        hook = self.manager().hook
        try:
            os.chdir(folder)
            for event in events:
                hook.on_event(event=event)
        finally:
            os.chdir(here)

    def test_hears_a_run(self, tmp_path: Path) -> None:
        """Every event is heard without an error; the files that the test class names are there."""
        self.tell(events_of(tmp_path), tmp_path)
        missing = [name for name in self.writes if not (tmp_path / name).is_file()]
        assert not missing, f"not written: {', '.join(missing)}"

    @pytest.mark.parametrize("status", ["interrupted", "failed"])
    def test_hears_the_end_of_a_broken_run(self, tmp_path: Path, status: str) -> None:
        """A run that ends in its midst ends for the tracker, too: its files are there."""
        told = events_of(tmp_path, status=status)
        self.tell([*told[:4], told[-1]], tmp_path)
        missing = [name for name in self.writes if not (tmp_path / name).is_file()]
        assert not missing, f"not written: {', '.join(missing)}"

    def test_hears_a_run_that_never_began(self, tmp_path: Path) -> None:
        """RunEnded comes also when a run failed before its first step, and even before RunStarted."""
        self.tell([RunStarted(tmp_path, 4, {}), RunEnded("failed")], tmp_path)
        self.tell([RunEnded("failed")], tmp_path)

    def test_hears_a_resumed_run(self, tmp_path: Path) -> None:
        """A run that goes on after its second step is heard by a new instance."""
        told = events_of(tmp_path, status="interrupted")
        self.tell([*told[:5], told[-1]], tmp_path)
        lines = {name: (tmp_path / name).read_bytes().splitlines() for name in self.writes}
        self.tell(events_of(tmp_path, resumed_from=2), tmp_path)
        for name, before in lines.items():
            kept = (tmp_path / name).read_bytes().splitlines()
            if name.endswith((".jsonl", ".csv")):  # which have a line for each step
                assert len(kept) >= len(before), (
                    f"{name}: {len(before)} lines before the run went on, {len(kept)} after it"
                )

    def test_two_runs_in_one_process(self, tmp_path: Path) -> None:
        """One instance hears two runs, one after the other; nothing of the first is in the second's way."""
        first, second, alone = (tmp_path / name for name in ("first", "second", "alone"))
        for folder in (first, second, alone):
            folder.mkdir()
        self.tell([*events_of(first), *events_of(second)], tmp_path)
        missing = [name for name in self.writes if not (second / name).is_file()]
        assert not missing, f"not written for the second run: {', '.join(missing)}"
        self.tell(events_of(alone), tmp_path)
        for name in self.writes:
            of_second, of_one = ((folder / name).read_bytes() for folder in (second, alone))
            if b"\0" not in of_second:  # a text, of which nothing else is known
                lines, expected = of_second.count(b"\n"), of_one.count(b"\n")
                assert lines <= expected, f"{name} of a second run has {lines} lines, that of one alone {expected}"

    def test_its_files_stay_in_the_run(self) -> None:
        """An option that names a file in the run's folder takes no other place, and no name of the run's own."""
        named = [option.name for option in options(self.plugin) if "file" in option.name and option.type is str]
        named += [option.name for option in options(self.plugin) if option.name == "folder"]
        for name in named:
            for wrong in ("../elsewhere", "/elsewhere", "run.yaml", "model.safetensors"):
                _, problems = structured(self.plugin, {**self.options, name: wrong}, (self.kind,), "this tracker")
                assert problems, f"{name}={wrong} is taken; declare {name}: Annotated[str, file_in_run]"

    def test_does_not_keep_the_run_waiting(self, tmp_path: Path) -> None:
        """A thousand steps without metrics take less than a second."""
        import time

        hook: Any = self.manager().hook
        hook.on_event(event=RunStarted(tmp_path, 1000, {}))
        started = time.process_time()
        for step in range(1, 1001):
            hook.on_event(event=StepEnded(step, 1000, step / 1000, {}))
        taken = time.process_time() - started
        hook.on_event(event=RunEnded("finished"))
        assert taken < 1.0, f"{taken:.2f} s"
