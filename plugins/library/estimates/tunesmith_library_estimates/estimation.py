"""What a run will need, figured out from `config.json` alone: what the hook `estimate` gives from plugin to plugin."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tunesmith_library_weights.shares import share

from tunesmith_library_estimates.room import Room

Phase = Literal["load", "forward", "backward", "step"]
"""A moment of a run: when the model is loaded, at the end of a forward pass, of a backward pass, in the step."""

PHASES: tuple[Phase, ...] = ("load", "forward", "backward", "step")


@dataclass(frozen=True)
class Weight:
    """One weight of the model, or of an adapter beside it."""

    name: str  # dotted, as in the module tree: `model.layers.0.self_attn.q_proj.weight`
    shape: tuple[int, ...]  # of a linear layer (out, in), of fused experts (experts, out, in)
    # whose it is: a linear layer's matrix, the output layer's, many experts' in one, the embeddings', a norm's; a bias
    # or anything else is `other`
    kind: Literal["linear", "head", "experts", "embedding", "norm", "other"]
    bits: float  # of one number in memory, with its share of the scales where it is quantised
    trained: bool = False

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> float:
        return self.count * self.bits / 8

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


@dataclass(frozen=True)
class Estimate:
    """What one process of a run needs. A plugin returns a changed one: `dataclasses.replace`, or `plus`."""

    precision: Literal["bf16", "fp16", "fp32"]  # that is computed in
    weights: tuple[Weight, ...] = ()  # all there are, those of an adapter included; a tied weight once
    hidden_size: int = 0  # width of the stream between layers
    vocabulary: int = 0  # logits of a token
    experts_per_token: int = 1  # experts that a token meets in a layer that has several
    sequences: int = 1  # in a forward pass
    length: int = 0  # tokens of a sequence, at most; 0 where nobody knows
    accumulated: int = 1  # forward passes in a step
    device: str = ""  # that is computed on, as torch names its kind; empty where nobody says
    merged: int = 0  # tokens up to which these are run as one; 0 where they are not
    flops_per_token: float = 0.0  # of a forward pass through the weights
    flops_per_pair: float = 0.0  # of a forward pass, for each token that a token looks at
    passes: float = 1.0  # what a token costs in all, in forward passes: 3 where every weight is trained
    memory: Mapping[str, Memory] = field(default_factory=dict)  # beside the weights, by what it is for
    # what takes the place of entries of `memory` where activations are computed again in the backward pass; empty where
    # that is settled
    recomputed: Mapping[str, Memory] = field(default_factory=dict)
    room: Room | None = None  # of the machine at hand, where something depends on it
    knows_trained: bool = True  # whether any plugin said which weights are trained
    unknown: tuple[str, ...] = ()  # what is not in these figures, and why
    shares: tuple[str, ...] = ()  # how much of the weights each choice reaches, and what it does not

    def plus(self, what: str, memory: Memory) -> Estimate:
        """The estimate with room for something more; `what` that is there already is replaced."""
        return replace(self, memory={**self.memory, what: memory})

    def without(self, *unknown: str) -> Estimate:
        """The estimate, saying that these things are not in it."""
        return replace(self, unknown=(*self.unknown, *unknown))

    def computing_again(self) -> Estimate:
        """The estimate of the same run with activations computed again in the backward pass, where that is open."""
        return replace(self, memory={**self.memory, **self.recomputed}, recomputed={})

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
        """Tokens of a forward pass, at most."""
        asked = self.sequences * self.length
        return max(asked, min(self.merged, asked * self.accumulated))

    @property
    def flops(self) -> float:
        """What a token of a full sequence costs: it looks at half of the others on average."""
        return self.passes * (self.flops_per_token + self.flops_per_pair * (self.length + 1) / 2)

    def bytes(self, phase: Phase) -> dict[str, float]:
        """What takes room in a phase, and how many bytes."""
        found = {"weights": sum(weight.bytes for weight in self.weights)}
        for what, memory in self.memory.items():
            if phase in memory.phases:
                found[what] = memory.bytes + memory.bytes_per_token * self.tokens
        return found

    @property
    def peak(self) -> tuple[Phase, float]:
        """The phase that needs the most, and the bytes that it needs."""
        return max(((phase, sum(self.bytes(phase).values())) for phase in PHASES), key=lambda found: found[1])
