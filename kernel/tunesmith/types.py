"""What crosses a hook: small frozen objects of the domain. Torch objects are typed `Any`; their shapes are documented.

Letters of shapes: B sequences, T tokens, V vocabulary, H hidden size, K trained tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from tunesmith.generation import Answer as Answer
from tunesmith.generation import Conversation as Conversation
from tunesmith.generation import Delta as Delta
from tunesmith.generation import Engine as Engine
from tunesmith.generation import EngineStats as EngineStats
from tunesmith.generation import FinishReason as FinishReason
from tunesmith.generation import LogProb as LogProb
from tunesmith.generation import Piece as Piece
from tunesmith.generation import Request as Request
from tunesmith.generation import Sampling as Sampling
from tunesmith.generation import ToolCall as ToolCall
from tunesmith_library_configuration.problems import Problem as Problem
from tunesmith_library_configuration.sharing import Shared
from tunesmith_library_configuration.translation import Note as Note
from tunesmith_library_configuration.translation import Translation as Translation

# One turn of a conversation:
#
# - `role`: `system`, `user`, `assistant` or `tool`.
# - `content`: str; or, where there are media, typed parts: `{"type": "text", "text": …}`, `{"type": "image"}`.
# - of an assistant: `reasoning`, its thought; `tool_calls`, of `{"function": {"name": …, "arguments": {…}}}`.
# - of a tool: `tool_call_id`, `name`, which call it answers. `weight`: what its tokens weigh in training.
Message = dict[str, Any]

# One canonical row, what formats give and stages read. Its columns are those of one of these:
#
# - `text`: str, to be learned as it is.
# - `messages`: a conversation, a list of `Message`.
# - `prompt`, `chosen`, `rejected`: a conversation and two ways on from it, the first the better: lists of `Message`.
# - `prompt`, `completion`, `label`: likewise with one way on, and whether it is a good one: bool.
# - `prompt` alone, with further columns such as `answer`: what is answered in training, for rewards to judge.
# - beside them: `tools`, a list of `{"type": "function", "function": {…}}`; `enable_thinking`, bool; `weight`, float;
#   `images`, `videos`, `audios`, lists; and columns that the user had kept.
Row = dict[str, Any]

# Keyword arguments of `model(...)`, plus what is not for the model, `NOT_FOR_MODEL`:
#
# - `labels`: int64, -100 where not trained.
# - `num_items`: float, what the loss is divided by: trained tokens or pairs, weighted.
# - `weights`: fp32, shape of `labels`, where tokens are weighted.
# - `row_weights`: fp32 (B,), where whole examples are weighted.
# - `datasets`: with several training sets the number of the one that each token (shape of `labels`) or each example
#   (B,) is of, int64; `dataset_names`: what those numbers stand for in this batch, a list of str.
#
# A stage may add keys of its own, which it takes out itself.
Batch = dict[str, Any]

NOT_FOR_MODEL = frozenset({"labels", "num_items", "weights", "row_weights", "datasets", "dataset_names"})
"""The keys of a batch that are no arguments of the model."""

IGNORED = -100
"""The label of a token that is not trained."""


def model_inputs(batch: Batch) -> Batch:
    """What of a batch is for the model."""
    return {name: value for name, value in batch.items() if name not in NOT_FOR_MODEL}


Precision = Literal["bf16", "fp16", "fp32"]


class ChatTemplate(Protocol):
    """How a conversation becomes text: what template plugins return, such as `tunesmith_library_chat.ChatTemplate`."""

    @property
    def name(self) -> str: ...
    @property
    def jinja(self) -> str:
        """The source, with `{% generation %}` marks."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end the assistant's turn."""

    @property
    def variables(self) -> Mapping[str, Any]:
        """What the source is rendered with, beside the conversation."""

    @property
    def exported(self) -> str:
        """The source for other programs, which renders the same there."""

    def bind(self, processor: Any) -> ChatTemplate:
        """The same template with the special tokens of a tokenizer as variables."""

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
        training: bool = False,
        **variables: Any,
    ) -> Any:
        """A conversation as text, with `training` as it is learned: a `tunesmith_library_chat.template.Rendered`, with
        its `.text`, and the assistant's `.spans` in it.

        Raises: DataError when the template refuses the conversation.
        """

    def request(
        self,
        processor: Any,
        conversation: Conversation,
        sampling: Sampling,
        *,
        stop: Sequence[str] = (),
        context_length: int | None = None,
    ) -> Request:
        """What an engine is asked, to answer a conversation; `stop` are strings that end the answer.

        Raises: TunesmithError for a conversation that cannot be answered, or leaves no room in the context.
        """

    def read(
        self, processor: Any, answers: Sequence[Answer], *, stop: Sequence[str] = (), skip_special_tokens: bool = True
    ) -> Iterator[Piece]:
        """Read answers as text while they are given; the place of an answer is the `index` of its pieces."""


