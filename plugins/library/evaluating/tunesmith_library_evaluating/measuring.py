"""Measuring a model: `tunesmith.evaluate`, and what evaluators are called with, made when they ask for it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunesmith.assemble import Assembly, assemble
from tunesmith.catalog import Catalog
from tunesmith.compose import Composition, Overrides, compose
from tunesmith.errors import ConfigError, choices
from tunesmith.pipeline import Config, encoded_data, model_handle
from tunesmith.types import DatasetSplits, Encoder, ModelHandle, ModelSource, Row
from tunesmith_library_engine.chatting import Chat
from tunesmith_library_media.texts import row_text

from tunesmith_library_evaluating.evaluation import Evaluation, EvaluationData


def evaluate(config: Config, overrides: Overrides = None, *, catalog: Catalog | None = None) -> list[Evaluation]:
    """Measure a run's trained model, or the plain one that a configuration names, on the sets of `data.eval`.

    Returns: what each evaluator found out, in the order of the configuration.
    Raises: ConfigError when no evaluator is selected.
    """
    composition = compose(config, overrides, catalog)
    return _evaluated(_assembled(composition, catalog), composition)


def evaluate_with_base(
    config: Config, overrides: Overrides = None, *, catalog: Catalog | None = None
) -> list[tuple[Evaluation, Evaluation]]:
    """Measure the model that a run was trained from, and the trained one, on the same sets: what it learnt and forgot.

    The former is the run's `model.path`, with the adapter that the training began with, if with one.

    Returns: for each evaluator what it found out before the training and after it.
    Raises: ConfigError when `config` is no run, and as `evaluate` does.
    """
    composition = compose(config, overrides, catalog)
    if composition.run_folder is None:
        raise ConfigError(
            f"{config or 'this'} is no run: only a trained model has one before it.\n"
            "name a run's folder: tunesmith eval RUN --before evaluator=[NAME]"
        )
    run = _assembled(composition, catalog)
    before = _evaluated(run, replace(composition, file=None))
    return list(zip(before, _evaluated(run, composition), strict=True))


def _assembled(composition: Composition, catalog: Catalog | None) -> Assembly:
    run = assemble(composition, "eval", catalog)
    if not run.plan.uses("evaluator"):
        listed = choices("", run.plan.installed("evaluator"), "installed")
        raise ConfigError(f"evaluator: nothing is selected to measure with.\n{listed}\nwrite evaluator=[NAME]")
    return run


def _evaluated(run: Assembly, composition: Composition) -> list[Evaluation]:
    handle = model_handle(run, composition)
    return evaluations(run, handle, lambda: encoded_data(run, handle.source, handle.processor, handle.template).eval)


def evaluations(run: Assembly, handle: ModelHandle, examples: Callable[[], Mapping[str, Any]]) -> list[Evaluation]:
    """What the selected evaluators find out about a model, which is loaded at most once.

    Args:
        examples: reads the evaluation sets, encoded by the stage.
    """
    handle = replace(handle, load=functools.cache(handle.load))
    return _found(run, handle, _data(run, examples))


def measuring(
    composition: Composition, catalog: Catalog | None = None
) -> Callable[[ModelSource, Any, Any, DatasetSplits], Callable[[Any], list[Evaluation]]]:
    """Assemble a training's evaluators, so that what is wrong with them is told before anything is loaded.

    Returns: what takes the training's source, processor, template and data, whose evaluation sets are encoded already,
        and gives what measures a model between two steps: takes the model, gives what the evaluators find out.
    Raises: ConfigError that lists all problems.
    """
    return functools.partial(_between_steps, assemble(composition, "eval", catalog))


def _between_steps(
    run: Assembly, source: ModelSource, processor: Any, template: Any, data: DatasetSplits
) -> Callable[[Any], list[Evaluation]]:
    handle = ModelHandle(replace(source, training=False), None, processor, template, lambda: None, lambda model: model)
    sets = _data(run, lambda: data.eval)
    return lambda model: _found(run, replace(handle, load=lambda: model), sets)


def _found(run: Assembly, handle: ModelHandle, data: EvaluationData) -> list[Evaluation]:
    source, adapter = handle.source, handle.adapter
    model = {
        "path": source.address or None,  # None: the engine brings it
        "adapter": str(adapter) if adapter else None,
        "folder": str(source.path) if source.address else None,
        "precision": source.precision,
        "engine": run.plan.name("engine"),
    }
    with Chat(handle, run.hook.open_engine) as chat:
        return [
            replace(run.routed("evaluate", name)(handle=handle, chat=chat, data=data), name=name, model=model)
            for name in run.plan.names("evaluator")
        ]


def _data(run: Assembly, examples: Callable[[], Mapping[str, Any]]) -> EvaluationData:
    return EvaluationData(functools.cache(lambda: _rows(run)), functools.cache(examples))


def _rows(run: Assembly) -> dict[str, list[Row]]:
    """The evaluation sets before a stage encodes them; as JSON on the way, since rows are of different shapes."""
    unbound: Any = None  # rows need no tokenizer, and where the model runs elsewhere there is none
    encoder = Encoder(_as_json, unbound, unbound, "rows")
    splits: DatasetSplits = run.hook.build_dataset(fetch=run.fetch, to_rows=run.to_rows, encode=encoder)
    return {name: [json.loads(str(rows[at]["row"])) for at in range(len(rows))] for name, rows in splits.eval.items()}


def _as_json(rows: Sequence[Row], processor: Any, template: Any) -> dict[str, list[str]]:
    return {"row": [row_text(row) for row in rows]}
