"""What transformers' own optimizers remember of a weight, and what their steps need beside that; without torch.

The figures are those of the packages that transformers takes each from: torch, bitsandbytes, torchao, galore_torch,
apollo_torch, lomo_optim, schedulefree, optimi, grokadamw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.training import BESIDE_A_STEP, beside_adam, in_turn, optimizer_bytes
from tunesmith_library_weights.patterns import matches_any

_SMALL = 4096  # numbers below which the states of a weight are not rounded
_BLOCK = 256  # numbers of a state that share a scale

Of = Callable[[Weight], float]


@dataclass(frozen=True)
class Optim:
    """Bytes by weight."""

    states: Of
    beside: Of = lambda weight: 0.0  # in a step on a CPU, for one weight at a time
    everywhere: bool = False  # whether a step on a GPU needs as much: it is plain torch there too
    foreach: bool = False  # torch's AdamW without `fused`
    paged: bool = False  # states are on the host where the device has no room
    one_gradient: bool = False  # updates inside the backward pass use each up


def wide(copies: float) -> Of:
    """Numbers as wide as the weight's."""
    return lambda weight: copies * weight.bytes


def exact(copies: float, narrow: float = 0.0) -> Of:
    """Numbers in float32; `narrow`: more of them for a weight in 16 bits, which becomes float32 first."""
    return lambda weight: 4.0 * (copies + (narrow if weight.bits < 32 else 0.0)) * weight.count


def by_bitsandbytes(copies: int) -> Of:
    """Numbers in 8 bits with a scale in float32 for each block of 256; in float32 those of embeddings, which
    transformers asks for, and of small weights."""

    def of(weight: Weight) -> float:
        if weight.count < _SMALL or weight.kind == "embedding":
            return 4.0 * copies * weight.count
        return copies * (weight.count + 4.0 * ceil(weight.count / _BLOCK))

    return of


def by_torchao(copies: int, bits: int) -> Of:
    """Numbers in few bits with scales and a table of values; as wide as the weight's where blocks do not fill it."""

    def of(weight: Weight) -> float:
        if weight.count < _SMALL or weight.count % _BLOCK:
            return copies * weight.bytes
        return copies * (weight.count * bits / 8 + 4.0 * weight.count / _BLOCK + 4.0 * (1 << bits))

    return of


def beside_torchao(copies: float) -> Of:
    """Numbers in float32 where states are rounded."""
    return lambda weight: 0.0 if weight.count < _SMALL or weight.count % _BLOCK else 4.0 * copies * weight.count


def factored(weight: Weight) -> float:
    """Adafactor's mean squares of rows and of columns (arXiv 1804.04235), or of each number of a vector, in float32."""
    if len(weight.shape) < 2:
        return 4.0 * weight.count
    return 4.0 * prod(weight.shape[:-2]) * sum(weight.shape[-2:])


_ADAM = Optim(wide(2), foreach=True)
_ADAM_8BIT, _ADAM_32BIT = Optim(by_bitsandbytes(2), exact(5, 1)), Optim(exact(2), exact(3, 1))
_MIX_8BIT, _MIX_32BIT = Optim(by_bitsandbytes(3), exact(9.25, 1)), Optim(exact(3), exact(4, 1))
_LION_8BIT, _LION_32BIT = Optim(by_bitsandbytes(1), exact(5, 1)), Optim(exact(1), exact(3, 1))
_ADAFACTOR = Optim(factored, exact(2, 2), everywhere=True)

OPTIMS: Mapping[str, Optim] = {
    "adamw_torch": _ADAM,
    "adamw_torch_fused": Optim(wide(2)),
    "adamw_torch_npu_fused": Optim(wide(2)),
    "adamw_torch_xla": Optim(wide(2)),
    "adamw_anyprecision": Optim(exact(2), exact(2), everywhere=True),
    "adafactor": _ADAFACTOR,
    "sgd": Optim(wide(0)),
    "adagrad": Optim(wide(1), wide(1), everywhere=True),
    "rmsprop": Optim(wide(1), wide(1), everywhere=True),
    "adamw_torch_8bit": Optim(by_torchao(2, 8), beside_torchao(2), everywhere=True),
    "adamw_torch_4bit": Optim(by_torchao(2, 4), beside_torchao(6.5), everywhere=True),
    "adamw_bnb_8bit": _ADAM_8BIT,
    "adamw_8bit": _ADAM_8BIT,
    "paged_adamw_8bit": replace(_ADAM_8BIT, paged=True),
    "paged_adamw_32bit": replace(_ADAM_32BIT, paged=True),
    "ademamix": _MIX_32BIT,
    "ademamix_8bit": _MIX_8BIT,
    "paged_ademamix_32bit": replace(_MIX_32BIT, paged=True),
    "paged_ademamix_8bit": replace(_MIX_8BIT, paged=True),
    "lion_32bit": _LION_32BIT,
    "lion_8bit": _LION_8BIT,
    "paged_lion_32bit": replace(_LION_32BIT, paged=True),
    "paged_lion_8bit": replace(_LION_8BIT, paged=True),
    "rmsprop_bnb": Optim(exact(1), exact(3, 1)),
    "rmsprop_bnb_32bit": Optim(exact(1), exact(3, 1)),
    "rmsprop_bnb_8bit": Optim(by_bitsandbytes(1), exact(3, 1)),
    "lomo": Optim(wide(0), one_gradient=True),
    "adalomo": Optim(factored, exact(2, 2), everywhere=True, one_gradient=True),
    "grokadamw": Optim(wide(3), wide(2), everywhere=True),
    "schedule_free_radam": Optim(wide(2), wide(2), everywhere=True),
    "schedule_free_adamw": Optim(wide(2), wide(2), everywhere=True),
    "schedule_free_sgd": Optim(wide(1), wide(1), everywhere=True),
    "stable_adamw": Optim(wide(2), wide(2), everywhere=True),
}
"""By transformers' name; those that project gradients are made of what is projected."""


