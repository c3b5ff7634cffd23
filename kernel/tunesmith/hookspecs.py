"""Every hook, in the order of a run. No logic: this file is the contract between the kernel and its plugins.

How the calls of one hook are composed:

- **exclusive**: one implementation, from the kind that owns the hook (`kinds.EXCLUSIVE`). Assembly checks it.
- **routed**: called on the one plugin that is named, such as by an address or a data set entry (`kinds.ROUTED`).
- **collect**: every selected plugin's answer, in no promised order.
- **event**: every selected plugin hears it; what it returns is dropped.

Any plugin may put a wrapper around an exclusive hook with `@hookimpl(wrapper=True)`; that is what patches do.
An implementation names the arguments it needs and may leave out the others.
Heavy imports (torch, transformers, …) belong inside the implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.markers import hookimpl as hookimpl
from tunesmith.markers import hookspec

if TYPE_CHECKING:
    from tunesmith import types
    from tunesmith.keys import Origin
    from tunesmith.planning import Plan


# ---- before anything heavy is imported ------------------------------------------------------------------------------


@hookspec(firstresult=True)
def translate_config(config: Mapping[str, Any], origin: Origin) -> types.Translation | None:
    """Translate the configuration of another program into ours.

    Called: for a mapping with keys that are not ours: where none of them is, on every installed dialect, by name, until
        one answers; beside keys of ours, only where the mapping has one that the class `claims`, a
        `ClassVar[frozenset[str]]`.
    Composition: first that answers, all installed plugins of the kind `dialect`.
    Args:
        config: the mapping as it was written, with the overrides that are in the other program's words put in.
        origin: where it was written: a file, or the command line.
    Returns: our configuration, the command it is for, and notes on what became of the keys that have no counterpart;
        None for a mapping that is not of this program, as other dialects are asked then. A key that the program itself
        does not know is refused in a note, with the nearest one that it knows.
    Since: 0.2
    """


@hookspec
def requires(installed: Callable[[str], Mapping[str, type]]) -> list[types.Requirement]:
    """Name other plugins that this one calls by name, so that they are found, loaded and checked beforehand.

    Called: once per selected plugin, right after its options were validated.
    Composition: collect.
    Args:
        installed: `installed("format")` gives the classes of all installed plugins of a kind by name, imported; to find
            out which of them is meant.
    Returns: one `Requirement` per plugin, e.g. the format of a data set entry.
    Since: 0.1
    """


@hookspec
def check(plan: Plan) -> list[types.Problem]:
    """Say what is wrong with this combination of plugins and options.

    Called: once, with the whole plan, before any heavy import. Must be fast and must not import torch.
    Composition: collect; all problems of all plugins are reported together.
    Args:
        plan: what is selected. `plan.uses("optimizer", "galore")`, `plan.get("trainer.max_steps")`,
            `plan.plugin("adapter")`.
    Returns: problems with the configuration key they belong to and what to do instead; [] when all is well.
    Since: 0.1
    """


@hookspec
def estimate(estimate: Any, plan: Plan) -> Any:
    """Say what this plugin costs.

    Called: once per selected plugin, by `tunesmith plan` and `tunesmith.estimate`, when nothing is wrong with the plan.
        Must be fast and must not import torch; files are read only where they are at hand: a model's `config.json`.
    Composition: one after the other, in the order of the kinds of a run: model, quantizer, adapter, patch, trainer,
        stage, optimizer, …. Each gets what the one before returned; none sees those after it.
    Args:
        estimate: a `tunesmith_library_estimates.estimation.Estimate`, what is known so far. The model has put its
            weights into it; a quantizer gives them fewer bits, an adapter marks those that are trained and adds its
            own, a trainer adds gradients and optimizer states, a stage the length of a sequence.
        plan: as in `check`; a trainer leaves the optimizer states to an optimizer that `plan.uses("optimizer")`.
    Returns: a changed estimate: `dataclasses.replace(estimate, …)`, `estimate.plus("reference", Memory(…))`, or where
        something cannot be told, `estimate.without("what, and why")`.
    Since: 0.2
    """


@hookspec
def configured(plan: Plan) -> None:
    """Learn what was decided: take from the plan what the other hooks need to know of it.

    Called: once, when nothing was found wrong with the plan and before anything heavy is imported.
    Composition: event.
    Args:
        plan: as in `check`. Keep what is needed in a field of the instance whose name begins with `_`.
    Since: 0.2
    """


@hookspec(firstresult=True)
def launch(command: Sequence[str]) -> int:
    """Start the processes of a training run, and wait for them.

    Called: once, when nothing was found wrong with the plan, where the environment does not say that a launcher was at
        work already (`WORLD_SIZE`); before anything heavy is imported.
    Composition: exclusive, kind `parallel`.
    Args:
        command: the program and its arguments that every process runs: this same run. Each finds in its environment
            what `torch.distributed` reads: RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
    Returns: the exit code of the run: 0, or that of the process that failed first. A signal is passed on, so that an
        interrupted run saves and ends with its own code.
    Raises: TunesmithError when the processes cannot be started as asked.
    Since: 0.2
    """


# ---- the model's files ----------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def fetch(address: str, revision: str | None) -> Path:
    """Make a model or data set available locally.

    Called: once per address, on the main process first.
    Composition: routed to the hub that the address names (`s3://…`), else `local` for a path, else the default hub.
    Args:
        address: without its scheme: `Qwen/Qwen3-4B`, `data/train.json`; a hub keeps data sets apart from models of the
            same name under `datasets/`, as in `datasets/org/name`.
        revision: branch, tag or commit; None is the hub's default.
    Returns: a local file or folder.
    Raises: TunesmithError that says where it looked and how to get access.
    Since: 0.1
    """


@hookspec(firstresult=True)
def resolve_precision(requested: str, path: Path, training: bool) -> types.Precision:
    """Decide in which numbers this machine computes.

    Called: once, before the model is loaded.
    Composition: exclusive, kind `model`.
    Args:
        requested: `auto`, `bf16`, `fp16` or `fp32`.
        path: folder of the model, as `fetch` gave it.
        training: whether gradients are computed.
    Returns: `bf16`, `fp16` or `fp32`; for `auto` the fastest in which the model is well computed here, announced.
    Raises: TunesmithError when the hardware cannot do what was asked.
    Since: 0.1
    """


@hookspec(firstresult=True)
def load_processor(source: types.ModelSource) -> Any:
    """Load the tokenizer, or the processor of a multimodal model.

    Called: once, before the data is read.
    Composition: exclusive, kind `model`.
    Returns: an object with transformers' tokenizer interface; a processor carries one as `.tokenizer`.
    Raises: TunesmithError when the folder holds none.
    Since: 0.1
    """


@hookspec(firstresult=True)
def chat_template(processor: Any, source: types.ModelSource) -> types.ChatTemplate:
    """Say how a conversation becomes text, and which of that text is the assistant's.

    Called: once, after the tokenizer is loaded.
    Composition: exclusive, kind `template`.
    Returns: a `ChatTemplate`: Jinja with `{% generation %}` marks around what the assistant says, and the strings
        that end a turn. The same template is used to train, to chat, and in the exported tokenizer.
    Since: 0.1
    """


# ---- data -----------------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def to_rows(records: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[types.Row]:
    """Turn a data set's records into canonical rows.

    Called: for each batch of records, on the format that the data set's entry names.
    Composition: routed, kind `format`.
    Args:
        records: as they stand in the file, one mapping each.
        columns: where to find what, over the format's own names: `{"prompt": "question"}`.
    Returns: one row per record: `text`; `messages`; `prompt`+`chosen`+`rejected`; `prompt`+`completion`+`label`.
    Raises: DataError that names the record, the columns it has, and the ones that were looked for.
    Since: 0.1
    """


@hookspec(firstresult=True)
def build_dataset(fetch: types.Fetch, to_rows: types.ToRows, encode: types.Encoder) -> types.DatasetSplits:
    """Read, convert, mix, split and encode the data sets.

    Called: once, before the model is loaded.
    Composition: exclusive, kind `data`.
    Args:
        fetch: `fetch(address, revision=None)` gives a local file or folder.
        to_rows: `to_rows(format, records, columns)` gives canonical rows.
        encode: rows in, columns of token ids out; call it with some hundred rows at a time. It may return fewer rows
            than it was given. `encode.fingerprint` is the key of a cache.
    Returns: the encoded training set and named evaluation sets. Where a model is only measured, the plan's `command`
        being `eval`, the training set may be empty.
    Raises: DataError.
    Since: 0.1
    """


@hookspec(firstresult=True)
def encode(rows: Sequence[types.Row], processor: Any, template: types.ChatTemplate) -> dict[str, list[Any]]:
    """Turn canonical rows into the columns that this objective trains on.

    Called: for batches of rows, possibly in several processes.
    Composition: exclusive, kind `stage`.
    Returns: equally long columns, such as `input_ids` and `labels` (lists of int; label -100 is not trained).
    Raises: DataError when the rows are of another shape than the stage needs.
    Since: 0.1
    """


# ---- the model ------------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def quantization_config(source: types.ModelSource) -> Any:
    """Give the `quantization_config` with which transformers quantises while it loads.

    Called: before `load_model`, when a quantizer is selected.
    Composition: exclusive, kind `quantizer`; optional.
    Returns: a transformers quantization config, or None when `quantize` does the work afterwards.
    Since: 0.1
    """


@hookspec(firstresult=True)
def load_model(source: types.ModelSource, processor: Any, quantization: Any) -> Any:
    """Load the weights.

    Called: once per model. Seeds the random numbers with `source.seed` first.
    Composition: exclusive, kind `model`; patches wrap it.
    Args:
        source: the folder and the numbers to load them in.
        processor: what `load_processor` gave, to match the size of the embeddings with.
        quantization: what `quantization_config` gave, or None.
    Returns: a `torch.nn.Module` with transformers' causal LM interface: called with `input_ids` (B, T),
        `position_ids` (B, T), `logits_to_keep`, and for batches without padding `cu_seq_lens_q`, `cu_seq_lens_k`
        (int32, number of sequences + 1), `max_length_q`, `max_length_k` (int), gives `.logits` (B, T, V).
        A wrapper that puts in modules with fresh weights names them in the attribute `fresh_modules` of the model, a
        list of str. A stage with such a wrapper is part of a run for good, in chat and export too.
    Raises: TunesmithError.
    Since: 0.1
    """


@hookspec(firstresult=True)
def quantize(model: Any, calibration: Callable[[], Iterator[types.Batch]] | None) -> Any:
    """Replace the linear layers of the loaded model by quantised ones.

    Called: after `load_model`, before `apply_adapter`, when a quantizer is selected.
    Composition: exclusive, kind `quantizer`; optional.
    Args:
        calibration: gives batches of the training data, for methods that look at activations; None outside training.
    Returns: the model; it may be the same object.
    Since: 0.1
    """


@hookspec(firstresult=True)
def apply_adapter(model: Any, trained: Path | None, source: types.ModelSource) -> Any:
    """Choose what is trained: add an adapter, freeze, or leave all weights trainable.

    Called: after the model was loaded and quantised. Not called for a whole model that is only served or exported.
    Composition: exclusive, kind `adapter`.
    Args:
        model: modules named in its attribute `fresh_modules` are trained and saved whole, whatever else is.
        trained: folder of an adapter that a run saved, to be loaded; None for a fresh one.
        source: tells whether this is training, and the precision; trainable weights are float32 in training.
            `source.fetch(address)` gets another adapter to start from; `requires` names its hub.
    Returns: the model, whose `save_pretrained(folder)` writes what was trained.
    Since: 0.1
    """


@hookspec(firstresult=True)
def merge_adapter(model: Any) -> Any:
    """Fold the adapter into the weights.

    Called: by exporters, on what `apply_adapter` returned.
    Composition: exclusive, kind `adapter`.
    Returns: a plain transformers model without adapter, of the same function.
    Raises: TunesmithError when this adapter or this base cannot be merged, with the reason and what to do.
    Since: 0.1
    """


# ---- training -------------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def collate(examples: Sequence[Mapping[str, Any]], padding_free: bool, processor: Any) -> types.Batch:
    """Make a batch of encoded examples.

    Called: for every batch, in the data loader's workers.
    Composition: exclusive, kind `stage`.
    Args:
        padding_free: concatenate the sequences to one of shape (1, T) with restarting `position_ids` and the
            `cu_seq_lens_*` of `load_model`; otherwise pad to (B, T) with an `attention_mask`.
        processor: the model's; what makes tensors of the pictures, clips and sounds of examples.
    Returns: `labels` (int64, same shape as `input_ids`), `num_items` (float: trained tokens, or pairs), and the
        model's inputs. Where examples have a `dataset`, also `datasets` and `dataset_names`, for the loss of each; see
        `tunesmith.types.Batch`.
    Since: 0.1
    """


@hookspec(firstresult=True)
def compute_loss(model: Any, batch: types.Batch) -> types.LossOutput:
    """Compute the objective of a batch.

    Called: for every batch in training and evaluation.
    Composition: exclusive, kind `stage`, or `loss` when one is selected; patches wrap it.
    Args:
        model: as the trainer wrapped it (DDP, FSDP, DeepSpeed); call it, do not reach into it.
        batch: what `collate` gave, on the model's device.
    Returns: the sum of the loss over items and their number; the trainer divides.
    Since: 0.1
    """


@hookspec(firstresult=True)
def build_optimizer(model: Any, settings: types.OptimizerSettings) -> Any:
    """Make the optimizer of the trainable weights.

    Called: once by the trainer, when an optimizer is selected.
    Composition: exclusive, kind `optimizer`; optional (the trainer has its own).
    Returns: a `torch.optim.Optimizer` whose parameter groups carry `lr`.
    Since: 0.1
    """


@hookspec
def prepare(job: types.TrainingJob, load: types.LoadModel) -> types.TrainingJob | None:
    """Get ready for training what an objective needs beside the model: a reference model, its log-probabilities.

    Called: once, right before `fit`, with the model on the CPU or where `load_model` put it.
    Composition: collect; at most one plugin may return a changed job.
    Args:
        job: what `fit` will get.
        load: `load(address, adapter=None)` loads another model with the run's precision and quantizer, frozen and in
            evaluation mode: a hub address or folder, with or without the adapter of another run.
    Returns: a changed job (`dataclasses.replace`), for instance with added columns; None to leave it as it is.
    Since: 0.1
    """


@hookspec
def score(
    prompts: Sequence[Sequence[types.Message]], completions: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> list[float]:
    """Judge answers.

    Called: by stages that learn from rewards, for every batch of generated answers.
    Composition: collect; the stage adds the scores of all rewards.
    Args:
        prompts: the conversations that were answered.
        completions: one answer per prompt, as text.
        rows: the other columns of each prompt's row, such as `answer`.
    Returns: one number per completion. It is multiplied by the reward's option `weight`, where it has one, outside.
    Since: 0.1
    """


@hookspec(firstresult=True)
def place(model: Any, job: types.TrainingJob) -> Any:
    """Spread a model over the processes of a run.

    Called: once in each process, right before `fit`.
    Composition: exclusive, kind `parallel`; optional (the trainer copies the model to each process itself).
    Args:
        model: on the CPU or where `load_model` put it, with its adapter.
        job: what `fit` will get, this model in it.
    Returns: the model to be trained instead, or None to leave it as it is.
    Since: 0.2
    """


@hookspec(firstresult=True)
def fit(job: types.TrainingJob) -> bool:
    """Train, and save what was trained in `job.output_dir`.

    Called: once.
    Composition: exclusive, kind `trainer`, or `stage` when it brings its own loop.
    Args:
        job: model, data, and the other hooks that a loop calls, bound.
    Returns: True when training reached its end, False when it was interrupted and can be resumed.
    Raises: TunesmithError.
    Since: 0.1
    """


@hookspec
def on_event(event: types.Event) -> None:
    """Hear what happens in a run.

    Called: on the main process: RunStarted, StepEnded, Evaluated, Saved, RunEnded. RunEnded always comes, also after
        an error; StepEnded comes at every step and must return quickly.
    Composition: event, all trackers; one that raises is reported once, the others and the run go on.
    Since: 0.1
    """


# ---- afterwards -----------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def open_engine(handle: types.ModelHandle) -> types.Engine:
    """Load the model, and make it ready to answer.

    Called: once for each use of a model: a chat, a whole data set, a server; its user closes it. By a stage that
        generates once in a training, where `handle.load()` gives the model as it is trained: an engine that runs it
        must leave it as it is, and forget with `load_weights`, also with none, what it remembers of former weights. One
        that has weights of its own opens those of `handle.source` and is given the trained ones by `load_weights`.
    Composition: exclusive, kind `engine`.
    Returns: an `Engine`, to which requests of token ids come and go, from any thread. It knows nothing of templates:
        `handle.template` turns conversations into requests and reads the answers. What a request leaves open, such as
        its temperature, the plugin's options say.
    Raises: TunesmithError when this engine cannot run the model.
    Since: 0.1
    """


@hookspec(firstresult=True)
def evaluate(handle: types.ModelHandle, chat: Any, data: Any) -> Any:
    """Measure a model.

    Called: on every selected evaluator, in the order of the configuration: by `tunesmith eval`, or between two steps
        of a training.
    Composition: routed, kind `evaluator`.
    Args:
        handle: `handle.load()` gives the module, the same one at every call, for what needs its logits. It may be one
            that is being trained: put it into evaluation mode, and leave it in the mode in which it was.
        chat: a `tunesmith_library_engine.chatting.Chat`: `chat.answer(conversations, sampling)` lets the model answer,
            `chat.engine` goes on from token ids and scores them; the engine is opened when it is first asked for.
        data: a `tunesmith_library_evaluating.EvaluationData`: the evaluation sets, as rows and as the stage's examples.
    Returns: a `tunesmith_library_evaluating.Evaluation`: numbers with their standard errors, and a record of each
        example. Neither depends on how the examples were put into batches.
    Raises: DataError when there is no data to measure on, or it is of another shape than is needed.
    Since: 0.2
    """


@hookspec(firstresult=True)
def export(handle: types.ModelHandle, output_dir: Path) -> Path:
    """Write a finished model.

    Called: once, on every selected exporter, in the order of the configuration.
    Composition: routed, kind `exporter`.
    Args:
        handle: the same for all exporters of a command; `handle.shared` keeps what one of them made for the others.
        output_dir: does not exist yet; write beside it and rename, so that it is never half there.
    Returns: what was written.
    Raises: TunesmithError.
    Since: 0.1
    """