@dataclass(frozen=True)
class Requirement:
    """Another plugin that a selected plugin calls by name, such as the format of a data set."""

    kind: str  # such as `format`
    name: str  # of the plugin; for the kind `hub` the address, from which the kernel finds the hub
    key: str  # the configuration key that names it, for the error message


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are, and the numbers it is to be loaded in."""

    path: Path  # local folder: config.json, weights, tokenizer
    address: str  # as the user wrote it; empty where the engine brings a model, of which nothing is here
    precision: Precision  # to compute in
    seed: int  # of everything random from here on
    training: bool  # False for chat and export
    # gets other files that belong to the model, such as an adapter to start from; None outside a run
    fetch: Fetch | None = field(default=None, compare=False, repr=False)
    held: Precision | None = None  # for an export: what the weights are held in, without loss; None: `precision`


@dataclass(frozen=True)
class Encoder:
    """The stage's `encode` with its processor and template bound: canonical rows in, columns of token ids out."""

    encode: Callable[..., dict[str, list[Any]]]  # the hook
    processor: Any  # what `load_processor` gave
    template: ChatTemplate  # with the tokenizer's special tokens
    fingerprint: str  # changes when the same row would be encoded differently; the key of a cache
    parts: Mapping[str, str] = field(default_factory=dict)  # what it is of: `options of stage.sft`, `tokenizer` …

    def __call__(self, rows: Sequence[Row]) -> dict[str, list[Any]]:
        return self.encode(rows=rows, processor=self.processor, template=self.template)


@dataclass(frozen=True)
class DatasetSplits:
    """Encoded data sets: each has `__len__` and `__getitem__` giving one example of `encode`'s columns.

    With several training sets an example also has a column `dataset`, the name of its own.

    Training data of which each epoch has others have `set_epoch(epoch)`, counted from 0, which a loop calls before it
    reads the first of them; their number stays. Data without length are iterated. They are gone on with where they were
    if they have `share(number, count, state=None)`: an endless iterator over every `count`-th record, with its `state`
    as JSON has it.
    """

    train: Any  # examples
    eval: Mapping[str, Any] = field(default_factory=dict)  # by name; empty when nothing is held out
    fingerprint: str = ""  # of the contents that the training examples are made of; empty when it is not known


@dataclass(frozen=True)
class LossOutput:
    """A batch's loss as a sum, so that the trainer can divide by the count over accumulation and processes."""

    loss: Any  # scalar tensor: the sum over items of the loss per item, fp32, differentiable
    num_items: Any  # how many items the sum has (trained tokens or pairs), weighted: float or scalar tensor
    # what is logged, detached fp32 tensors: a scalar is a sum over the items; (2,) is a sum and the number of what it
    # sums, where that is not the items; (2, 2) are two of those, of which the difference of the means is logged. A mean
    # of nothing is left out, and a name may be missing from a batch
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerSettings:
    """The trainer's settings that every optimizer understands, under Hugging Face's names."""

    learning_rate: float  # the highest; a schedule sets `lr` of the groups at each step
    weight_decay: float  # decoupled, per step and learning rate
    adam_beta1: float  # share of the mean of the gradients that is kept
    adam_beta2: float  # share of the mean of their squares that is kept
    adam_epsilon: float  # beside the root of that


