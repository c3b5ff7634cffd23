"""What plugins may know of each other: data on the class, asked through the plan, never a list of names.

A plugin says what it is in the class attribute `traits`, an instance of the class that its kind has here; where it
depends on the options, `traits` is a property. One that says nothing gets the defaults, which promise the least. A
third party's plugin answers as the built-in ones do. What another plugin needs to know is one more field here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StageTraits:
    """What a training objective is."""

    reads: tuple[str, ...] = ()  # columns that its rows must have: messages; prompt, chosen, rejected
    token_loss: bool = False  # the loss is a sum over next tokens, which a `loss` plugin may compute otherwise
    streams: bool = False  # rows are encoded one by one in a single pass, so that they may be read as a stream
    reference: bool = False  # with these options it compares the model with a reference
    generates: bool = False  # it learns from answers that the model gives while it is trained, by the run's engine
    scores: bool = False  # what it trains gives texts a score, and writes none
    # all that its evaluations measure, by name, the first of them what models are compared by where nothing was chosen:
    # whether greater is better, None for neither; empty where it does not say
    metrics: Mapping[str, bool | None] = field(default_factory=dict, compare=False)
    balances_experts: bool = False  # it adds a mixture's balance loss (`output_router_logits`) to its own
    # a batch's loss is the sum of what its examples would have alone, so that batches may be merged and divided
    additive: bool = False


@dataclass(frozen=True)
class AdapterTraits:
    """Where an adapter's trained weights are."""

    beside: bool = False  # it trains few weights of its own beside the model's, which stay as they are
    whole: bool = False  # it trains every weight of the model
    # what it trains are pairs of thin matrices beside layers, which peft names lora_A and lora_B
    low_rank: bool = False


@dataclass(frozen=True)
class QuantizerTraits:
    """What a quantizer can do."""

    bits: tuple[int, ...] = ()  # widths of a weight that it can store
    devices: tuple[str, ...] = ()  # where it computes, as torch names them: cpu, cuda
    trains: bool = True  # whether adapters learn over its weights
    trains_base: bool = False  # whether its weights are whole in training, and can learn themselves
    merges: bool = False  # whether an adapter can be folded into its weights; else into the base that is not quantised
    saves: bool = False  # whether the quantised weights can be written; else they are quantised anew at every load
    calibrates: bool = False  # whether it looks at training data
    float_weights: bool = False  # whether its layers show a `weight` of floating-point numbers, which starts may read
    weight_norms: bool = False  # whether the norms of its weights are those that adapters learn over, as DoRA asks
    spreads: tuple[str, ...] = ()  # by what its weights may be spread over processes: fsdp
    method: str = ""  # in what form its layers hold their weights, as transformers' `quant_method` names it


@dataclass(frozen=True)
class OptimizerTraits:
    """What an optimizer asks of the weights that it is given."""

    one_process: bool = False  # it updates weights in ways that processes which share gradients cannot follow


@dataclass(frozen=True)
class TrainerTraits:
    """What a training loop gives to stages that bring their own."""

    # its method `training_arguments(job, **changed)` gives its options as transformers' TrainingArguments, the names in
    # `changed` over them, for a stage whose loop is another transformers Trainer
    training_arguments: bool = False


@dataclass(frozen=True)
class ModelTraits:
    """How a model is loaded."""

    # attention goes through transformers' AttentionInterface, where a patch may put in another
    attention_interface: bool = False
    plain_layers: bool = False  # its layers are transformers' own, which a patch may change


@dataclass(frozen=True)
class TemplateTraits:
    """What a chat template is chosen by."""

    name: str = ""  # the first of its names
    # regular expressions of the names of the models that were trained with it; upper and lower case are the same
    models: tuple[str, ...] = ()
    model_types: tuple[str, ...] = ()  # transformers' `model_type` of models of which all were trained with it


@dataclass(frozen=True)
class PatchTraits:
    """What a patch changes."""

    attention: bool = False  # it replaces the model's attention
    keeps_layers: bool = False  # it leaves the model's layers as they are, whoever made them


@dataclass(frozen=True)
class EngineTraits:
    """What an engine answers with."""

    runs_modules: bool = False  # with the module that `ModelHandle.load` gives, and so with what patches changed in it
    brings_model: bool = False  # its model may run elsewhere, so that none has to be named, and none is fetched then
    loads_weights: bool = False  # it has weights of its own, which `load_weights` exchanges while it runs
    searches: bool = False  # with these options an answer is the best of several, not drawn token by token


@dataclass(frozen=True)
class ParallelTraits:
    """What a launcher starts, and what the processes have."""

    processes: int | None = None  # how many with these options, on all machines; None: known only where they start
    alike: int = 1  # neighbouring processes that see the same examples, of which each computes a part
    spreads: str = ""  # what spreads the weights, so that no process has the whole model: fsdp, deepspeed
    # arguments of transformers' TrainingArguments for a trainer with `training_arguments`: {"deepspeed": {…}}
    arguments: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class EvaluatorTraits:
    """What an evaluator finds out."""

    # all its metrics by name, also behind its own name and `_`: whether greater is better; empty: it does not say
    metrics: Mapping[str, bool] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class TrackerTraits:
    """What a tracker leaves behind."""

    # file in a run's folder that has a JSON object per line: `step`, and what was measured there, by name
    metrics_file: str | None = None


TRAITS: dict[str, type] = {
    "stage": StageTraits,
    "adapter": AdapterTraits,
    "quantizer": QuantizerTraits,
    "optimizer": OptimizerTraits,
    "trainer": TrainerTraits,
    "model": ModelTraits,
    "template": TemplateTraits,
    "patch": PatchTraits,
    "engine": EngineTraits,
    "parallel": ParallelTraits,
    "evaluator": EvaluatorTraits,
    "tracker": TrackerTraits,
}
"""The class of traits that a plugin of each kind may have; other kinds have none."""


def traits_of(kind: str, plugin: Any) -> Any:
    """What a plugin says of itself; the least when it says nothing.

    Args:
        plugin: an instance, or a class: of one whose traits depend on its options, those of the default options.
    """
    if isinstance(plugin, type) and isinstance(inspect.getattr_static(plugin, "traits", None), property):
        try:
            plugin = plugin()
        except TypeError:  # it has options without a default
            return TRAITS[kind]()
    said = getattr(plugin, "traits", None)
    return said if isinstance(said, TRAITS[kind]) else TRAITS[kind]()
