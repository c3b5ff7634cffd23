"""The rules on what a run logs: each finding is told once, and again only when it was gone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.files import replacing
from tunesmith.types import Evaluated, StepEnded

from tunesmith_tracker_guard import rewards, training
from tunesmith_tracker_guard.history import Facts, History
from tunesmith_tracker_guard.rule import Finding, Rule, Told

if TYPE_CHECKING:
    from tunesmith_tracker_guard import Guard

RULES: dict[str, Rule] = {rule.name: rule for rule in (*training.RULES, *rewards.RULES)}
"""All of them, by name."""

_OF_REWARDS = frozenset(rule.name for rule in rewards.RULES)
_OF_EVALUATIONS = frozenset({"overfitting"})
_MOVES = frozenset({"linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr", "polynomial", "inverse_sqrt"})


class Watch:
    """One run, as far as it went.

    Args:
        options: the limits, and what is ignored.
        file: to which findings are added; those after the step that a run goes on from are dropped.
    """

    def __init__(self, options: Guard, facts: Facts, file: Path, resumed_from: int) -> None:
        self.options, self.file = options, file
        self.stopped = False  # the loop was asked to stop
        self.history = History(options.window, facts)
        self._rules = [rule for rule in RULES.values() if rule.name not in options.ignore]
        if not facts.generates:
            self._rules = [rule for rule in self._rules if rule.name not in _OF_REWARDS]
        self._count = 0  # logged steps
        self._found: dict[str, int] = {}  # by name: the last logged step at which it was so, by its number
        _keep_until(file, resumed_from)

    def step_ended(self, event: StepEnded) -> list[Finding]:
        """What a logged step shows that was not so before."""
        self._count += 1
        self.history.add(event.step, event.metrics)
        return self._new(event.step, of_evaluations=False)

    def evaluated(self, event: Evaluated) -> list[Finding]:
        """What an evaluation shows that was not so before."""
        self.history.add_evaluation(event.step, event.metrics)
        return self._new(event.step, of_evaluations=True)

    def _new(self, step: int, of_evaluations: bool) -> list[Finding]:
        findings = []
        for rule in self._rules:
            told = rule.look(self.history, self.options) if (rule.name in _OF_EVALUATIONS) == of_evaluations else None
            if told is None:
                continue
            last, self._found[rule.name] = self._found.get(rule.name), self._count
            if last is None or self._count - last > self.options.window:
                told = told if isinstance(told, Told) else Told(told, rule.advice)
                findings.append(Finding(step, rule.name, told.what, told.advice))
        if findings:
            self._write(findings)
        return findings

    def _write(self, findings: list[Finding]) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            for each in findings:
                told = {"step": each.step, "name": each.name, "message": each.what, "advice": each.advice}
                file.write(json.dumps({**told, "time": round(time.time(), 3)}, ensure_ascii=False) + "\n")


def moves(config: Mapping[str, Any]) -> bool:
    """Whether a run's schedule gives each step another learning rate, once it has warmed up."""
    parts = (config.get(kind) for kind in ("stage", "trainer"))
    said = [part["lr_scheduler_type"] for part in parts if isinstance(part, Mapping) and "lr_scheduler_type" in part]
    return bool(said) and said[0] in _MOVES


def trains_prompts(config: Mapping[str, Any]) -> bool:
    """Whether a run was asked to train prompts, too."""
    stage = config.get("stage")
    return isinstance(stage, Mapping) and bool(stage.get("train_on_prompt"))


def _keep_until(file: Path, step: int) -> None:
    """Drop the findings past a step; a new run (step 0) has none, and no file."""
    kept = [line for line in _lines(file) if line["step"] <= step]
    if kept:
        with replacing(file) as draft:
            draft.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept), encoding="utf-8")
    else:
        file.unlink(missing_ok=True)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The findings of a file; what a killed run left of a line is passed over."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict) and isinstance(told.get("step"), int):
            yield told
