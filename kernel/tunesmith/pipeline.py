"""The pipeline: train, export and open_model, each a list of hook calls from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import tunesmith
from tunesmith import runs
from tunesmith.assemble import Assembly, assemble, examine
from tunesmith.catalog import Catalog
from tunesmith.compose import Composition, Overrides, compose
from tunesmith.errors import Interrupted
from tunesmith.launching import launch
from tunesmith.messages import logger
from tunesmith.planning import Plan
from tunesmith.types import (
    Batch,
    ChatTemplate,
    DatasetSplits,
    Encoder,
    Event,
    LoadModel,
    ModelHandle,
    ModelSource,
    Problem,
    RunStarted,
    TrainingJob,
)
from tunesmith_library_configuration.addresses import hub_of
from tunesmith_library_configuration.fingerprints import encoding_parts, together
from tunesmith_library_configuration.handles import absent, adapter_of, held_precision, holds_model, words_of
from tunesmith_library_configuration.locks import unfinished, writing
from tunesmith_library_configuration.records import fingerprint, refuse_other
from tunesmith_library_configuration.scoring import numbers
from tunesmith_library_configuration.secrets import redacted
from tunesmith_library_configuration.targets import asked_target, each_written, export_targets
from tunesmith_library_configuration.telling import once

Config = str | Path | Mapping[str, Any] | None


def train(config: Config = None, overrides: Overrides = None, *, catalog: Catalog | None = None) -> Path:
    """Train, and give the run's folder; with a `parallel` plugin in processes of the run, for which this one waits.

    Args:
        config: a YAML file, a run's folder or run.yaml (repeats it), or a mapping.
        overrides: `{"adapter.rank": 16}` or `["adapter.rank=16"]`.
        catalog: where to look for plugins; by default all that are installed.

    Raises: ConfigError that lists all problems, before anything heavy is imported; Interrupted when the run was
        interrupted and can be resumed; WorkersFailed when one of several processes failed.
    """
    composition = compose(config, overrides, catalog)
    with once(logger):
        run = assemble(composition, "train", catalog)
        measures = tunesmith.measuring(composition, catalog) if composition.tree.get("evaluator") else None
    folder = runs.output_folder(run.plan, composition.file)
    if runs.launches(run.plan):
        launch(run, composition, config, overrides, folder)
        return folder
    with runs.opened(folder, run.plan, composition.file):
        _train(run, folder, measures)
    return folder


def _train(run: Assembly, folder: Path, measures: Any) -> None:
    """Train into a folder that is held; `measures` makes the run's evaluations, if it has evaluators."""
    source = model_source(run, training=True)
    processor, template = reader_of(run, source)
    data = encoded_data(run, source, processor, template)
    made_of = {"model": fingerprint(source.path), "data": data.fingerprint}
    if run.plan.run.resume:
        refuse_other(folder, made_of)
    model = _model(run, source, processor, data)
    job = TrainingJob(
        model=model,
        processor=processor,
        data=data,
        output_dir=folder,
        seed=run.plan.run.seed,
        precision=source.precision,
        resume=run.plan.run.resume,
        collate=partial(run.hook.collate, processor=processor),
        compute_loss=run.hook.compute_loss,
        build_optimizer=run.hook.build_optimizer,
        emit=lambda event: run.tell(_described(run, event)),
        template=template,
        score=lambda **asked: _scores(run, asked),
        evaluate=measures(source, processor, template, data) if measures else None,
        made_of=made_of,
        handle=ModelHandle(source, None, processor, template, lambda: model, partial(_merged, run)),
        open_engine=run.hook.open_engine,
    )
    (job,) = run.hook.prepare(job=job, load=_loader(run, source, processor)) or [job]
    placed = run.hook.place(model=job.model, job=job)
    job = job if placed is None else replace(job, model=placed)
    if not run.hook.fit(job=job):
        raise Interrupted(f"continue with: tunesmith train {folder} resume=true")


def export(
    config: Config, overrides: Overrides = None, *, output_dir: str | Path | None = None, catalog: Catalog | None = None
) -> Path:
    """Write the finished model of a run, by default beside it as `RUN-EXPORTER`; of several exporters the last's.

    Raises: as `exports`.
    """
    return exports(config, overrides, output_dir=output_dir, catalog=catalog)[-1]


def exports(
    config: Config, overrides: Overrides = None, *, output_dir: str | Path | None = None, catalog: Catalog | None = None
) -> list[Path]:
    """Write the finished model of a run in the form of each selected exporter; they share what they have in common.

    Args:
        output_dir: what is written; of several exporters a folder for them, each under its name. Without it that of
            the overrides counts.

    Returns: what each has written, in the order of the configuration.
    Raises: ConfigError when there is something at a target already, or it cannot be written; TunesmithError when an
        exporter failed, after the others were tried.
    """
    composition = compose(config, overrides, catalog)
    run = assemble(composition, "export", catalog)
    given = output_dir or asked_target(run.plan.run.output_dir, composition.origins, composition.command)
    source = composition.run_folder or Path("runs", Path(hub_of(run.plan.plugin("model").path)[1]).name)
    targets = export_targets(run.plan.names("exporter"), given, source)
    with ExitStack() as held:
        for target in targets.values():
            held.enter_context(writing(target, "an export"))
        handle = model_handle(run, composition)
        held.enter_context(handle.shared)
        return each_written(targets, lambda name, at: run.routed("export", name)(handle=handle, output_dir=at))


