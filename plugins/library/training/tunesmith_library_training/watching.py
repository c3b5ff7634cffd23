"""What a model's attention must know of the batch that runs through it, told by hooks of its base model.

A concatenated batch is one row of many sequences. While it runs, masks know its longest sequence, positions in several
dimensions restart with each sequence, and towers, which see images and not sequences, know nothing of it.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith_library_media import positions, precisions, sharing
from tunesmith_library_weights.towers import parts_in

from tunesmith_library_training import crossing
from tunesmith_library_training.head import unwrap
from tunesmith_library_training.stateful import stateful_layers

NAME = "per_sequence"
"""The attention that keeps the sequences of a concatenated batch apart, as transformers knows it."""

# The longest sequence of the concatenated batch whose forward is running; None for every other batch.
_longest: contextvars.ContextVar[int | None] = contextvars.ContextVar("longest sequence", default=None)

# The same while something beside the language model runs, which has no such batch.
_suspended: contextvars.ContextVar[int | None] = contextvars.ContextVar("longest sequence, suspended", default=None)

_OF_EXPERT = re.compile(r"experts\.\d+\.")  # in the name of an expert's weight, or of an adapter's beside it

_BOUNDS = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")


def longest() -> int | None:
    """The length of the longest sequence of the concatenated batch that runs; None for every other batch."""
    return _longest.get()


def watch(model: torch.nn.Module) -> None:
    """Prepare `model`, transformers' base model, for concatenated batches, and for images beside the text."""
    positions.watch(model)
    sharing.watch(model)
    precisions.watch(model)
    crossing.watch(model)
    config: Any = model.config
    keeps_state = stateful_layers(config.to_dict()) is not None
    model.register_forward_pre_hook(functools.partial(_enter, keeps_state), with_kwargs=True)
    model.register_forward_hook(_leave, always_call=True)
    for tower in _beside_the_language_model(model):
        tower.register_forward_pre_hook(_enter_tower, with_kwargs=True)
        tower.register_forward_hook(_leave_tower, always_call=True)


def text_leaves_out(model: Any) -> bool:
    """Whether text alone leaves trained weights of a model without gradients: of towers, or of layers that see images.

    Args:
        model: of transformers, in peft's adapters or not.
    """
    base = unwrap(model)
    if crossing.NAME_OF_MASK in inspect.signature(type(base.base_model).forward).parameters:
        return True
    parts = parts_in(base)
    trained = (name for name, parameter in base.named_parameters() if parameter.requires_grad)
    return any(parts.of(name) != "language" for name in trained)


def has_single_experts(model: torch.nn.Module) -> bool:
    """Whether experts are trained that are modules each, and get no gradient of a batch that is not sent to them.

    Fused experts are one weight for all, of which the rows of such experts get zeros.
    """
    return any(weight.requires_grad and _OF_EXPERT.search(name) for name, weight in model.named_parameters())


def _beside_the_language_model(model: Any) -> Iterator[torch.nn.Module]:
    """Towers and projectors: the outermost modules that do not hold the decoder, and that it does not hold."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    holder: torch.nn.Module | None = model
    while holder is not None and holder is not decoder:
        children = list(holder.children())
        holder = next((child for child in children if any(part is decoder for part in child.modules())), None)
        yield from (child for child in children if child is not holder)


def _enter_tower(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    _suspended.set(_longest.get())
    _longest.set(None)
    dtypes = list(dict.fromkeys(each.dtype for each in module.parameters() if each.is_floating_point()))
    own = {name: value for name, value in kwargs.items() if name not in (*_BOUNDS, crossing.NAME)}
    return tuple(_in_numbers(value, dtypes) for value in args), {
        name: _in_numbers(value, dtypes) for name, value in own.items()
    }


def _in_numbers(value: Any, dtypes: Sequence[torch.dtype]) -> Any:
    """Pixels and sounds in the numbers of a tower; processors give them in those that they were published with."""
    known = not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.dtype in dtypes
    return value if known or not dtypes else value.to(dtypes[0])


def _leave_tower(module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
    _longest.set(_suspended.get())


def _enter(
    keeps_state: bool, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    concatenated = kwargs.get("cu_seq_lens_q") is not None
    _longest.set(int(kwargs["max_length_q"]) if concatenated else None)
    if not concatenated:
        return None
    if kwargs.get("attention_mask") is not None:
        raise TunesmithError("a concatenated batch has no attention_mask: cu_seq_lens_q says what belongs together")
    types = None if hasattr(module, "get_rope_index") else _types(kwargs)
    if (types is not None or crossing.NAME in kwargs) and NAME not in str(module.config._attn_implementation):
        raise TunesmithError(
            f"{type(module).__name__} is shown images in concatenated batches with model.attention=auto alone.\n"
            "  use model.attention=auto or trainer.padding_free=false"
        )
    tokens = types if types is not None or keeps_state else _tokens_that_need_no_look(module, kwargs)
    # Restarting positions would have transformers read the types of the first sequence's tokens in all sequences; and
    # it would look on the device, waiting for it, whether positions restart, which attention here knows beforehand.
    return None if tokens is None else (args, {**kwargs, "attention_mask": torch.ones_like(tokens, dtype=torch.bool)})


def _tokens_that_need_no_look(module: Any, kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """The `input_ids` of a model whose masks need not tell sequences apart; None where it is not known to be one.

    A mask is a whole row's, of which each sequence takes its own square, so only what counts from a sequence's
    beginning must know where that is: positions in several dimensions, attention in chunks; and states.
    """
    if NAME not in str(module.config._attn_implementation) or hasattr(module, "get_rope_index"):
        return None
    chunk = getattr(module.config.get_text_config(), "attention_chunk_size", None)
    return None if chunk and int(kwargs["max_length_q"]) > chunk else kwargs.get("input_ids")


def _types(kwargs: Mapping[str, Any]) -> torch.Tensor | None:
    """Which tokens are of text and which of images (1, T), where a model's mask depends on it."""
    types = kwargs.get("token_type_ids")
    return kwargs.get("mm_token_type_ids") if types is None else types


def _leave(module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> None:
    _longest.set(None)
