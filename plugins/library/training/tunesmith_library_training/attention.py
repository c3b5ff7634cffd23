"""Attention within each sequence of a concatenated batch, registered with transformers as `per_sequence`.

A batch without padding is one row of T tokens, and `cu_seq_lens_q` (int32, number of sequences + 1) says where its
sequences begin. Attending over the whole row under a block mask costs T²; here every sequence costs the square of its
own length. A batch without `cu_seq_lens_q` (generation, padding) is transformers' own SDPA.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import causal_mask_function
from tunesmith import TunesmithError

from tunesmith_library_training import cpu_attention, crossing, parts, varlen, watching
from tunesmith_library_training.on_host import sequence_lengths

NAME = watching.NAME

_ATTENTION_CLASS = re.compile(r"^class \w*Attention\w*\(", re.MULTILINE)


def takes_attention(config: Any) -> bool:
    """Whether a model's attention layers call what is registered with AttentionInterface.

    Older architectures have attention classes of their own, which would read our masks wrongly. transformers shows
    which they are only in their source; code that comes with a model is taken to be of that kind.

    Args:
        config: transformers' configuration of the model.
    """
    mappings = (transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_FOR_MULTIMODAL_LM_MAPPING)
    found = next((mapping[type(config)] for mapping in mappings if type(config) in mapping), None)
    module = None if found is None or hasattr(config, "auto_map") else inspect.getmodule(found)
    if module is None:
        return False
    source = inspect.getsource(module)
    return "ALL_ATTENTION_FUNCTIONS" in source or not _ATTENTION_CLASS.search(source)


def register(name: str = NAME, kernel: varlen.Kernel | None = None) -> None:
    """Make an `attn_implementation` known to transformers.

    Args:
        kernel: computes what it can of a concatenated batch; None for the one that is found on this machine, if any.
    """
    AttentionInterface.register(name, functools.partial(attend, kernel=kernel))
    AttentionMaskInterface.register(name, make_mask)


def use(model: Any, kernel: varlen.Kernel) -> None:
    """Let a loaded model, whose attention is `per_sequence`, compute it by this kernel, wherever the kernel can."""
    # not by the kernel's name: what has `flash` in it transformers takes for its own
    name = f"{NAME}_{abs(hash(kernel)):x}"
    register(name, kernel)
    model.set_attn_implementation(name)


def make_mask(
    *, mask_function: Callable[..., Any], q_length: int, local_size: int | None = None, **arguments: Any
) -> Any:
    """The mask of a forward pass: None when causal attention per sequence says it all, else what SDPA would get.

    Called by transformers once per forward and kind of layer. A window or chunk that no sequence outgrows needs no
    mask. Whatever else a model asks for (windows that bind, attention in both directions within an image) comes as a
    boolean mask (1, 1, T, T), of which `attend` takes each sequence's own square.
    """
    longest = watching.longest()
    outgrown = local_size is not None and longest is not None and longest > local_size
    special = arguments.get("use_vmap") or (longest and _looks_ahead(mask_function, q_length))
    make_of_part = parts.mask_maker()
    if make_of_part is not None:
        return make_of_part(local_size if outgrown else None, special=bool(special))
    if longest is not None:
        if not outgrown and not special:
            return None
        arguments |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    sdpa_mask = AttentionMaskInterface()["sdpa"]
    mask = sdpa_mask(mask_function=mask_function, q_length=q_length, local_size=local_size, **arguments)
    if outgrown and not special:
        mask.is_local = True
    return mask


def _looks_ahead(mask_function: Callable[..., Any], q_length: int) -> bool:
    """Whether any token sees the one right after it: one evaluation per token, not one per pair.

    On the host, for the answer is needed there; functions that look tensors up find them on their own device.
    """
    if mask_function is causal_mask_function:
        return False
    tokens = torch.arange(q_length - 1)
    zero = torch.zeros_like(tokens)
    sees = mask_function(zero, zero, tokens, tokens + 1)
    return bool(sees.any()) if isinstance(sees, torch.Tensor) else bool(sees)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    kernel: varlen.Kernel | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention with transformers' signature.

    Args:
        query: (B, heads, T, D); key and value may have fewer heads.
        attention_mask: (B or 1, 1, T, S), bool (True attends) or added to the scores; None is causal.
        kernel: for concatenated batches; None for the one that is found on this machine, if any.
        kwargs: `softcap` and `s_aux` (see `explicit`), `is_causal`, `sliding_window`.

    Returns: (B, T, heads, D), and None for the weights.
    Raises: TunesmithError for a concatenated batch of a model with a position bias, which is not cut here.
    """
    part = getattr(cu_seq_lens_q, parts.PART, None)
    if part is not None:
        shared = {"dropout": dropout, "scaling": scaling, "kernel": kernel, **kwargs}
        return part.attend(module, query, key, value, attention_mask, **shared), None
    softcap, sinks, window = (kwargs.get(name) for name in ("softcap", "s_aux", "sliding_window"))
    images = kwargs.pop(crossing.NAME, None)
    if images is not None and attention_mask is not None and crossing.crosses(module):
        lengths = None if cu_seq_lens_q is None else sequence_lengths(cu_seq_lens_q)
        alone: dict[str, Any] = {"causal": False, "scaling": scaling, "dropout": dropout}
        return crossing.attend(query, key, value, attention_mask, images, lengths, _sdpa, alone), None
    if cu_seq_lens_q is None and softcap is None and sinks is None:
        sdpa = AttentionInterface()["sdpa"]
        given = sdpa(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs)
        output: torch.Tensor = given[0]
        return output, None
    causal = kwargs.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    options: dict[str, Any] = {"causal": causal, "scaling": scaling, "dropout": dropout, "softcap": softcap}
    if cu_seq_lens_q is None:
        return explicit(query, key, value, attention_mask, **options, sinks=sinks).transpose(1, 2), None
    if kwargs.get("position_bias") is not None:
        raise TunesmithError(f"{type(module).__name__} biases positions.\n  use trainer.padding_free=false")
    if kernel is None and query.is_cuda:
        kernel = varlen.found()
    if kernel is not None and varlen.fits(kernel, query, value, dropout, softcap, sinks, attention_mask, window):
        bounds = (cu_seq_lens_q, int(kwargs["max_length_q"]))
        return varlen.attend(kernel, query, key, value, *bounds, window=window, **options), None
    lengths = sequence_lengths(cu_seq_lens_q)
    return _one_by_one(query, key, value, attention_mask, lengths, **options, sinks=sinks), None


