"""What stages of token losses cost: the length of their sequences, and the logits of a chunk. Without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tunesmith_library_estimates.activations import AT_FIRST, AT_LAST
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.kept import Numbers

_CHUNK, _CHUNK_ON_CPU, _BLOCK_ON_CPU = 2**25, 2**24, 2**19  # logits at a time, as in `linear_cross_entropy` and `head`

_FEWEST = 32  # tokens of a chunk: fewer would leave a device idle
_SHORTEST = 256  # tokens, below which hardly a conversation is whole


@dataclass(frozen=True)
class _Loss:
    """Bytes of the loss: at its highest moment, and what it leaves for the backward pass."""

    most: float
    left: float


def estimate_token_loss(estimate: Estimate, max_length: int, chunk_size: int, one_pass: bool | None = None) -> Estimate:
    """Set the length, and add what exists where the loss is computed.

    In one pass of each logit of a chunk its gradient, in its place, and of a block on CPUs, of the chunk elsewhere,
    float32 numbers; else of each its log-probability and, twice, its gradient, in float32. The hidden states and their
    gradient; and of an output layer that is trained the gradient of all chunks, and of one where it is not added up.
    What the first layer's backward pass needs comes when the logits are gone: only the larger of both counts.

    Args:
        chunk_size: trained tokens at a time; 0 is as many as fit 128 MiB.
        one_pass: whether the loss is the plain cross entropy; None where that is so if the output layer is frozen.
    """
    made = replace(estimate, length=max_length).offering(*_shorter(max_length))
    if not estimate.vocabulary:
        return made
    made = made.offering(*_smaller_chunks(made, chunk_size))
    layer = _output(made)
    plain = layer is None or not any(weight.name.startswith(f"{_module(layer)}.lora_") for weight in made.weights)
    trained = layer.count if layer is not None and layer.trained else 0
    if plain and (one_pass or (one_pass is None and not trained)):
        loss = _of_one_pass(made, chunk_size, layer)
    else:
        loss = _by_autograd(made, chunk_size, layer)
    made = _at_the_end(made, layer)
    if loss.most > loss.left + made.bytes("forward").get(AT_FIRST, 0.0):
        memory = {what: each for what, each in made.memory.items() if what != AT_FIRST}
        return replace(made, memory=memory).plus("logits", Memory(loss.most, 0.0, ("forward",), "activations"))
    return made.plus("logits", Memory(loss.left, 0.0, ("forward",), "activations"))


def _smaller_chunks(made: Estimate, chunk_size: int) -> list[Change]:
    """A quarter of the logits at a time, where there are more of them than a few tokens'."""
    most = (_CHUNK_ON_CPU if made.machine.device == "cpu" else _CHUNK) // made.vocabulary
    less = (min(chunk_size, made.tokens) if chunk_size else min(most, made.tokens)) // 4
    if less < _FEWEST:
        return []
    return [Change((f"stage.loss_chunk_size={less}",), "time", "the same loss, of fewer tokens at a time")]


def _shorter(max_length: int) -> Iterator[Change]:
    half = max_length // 2
    if half >= _SHORTEST:
        yield Change((f"stage.max_length={half}",), "method", f"sequences of {half:,} tokens at most")


def _output(made: Estimate) -> Weight | None:
    """The output layer, which may be the embeddings'."""
    for kind in ("head", "embedding"):
        found = next((weight for weight in made.weights if weight.kind == kind), None)
        if found is not None:
            return found
    return None


def _module(weight: Weight) -> str:
    return weight.name.removesuffix(".weight")