@dataclass(frozen=True)
class TrainingJob:
    """Everything that `fit` needs, and nothing of the configuration."""

    model: Any  # with its adapter; on the CPU or where `load_model` put it
    processor: Any  # what `load_processor` gave
    data: DatasetSplits  # encoded
    output_dir: Path  # folder of the run: checkpoints, and the result
    seed: int  # of the order of the data, of dropout
    precision: Precision  # to compute in; trained weights are float32
    resume: bool  # continue from the newest complete checkpoint of output_dir
    collate: Callable[..., Batch]  # collate(examples=..., padding_free=...)
    compute_loss: Callable[..., LossOutput]  # compute_loss(model=..., batch=...)
    build_optimizer: Callable[..., Any]  # build_optimizer(model=..., settings=...) -> optimizer or None
    emit: Callable[[Event], None]  # tells the trackers; call it on the main process only
    template: ChatTemplate | None = None  # for stages that generate
    score: Callable[..., list[list[float]]] | None = None  # score(prompts=..., completions=..., rows=...), per reward
    # evaluate(model) measures the model, not wrapped for training, with the run's evaluators; None where it has none
    evaluate: Callable[[Any], Sequence[Any]] | None = None
    made_of: Mapping[str, str] = field(default_factory=dict)  # fingerprints of model and data; checkpoints keep them
    handle: ModelHandle | None = None  # of the model, which its `load` gives as it is while it is trained
    open_engine: Callable[..., Engine] | None = None  # open_engine(handle=...), for stages that generate


@dataclass(frozen=True)
class ModelHandle:
    """A model to be answered with or exported. Nothing is loaded before `load` is called."""

    source: ModelSource  # where its files are
    adapter: Path | None  # folder of the trained adapter; None when source.path holds the whole model
    processor: Any  # what `load_processor` gave
    template: ChatTemplate  # what makes requests of conversations, and reads answers
    load: Callable[[], Any]  # () -> the model in this process, quantised, with its adapter
    merge: Callable[[Any], Any]  # the loaded model -> the plain model with its adapter folded in
    shared: Shared = field(default_factory=Shared, compare=False, repr=False)  # what exporters of one command share


# Events: what trackers hear. All on the main process.


@dataclass(frozen=True)
class RunStarted:
    """Told before the first step."""

    output_dir: Path  # folder of the run
    total_steps: int  # optimizer steps that it will have in all
    config: Mapping[str, Any] = field(default_factory=dict)  # resolved, without secrets; the pipeline fills it in
    resumed_from: int = 0  # the step a resumed run continues at


@dataclass(frozen=True)
class StepEnded:
    """Told after each optimizer step."""

    step: int  # counted from 1
    total_steps: int  # that the run will have in all
    epoch: float  # passes over the training data until now
    metrics: Mapping[str, float]  # empty on steps that are not logged; else loss, learning_rate, grad_norm, …


@dataclass(frozen=True)
class Evaluated:
    """Told after each evaluation."""

    step: int  # the last one that was made; 0 before the first
    metrics: Mapping[str, float]  # by name: `eval_loss`, and what the stage and evaluators measure


@dataclass(frozen=True)
class Saved:
    """Told when a checkpoint, or the result, is whole."""

    step: int  # the last one that is in it
    path: Path  # its folder


@dataclass(frozen=True)
class RunEnded:
    """Told last, whatever happened."""

    status: Literal["finished", "interrupted", "failed"]  # interrupted: a checkpoint holds what there is
    metrics: Mapping[str, float] = field(default_factory=dict)  # of the whole run


Event = RunStarted | StepEnded | Evaluated | Saved | RunEnded

LoadModel = Callable[..., Any]  # load(address, adapter=None) -> a frozen model
Fetch = Callable[..., Path]  # fetch(address, revision=None) -> local file or folder
ToRows = Callable[[str, Iterable[Mapping[str, Any]], Mapping[str, str]], Iterator[Row]]
