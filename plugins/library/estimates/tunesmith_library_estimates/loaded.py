"""The weights of a model that is loaded, quantised and adapted: as an estimate from `config.json` has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from tunesmith_library_weights.cut import shape_of, size_of

from tunesmith_library_estimates.activations import layers_of, unknown_blocks
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.scores import caps_scores, scores_of

Kind = Literal["linear", "head", "experts", "embedding", "norm", "other"]


def loaded(model: Any, precision: Literal["bf16", "fp16", "fp32"]) -> Estimate:
    """The estimate of a model at hand, with what it takes now and what of it is trained.

    Names are those of the plain model: without peft's `base_model.model.` and `.base_layer`. A quantised layer is one
    matrix, (out, in), with as many bits as all that it holds takes.
    """
    text = model.config.get_text_config()
    experts = getattr(text, "num_experts_per_tok", None) or 1
    computed = 4 if precision == "fp32" else 2
    attention = getattr(text, "_attn_implementation", None) or "auto"
    device = next(model.parameters()).device.type
    return Estimate(
        precision,
        tuple(_weights(model)),
        hidden_size=text.hidden_size,
        vocabulary=text.vocab_size,
        experts_per_token=experts,
        scores=scores_of(text.to_dict(), attention, computed, device, capped=caps_scores(device)),
    )


def has_known_layers(model: Any) -> bool:
    """Whether `activations` knows what the layers of a model keep, by the names of what they consist of."""
    made = loaded(model, "fp32")
    return bool(layers_of(made.weights)) and not unknown_blocks(made)


def _weights(model: Any) -> Iterator[Weight]:
    outputs, inputs = model.get_output_embeddings(), model.get_input_embeddings()
    adapted = [f"{name}." for name, module in model.named_modules() if hasattr(module, "base_layer")]
    seen: set[int] = set()
    for path, module in model.named_modules():
        name = path.removeprefix("base_model.model.").replace(".base_layer", "")
        beside = any(path.startswith(f"{start}lora_") for start in adapted)
        out, into = getattr(module, "out_features", None), getattr(module, "in_features", None)
        whole = isinstance(out, int) and isinstance(into, int) and not hasattr(module, "base_layer")
        held = list(module.named_parameters(recurse=False))
        own = [(part, weight) for part, weight in held if id(weight) not in seen]  # a tied weight counts once
        seen.update(id(weight) for _, weight in own)
        if whole and not beside and (own or not held):
            kind: Kind = "head" if module is outputs or path.endswith("lm_head.base_layer") else "linear"
            yield from _linear(name, (out, into), kind, module, own)  # type: ignore[arg-type]  # ints: `whole`
            continue
        for part, weight in own:
            kind = "other" if beside else _kind(module, weight, inputs)
            yield _weight(f"{name}.{part}", shape_of(weight), kind, weight)


def _linear(name: str, shape: tuple[int, int], kind: Kind, module: Any, own: list[tuple[str, Any]]) -> Iterator[Weight]:
    """The matrix of a linear layer, with all that stands for it where it is quantised, and its bias."""
    buffers = [buffer for _, buffer in module.named_buffers(recurse=False)]
    matrix = [weight for part, weight in own if part != "bias"]
    if matrix or buffers:
        held = sum(size_of(tensor) * tensor.element_size() for tensor in [*matrix, *buffers])
        trained = any(weight.requires_grad for weight in matrix)
        yield Weight(f"{name}.weight", shape, kind, 8 * held / (shape[0] * shape[1]), trained)
    yield from (_weight(f"{name}.bias", shape_of(bias), "other", bias) for part, bias in own if part == "bias")


def _weight(name: str, shape: tuple[int, ...], kind: Kind, weight: Any) -> Weight:
    return Weight(name, shape, kind, 8 * weight.element_size(), weight.requires_grad)


def _kind(module: Any, weight: Any, inputs: Any) -> Kind:
    if module is inputs:
        return "embedding"
    if "Norm" in type(module).__name__:
        return "norm"
    if "Conv" in type(module).__name__:
        return "other"
    return "experts" if len(shape_of(weight)) == 3 else "other"