OF_SHARDS = ("adamw_torch", "adamw_torch_fused", "sgd", "adagrad", "rmsprop")
"""Those that compute each number by itself, so that a shard of a weight is as good as all of it."""


def estimate_optim(
    estimate: Estimate, name: str, arguments: str | None = None, targets: Sequence[str] = ()
) -> Estimate | None:
    """Add the states of one of transformers' optimizers; None for one that is not known here.

    Args:
        arguments: `trainer.optim_args`, such as "rank=64,scale=0.25".
        targets: `trainer.optim_target_modules`.
    """
    given = dict(part.split("=", 1) for part in (arguments or "").replace(" ", "").split(",") if "=" in part)
    optim = _projecting(name, given, targets) if name.startswith(("galore_", "apollo_")) else OPTIMS.get(name)
    if optim is None:
        return None
    if name in ("sgd", "rmsprop"):
        extra = float(given.get("momentum", 0)) > 0, given.get("centered", "").lower() in ("true", "1", "yes")
        optim = replace(optim, states=wide({"sgd": 0, "rmsprop": 1}[name] + sum(extra)))
    trained = [weight for weight in estimate.weights if weight.trained]
    on_cpu = estimate.machine.device == "cpu"
    beside = in_turn(trained, optim.beside) if on_cpu or optim.everywhere else 0.0
    made = optimizer_bytes(estimate, optim.states, beside_adam(estimate, trained) if optim.foreach else beside)
    if optim.paged and not on_cpu:
        made = made.plus("optimizer states", replace(made.memory["optimizer states"], on_host=True))
    if not optim.one_gradient:
        return made
    largest = max((weight.bytes for weight in trained), default=0.0)
    if BESIDE_A_STEP in made.memory:
        made = made.plus(BESIDE_A_STEP, replace(made.memory[BESIDE_A_STEP], phases=("backward",)))
    return made.plus("gradients", Memory(largest, phases=("backward",), of="gradients"))


def _projecting(name: str, given: Mapping[str, str], targets: Sequence[str]) -> Optim:
    """GaLore's or APOLLO's: of targeted linear layers two moments of a projected gradient."""
    rank, by_random = int(given.get("rank", 128)), name.startswith("apollo") and given.get("proj", "random") == "random"
    rest = OPTIMS["adamw_8bit"] if "8bit" in name else _ADAFACTOR if "adafactor" in name else Optim(wide(2), wide(2))
    all_linear = [target.replace("_", "-") for target in targets] == ["all-linear"]

    def is_projected(weight: Weight) -> bool:
        linear = weight.kind in ("linear", "head")
        return linear and (all_linear or matches_any(weight.name.removesuffix(".weight"), targets))

    def states(weight: Weight) -> float:
        if not is_projected(weight):
            return rest.states(weight)
        rows, columns = weight.shape
        width = 4.0 if rest is _ADAFACTOR else weight.bits / 8
        small = replace(weight, shape=(min(rank, rows, columns), max(rows, columns)), kind="linear")
        # in float32 the vectors are a part of all singular vectors, which stay with them
        side = small.shape[0] if by_random or width < 4 else min(rows, columns)
        return rest.states(small) + side * min(rows, columns) * width

    def beside(weight: Weight) -> float:
        if not is_projected(weight):
            return rest.beside(weight)
        rows, columns = weight.shape
        vectors = 4.0 * (3 * weight.count + min(rows, columns) ** 2)
        plain = 3 * weight.bytes
        return max(plain, rest.beside(weight) if rest is _ADAFACTOR else 0.0, 0.0 if by_random else vectors)

    return Optim(states, beside, everywhere=True, one_gradient=name.endswith("layerwise"))