@torch.compiler.disable  # type: ignore[untyped-decorator]  # it would be compiled anew for other lengths
def _one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    lengths: list[int],
    **options: Any,
) -> torch.Tensor:
    """Attention of each sequence without a kernel for all of them: (1, T, heads, D).

    Args:
        options: as of `explicit`.
    """
    special = options["softcap"] is not None or options["sinks"] is not None
    if query.device.type == "cpu" and options["causal"] and mask is None and not (special or options["dropout"]):
        return cpu_attention.attend(query, key, value, lengths, options["scaling"])
    function = explicit if special else _sdpa
    parts = _sequences(query, key, value, mask, lengths)
    return torch.cat([function(*each, **options).transpose(1, 2) for each in parts], dim=1)


def _sequences(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, lengths: list[int]
) -> Iterator[tuple[Any, ...]]:
    """The parts of a row that belong to each sequence, and each one's square of the mask."""
    start = 0
    for q, k, v in zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True):
        end = start + q.shape[2]
        yield q, k, v, None if mask is None else mask[:, :, start:end, start:end]
        start = end


def _sdpa(
    q: Any, k: Any, v: Any, mask: Any, *, causal: bool, scaling: float | None, dropout: float, **_: None
) -> torch.Tensor:
    """Attention of one sequence that has neither softcap nor sinks."""
    return F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=mask,
        dropout_p=dropout,
        scale=scaling,
        is_causal=causal and mask is None,
        enable_gqa=q.shape[1] != k.shape[1],
    )


def explicit(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    causal: bool,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Attention written out, for what SDPA cannot do; softmax in fp32.

    Args:
        query: (B, heads, T, D); key, value: (B, key heads, S, D).
        mask: bool or additive; None attends to all keys, or causally when T > 1.
        softcap: c of c·tanh(scores/c) (Gemma 2, arXiv 2408.00118).
        sinks: (heads,), logits of a key without value (GPT-OSS, arXiv 2508.10925).

    Returns: (B, heads, T, D).
    """
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is None and causal and query.shape[2] > 1:
        mask = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).tril()
    scores = scores.float()
    if mask is not None:
        scores = (
            scores.masked_fill(~mask, torch.finfo(torch.float32).min) if mask.dtype == torch.bool else scores + mask
        )
    if sinks is not None:
        column = sinks.float().reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        weights = torch.cat([scores, column], dim=-1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1)
    return F.dropout(weights.to(value.dtype), dropout) @ value