def _of_one_pass(made: Estimate, chunk_size: int, layer: Weight | None) -> _Loss:
    """A chunk of logits and what is computed beside it, and the output layer's gradient, which is known at once."""
    numbers, on_cpu = Numbers.of(made), made.machine.device == "cpu"
    own, tokens = numbers.computed, made.tokens
    most = _rows(made, chunk_size, _CHUNK_ON_CPU if on_cpu else _CHUNK)
    chunks = math.ceil(tokens / most) if tokens else 1
    logits = (most if chunk_size or not tokens else math.ceil(tokens / chunks)) * made.vocabulary
    block = min(logits, max(_BLOCK_ON_CPU, made.vocabulary))
    beside = (4 if own == 4 else 8) * block if on_cpu else 4 * logits
    width = 0.0 if layer is None else layer.bits / 8
    trained = layer.count if layer is not None and layer.trained else 0
    if own == 4:
        summed = 4.0 * trained
    elif chunks > 1:  # in float32; on CPUs what is added to it is made so first
        summed = (12.0 if on_cpu else 8.0) * trained
    else:
        summed = 2.0 * trained
    left = width * trained
    rounded = left
    if width != own or (chunks > 1 and own == 2):  # the sum, and what it becomes in the numbers of the weight
        rounded += (4.0 if chunks > 1 else own) * trained
    cast = own * layer.count if layer is not None and width > own else 0
    hidden = made.hidden_size * tokens
    inputs = (own * (2 if numbers.stream > own else 1) + 2 * numbers.stream) * hidden
    gradient = numbers.stream * hidden
    during = own * logits + max(beside + 4 * trained * (chunks > 1), summed) + cast + inputs
    after = cast + inputs + rounded
    return _Loss(max(during, after, _times(made, left + gradient, width)), left + gradient)


def _by_autograd(made: Estimate, chunk_size: int, layer: Weight | None) -> _Loss:
    """The logits of a chunk, of each its log-probability and twice its gradient; the layer's gradients are summed."""
    numbers = Numbers.of(made)
    width = 0.0 if layer is None else layer.bits / 8
    trained = layer.count if layer is not None and layer.trained else 0
    is_cast = numbers.computed == 2 and width == 4
    logits = 12.0 * _rows(made, chunk_size, _CHUNK) * made.vocabulary
    gradient, hidden = width * trained, numbers.stream * made.hidden_size * made.tokens
    copy = 2.0 * layer.count if layer is not None and is_cast else 0.0
    summed = 4.0 * trained + gradient + (2.0 * trained if is_cast else 0.0)
    during = logits + summed + copy + 2 * hidden
    return _Loss(max(during, _times(made, gradient + hidden, width)), gradient + hidden)


def _times(made: Estimate, known: float, width: float) -> float:
    """Bytes of gradients that are known, and of their product with what comes back; on CPUs in float32 in between."""
    return (6 if made.machine.device == "cpu" and width == 2 else 2) * known


def _at_the_end(made: Estimate, layer: Weight | None) -> Estimate:
    """The estimate with what the end of the backward pass needs.

    The gradients of the embeddings come last, when the activations of the last layer are gone: only the larger of both
    counts. Those of a tied output layer wait for them; and where several passes make a step, they are there before
    they are added to what the passes before have left.
    """
    of_embeddings = sum(weight.bytes for weight in made.weights if weight.kind == "embedding" and weight.trained)
    tied = layer.bytes if layer is not None and layer.kind == "embedding" and layer.trained else 0.0
    adds = "gradients" in made.memory and "forward" in made.memory["gradients"].phases
    last = made.bytes("backward").get(AT_LAST, 0.0)
    if last and not adds:
        left = max(last - of_embeddings, 0.0)
        made = made.plus(AT_LAST, Memory(left, 0.0, ("backward",), "activations"))
    waiting = tied + (max(of_embeddings - last, 0.0) if adds else 0.0)
    if not waiting:
        return made
    return made.plus("gradients before they are added", Memory(waiting, 0.0, ("backward",), "gradients"))


def _rows(made: Estimate, chunk_size: int, numbers: int) -> int:
    """Trained tokens of a chunk, at most."""
    return min(made.tokens, chunk_size or max(numbers // made.vocabulary, 1)) or 1


def estimate_answers(estimate: Estimate, max_length: int, chunk_size: int, sequences: int) -> Estimate:
    """The same for a loss of answers.

    Args:
        sequences: answers of a row, all of which are in the batch.
    """
    rows = replace(estimate, sequences=sequences * estimate.sequences, per_example=sequences)
    return estimate_token_loss(rows, max_length, chunk_size)


def with_second_model(estimate: Estimate) -> Estimate:
    """Add a frozen model like the one that is trained, to compare with: no weight is wider than the embeddings' are."""
    embeddings = [weight.bits for weight in estimate.weights if weight.kind == "embedding"]
    if not embeddings:
        return estimate
    size = sum(weight.count * min(weight.bits, *embeddings) / 8 for weight in estimate.weights)
    return estimate.plus("reference model", Memory(size, of="weights"))
