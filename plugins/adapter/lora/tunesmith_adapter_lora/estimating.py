"""What LoRA costs: the weights that peft would put beside the layers, by the names of the layers; without torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from tunesmith_library_estimates.activations import computed_experts
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.kept import Numbers
from tunesmith_library_estimates.training import is_of
from tunesmith_library_weights.patterns import matches, matches_any

if TYPE_CHECKING:
    from tunesmith_adapter_lora import Lora


def estimate_lora(lora: Lora, estimate: Estimate) -> Estimate:
    """Freeze the model, and add what is trained beside it, in float32; and say what share of it that reaches."""
    if lora.path is not None:
        return estimate.without("the adapter that adapter.path names")
    layers = _layers(estimate)
    linear = _linear(lora, estimate)
    adapted = {name: shape for name, shape in layers.items() if _is_adapted(lora, name, linear)}
    biased = {f"{name}.bias" for name in adapted}
    weights = []
    for weight in estimate.weights:
        learns = weight.name.endswith(".bias") and (
            lora.bias == "all" or (lora.bias == "lora_only" and weight.name in biased)
        )
        as_it_is = not (learns or weight.trained)
        weights.append(weight if as_it_is else replace(weight, trained=learns, bits=32.0 if learns else weight.bits))
    whole = list(_whole(lora, estimate))
    reached = {name for layer in adapted for name in (layer, f"{layer}.weight")}
    reached |= {weight.name.removesuffix(".modules_to_save") for weight in whole}
    beside = [*_beside(lora, adapted), *whole, *_tokens(lora, estimate)]
    found = replace(estimate, weights=tuple(weights)).reaching("adapter, LoRA", reached)
    found = computed_experts(found, "experts of a layer, with what LoRA adds", reached)
    kept = _kept_beside(lora, adapted, found)
    return replace(found, weights=(*weights, *beside), keeping=kept).offering(*_changes(lora))


def _changes(lora: Lora) -> Iterator[Change]:
    if lora.rank > 1:
        half = lora.rank // 2
        yield Change((f"adapter.rank={half}",), "method", f"matrices of rank {half} in place of {lora.rank}")
    if lora.use_dora:
        yield Change(("adapter.use_dora=false",), "method", "LoRA without magnitudes")
    if lora.modules_to_save:
        yield Change(("adapter.modules_to_save=[]",), "method", "no module is trained whole")
    if lora.target_modules == "all":
        yield Change(("adapter.target_modules=[q_proj,v_proj]",), "method", "queries and values are adapted alone")


def _kept_beside(lora: Lora, adapted: dict[str, tuple[int, ...]], estimate: Estimate) -> dict[str, float]:
    """Bytes of a token that adapted layers keep, by their names, beside what is kept because they learn.

    Dropout makes an input of its own for each layer, and a mask. DoRA keeps what comes out of the layer, and with
    dropout also what comes out of it for the input that is left.
    """
    numbers, keeping = Numbers.of(estimate), dict(estimate.keeping)
    mask = numbers.computed if numbers.on_cpu else 1
    for name, shape in adapted.items():
        out, into = shape[-2:]
        more = numbers.computed * out * (1 + (lora.dropout > 0)) if lora.use_dora else 0.0
        more += (mask + numbers.computed) * into if lora.dropout else 0.0
        if more:
            keeping[name] = keeping.get(name, 0.0) + more
    return keeping


def _layers(estimate: Estimate) -> dict[str, tuple[int, ...]]:
    """Layers that can get an adapter, with the shapes of their matrices; a tied output layer has the embeddings'."""
    kinds = ("linear", "head", "embedding", "experts")
    found = {weight.name.removesuffix(".weight"): weight for weight in estimate.weights if weight.kind in kinds}
    layers = {name: weight.shape for name, weight in found.items()}
    embeddings = next((weight for weight in found.values() if weight.kind == "embedding"), None)
    if embeddings and not any(weight.kind == "head" for weight in found.values()):
        layers["lm_head"] = embeddings.shape
    return layers


def _linear(lora: Lora, estimate: Estimate) -> set[str]:
    """The names of the weights of linear layers and experts in the parts of the model that are adapted."""
    own = [weight for weight in estimate.weights if weight.kind in ("linear", "experts")]
    return {weight.name for weight in own if is_of(weight, lora.towers)}


def _is_adapted(lora: Lora, name: str, linear: set[str]) -> bool:
    if matches_any(name, [*lora.exclude_modules, *lora.modules_to_save]):
        return False
    asked = [lora.target_modules] if isinstance(lora.target_modules, str) else lora.target_modules
    every = name in linear or f"{name}.weight" in linear
    return any(every if pattern == "all" else matches(name, pattern) for pattern in asked)


def _beside(lora: Lora, adapted: dict[str, tuple[int, ...]]) -> Iterator[Weight]:
    """The matrices A (rank, in) and B (out, rank) of each layer, and with DoRA its magnitudes (out,).

    Of fused experts (experts, out, in) those of all experts are one: (experts · rank, in) and (out, experts · rank).
    """
    for name, (*experts, out, into) in adapted.items():
        ranks = [rank for pattern, rank in lora.rank_pattern.items() if matches(name, pattern)]
        rank = (ranks[-1] if ranks else lora.rank) * prod(experts)
        yield Weight(f"{name}.lora_A.weight", (rank, into), "other", 32.0, True)
        yield Weight(f"{name}.lora_B.weight", (out, rank), "other", 32.0, True)
        if lora.use_dora:
            yield Weight(f"{name}.lora_magnitude_vector.weight", (out,), "other", 32.0, True)


def _whole(lora: Lora, estimate: Estimate) -> Iterator[Weight]:
    """Copies of the modules that are trained whole; a tied output layer and the embeddings stay one weight."""
    tied = not any(weight.kind == "head" for weight in estimate.weights)
    for weight in estimate.weights:
        names = [weight.name, *(["lm_head.weight"] if tied and weight.kind == "embedding" else [])]
        modules = [name.rpartition(".")[0].split(".") for name in names]
        paths = [".".join(parts[:end]) for parts in modules for end in range(1, len(parts) + 1)]
        if any(f".{path}".endswith(f".{asked}") for path in paths for asked in lora.modules_to_save):
            yield replace(weight, name=f"{weight.name}.modules_to_save", bits=32.0, trained=True)


def _tokens(lora: Lora, estimate: Estimate) -> Iterator[Weight]:
    """The rows of single tokens, in the embeddings, and in the output layer where it has its own."""
    for weight in estimate.weights if lora.train_tokens else ():
        if weight.kind in ("embedding", "head"):
            rows = (len(lora.train_tokens), weight.shape[1])
            yield Weight(f"{weight.name}.trained_tokens", rows, "other", 32.0, True)
