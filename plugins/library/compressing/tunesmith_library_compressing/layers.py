"""Which layers of a model are rounded, what they are called in its files, and what stays as it is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith_library_publishing.inventory import Stored as InFile
from tunesmith_library_publishing.inventory import tensors_of
from tunesmith_library_publishing.weights import renaming
from tunesmith_library_quantizing.calibration import decoder_layers
from tunesmith_library_quantizing.quantising import linear_layers
from tunesmith_library_weights.patterns import matches_any, refuse_unknown
from tunesmith_library_weights.shares import share

from tunesmith_library_compressing.methods import Method, Names

_FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


@dataclass(frozen=True)
class Layers:
    """The layers of one model, before anything is rounded; by their names in the model."""

    blocks: tuple[str, ...]  # the decoder layers
    files: Mapping[str, str]  # of every parameter: what its file calls it
    unfit: tuple[str, ...]  # layers that the format has no place for
    skip: tuple[str, ...]  # what is not rounded: these, and the user's patterns


def layers_of(model: Any, whole: Path, method: Method) -> Layers:
    """Look at a loaded model.

    Args:
        whole: the folder that it was loaded from.

    Raises: TunesmithError when a pattern of the user's fits nothing, or no layer is left to round.
    """
    settings, linear = method.settings, linear_layers(model)
    refuse_unknown(f"{settings.key}.skip_modules", settings.skip, list(linear), "layer")
    files = _in_files(model, whole)
    wanted = [name for name in linear if not matches_any(name, settings.skip)]
    unfit = tuple(name for name in wanted if not method.fits(linear[name]) or f"{name}.weight" not in files)
    if len(unfit) == len(wanted):
        sizes = [f"the {linear[name].out_features} × {linear[name].in_features} weights of {name}" for name in unfit]
        why = f"{sizes[0]} do not come out even in groups of {settings.group_size}" if sizes else "all are left out"
        raise TunesmithError(
            f"no layer of this model can be rounded: {why}.\n"
            f"  another {settings.key}.group_size, such as 32 or -1, or fewer {settings.key}.skip_modules"
        )
    if unfit:
        named = ", ".join(unfit[:3]) + (f" and {len(unfit) - 3} more" if len(unfit) > 3 else "")
        announce("not rounded", f"{len(unfit)} of {len(wanted)} layers", f"their sizes do not come out even: {named}")
    return Layers(tuple(decoder_layers(model)), files, unfit, (*settings.skip, *unfit))


def names_in_files(model: Any, whole: Path, layers: Layers, rounded: Collection[str]) -> Names:
    """What a written model's files call its layers.

    Args:
        rounded: the layers that were, by their names in the model.
    """
    done = [layers.files[f"{name}.weight"].removesuffix(".weight") for name in rounded]
    starts = {f"{_prefix(file, name, layers.blocks)}." for file, name in zip(done, rounded, strict=True)}
    left, experts = list[str](), list[str]()
    for name in (name for name, held in tensors_of(whole).items() if len(held.shape) > 1):
        start = next((start for start in starts if name.startswith(start)), None)
        layer = name.removesuffix(".weight")
        if start is None or layer in done:
            continue
        numbered = re.match(r"(.+?)\.\d+\.", layer.removeprefix(start))
        if numbered:
            experts.append(start + numbered[1])
        elif layer == name:  # a parameter of its own, such as experts in one tensor: its module is what servers know
            experts.append(name.rpartition(".")[0])
        else:
            left.append(layer)
    own = tuple(f"{name}." for name in layers.blocks)
    head = model.get_output_embeddings() if model.can_generate() else None
    heads, outside = list[str](), list[str]()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not name.startswith(own):
            place = heads if module is head or "." not in name else outside
            place += [name, layers.files.get(f"{name}.weight", name).removesuffix(".weight")]
    return Names(done, left, *(tuple(dict.fromkeys(found)) for found in (experts, heads, outside)))


def warn_of_torn(layers: Layers, rounded: Collection[str]) -> None:
    """Warn of layers that servers compute as one, and of which only a part is in few bits."""
    torn = []
    for name in rounded:
        owner, _, own = name.rpartition(".")
        others = next((group for group in _FUSED if own in group), ())
        full = [other for other in others if f"{owner}.{other}.weight" in layers.files]
        torn += [f"{owner}.{other}" for other in full if f"{owner}.{other}" not in rounded]
    torn = list(dict.fromkeys(torn))
    if torn:
        logger.warning(
            "%d layers stay in full beside rounded ones that vLLM and SGLang compute together with them (%s): these "
            "load q_proj, k_proj and v_proj, or gate_proj and up_proj, all in one form",
            len(torn),
            torn[0],
        )


def say_share(whole: Path, names: Names, what: str) -> tuple[str, str]:
    """Announce what share of a model's weights is in few bits, and what is not.

    Args:
        what: in which form, such as `in 4 bits`.

    Returns: the share, and what is in full.
    """
    held = tensors_of(whole)
    counts = {name: torch.Size(found.shape).numel() for name, found in held.items() if len(found.shape) > 1}
    said = share(counts, {f"{name}.weight" for name in names.rounded}, rest="in full")
    announce(what, *said)
    return said


def _in_files(model: Any, whole: Path) -> dict[str, str]:
    """What files call each parameter; of one that they hold in another form, as part of a larger one, nothing."""
    known = tensors_of(whole)
    rename = renaming(model, whole, known)
    found: dict[str, str] = {}
    for name, parameter in model.named_parameters():
        name_there = name if name in known else _renamed(rename, name, parameter, known)
        if name_there:
            found[name] = name_there
    return found


def _renamed(rename: Any, name: str, parameter: torch.Tensor, known: Mapping[str, InFile]) -> str:
    try:
        made = rename({name: torch.empty_like(parameter, device="meta")})
    except (KeyError, ValueError, RuntimeError):  # one tensor of the file is several weights, and needs them all
        return ""
    (only, *more) = made or [""]
    return only if only in known and not more and known[only].shape == tuple(parameter.shape) else ""


def _prefix(file: str, name: str, blocks: Collection[str]) -> str:
    """What the files call the decoder layer that a layer is in."""
    block = next(block for block in blocks if name.startswith(f"{block}."))
    return file.removesuffix(name.removeprefix(block))
