"""What is wrong with a judge's options, before anything is loaded or sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith.errors import ConfigError
from tunesmith.pipeline import plan as planned
from tunesmith.types import Problem

from tunesmith_evaluator_judge.asked import PAIR_NEEDS, RUBRIC_NEEDS, missing

if TYPE_CHECKING:
    from tunesmith_evaluator_judge import Judge

_KEY = "evaluator.judge"


def problems_of(judge: Judge) -> list[Problem]:
    """What is wrong with the options of a judge."""
    problems = [*_of_judge(judge), *_of_files(judge)]
    if judge.max_cost is not None and not (judge.input_price or judge.output_price):
        message = "max_cost is counted by prices, and none is given."
        advice = f"{_KEY}.input_price=… and {_KEY}.output_price=…, of a million tokens"
        problems.append(Problem(f"{_KEY}.max_cost", message, advice))
    if judge.least >= judge.most:
        message = f"the worst score, {judge.least:g}, is to be less than the best, {judge.most:g}."
        problems.append(Problem(f"{_KEY}.least", message, f"{_KEY}.least=1 {_KEY}.most=10"))
    unread = {"against": judge.mode != "pairwise", "answers": judge.mode == "votes"}
    for name, is_unread in unread.items():
        if getattr(judge, name) is not None and is_unread:
            message = f"{name} is not read with mode={judge.mode}."
            problems.append(Problem(f"{_KEY}.{name}", message, f"leave it out, or {_KEY}.mode=pairwise"))
    return problems


def _of_judge(judge: Judge) -> list[Problem]:
    """What is wrong with the judge's own configuration, under its keys here."""
    place = f"{_KEY}.judge"
    if not judge.judge:
        advice = f"{place}={{model: {{path: org/name}}}}, or {{engine: {{name: openai, base_url: URL}}}}"
        return [Problem(place, "no judge is named.", advice)]
    try:
        _, problems = planned(judge.judge, command="chat")
    except ConfigError as error:
        return [Problem(place, str(error))]
    return [Problem(f"{place}.{one.key}", one.message, one.advice, one.severity) for one in problems]


def _of_files(judge: Judge) -> list[Problem]:
    problems = []
    for name in ("against", "answers", "prompt_file"):
        address = getattr(judge, name)
        if address is not None and not Path(address).expanduser().exists():
            problems.append(Problem(f"{_KEY}.{name}", f"there is no {address}.", f"looked from {Path.cwd()}"))
        elif address is not None and name == "prompt_file":
            problems += _of_prompt(judge, address)
    return problems


def _of_prompt(judge: Judge, address: str) -> list[Problem]:
    needed = RUBRIC_NEEDS if judge.mode == "rubric" else PAIR_NEEDS
    try:
        lacking = missing(Path(address).expanduser().read_text(encoding="utf-8"), needed)
    except (OSError, UnicodeDecodeError) as error:
        return [Problem(f"{_KEY}.prompt_file", f"{address} cannot be read: {error}")]
    if not lacking:
        return []
    message = f"{address} has no place for {', '.join(f'{{{name}}}' for name in lacking)}."
    return [Problem(f"{_KEY}.prompt_file", message, f"it needs {', '.join(f'{{{name}}}' for name in needed)}")]
