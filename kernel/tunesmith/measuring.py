"""Measuring a model: what the evaluators are called with, made when they ask for it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.assemble import Assembly
from tunesmith.chatting import Chat
from tunesmith.types import DatasetSplits, Encoder, Evaluation, EvaluationData, ModelHandle, Row


def evaluations(run: Assembly, handle: ModelHandle, examples: Callable[[], Mapping[str, Any]]) -> list[Evaluation]:
    """What the selected evaluators find out about a model, which is loaded at most once.

    Args:
        examples: reads the evaluation sets, encoded by the stage.
    """
    handle = replace(handle, load=functools.cache(handle.load))
    data = EvaluationData(functools.cache(lambda: _rows(run, handle)), functools.cache(examples))
    with Chat(handle, run.hook.open_engine) as chat:
        return [
            replace(run.routed("evaluate", name)(handle=handle, chat=chat, data=data), name=name)
            for name in run.plan.names("evaluator")
        ]


def _rows(run: Assembly, handle: ModelHandle) -> dict[str, list[Row]]:
    """The evaluation sets before a stage encodes them; as JSON on the way, since rows are of different shapes."""
    encoder = Encoder(_as_json, handle.processor, handle.template, "rows")
    splits: DatasetSplits = run.hook.build_dataset(fetch=run.fetch, to_rows=run.to_rows, encode=encoder)
    return {name: [json.loads(str(rows[at]["row"])) for at in range(len(rows))] for name, rows in splits.eval.items()}


def _as_json(rows: Sequence[Row], processor: Any, template: Any) -> dict[str, list[str]]:
    return {"row": [json.dumps(row, ensure_ascii=False) for row in rows]}
