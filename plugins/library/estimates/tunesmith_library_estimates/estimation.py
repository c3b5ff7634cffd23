"""What a run will need, figured out from `config.json` alone: what the hook `estimate` gives from plugin to plugin."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from tunesmith_library_weights.shares import share

from tunesmith_library_estimates.cache import Answers, Cache
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.scores import Scores
from tunesmith_library_estimates.working import Extent, Pauses, Work

Phase = Literal["load", "forward", "backward", "step", "generate", "save"]
"""A moment of a run: when the model is loaded, at the end of a forward pass, of a backward pass, in the step; while
answers are generated, or a loss is evaluated; while a result or a checkpoint is written."""

PHASES: tuple[Phase, ...] = ("load", "forward", "backward", "step", "generate", "save")

Content = Literal["weights", "gradients", "states", "activations", "cache", "other"]
"""What stands in some memory: copies of weights, or another model's; gradients; an optimizer's states; what a forward
pass keeps, logits included; keys and values of what is generated."""


Kind = Literal["linear", "head", "experts", "embedding", "norm", "other"]
"""What a weight is."""

Part = Literal["language", "vision", "audio", "projector"]
"""A part of a model that also sees or hears, as the option `towers` calls it."""


@dataclass(frozen=True)
class Weight:
    """One weight of the model, or of an adapter beside it."""

    name: str  # dotted, as in the module tree: `model.layers.0.self_attn.q_proj.weight`
    shape: tuple[int, ...]  # of a linear layer (out, in), of fused experts (experts, out, in)
    # whose it is: a linear layer's matrix, the output layer's, many experts' in one, the embeddings', a norm's; a bias
    # or anything else is `other`
    kind: Kind
    bits: float  # of one number in memory, with its share of the scales where it is quantised
    trained: bool = False
    part: float = 1.0  # of it that a process has, where several share it
    on_host: bool = False  # whether it stays in the host's memory, and comes to the device where it is used
    kept_bits: float = 0.0  # of a copy of one number, as it is computed with, that a forward pass makes and keeps
    stands_in: Part = "language"  # what of the model it belongs to: only pictures and sounds meet those of a tower

    @cached_property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> float:
        """Of what a process has of it."""
        return self.count * self.bits / 8 * self.part

    @property
    def is_matrix(self) -> bool:
        """Whether it is multiplied with hidden states: not a table, a norm or a bias."""
        return len(self.shape) > 1 and self.kind != "embedding" and not self.name.endswith("bias")


@dataclass(frozen=True)
class Memory:
    """Room that something takes."""

    bytes: float = 0.0
    bytes_per_token: float = 0.0  # beside them, for each token of a forward pass
    phases: tuple[Phase, ...] = PHASES  # in which it is there
    of: Content = "other"
    on_host: bool = False  # whether it is the host's memory, and not the device's
    bytes_per_pair: float = 0.0  # beside all of these, for each pair of tokens of a sequence

    def times(self, factor: float) -> Memory:
        """So much of all of it."""
        return replace(self.of_part(factor), bytes=self.bytes * factor)

    def of_part(self, share: float) -> Memory:
        """The memory of a process that has this share of the tokens of each sequence."""
        by_token, by_pair = self.bytes_per_token * share, self.bytes_per_pair * share
        return replace(self, bytes_per_token=by_token, bytes_per_pair=by_pair)


@dataclass(frozen=True)
class Estimate:
    """What one process of a run needs. A plugin returns a changed one: `dataclasses.replace`, or `plus`."""

    precision: Literal["bf16", "fp16", "fp32"]  # that is computed in
    weights: tuple[Weight, ...] = ()  # all there are, those of an adapter included; a tied weight once
    hidden_size: int = 0  # width of the stream between layers
    vocabulary: int = 0  # logits of a token
    experts_per_token: int = 1  # experts that a token meets in a layer that has several
    stored_bits: float = 16.0  # of a number in the model's files
    sequences: int = 1  # in a forward pass
    per_example: int = 1  # sequences of an example, which are in the same pass
    length: int = 0  # tokens of a sequence, at most; 0 where nobody knows
    padded: bool = False  # whether the sequences of a batch are as long as the longest of them
    phases: tuple[Phase, ...] = PHASES  # that the command has
    accumulated: int = 1  # forward passes in a step
    # examples of a step, where a run leaves it open how many of them go through at once; else 0
    of_step: int = 0
    at_once: int = 0  # of these, that are asked about; 0: all
    processes: int = 1  # that see different examples
    steps: int | None = None  # of the run
    pauses: Pauses = field(default_factory=Pauses)
    data: Extent = field(default_factory=Extent)
    cache: Cache = field(default_factory=Cache)  # what the model keeps of a sequence that it writes
    answers: Answers = field(default_factory=Answers)  # that are written together
    machine: Machine = field(default_factory=Machine)
    merged: int = 0  # tokens up to which these are run as one; 0 where they are not
    flops_per_token: float = 0.0  # of a forward pass through the weights
    flops_per_pair: float = 0.0  # of a forward pass, for each token that a token looks at
    head_width: int = 0  # of a head of attention; 0 where nobody knows
    # of these, what layers take that look back only so many tokens, by their number
    windows: Mapping[int, float] = field(default_factory=dict)
    passes: float = 1.0  # what a token costs in all, in forward passes: 3 where every weight is trained
    memory: Mapping[str, Memory] = field(default_factory=dict)  # beside the weights, by what it is for
    # what takes the place of entries of `memory` where activations are computed again in the backward pass; empty where
    # that is settled
    recomputed: Mapping[str, Memory] = field(default_factory=dict)
    # what modules keep of a token for the backward pass, beside what their weights tell: bytes, by the module's name
    keeping: Mapping[str, float] = field(default_factory=dict)
    scores: Scores = field(default_factory=Scores)  # of attention that is written out
    keeps_on_host: bool = False  # whether what layers keep waits in the host's memory
    work: Mapping[str, Work] = field(default_factory=dict)  # beside the passes of the training, by what it is
    disk: Mapping[str, float] = field(default_factory=dict)  # bytes that are written, by what they are
    changes: tuple[Change, ...] = ()  # that make it need less
    computes_again: bool = False  # whether it was open, and they are
    knows_trained: bool = True  # whether any plugin said which weights are trained
    unknown: tuple[str, ...] = ()  # what is not in these figures, and why
    shares: tuple[str, ...] = ()  # how much of the weights each choice reaches, and what it does not

    def plus(self, what: str, memory: Memory) -> Estimate:
        """The estimate with room for something more; `what` that is there already is replaced."""
        return replace(self, memory={**self.memory, what: memory})

    def doing(self, what: str, work: Work) -> Estimate:
        """The estimate with something more to compute; `what` that is there already is replaced."""
        return replace(self, work={**self.work, what: work})

    def storing(self, what: str, size: float) -> Estimate:
        """The estimate with something more that is written to the disk. Args: size: bytes."""
        return replace(self, disk={**self.disk, what: size})

    def offering(self, *changes: Change) -> Estimate:
        """The estimate with further changes that would make it need less."""
        return replace(self, changes=(*self.changes, *changes))

    def without(self, *unknown: str) -> Estimate:
        """The estimate, saying that these things are not in it."""
        return replace(self, unknown=(*self.unknown, *unknown))

    def computing_again(self) -> Estimate:
        """The estimate of the same run with activations computed again in the backward pass, where that is open."""
        if not self.recomputed:
            return self
        return replace(self, memory={**self.memory, **self.recomputed}, recomputed={}, computes_again=True)

    def reaching(self, what: str, names: Collection[str]) -> Estimate:
        """The estimate, saying what share of the numbers in the model's matrices a choice reaches.

        Args:
            what: the choice, and what it does, as in `quantizer, in 4 bits`.
            names: weights that are reached.
        """
        counts = {weight.name: weight.count for weight in self.weights if weight.is_matrix}
        return self._saying(what, *share(counts, names)) if counts else self

    def updating(self, what: str, names: Collection[str], rest: str = "by AdamW") -> Estimate:
        """The estimate, saying what share of the trained numbers an optimizer updates in its own way.

        Args:
            names: of the weights that it does not leave to AdamW.
            rest: what becomes of the others.
        """
        counts = {weight.name: weight.count for weight in self.weights if weight.trained}
        return self._saying(what, *share(counts, names, "the trained weights", rest)) if counts else self

    def _saying(self, what: str, reached: str, rest: str) -> Estimate:
        return replace(self, shares=(*self.shares, f"{what}: {reached} ({rest})"))

    @property
    def parameters(self) -> int:
        return sum(weight.count for weight in self.weights)

    @property
    def trained(self) -> int:
        """How many of the parameters are trained."""
        return sum(weight.count for weight in self.weights if weight.trained)

    @property
    def tokens(self) -> int:
        """Tokens of a forward pass, at most: of the longest examples where they are known."""
        asked = self.sequences * self.length
        longest = self._longest()
        if longest:
            found = len(longest) * longest[0] if self.padded else sum(longest)
            asked = min(asked, found) if asked else found
        return max(asked, min(self.merged, asked * self.accumulated))

    @property
    def pairs(self) -> float:
        """Pairs of tokens that attention which is written out makes scores of, at most, in a forward pass."""
        if self.scores.across and not self.padded:
            return float(self.tokens**2)
        longest = self._longest()
        each = [size / self.per_example for size in longest] or [float(self.length)]
        squares = len(each) * each[0] ** 2 if self.padded else sum(size**2 for size in each)
        together = len(each) * each[0] if self.padded else sum(each)
        return self.tokens * squares / together if together else 0.0

    def _longest(self) -> tuple[int, ...]:
        count = max(self.sequences // self.per_example, 1)
        if self.answers.in_step:  # which are as long as they may be, however short their prompts
            return self.data.longest[:count]
        return self.data.longest_together(count, self.length, self.per_example)

    @property
    def flops(self) -> float:
        """What a token of a full sequence costs: it looks at half of the others on average, or back over a window."""
        saved = 0.0
        for window, flops in self.windows.items():
            beyond = max(self.length - window, 0)  # tokens that see a window, and not all before them
            saved += flops * beyond * (beyond + 1) / 2 / max(self.length, 1)
        return self.passes * (self.flops_per_token + self.flops_per_pair * (self.length + 1) / 2 - saved)

    def bytes(self, phase: Phase, on_host: bool = False) -> dict[str, float]:
        """What takes room in a phase, and how many bytes: of the device's memory, or of the host's."""
        found = {"weights": sum(weight.bytes for weight in self.weights if weight.on_host == on_host)}
        for what, memory in self.memory.items():
            if phase in memory.phases and memory.on_host == on_host:
                found[what] = self.size_of(memory)
        return found

    def size_of(self, memory: Memory) -> float:
        """Bytes of something at the longest batch."""
        return memory.bytes + memory.bytes_per_token * self.tokens + memory.bytes_per_pair * self.pairs

    @property
    def peak(self) -> tuple[Phase, float]:
        """The phase that needs the most of the device's memory, and the bytes that it needs."""
        return max(((phase, sum(self.bytes(phase).values())) for phase in self.phases), key=lambda found: found[1])

    @property
    def host_peak(self) -> float:
        """Bytes of the host's memory, at most, where the device is another one."""
        return max(sum(self.bytes(phase, on_host=True).values()) for phase in self.phases)
