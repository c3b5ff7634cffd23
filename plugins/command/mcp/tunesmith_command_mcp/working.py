"""Tools that start or change something; what takes long is a job, and answers at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from tunesmith import TunesmithError
from tunesmith_library_studio import Studio

from .looking import Config, Overrides, Run, Source

Devices = Annotated[Sequence[str], Field(description="numbers of GPUs, any, cpu; any GPU that is free else")]
Model = Annotated[
    str, Field(description="a run's folder, a checkpoint, an export, a model's folder, or an id on a hub")
]
Tool = Callable[..., Any]
_PATIENCE = 20.0  # seconds that chat waits for a model that is being loaded


def tools(studio: Studio) -> list[tuple[Tool, bool]]:
    """All of them, and of each whether something can be lost by it."""
    started = [(tool, False) for tool in (*_of_training(studio), *_of_models(studio))]
    return [*started, *((tool, True) for tool in _of_jobs(studio))]


def _of_training(studio: Studio) -> list[Tool]:
    def train(
        config: Config = None,
        source: Source = None,
        overrides: Overrides = (),
        name: Annotated[str, Field(description="of the run; a free one else")] = "",
        devices: Devices = (),
        tags: Annotated[Sequence[str], Field(description="of the run, to find it by")] = (),
    ) -> dict[str, Any]:
        """Train a configuration as a job, which waits until its devices are free. The job, with the run's name in
        `run`; what is wrong with the configuration is told before anything starts."""
        from tunesmith_library_studio.configuring import Given
        from tunesmith_library_studio.configuring.starting import Start, start

        how = Start(name=name, devices=devices, tags=tags)
        return start(studio, Given(text=config, source=source, overrides=overrides), how).told()

    def resume(run: Run, devices: Devices = ()) -> dict[str, Any]:
        """Have a run go on from its newest checkpoint, as a job. The job."""
        return studio.jobs.resume_run(run, devices=devices).told()

    return [train, resume]


def _of_jobs(studio: Studio) -> list[Tool]:
    def stop(id: Annotated[str, Field(description="of a job; run:NAME for a run started elsewhere")]) -> dict[str, Any]:
        """Stop a job: a run saves first and can be resumed; the second time it is killed. The job."""
        return studio.jobs.stop(id).told()

    def unload(model: Model) -> str:
        """Let go of a model that chat has loaded."""
        if found := studio.chats.find(model):
            studio.chats.unload(found.id)
        return f"{model} is not loaded any more"

    return [stop, unload]


def _of_models(studio: Studio) -> list[Tool]:
    def chat(
        model: Model,
        messages: Annotated[
            list[dict[str, Any]], Field(description='[{"role": "user", "content": "…"}]', min_length=1)
        ],
        max_tokens: Annotated[int, Field(ge=1, le=32768)] = 512,
        temperature: Annotated[float | None, Field(ge=0, le=10)] = None,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Ask a model. The first call loads it; `state` is `loading` as long as that takes: call again then."""
        found = studio.chats.find(model)
        loaded = studio.chats.wait((found or studio.chats.load(model)).id, _PATIENCE)
        if loaded.state == "failed":
            raise TunesmithError(loaded.why)
        if loaded.state != "ready":
            return {"state": loaded.state, "advice": "it is being loaded: ask again in some seconds"}
        sampling = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        given = {key: value for key, value in sampling.items() if value is not None}
        began = time.monotonic()
        answer = studio.chats.answer(loaded.id, messages, **given)
        return {"state": "ready", "answer": answer, "seconds": round(time.monotonic() - began, 2)}

    def evaluate(
        model: Model,
        evaluators: Annotated[dict[str, dict[str, Any]], Field(description='with options: {"perplexity": {}}')],
        data: Annotated[Sequence[str], Field(description="data sets; what the run held out else")] = (),
        overrides: Overrides = (),
        before: Annotated[bool, Field(description="also the model that the run was trained from")] = False,
        devices: Devices = (),
    ) -> dict[str, Any]:
        """Measure a model, as a job; evaluations lists the results. The job; what is wrong is told before it starts."""
        from tunesmith_library_studio.evaluations import Request

        request = Request(model, evaluators=evaluators, data=tuple(data), overrides=tuple(overrides), before=before)
        _hold_sound(studio.evaluations.plan(request, "eval"))
        told: dict[str, Any] = studio.evaluations.start(request, "eval", devices).told()
        return told

    def export(
        model: Model,
        exporters: Annotated[
            dict[str, dict[str, Any]], Field(description='with options: {"gguf": {"type": "q4_k_m"}}')
        ],
        output: Annotated[str | None, Field(description="folder to write; a free one beside the runs else")] = None,
        devices: Devices = (),
    ) -> dict[str, Any]:
        """Write a finished model in the forms of some exporters, as a job. The job, with the folder in `output`; what
        is wrong is told before it starts."""
        from tunesmith_library_studio.exports.wanted import Wanted

        wanted = Wanted(model, exporters, output=output)
        _hold_sound(studio.exports.plan(wanted))
        return studio.exports.start(wanted, devices).told()

    return [chat, evaluate, export]


def _hold_sound(plan: Mapping[str, Any]) -> None:
    """Raises: TunesmithError with what a plan finds wrong."""
    wrong = [problem for problem in plan["problems"] if problem["severity"] == "error"]
    if wrong:
        raise TunesmithError("\n\n".join("\n".join((each["message"], each["advice"])).strip() for each in wrong))