def open_model(config: Config, overrides: Overrides = None, *, catalog: Catalog | None = None) -> ModelHandle:
    """A run's trained model, or the plain one that a configuration names, for a program of one's own.

    Returns: the tokenizer, the template, and `load()`, which loads the model with all that the run put around it.
    Raises: ConfigError when the run holds no trained model yet.
    """
    composition = compose(config, overrides, catalog)
    return model_handle(assemble(composition, "load", catalog), composition)


def plan(
    config: Config = None, overrides: Overrides = None, *, command: str = "train", catalog: Catalog | None = None
) -> tuple[Plan, list[Problem]]:
    """What would happen, and everything that is wrong with it; nothing is loaded."""
    return examine(compose(config, overrides, catalog), command, catalog)[:2]


# ---- the parts that several commands share ---------------------------------------------------------------------------


def model_source(run: Assembly, training: bool, folder: Path | None = None) -> ModelSource:
    """Fetch the model's files, or take a folder that is at hand, and decide on the precision."""
    model, options = run.plan.plugin("model"), run.plan.run
    path = folder or run.fetch(model.path, getattr(model, "revision", None))
    exact = run.plan.command == "export" and (options.precision == "auto" or not run.plan.uses("quantizer"))
    # computing in fewer bits would round what is merged
    asked = {"requested": "fp32" if exact else options.precision, "path": path, "training": training}
    return ModelSource(path, model.path, run.hook.resolve_precision(**asked), options.seed, training, run.fetch)


def reader_of(run: Assembly, source: ModelSource) -> tuple[Any, ChatTemplate]:
    """The tokenizer and the template, which goes into the tokenizer so that whatever is saved carries it."""
    processor = run.hook.load_processor(source=source)
    template = run.hook.chat_template(processor=processor, source=source).bind(processor)
    processor.chat_template = template.exported
    return processor, template


def _scores(run: Assembly, asked: Mapping[str, Any]) -> list[list[float]]:
    """What each reward gives to answers, times its `weight` option."""
    return [
        [getattr(reward, "weight", 1.0) * score for score in numbers(scores, asked["completions"], f"reward.{name}")]
        for name in run.plan.names("reward")
        if (reward := run.plan.plugin("reward", name)) is not None
        for scores in run.of("score", f"reward.{name}")(**asked)
    ]


def _described(run: Assembly, event: Event) -> Event:
    """Events as trackers hear them: the start of a run carries its configuration, which the trainer does not know."""
    return replace(event, config=redacted(run.plan.config)) if isinstance(event, RunStarted) else event


def encoded_data(run: Assembly, source: ModelSource, processor: Any, template: ChatTemplate) -> DatasetSplits:
    """The data sets of a run, encoded by its stage."""
    hooks = (run.hook.chat_template, run.hook.encode)
    plugins = {each.plugin_name: each.plugin for hook in hooks for each in hook.get_hookimpls()}
    plugins.pop(f"data.{run.plan.name('data')}", None)  # which knows itself what it depends on
    parts = encoding_parts(source.path, processor, template, plugins)
    encoder = Encoder(run.hook.encode, processor, template, together(parts), parts)
    data: DatasetSplits = run.hook.build_dataset(fetch=run.fetch, to_rows=run.to_rows, encode=encoder)
    return data


def _model(
    run: Assembly, source: ModelSource, processor: Any, data: DatasetSplits | None, trained: Path | None = None
) -> Any:
    """Load, quantise, and add the adapter."""
    config = run.hook.quantization_config(source=source)
    model = run.hook.load_model(source=source, processor=processor, quantization=config)
    quantised = run.hook.quantize(model=model, calibration=_calibration(run, data, processor))
    model = model if quantised is None else quantised
    if source.training or trained:
        model = run.hook.apply_adapter(model=model, trained=trained, source=source)
    return model


def _merged(run: Assembly, model: Any) -> Any:
    """The plain model, with its adapter folded in."""
    return run.hook.merge_adapter(model=model)


def _loader(run: Assembly, source: ModelSource, processor: Any) -> LoadModel:
    """What `prepare` loads other models with."""

    def load(address: str, adapter: str | None = None) -> Any:
        other = replace(source, path=run.fetch(address), address=address, training=False)
        model = _model(run, other, processor, None, run.fetch(adapter) if adapter else None)
        return model.requires_grad_(False).eval()

    return load


def _calibration(run: Assembly, data: DatasetSplits | None, processor: Any) -> Any:
    """Batches of the training data, one example each, for a quantizer that looks at activations."""
    if data is None or not run.hook.collate.get_hookimpls():
        return None

    def batches() -> Iterator[Batch]:
        for index in range(len(data.train)):
            batch = run.hook.collate(examples=[data.train[index]], padding_free=False, processor=processor)
            yield {name: value for name, value in batch.items() if name not in ("datasets", "dataset_names")}

    return batches


def model_handle(run: Assembly, composition: Composition) -> ModelHandle:
    """A trained run's model, or the plain model that a configuration names."""
    if not run.plan.uses("model"):  # the engine brings it
        return ModelHandle(ModelSource(Path(), "", "fp32", run.plan.run.seed, False), None, *[absent] * 4)
    folder = composition.run_folder
    whole = folder is not None and holds_model(folder)
    adapter = adapter_of(folder, run.plan.plugin("adapter"), run.fetch)
    if folder and not (whole or adapter):
        raise unfinished(folder)
    source = model_source(run, training=False, folder=folder if whole else None)
    source = replace(source, held=held_precision(run.plan, source.path, adapter))
    reader_source = replace(source, path=words_of(folder, source.path, run.fetch))
    processor, template = reader_of(run, reader_source)
    load = partial(_model, run, source, processor, None, adapter)
    return ModelHandle(source, adapter, processor, template, load, partial(_merged, run))
