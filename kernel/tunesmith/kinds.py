"""The kinds of plugin: the configuration keys, how many of each a run has, and the hooks each may implement."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """One kind of plugin, which is also one configuration key."""

    name: str
    how_many: Literal["one", "optional", "any", "routed", "installed"]
    summary: str
    default: tuple[str, ...] = ()
    commands: tuple[str, ...] = ("train",)  # the commands that need this kind
    trait: str = ""  # that a stage has with which training needs this kind, too
    shapes: str = ""  # a hook that shapes model or tokenizer: where a plugin of this kind has it, all commands need it
    common: bool = False  # of many: whether exporter.verify=false is an option of all that are selected
    free: bool = False  # whether its plugins may be others, with other options, when a run goes on
    function: str = ""  # the hook that a plain function in a user's file implements: reward=[rewards.py:polite]

    @property
    def many(self) -> bool:
        """Whether the configuration holds a mapping of names instead of one name."""
        return self.how_many in ("any", "routed")


_ALL = ("train", "chat", "export", "eval", "load")  # `load`: a model for whoever calls `tunesmith.open_model`
_SHOWN = ("show", "encode")  # what a run would train on, a little of it or all
_DATA = ("train", "eval", *_SHOWN)  # and `rows`: data sets before a stage encodes them

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("model", "one", "loads weights and tokenizer", ("transformers",), (*_ALL, *_SHOWN)),
        Kind("template", "one", "how a conversation becomes text", ("auto",), (*_ALL, *_SHOWN)),
        Kind("data", "one", "reads, mixes and splits data sets", ("datasets",), (*_DATA, "rows")),
        Kind("format", "routed", "turns a data set's records into canonical rows", (), (*_DATA, "rows")),
        Kind("hub", "routed", "fetches a model or data set by its address", (), (*_ALL, *_SHOWN, "rows"), free=True),
        Kind("quantizer", "optional", "stores the base model in fewer bits", commands=_ALL),
        Kind("adapter", "one", "chooses what is trained", ("lora",), _ALL, shapes="load_processor"),
        Kind("patch", "any", "wraps loading or the loss", commands=_ALL),
        Kind("trainer", "one", "the training loop", ("transformers",)),
        Kind("stage", "one", "encoding, batches and loss of an objective", ("sft",), _DATA, shapes="load_model"),
        Kind("loss", "optional", "replaces the stage's loss", function="compute_loss"),
        Kind("optimizer", "optional", "replaces the trainer's optimizer", function="build_optimizer"),
        Kind("reward", "any", "scores answers, for stages that learn from rewards", free=True, function="score"),
        Kind("parallel", "optional", "starts the processes of a run, and spreads the model over them", free=True),
        Kind("tracker", "any", "records what happens", ("console", "guard", "jsonl", "plot", "record"), free=True),
        Kind("engine", "one", "generates answers", ("transformers",), ("chat", "eval"), "generates", free=True),
        Kind("exporter", "any", "writes a finished model", ("merged",), ("export",), common=True),
        Kind("evaluator", "any", "measures a model", commands=("eval",), free=True, function="evaluate"),
        Kind("dialect", "installed", "reads the configurations of another program", commands=()),
        Kind("command", "installed", "a command of its own: its method command() gives a click command", commands=()),
    )
}

CONFIGURED = {name: kind for name, kind in KINDS.items() if kind.how_many != "installed"}
"""The kinds that are configuration keys."""

# Exclusive hooks: exactly one implementation in a run, from the first of these kinds that is selected and has one.
# The second kind is the default that the first overrides; an override is announced.
EXCLUSIVE: dict[str, tuple[str, ...]] = {
    "launch": ("parallel",),
    "resolve_precision": ("model",),
    "load_processor": ("model",),
    "load_model": ("model",),
    "chat_template": ("template",),
    "build_dataset": ("data",),
    "encode": ("stage",),
    "collate": ("stage",),
    "compute_loss": ("loss", "stage"),
    "quantization_config": ("quantizer",),
    "quantize": ("quantizer",),
    "apply_adapter": ("adapter",),
    "merge_adapter": ("adapter",),
    "build_optimizer": ("optimizer",),
    "place": ("parallel",),
    "fit": ("stage", "trainer"),
    "open_engine": ("engine",),
}

# Routed hooks: called on the one plugin that is named, by an address, by a data set entry, or by the configuration.
ROUTED: dict[str, str] = {"fetch": "hub", "to_rows": "format", "evaluate": "evaluator", "export": "exporter"}

# Exclusive hooks that a run can do without.
OPTIONAL = frozenset({"quantization_config", "quantize", "build_optimizer", "place"})

# Exclusive hooks that the trainer's loop calls; a stage that brings its own `fit` can do without them.
OF_THE_LOOP = frozenset({"collate", "compute_loss"})
