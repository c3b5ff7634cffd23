"""Tasks looked up, run and told in our form."""

from __future__ import annotations

import contextlib
import importlib.metadata
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_evaluating.statistics import mean

from tunesmith_evaluator_lm_eval.model import EngineModel

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

    from tunesmith_evaluator_lm_eval import LmEval

_DRAWS = 1000  # sets that are drawn for standard errors of what is no mean
_NO_METRICS = {"alias", "name", "sample_len", "sample_count"}


def measure(options: LmEval, chat: Chat) -> Evaluation:
    """What `LmEval.evaluate` gives."""
    from lm_eval.evaluator import evaluate

    loaded = _loaded(options)
    _refuse_code(options, loaded["tasks"])
    for task in loaded["tasks"].values():
        _set_shots(options, task)
    model = EngineModel(chat, options)
    with _seeded(options.seed):
        found = evaluate(
            lm=model,
            task_dict=loaded,
            limit=options.limit,
            bootstrap_iters=_DRAWS,
            system_instruction=options.system_instruction,
            apply_chat_template=options.apply_chat_template,
            fewshot_as_multiturn=options.fewshot_as_multiturn and options.apply_chat_template,
            confirm_run_unsafe_code=options.unsafe_code,
        )
    records = [
        record for name, samples in found["samples"].items() for record in _records(name, samples, model.unfinished)
    ]
    return Evaluation(_metrics(found, records), records, _settings(options, chat, loaded["tasks"]))


def _loaded(options: LmEval) -> Any:
    """The tasks. Raises: TunesmithError for names that nobody has, and for what cannot be loaded."""
    from lm_eval.tasks import TaskManager

    path = options.include_path and str(Path(options.include_path).expanduser())
    if path and not Path(path).is_dir():
        raise TunesmithError(f"lm_eval: {path} is no folder.\n  evaluator.lm_eval.include_path=FOLDER")
    manager = TaskManager(include_path=path, include_defaults=False) if path else None
    if manager is None or not set(options.tasks) <= set(manager.all_tasks):
        manager = TaskManager(include_path=path)
    for name in options.tasks:
        if name not in manager.all_tasks:
            raise TunesmithError(f"lm_eval has no task {name}.\n{choices(name, manager.all_tasks, 'tasks')}")
    try:
        return manager.load(list(options.tasks))
    except Exception as error:  # of the hub, of a data set, of a task's own code
        told = f"{type(error).__name__}: {str(error).strip()[:300]}"
        advice = "a task whose data are here can be written as YAML: evaluator.lm_eval.include_path=FOLDER"
        raise TunesmithError(f"lm_eval cannot load {', '.join(options.tasks)}: {told}\n  {advice}") from error


def _refuse_code(options: LmEval, tasks: Mapping[str, Any]) -> None:
    unsafe = [name for name, task in tasks.items() if getattr(task, "UNSAFE_CODE", False)]
    if unsafe and not options.unsafe_code:
        told = f"lm_eval: {', '.join(unsafe)} runs code that the model writes, with all rights of this process."
        raise TunesmithError(f"{told}\n  evaluator.lm_eval.unsafe_code=true allows it")


def _set_shots(options: LmEval, task: Any) -> None:
    """How many examples are shown; a task that must have none keeps to that, as in the harness."""
    own = task.get_config("num_fewshot")
    if options.num_fewshot is None:
        task.set_config(key="num_fewshot", value=own or 0)
    elif own != 0:
        task.set_config(key="num_fewshot", value=options.num_fewshot)
    task.set_fewshot_seed(seed=options.seed)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The random numbers that tasks draw from, which are the run's again behind it."""
    import numpy
    import torch

    python, arrays = random.getstate(), numpy.random.get_state()
    random.seed(seed)
    numpy.random.seed(seed)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(arrays)


def _metrics(found: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Measured]]:
    """The numbers by task, and by group where it has some of its own."""
    better = found.get("higher_is_better", {})
    metrics: dict[str, dict[str, Measured]] = {}
    for name, numbers in {**found["results"], **found.get("groups", {})}.items():
        count = int(found.get("n-samples", {}).get(name, {}).get("effective", 0)) or int(numbers.get("sample_len", 0))
        told = {
            _name(key): _measured(numbers, key, count, better.get(name, {}))
            for key, value in numbers.items()
            if key not in _NO_METRICS and "_stderr" not in key and isinstance(value, int | float)
        }
        if told:
            metrics[name] = told
    for name in dict.fromkeys(record["dataset"] for record in records if "unfinished" in record):
        values = [record["unfinished"] for record in records if record["dataset"] == name]
        metrics[name]["unfinished"] = mean(values, greater_is_better=False)
    return metrics


def _measured(numbers: Mapping[str, Any], key: str, count: int, better: Mapping[str, bool | None]) -> Measured:
    metric, _, filter_ = key.partition(",")
    error = numbers.get(f"{metric}_stderr,{filter_}")
    error = float(error) if isinstance(error, int | float) else None
    return Measured(float(numbers[key]), error, count, better.get(metric) is not False)


def _name(key: str) -> str:
    """A metric's name without the filter of the answers, where there is none."""
    metric, _, filter_ = key.partition(",")
    return metric if filter_ in ("", "none") else f"{metric}_{filter_}"


def _records(
    task: str, samples: Sequence[Mapping[str, Any]], unfinished: Mapping[tuple[str, int], bool]
) -> list[dict[str, Any]]:
    """One record for each example: what was asked and answered, and its numbers under each filter."""
    records: dict[int, dict[str, Any]] = {}
    for sample in sorted(samples, key=lambda it: it["doc_id"]):
        index = int(sample["doc_id"])
        record = records.setdefault(index, {"dataset": task, "index": index})
        for metric in sample["metrics"]:
            if isinstance(sample[metric], int | float):
                record[_name(f"{metric},{sample['filter']}")] = float(sample[metric])
        if "prompt" not in record:
            record |= {
                "prompt": [{"role": "user", "content": str(sample["arguments"][0][0])}],
                "answer": str(sample["target"]),
                "responses": [_response(response) for response in sample["resps"]],
            }
        record["prediction"] = str(sample["filtered_resps"][0]) if len(sample["filtered_resps"]) == 1 else None
        if (task, index) in unfinished:
            record["unfinished"] = float(unfinished[task, index])
    return list(records.values())


def _response(told: Sequence[Any]) -> Any:
    """The answer to one request: a text, or a log-likelihood and whether it is the greedy answer."""
    first = told[0]
    return list(first) if isinstance(first, tuple) else first


def _settings(options: LmEval, chat: Chat, tasks: Mapping[str, Any]) -> dict[str, Any]:
    from tunesmith_library_engine.chatting import template_of

    told = {
        "lm_eval": importlib.metadata.version("lm-eval"),
        "tasks": {
            name: {"version": task.VERSION, "num_fewshot": task.get_config("num_fewshot")}
            for name, task in tasks.items()
        },
        "limit": options.limit,
        "seed": options.seed,
        "apply_chat_template": options.apply_chat_template,
        "max_new_tokens": options.max_new_tokens,
        "system_instruction": options.system_instruction,
    }
    if options.apply_chat_template:
        told |= {"template": template_of(chat.engine, chat.handle).name, "enable_thinking": options.enable_thinking}
        told["fewshot_as_multiturn"] = options.fewshot_as_multiturn
    return told
